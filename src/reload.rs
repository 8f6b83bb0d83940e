//! Reading the configuration again while the daemon runs: what can change does, the rest says that it needs a restart.
//!
//! A configuration that cannot be used changes nothing: the old one runs on, the log says what is wrong and where, and
//! the page says so until the next one is right.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Config, Listen, Output};
use crate::logging::{self, Log};
use crate::problem::Problems;
use crate::state::Identity;
use crate::systemd;
use crate::tail::{Handle, Input, Plan, Source};

/// How often the configuration's files are looked at. A stat of each is nothing, and nobody mends a file faster.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the configuration again, from the arguments of the start.
pub type Again = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// How the configuration was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the last one could be used.
    pub is_successful: bool,
    /// When the one that runs was read.
    pub last_success: Timestamp,
}

/// The latest [`Outcome`], for whoever shows it.
#[derive(Clone, Debug)]
pub struct Outcomes(Arc<Mutex<Outcome>>);

impl Outcomes {
    /// Those of a process whose configuration was just read.
    pub fn begin(now: Timestamp) -> Outcomes {
        Outcomes(Arc::new(Mutex::new(Outcome { is_successful: true, last_success: now })))
    }

    /// The latest one.
    pub fn latest(&self) -> Outcome {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, is_successful: bool) {
        let mut outcome = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.is_successful = is_successful;
        if is_successful {
            outcome.last_success = Timestamp::now();
        }
    }
}

/// What stays as it was at the start, by the key that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed(Vec<(&'static str, String)>);

impl Fixed {
    /// What of a configuration stays.
    pub fn of(config: &Config) -> Fixed {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let listen = match config.page.listen {
            Listen::None => "none".to_owned(),
            Listen::At(address) => address.to_string(),
        };
        let output = |output: Output| format!("{output:?}").to_lowercase();
        let format = |format: logging::Format| format!("{format:?}").to_lowercase();
        let read = config.sandbox.read.iter().flatten().map(|path| path.display().to_string()).collect::<Vec<_>>();
        Fixed(vec![
            ("listen", listen),
            ("state", path(&config.plan.state)),
            ("web_config", path(&config.page.web_config)),
            ("enable_reload", config.page.enable_reload.to_string()),
            ("watch_config", (!config.watched.is_empty()).to_string()),
            ("output", output(config.output)),
            ("findings", config.findings.to_string()),
            ("log_format", format(config.log.1)),
            ("sandbox.read", read.join(" ")),
        ])
    }

    /// Says what would be otherwise after a restart.
    fn compare(&self, new: &Fixed) {
        for ((key, running), (_, written)) in self.0.iter().zip(&new.0) {
            if running != written {
                tracing::warn!(key, running, written, "a change of this needs a restart: it stays as it was");
            }
        }
    }
}

/// How long things take that only the end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Reading, after the request to stop.
    pub drain: Duration,
    /// Serving the page, after the end of standard input.
    pub linger: Duration,
}

impl Times {
    fn of(config: &Config) -> Times {
        Times { drain: config.plan.drain, linger: config.page.linger }
    }
}

/// What a reload changes, and what it is compared with.
pub struct Reload {
    /// How long things take that only the end does.
    pub times: Times,
    /// The files whose change asks for one.
    pub watch: Watch,
    again: Again,
    handle: Handle,
    log: Log,
    outcomes: Outcomes,
    fixed: Fixed,
    sources: Vec<Source>,
}

impl Reload {
    /// Of the daemon that runs this configuration.
    pub fn new(config: &Config, again: Again, log: Log, handle: Handle) -> Reload {
        Reload {
            times: Times::of(config),
            watch: Watch::new(config.watched.clone()),
            again,
            handle,
            log,
            outcomes: Outcomes::begin(Timestamp::now()),
            fixed: Fixed::of(config),
            sources: config.plan.sources.clone(),
        }
    }

    /// How the configuration was last read.
    pub fn outcomes(&self) -> Outcomes {
        self.outcomes.clone()
    }

    /// Reads the configuration and follows it; whether it could be used.
    pub async fn run(&mut self, asked_by: &'static str) -> bool {
        systemd::reloading();
        let again = Arc::clone(&self.again);
        // Rules take a while to compile: the page is answered meanwhile.
        let read = tokio::task::spawn_blocking(move || again()).await;
        let is_successful = match read {
            Ok(Ok(config)) => {
                self.follow(config, asked_by).await;
                true
            }
            Ok(Err(problems)) => {
                for problem in &problems.0 {
                    let (line, column) = problem.position();
                    let help = problem.help.as_deref().unwrap_or_default();
                    tracing::error!(file = problem.path, line, column, help, "{}", problem.message);
                }
                tracing::error!(asked_by, "the configuration cannot be used: the old one is kept");
                false
            }
            Err(error) => {
                tracing::error!(asked_by, %error, "the configuration could not be read: the old one is kept");
                false
            }
        };
        self.outcomes.set(is_successful);
        systemd::ready();
        is_successful
    }

    async fn follow(&mut self, config: Config, asked_by: &'static str) {
        config.warn();
        self.fixed.compare(&Fixed::of(&config));
        self.log.change(&config.log.0);
        self.times = Times::of(&config);
        self.watch.follow(config.watched);
        let had_stdin = self.sources.iter().any(|source| source.input == Input::Stdin);
        let mut plan = Plan { sources: Vec::new(), ..config.plan.clone() };
        for source in config.plan.sources {
            if source.input == Input::Stdin && !had_stdin {
                tracing::warn!(
                    source = &*source.name,
                    "standard input is read from the start or not at all: restart for it"
                );
            } else {
                plan.sources.push(source);
            }
        }
        self.say_changes(&plan.sources);
        self.sources.clone_from(&plan.sources);
        self.handle.follow(plan, config.detector);
        // Whoever asked is answered once it runs.
        self.handle.publish().await;
        tracing::info!(asked_by, sources = self.sources.len(), "the configuration was read again");
    }

    fn say_changes(&self, new: &[Source]) {
        let by_name = |sources: &[Source]| -> BTreeMap<_, _> {
            sources.iter().map(|source| (Arc::clone(&source.name), source.clone())).collect()
        };
        let (before, after) = (by_name(&self.sources), by_name(new));
        for (name, source) in &after {
            match before.get(name) {
                None => tracing::info!(source = &**name, "a source is added"),
                Some(old) if old != source => tracing::info!(source = &**name, "a source is changed"),
                Some(_) => {}
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            tracing::info!(
                source = &**name,
                "a source is removed: its counts stay on the page until a restart, and in the state"
            );
        }
    }
}

/// What tells that a file changed.
type Stamp = Option<(Identity, u64, i64, i64)>;

/// Files whose change asks for a reload.
#[derive(Debug)]
pub struct Watch {
    files: Vec<PathBuf>,
    read: Vec<Stamp>,
    seen: Vec<Stamp>,
}

impl Watch {
    /// The files as they are now; nothing happens where there are none.
    pub fn new(files: Vec<PathBuf>) -> Watch {
        let stamps: Vec<Stamp> = files.iter().map(stamp).collect();
        Watch { files, read: stamps.clone(), seen: stamps }
    }

    /// Watches these from now on; what is known of a file that was watched before stays known.
    fn follow(&mut self, files: Vec<PathBuf>) {
        if self.files.is_empty() || files.is_empty() {
            // Whether anybody looks is settled at the start.
            return;
        }
        let known = |file: &PathBuf| self.files.iter().position(|known| known == file).and_then(|at| self.read[at]);
        self.read = files.iter().map(|file| known(file).or_else(|| stamp(file))).collect();
        self.seen.clone_from(&self.read);
        self.files = files;
    }

    /// Waits until one of them changed, and none does any more: what is half written is not read.
    pub async fn changed(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            let now: Vec<Stamp> = self.files.iter().map(stamp).collect();
            let is_settled = now == self.seen;
            self.seen = now;
            if is_settled && self.seen != self.read {
                self.read.clone_from(&self.seen);
                return;
            }
        }
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let status = std::fs::metadata(path).ok()?;
    Some((Identity::of(&status), status.len(), status.mtime(), status.mtime_nsec()))
}
