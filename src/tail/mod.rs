//! Follows files and streams: one thread owns files, offsets and counts.
//!
//! Events of the file system are a hint that ends the owner's wait; what it then believes is what `stat` says.
//! The owner publishes immutable snapshots; nobody else sees a count change. What it does is [`Follower`], which
//! knows neither threads nor the time; around it stands the loop that wakes it.

mod file;
mod rotated;
mod discover;
mod follower;
mod snapshot;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Zoned;
use notify::{RecursiveMode, Watcher};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::detect::{Detector, End};
use crate::record::Sighting;
use crate::state::{Directory, StateError, Store, boot};

pub(crate) use discover::{matching, watched};
pub use follower::{Clock, Follower};
pub(crate) use rotated::is_rotated_form;
pub use snapshot::{Snapshot, SourceGauges, StateHealth, WRITE_BUCKETS};

/// How much of standard input is read at once, in bytes.
const STDIN_READ: usize = 256 << 10;

/// How long a scrape waits for a busy owner before it is shown what was published last.
const SCRAPE: Duration = Duration::from_secs(1);

/// How often refused watches are tried again.
const WATCH_AGAIN: Duration = Duration::from_secs(60);

/// What to follow, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to follow.
    pub sources: Vec<Source>,
    /// Where to begin in files that are there when a source is first seen.
    pub start_at: StartAt,
    /// The directory of the state file; without it nothing is kept.
    pub state: Option<PathBuf>,
    /// How long a series that was born late is shown at 0 at most, unless it is scraped.
    pub announce: Duration,
    /// Distinct uncatalogued codes that get series of their own.
    pub uncatalogued: usize,
    /// How long reading may take after the request to stop.
    pub drain: Duration,
    /// Files that are held open at most; others are opened when they change.
    pub descriptors: usize,
}

impl Plan {
    /// A plan for these sources, everything else as a user expects it who said nothing.
    pub fn new(sources: Vec<Source>) -> Plan {
        Plan {
            sources,
            start_at: StartAt::default(),
            state: None,
            announce: Duration::from_secs(60),
            uncatalogued: 100,
            drain: Duration::from_secs(10),
            descriptors: 512,
        }
    }
}

/// One thing to follow, by the name that its counts bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The value of the `source` label.
    pub name: Arc<str>,
    /// What it reads.
    pub input: Input,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, once.
    Stdin,
    /// A path, a directory (its files) or a glob.
    Pattern(String),
}

/// Where reading begins in files that are there at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// Only what is written from now on.
    #[default]
    End,
    /// All of it.
    Beginning,
}

/// What wakes the owner.
enum Message {
    /// Something changed in a followed directory.
    Hint,
    /// The next bytes of standard input; empty at its end.
    Stdin(Vec<u8>),
    /// Someone wants to see the counts as they are now.
    Publish(tokio::sync::oneshot::Sender<Arc<Snapshot>>),
    /// Read what is there and end.
    Stop,
}

/// Talks to the owner.
#[derive(Clone, Debug)]
pub struct Handle {
    messages: SyncSender<Message>,
    latest: Arc<Mutex<Arc<Snapshot>>>,
    turns: Arc<AtomicU64>,
}

impl Handle {
    /// The counts after what the files hold now was read; the latest known ones where the owner is busy.
    pub async fn publish(&self) -> Arc<Snapshot> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        if self.messages.try_send(Message::Publish(reply)).is_ok()
            && let Ok(Ok(snapshot)) = tokio::time::timeout(SCRAPE, answer).await
        {
            return snapshot;
        }
        self.latest()
    }

    /// The counts as last published.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// How often the owner's loop has turned: it does at least every few seconds for as long as it lives.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Asks the owner to read what is there and end.
    pub fn stop(&self) {
        // An owner that is gone has stopped.
        if self.messages.send(Message::Stop).is_err() {
            tracing::debug!("the reader had ended");
        }
    }
}

/// What a sink makes of a sighting; an error ends the following.
pub type Sink = Box<dyn FnMut(&Sighting<'_>, &Zoned) -> io::Result<()> + Send>;

/// The time of the machine.
#[derive(Debug)]
struct Machine {
    start: Instant,
}

impl Clock for Machine {
    fn wall(&self) -> Zoned {
        Zoned::now()
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Starts following; the thread ends with standard input where that is the only source, or when it is stopped.
///
/// # Errors
/// Another process has the state directory.
pub fn start(
    mut plan: Plan,
    detector: &Detector,
    sink: Sink,
) -> Result<(Handle, std::thread::JoinHandle<io::Result<()>>), StateError> {
    plan.descriptors = descriptors().max(16);
    let boot = boot();
    let state = match &plan.state {
        Some(directory) => Some(Store::open(Box::new(Directory::open(directory)?), &boot)),
        None => None,
    };
    // Room for bursts of hints, which are all alike; a full queue holds standard input back.
    let (messages, inbox) = mpsc::sync_channel(8);
    if plan.sources.iter().any(|source| source.input == Input::Stdin) {
        let messages = messages.clone();
        std::thread::spawn(move || read_stdin(&messages));
    }
    let clock = Box::new(Machine { start: Instant::now() });
    let follower = Follower::new(plan.clone(), detector, clock, sink, state, boot);
    let latest = Arc::new(Mutex::new(Arc::clone(follower.published())));
    let turns = Arc::new(AtomicU64::new(0));
    let handle = Handle { messages: messages.clone(), latest: Arc::clone(&latest), turns: Arc::clone(&turns) };
    let owner = Owner {
        follower,
        latest,
        turns,
        watches: Watches { sources: plan.sources.clone(), messages, held: None, refused: false },
        plan,
    };
    let thread = std::thread::spawn(move || owner.run(&inbox));
    Ok((handle, thread))
}

/// Half of the descriptors that the process may have, once it has asked for all it may have.
fn descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit.current = limit.maximum;
        }
    }
    usize::try_from(limit.current.unwrap_or(1 << 20) / 2).unwrap_or(usize::MAX)
}

/// Hands standard input on, block by block, until it ends.
fn read_stdin(messages: &SyncSender<Message>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut block = vec![0; STDIN_READ];
        let read = match stdin.read(&mut block) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(%error, "standard input cannot be read");
                0
            }
        };
        block.truncate(read);
        if messages.send(Message::Stdin(block)).is_err() || read == 0 {
            return;
        }
    }
}

/// The thread that wakes the follower.
struct Owner {
    plan: Plan,
    follower: Follower,
    latest: Arc<Mutex<Arc<Snapshot>>>,
    turns: Arc<AtomicU64>,
    watches: Watches,
}

impl Owner {
    fn run(mut self, inbox: &mpsc::Receiver<Message>) -> io::Result<()> {
        let only_stdin = self.plan.sources.iter().all(|source| source.input == Input::Stdin);
        let mut watched = Instant::now();
        self.watches.renew();
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let idle = self.follower.wake()?;
            self.show();
            if watched.elapsed() >= if self.watches.refused { WATCH_AGAIN } else { Duration::from_secs(1) } {
                self.watches.renew();
                watched = Instant::now();
            }
            match inbox.recv_timeout(idle) {
                Ok(Message::Hint) => self.follower.hint(),
                Ok(Message::Stdin(bytes)) => {
                    let has_ended = bytes.is_empty();
                    self.follower.feed(&bytes, if has_ended { End::Input } else { End::More })?;
                    if has_ended && only_stdin {
                        return self.finish();
                    }
                }
                Ok(Message::Publish(reply)) => {
                    let snapshot = self.follower.publish()?;
                    self.show();
                    // One that no longer waits needs no answer.
                    if reply.send(snapshot).is_err() {
                        tracing::debug!("a scrape went away");
                    }
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.plan.drain;
        self.follower.finish(&mut || Instant::now() >= deadline)?;
        self.show();
        Ok(())
    }

    fn show(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *latest = Arc::clone(self.follower.published());
    }
}

/// The watches on directories, which only hint.
struct Watches {
    sources: Vec<Source>,
    messages: SyncSender<Message>,
    held: Option<(notify::RecommendedWatcher, BTreeSet<PathBuf>)>,
    refused: bool,
}

impl Watches {
    /// Watches the directories that are there now; without watches the passes alone find what changes.
    fn renew(&mut self) {
        let directories: BTreeSet<PathBuf> =
            self.sources.iter().flat_map(|source| discover::watched(&source.input)).collect();
        if self.held.as_ref().is_some_and(|(_, watched)| *watched == directories) || directories.is_empty() {
            return;
        }
        self.held = None;
        let messages = self.messages.clone();
        // Every change means the same: look. A full inbox holds a hint already.
        let hint = move |event: notify::Result<notify::Event>| {
            if is_change(&event) {
                drop(messages.try_send(Message::Hint));
            }
        };
        let watcher = notify::recommended_watcher(hint).and_then(|mut watcher| {
            directories.iter().try_for_each(|path| watcher.watch(path, RecursiveMode::NonRecursive)).map(|()| watcher)
        });
        match watcher {
            Ok(watcher) => {
                if std::mem::take(&mut self.refused) {
                    tracing::info!("events of the file system arrive again");
                }
                self.held = Some((watcher, directories));
            }
            Err(error) if !std::mem::replace(&mut self.refused, true) => {
                tracing::warn!(%error, "no events of the file system: files are looked at all the same, every second");
            }
            Err(error) => tracing::debug!(%error, "still no events of the file system"),
        }
    }
}

/// Whether an event may stand for a change; an overflow and an error may.
///
/// Our own look opens the directory: taking mere access for a change would make each look ask for the next.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().map_or(true, |event| event.need_rescan() || !event.kind.is_access())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_look_is_no_change() {
        use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, Flag};
        let event = |kind| Ok(notify::Event::new(kind));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!is_change(&event(opened)));
        assert!(is_change(&event(EventKind::Create(CreateKind::File))));
        assert!(is_change(&Ok(notify::Event::new(opened).set_flag(Flag::Rescan))), "an overflow");
        assert!(is_change(&Err(notify::Error::generic("x"))));
    }
}
