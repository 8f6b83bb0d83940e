//! The configuration, in two types: what was written, with the place of each value, and what runs.
//!
//! What was written is a file with the command line laid over it ([`Given`]). [`Given::build`] checks all of it, says
//! everything that is wrong at once, and gives a [`Config`], which takes itself apart: each part of the program takes
//! its piece and none keeps the whole. A reload does the same again from the same arguments.

mod checks;
mod values;
mod variables;
mod written;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use crate::catalog::Catalog;
use crate::detect::{Detector, Reading, Rules, RulesError};
use crate::diagnose;
use crate::input::STDIN;
use crate::logging;
use crate::output::escape;
use crate::problem::{Problem, Problems};
use crate::sandbox::Sandbox;
use crate::tail::{Files, Input, Labels, Plan, Source};

use checks::Checks;
pub use values::{Listen, Number, Output, Size, Time};
use written::{Parsed, Texts};
pub use written::{Source as WrittenSource, Written};

/// What was written, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The values. Paths of the file are absolute: they stand beside it, wherever the process runs.
    pub written: Written,
    texts: Texts,
    file: Option<PathBuf>,
    /// What is wrong in the file, before its values are held against one another.
    problems: Vec<Problem>,
    /// Whether so little of it could be read that they cannot be.
    is_broken: bool,
}

/// What runs. Its fields are the pieces that the parts of the program take.
#[derive(Debug)]
pub struct Config {
    /// The catalogue and the rules.
    pub detector: Detector,
    /// What is followed, and how.
    pub plan: Plan,
    /// How the page is served.
    pub page: Page,
    /// How matches are printed.
    pub output: Output,
    /// Whether findings are printed too.
    pub findings: bool,
    /// What is logged, and how.
    pub log: (logging::Level, logging::Format),
    /// What is left of the process's rights.
    pub sandbox: Sandbox,
    /// The files whose change is a reload; none where nobody is to look.
    pub watched: Vec<PathBuf>,
    /// What does not keep it from running and should be known.
    pub warnings: Vec<Problem>,
    /// Paths that stand for nothing yet; whoever follows them waits, and says so.
    pub absent: Vec<Problem>,
}

/// How the page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where.
    pub listen: Listen,
    /// The file that says how to serve over TLS and to whom.
    pub web_config: Option<PathBuf>,
    /// Whether `POST /-/reload` reads the configuration again.
    pub enable_reload: bool,
    /// How long it is served after the end of standard input.
    pub linger: Duration,
}

impl Config {
    /// Logs what should be known.
    pub fn warn(&self) {
        warn(&self.warnings);
    }

    /// Whether standard input is all there is to read.
    pub fn reads_only_stdin(&self) -> bool {
        self.plan.sources.iter().all(|source| source.input == Input::Stdin)
    }
}

/// Logs what is not as it should be, with its places.
pub fn warn(problems: &[Problem]) {
    for problem in problems {
        let (line, column) = problem.position();
        tracing::warn!(file = problem.path, line, column, "{}", problem.message);
    }
}

impl Given {
    /// What a file says, as far as it can be used; without one, the defaults.
    pub fn read(file: Option<&Path>) -> Given {
        let Some(path) = file else { return Given::default() };
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let mut texts = Texts::default();
                texts.say("--config");
                let place = texts.say(&shown);
                let message = format!("cannot read `{shown}`: {error}");
                let problems = vec![texts.problem(place, message, Some(READABLE.to_owned()))];
                return Given { texts, problems, is_broken: true, ..Given::default() };
            }
        };
        let Parsed { mut written, texts, problems, is_toml } =
            written::parse(&shown, &text, &|name| std::env::var(name).ok());
        let directory = path.parent().unwrap_or(Path::new(""));
        written.for_each_path(&mut |path| *path = absolute(&directory.join(&*path)));
        Given { written, texts, file: Some(path.to_owned()), problems, is_broken: !is_toml }
    }

    /// What is wrong in the file itself.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// A value from the command line, with its place among what was typed. What has no option of its own has `""`.
    pub fn typed<T>(&mut self, option: &str, shown: &str, value: T) -> Spanned<T> {
        if !option.is_empty() {
            self.texts.say(option);
        }
        Spanned::new(self.texts.say(&escape(shown)), value)
    }

    /// The configuration as a file that says the same wherever it stands.
    ///
    /// # Errors
    /// What TOML cannot hold, such as a path that is no text.
    pub fn print(mut self) -> Result<String, toml::ser::Error> {
        self.written.for_each_path(&mut |path| *path = absolute(path));
        // What stands in it now is not to be taken for a variable.
        Ok(toml::to_string_pretty(&self.written)?.replace("${", "$${"))
    }

    /// Checks everything and makes of it what runs.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn build(self) -> Result<Config, Problems> {
        if self.is_broken {
            return Err(Problems(self.problems));
        }
        let mut checks = Checks::new(&self.texts, &self.problems);
        let detector = self.detector(&mut checks);
        checks.check(&self.written);
        let (problems, warnings, absent) = checks.found();
        let written = self.written;
        let (Some(detector), true) = (detector, problems.is_empty()) else { return Err(Problems(problems)) };
        let inner = |paths: Vec<Spanned<PathBuf>>| paths.into_iter().map(Spanned::into_inner).collect::<Vec<_>>();
        let labels: Vec<String> = written.labels.into_iter().map(Spanned::into_inner).collect();
        let (state, web_config) = (written.state.map(Spanned::into_inner), written.web_config.map(Spanned::into_inner));
        let files: Vec<PathBuf> =
            self.file.into_iter().chain(inner(written.catalog)).chain(inner(written.rules)).collect();
        let sandbox = Sandbox {
            write: state.iter().cloned().collect(),
            read: (!written.sandbox.read.is_empty()).then(|| inner(written.sandbox.read)),
        };
        Ok(Config {
            detector,
            page: Page {
                listen: written.listen,
                web_config,
                enable_reload: written.enable_reload,
                linger: written.linger.0,
            },
            output: written.output,
            findings: written.findings,
            log: (written.log_level, written.log_format),
            sandbox: sandbox.with_readable(&files),
            watched: if written.watch_config { files } else { Vec::new() },
            plan: Plan {
                state,
                announce: written.announce.0,
                uncatalogued: written.uncatalogued,
                drain: written.drain.0,
                labels: Arc::new(Labels {
                    of: written.source.iter().map(|source| of(source, &labels)).collect(),
                    names: labels,
                }),
                ..Plan::new(written.source.into_iter().map(source).collect())
            },
            warnings,
            absent,
        })
    }

    /// The embedded catalogue and rules with the files laid over them; nothing where one of those is wrong.
    fn detector(&self, checks: &mut Checks<'_>) -> Option<Detector> {
        let mut catalog = Catalog::embedded();
        let is_confined = !self.written.sandbox.read.is_empty();
        for path in &self.written.catalog {
            let Some((shown, text)) = read_named(path, is_confined, checks) else { continue };
            match catalog.layer(&shown, &text) {
                Ok(layered) => {
                    if let Some(said) = layered.disagreement() {
                        checks.warn(&path.span(), format!("{shown} {said}"));
                    }
                }
                Err(wrong) => checks.add(wrong),
            }
        }
        for (code, category) in &self.written.categories {
            if let Some((code, category)) = checks.category(code, category, &catalog) {
                catalog.recategorise(code, category);
            }
        }
        let files: Vec<_> =
            self.written.rules.iter().filter_map(|path| read_named(path, is_confined, checks)).collect();
        let rules = match Rules::layered(&files) {
            Ok(rules) => Some(rules),
            Err(RulesError::Problems(wrong)) => {
                checks.add(wrong);
                None
            }
            Err(error @ RulesError::TooLarge(_)) => {
                let place = self.written.rules.last().map_or(0..0, Spanned::span);
                checks.wrong(&place, error.to_string(), "split off what is not needed");
                None
            }
        };
        let findings = match diagnose::Rules::layered(&files) {
            Ok(findings) => Some(findings),
            // What is wrong with a file as TOML both readers say: it is kept once.
            Err(wrong) => {
                checks.add(wrong);
                None
            }
        };
        Some(Detector::new(Arc::new(catalog), Arc::new(rules?)).diagnosing(Arc::new(findings?)))
    }
}

/// What to do about a file that cannot be read.
const READABLE: &str = "name a file that is there, and readable";

/// A file that the configuration names, by its path and text; the process may be confined to some directories by now.
fn read_named(path: &Spanned<PathBuf>, is_confined: bool, checks: &mut Checks<'_>) -> Option<(String, String)> {
    if path.get_ref().as_os_str().is_empty() {
        // That is said with every other path.
        return None;
    }
    let shown = path.get_ref().display().to_string();
    match std::fs::read_to_string(path.get_ref()) {
        Ok(text) => Some((shown, text)),
        Err(error) => {
            let help = match error.kind() {
                // Nothing widens a sandbox once a process is in it.
                ErrorKind::PermissionDenied if is_confined => {
                    "let the user read it; where twdiag runs, `[sandbox] read` may have shut it out: restart it then"
                }
                _ => READABLE,
            };
            checks.wrong(&path.span(), format!("cannot read `{shown}`: {error}"), help);
            None
        }
    }
}

/// What a source's labels are, in the order of their names.
fn of(source: &WrittenSource, names: &[String]) -> (Arc<str>, Vec<String>) {
    let value = |name: &String| {
        let of_name = source.labels.iter().find(|(of, _)| of.get_ref() == name);
        of_name.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    (source.name.get_ref().as_str().into(), names.iter().map(value).collect())
}

fn source(written: WrittenSource) -> Source {
    let texts = |texts: Vec<Spanned<String>>| texts.into_iter().map(Spanned::into_inner).collect::<Vec<_>>();
    let paths = texts(written.paths.into_inner());
    let input = if paths.iter().any(|path| path == STDIN) {
        Input::Stdin
    } else {
        Input::Files(Files { paths, exclude: texts(written.exclude) })
    };
    Source {
        start_at: written.start_at,
        reading: Reading { assume: written.assume, encoding: written.encoding, line_limit: written.line_limit.0 },
        ignore: written.ignore.iter().map(|number| number.0).collect(),
        ..Source::new(written.name.get_ref(), input)
    }
}

/// The path from the root on; one that cannot be had stays as it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
