//! The thread that wakes the follower, and the threads that bring it streams.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Zoned;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::oneshot;

use super::bell::{Bell, Message, Wishes};
use super::counts::Sink;
use super::watches::Watches;
use super::{Clock, Follower, Input, Own, Plan, Snapshot};
use crate::detect::{Detector, End};
use crate::state::{Checkpoint, Directory, StateError, Store, boot};

/// How much of a stream is read at once, in bytes.
const STREAM_READ: usize = 256 << 10;

/// How long a scrape waits for a busy owner before it is shown what was published last.
const SCRAPE: Duration = Duration::from_secs(1);

/// How often the watches are compared with the directories that matter.
const WATCH: Duration = Duration::from_secs(1);

/// How often refused watches are tried again.
const WATCH_AGAIN: Duration = Duration::from_secs(60);

/// How long a FIFO that is gone is waited for before it is looked for again.
const FIFO_AGAIN: Duration = Duration::from_secs(1);

/// Descriptors that are used for files at least, however few the process may have.
const DESCRIPTORS: usize = 16;

/// Why following cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory is another's.
    #[error(transparent)]
    State(#[from] StateError),
    /// An output is an input as well.
    #[error("{} is written by this twdiag itself: send the output elsewhere, or leave the file out", .0.display())]
    OwnOutput(PathBuf),
}

/// Talks to the owner.
#[derive(Clone, Debug)]
pub struct Handle {
    bell: Bell,
    latest: Arc<Mutex<Arc<Snapshot>>>,
    turns: Arc<AtomicU64>,
}

impl Handle {
    /// The counts after what the files hold now was read; the latest known ones where the owner is busy.
    pub async fn publish(&self) -> Arc<Snapshot> {
        let (reply, answer) = oneshot::channel();
        self.bell.wish(|wishes| {
            wishes.scrapes.push(reply);
            true
        });
        match tokio::time::timeout(SCRAPE, answer).await {
            Ok(Ok(snapshot)) => snapshot,
            _ => self.latest(),
        }
    }

    /// The counts as last published.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files that are followed, rotated away or remembered, and how far each was judged; none where the owner is busy.
    pub async fn files(&self) -> Vec<Checkpoint> {
        let (reply, answer) = oneshot::channel();
        self.bell.wish(|wishes| {
            wishes.files.push(reply);
            true
        });
        tokio::time::timeout(SCRAPE, answer).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// How often the owner's loop has turned: it does at least every few seconds for as long as it lives.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Follows this plan from now on: counts and offsets are kept. The state directory stays what it was.
    pub fn follow(&self, plan: Plan, detector: Detector) {
        self.bell.wish(|wishes| {
            wishes.follow = Some(Box::new((plan, detector)));
            true
        });
    }

    /// Asks the owner to read what is there and end.
    pub fn stop(&self) {
        self.bell.wish(|wishes| {
            wishes.stop = true;
            true
        });
    }
}

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
/// Another process has the state directory, or an output is an input as well.
pub fn start(
    mut plan: Plan,
    detector: &Detector,
    sink: Box<dyn Sink>,
) -> Result<(Handle, std::thread::JoinHandle<io::Result<()>>), StartError> {
    if let Some(path) = Own::of(&plan).input_of(&plan) {
        return Err(StartError::OwnOutput(path));
    }
    plan.descriptors = descriptors().max(DESCRIPTORS);
    let boot = boot();
    let state = match &plan.state {
        Some(directory) => Some(Store::open(Box::new(Directory::open(directory)?), &boot)),
        None => None,
    };
    // A full queue holds streams back.
    let (messages, inbox) = mpsc::sync_channel(8);
    let clock = Box::new(Machine { start: Instant::now() });
    let follower = Follower::new(plan.clone(), detector, clock, sink, state, boot);
    let latest = Arc::new(Mutex::new(Arc::clone(follower.published())));
    let turns = Arc::new(AtomicU64::new(0));
    let bell = Bell::new(messages.clone());
    let handle = Handle { bell: bell.clone(), latest: Arc::clone(&latest), turns: Arc::clone(&turns) };
    if let Some(stdin) = follower.stdin() {
        let messages = messages.clone();
        std::thread::spawn(move || {
            let ended = pass_on(io::stdin().lock(), stdin, &messages);
            if let Err(error) = &ended {
                tracing::error!(%error, "standard input cannot be read");
            }
            // An owner that is gone needs no end.
            drop(messages.send(Message::Stream(stdin, Vec::new(), End::Input)));
        });
    }
    let watches = Watches::new(bell.clone());
    let owner = Owner { follower, latest, turns, watches, bell, messages, fifos: BTreeSet::new(), plan };
    let thread = std::thread::spawn(move || owner.run(&inbox));
    Ok((handle, thread))
}

/// Half of the descriptors that the process may have, once it has asked for all it may have.
fn descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit.current = limit.maximum;
        }
    }
    usize::try_from(limit.current.unwrap_or(1 << 20) / 2).unwrap_or(usize::MAX)
}

/// Hands a stream on, block by block, until it ends or the owner does.
fn pass_on(mut stream: impl Read, number: usize, messages: &SyncSender<Message>) -> io::Result<()> {
    loop {
        let mut block = vec![0; STREAM_READ];
        match stream.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => block.truncate(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if messages.send(Message::Stream(number, block, End::More)).is_err() {
            return Ok(());
        }
    }
}

/// Reads a FIFO for as long as it is one: when its last writer leaves, until the next one comes.
fn read_fifo(path: &Path, number: usize, messages: &SyncSender<Message>) {
    let is_fifo = |file: &File| file.metadata().is_ok_and(|status| status.file_type().is_fifo());
    let mut failing = false;
    loop {
        // Waits for a writer.
        let read = match std::fs::metadata(path) {
            Ok(status) if !status.file_type().is_fifo() => return,
            _ => File::open(path),
        };
        let read = match read {
            Ok(fifo) if is_fifo(&fifo) => pass_on(fifo, number, messages),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match read {
            Ok(()) => {
                if messages.send(Message::Stream(number, Vec::new(), End::Input)).is_err() {
                    return;
                }
                failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(path = %path.display(), %error, "cannot be read: waiting for it");
                }
                std::thread::sleep(FIFO_AGAIN);
            }
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
    bell: Bell,
    messages: SyncSender<Message>,
    /// The FIFOs that are read.
    fifos: BTreeSet<PathBuf>,
}

impl Owner {
    fn run(mut self, inbox: &Receiver<Message>) -> io::Result<()> {
        let mut watched = Instant::now();
        self.watches.renew(self.follower.directories());
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let idle = self.follower.wake()?;
            self.show();
            if watched.elapsed() >= if self.watches.refused { WATCH_AGAIN } else { WATCH } {
                self.watches.renew(self.follower.directories());
                watched = Instant::now();
            }
            self.read_fifos();
            let mut next = match inbox.recv_timeout(idle) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            };
            while let Some(message) = next {
                if let Message::Stream(number, bytes, end) = message {
                    self.follower.feed(number, &bytes, end)?;
                    if end == End::Input && self.follower.stdin() == Some(number) && self.is_only_stdin() {
                        return self.finish();
                    }
                }
                next = inbox.try_recv().ok();
            }
            if self.bell.is_stopping() {
                return self.stop();
            }
            self.grant()?;
        }
    }

    /// Does what was asked for meanwhile; scrapes that arrived together share one commit.
    fn grant(&mut self) -> io::Result<()> {
        let Wishes { hints, files, scrapes, follow, .. } = self.bell.taken();
        self.follower.hint(&hints);
        if let Some(new) = follow {
            let (plan, detector) = *new;
            self.plan = Plan { descriptors: self.plan.descriptors, state: self.plan.state.clone(), ..plan };
            self.follower.follow(self.plan.clone(), &detector);
        }
        for asked in files {
            if asked.send(self.follower.checkpoints()).is_err() {
                tracing::debug!("nobody waits for the files any more");
            }
        }
        if scrapes.is_empty() {
            return Ok(());
        }
        let snapshot = self.follower.publish()?;
        self.show();
        for scrape in scrapes {
            // One that no longer waits needs no answer.
            if scrape.send(Arc::clone(&snapshot)).is_err() {
                tracing::debug!("a scrape went away");
            }
        }
        Ok(())
    }

    fn is_only_stdin(&self) -> bool {
        self.plan.sources.iter().all(|source| source.input == Input::Stdin)
    }

    /// Reads FIFOs that were found since.
    fn read_fifos(&mut self) {
        for (source, path) in self.follower.fifos() {
            if self.fifos.insert(path.clone()) {
                let number = self.follower.begin_stream(&source, &path);
                let messages = self.messages.clone();
                std::thread::spawn(move || read_fifo(&path, number, &messages));
            }
        }
    }

    fn stop(mut self) -> io::Result<()> {
        let (start, deadline) = (Instant::now(), self.plan.drain);
        let is_drained = self.follower.finish(&mut || start.elapsed() >= deadline)?;
        self.show();
        let took = start.elapsed();
        if is_drained {
            tracing::info!(?took, "stopping: all files were read to their ends");
        } else {
            tracing::warn!(?took, "stopping: the time to drain was over, and the rest is read at the next start");
        }
        Ok(())
    }

    /// The end of standard input.
    fn finish(mut self) -> io::Result<()> {
        self.follower.finish(&mut || false)?;
        self.show();
        Ok(())
    }

    fn show(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Arc::clone(self.follower.published());
    }
}
