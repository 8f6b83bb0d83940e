//! Follows files and streams: one thread owns files, offsets and counts.
//!
//! Events of the file system are a hint that ends the owner's wait; what it then believes is what `stat` says.
//! The owner publishes immutable snapshots; nobody else sees a count change.

mod file;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};
use notify::{RecursiveMode, Watcher};

use crate::catalog::Catalog;
use crate::detect::{Assume, Cursor, Decision, Detector, End, Scanner};
use crate::record::Sighting;
use crate::tally::{Rotation, Tally};

use file::{Changes, Followed, Identity};
pub use snapshot::{Snapshot, SourceGauges};

/// How often the files are looked at without a hint.
const PASS: Duration = Duration::from_millis(250);

/// How long an open record waits for its next line.
const SILENCE: Duration = Duration::from_millis(500);

/// How much of standard input is read at once, in bytes.
const STDIN_READ: usize = 256 << 10;

/// Rotated files that are remembered.
const LEFT: usize = 1000;

/// Distinct uncatalogued codes that get series of their own.
const UNCATALOGUED: usize = 100;

/// What to follow.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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
}

impl Handle {
    /// The counts after what the files hold now was read; the latest known ones where the owner is busy.
    pub async fn publish(&self) -> Arc<Snapshot> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        if self.messages.try_send(Message::Publish(reply)).is_ok()
            && let Ok(Ok(snapshot)) = tokio::time::timeout(Duration::from_secs(1), answer).await
        {
            return snapshot;
        }
        self.latest()
    }

    /// The counts as last published.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
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

/// Starts following; the thread ends with standard input where that is the only source, or when it is stopped.
pub fn start(
    sources: Vec<Source>,
    start_at: StartAt,
    detector: &Detector,
    sink: Sink,
) -> (Handle, std::thread::JoinHandle<io::Result<()>>) {
    // Room for bursts of hints, which are all alike; a full queue holds standard input back.
    let (messages, inbox) = mpsc::sync_channel(8);
    let mut owner = Owner {
        scanner: detector.scanner(Assume::Nothing),
        detector: detector.clone(),
        tally: Tally::default(),
        files: BTreeMap::new(),
        left: Vec::new(),
        waiting: BTreeSet::new(),
        stdin: None,
        sink,
        block: Vec::new(),
        caught_up: false,
        sources,
    };
    for source in &owner.sources {
        owner.tally.source(&source.name);
        if source.input == Input::Stdin {
            owner.stdin = Some(Stdin { name: Arc::clone(&source.name), held: Vec::new(), cursor: Cursor::default() });
            let messages = messages.clone();
            std::thread::spawn(move || read_stdin(&messages));
        }
    }
    let latest = Arc::new(Mutex::new(owner.snapshot()));
    let handle = Handle { messages: messages.clone(), latest: Arc::clone(&latest) };
    let thread = std::thread::spawn(move || {
        let _watcher = owner.watch(messages);
        owner.discover(start_at);
        owner.run(&inbox, &latest)
    });
    (handle, thread)
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

/// What was read of standard input and may still matter.
struct Stdin {
    name: Arc<str>,
    held: Vec<u8>,
    cursor: Cursor,
}

/// The one that counts.
struct Owner {
    scanner: Scanner,
    detector: Detector,
    tally: Tally,
    sources: Vec<Source>,
    /// By the path as it was named or found.
    files: BTreeMap<PathBuf, Followed>,
    /// Files that were rotated away from a followed path, the latest last: under another name that a pattern
    /// matches they are read on, never again from their beginning.
    left: Vec<(Identity, Cursor)>,
    /// Patterns that match nothing yet; each was said once.
    waiting: BTreeSet<String>,
    stdin: Option<Stdin>,
    sink: Sink,
    block: Vec<u8>,
    caught_up: bool,
}

impl Owner {
    fn run(&mut self, inbox: &mpsc::Receiver<Message>, latest: &Mutex<Arc<Snapshot>>) -> io::Result<()> {
        let only_stdin = self.sources.iter().all(|source| source.input == Input::Stdin);
        let mut deadline = Instant::now();
        let mut quiet_since = Instant::now();
        let mut settled = true;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(wait) {
                Ok(Message::Hint) => {}
                Ok(Message::Stdin(bytes)) => {
                    let ended = bytes.is_empty();
                    self.scan_stdin(&bytes, if ended { End::Input } else { End::More })?;
                    quiet_since = Instant::now();
                    settled = ended;
                    if ended && only_stdin {
                        self.publish(latest);
                        return Ok(());
                    }
                    continue;
                }
                Ok(Message::Publish(reply)) => {
                    self.read_files(End::More)?;
                    // One that no longer waits needs no answer.
                    if reply.send(self.publish(latest)).is_err() {
                        tracing::debug!("a scrape went away");
                    }
                    continue;
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.read_files(End::More)?;
                    self.publish(latest);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Hints may come without end: the pass has its time among them.
            if Instant::now() >= deadline {
                deadline = Instant::now() + PASS;
                self.discover(StartAt::Beginning);
            }
            if self.read_files(End::More)? {
                quiet_since = Instant::now();
                settled = false;
            } else if !settled && quiet_since.elapsed() >= SILENCE {
                self.read_files(End::Pause)?;
                self.scan_stdin(&[], End::Pause)?;
                settled = true;
            }
            self.caught_up = true;
            self.publish(latest);
        }
    }

    fn publish(&mut self, latest: &Mutex<Arc<Snapshot>>) -> Arc<Snapshot> {
        let snapshot = self.snapshot();
        *latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&snapshot);
        snapshot
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let mut gauges: BTreeMap<Arc<str>, SourceGauges> = BTreeMap::new();
        for source in &self.sources {
            gauges.entry(Arc::clone(&source.name)).or_default();
        }
        for file in self.files.values() {
            let gauge = gauges.entry(Arc::clone(&file.source)).or_default();
            gauge.files += 1;
            gauge.lag_bytes += file.lag();
        }
        let caught_up = self.caught_up || self.stdin.is_some();
        Arc::new(Snapshot {
            tally: self.tally.clone(),
            gauges,
            caught_up,
            catalog: Arc::clone(self.detector.catalog()),
        })
    }

    /// Watches the directories of all patterns; without it the passes alone find what changes.
    fn watch(&self, messages: SyncSender<Message>) -> Option<notify::RecommendedWatcher> {
        let directories: BTreeSet<PathBuf> = self.sources.iter().filter_map(|source| watched(&source.input)).collect();
        if directories.is_empty() {
            return None;
        }
        // A full inbox holds a hint already.
        let hint = move |_| drop(messages.try_send(Message::Hint));
        let watcher = notify::recommended_watcher(hint).and_then(|mut watcher| {
            directories.iter().try_for_each(|path| watcher.watch(path, RecursiveMode::NonRecursive)).map(|()| watcher)
        });
        watcher
            .map_err(|error| tracing::warn!(%error, "no events of the file system: files are looked at every 250 ms"))
            .ok()
    }

    /// Finds files that are not followed yet.
    fn discover(&mut self, start_at: StartAt) {
        for source in &self.sources {
            let Input::Pattern(pattern) = &source.input else { continue };
            let paths = matching(pattern);
            if paths.is_empty() {
                if self.waiting.insert(pattern.clone()) {
                    tracing::warn!(path = pattern, "nothing there yet: waiting for it");
                }
            } else {
                self.waiting.remove(pattern);
            }
            for path in paths {
                if self.files.contains_key(&path) {
                    continue;
                }
                let identity = std::fs::metadata(&path).ok().map(|status| (status.dev(), status.ino()));
                // The same file under a second name is followed under the first.
                if self.files.values().any(|file| Some(file.identity) == identity) {
                    continue;
                }
                let name = Arc::clone(&source.name);
                let left = self.left.iter().position(|(left, _)| Some(*left) == identity);
                let file = match left.map(|position| self.left.remove(position)) {
                    Some((_, cursor)) => Followed::resumed(&path, name, cursor),
                    None => Followed::new(&path, name, start_at),
                };
                self.files.insert(path, file);
            }
        }
    }

    /// Reads what the files hold beyond what was read; whether there was anything.
    fn read_files(&mut self, end: End) -> io::Result<bool> {
        let mut any = false;
        for (path, file) in &mut self.files {
            let name = Arc::clone(&file.source);
            let mut on = Recorder {
                tally: &mut self.tally,
                detector: &self.detector,
                sink: &mut self.sink,
                source: &name,
                path: &path.display().to_string(),
                now: Zoned::now(),
                result: Ok(()),
            };
            let mut changes = Changes::default();
            let scanned = file.read(path, end, &mut self.scanner, &mut self.block, &mut changes, &mut |d| on.decide(d));
            let result = on.result;
            let source = self.tally.source(&name);
            for rotation in changes.rotations {
                let kind = Rotation::ALL.iter().position(|kind| *kind == rotation);
                source.rotations[kind.unwrap_or_default()] += 1;
            }
            self.left.append(&mut changes.left);
            self.left.drain(..self.left.len().saturating_sub(LEFT));
            match scanned {
                Ok((bytes, scanned)) => {
                    any |= bytes > 0;
                    source.read_bytes += bytes;
                    source.read_lines += scanned.lines;
                    source.truncated_lines += scanned.truncated_lines;
                    file.failing = false;
                }
                Err(error) if !file.failing => {
                    file.failing = true;
                    source.read_errors += 1;
                    tracing::warn!(path = %path.display(), %error, "cannot be read: waiting for it");
                }
                Err(_) => {}
            }
            result?;
        }
        Ok(any)
    }

    fn scan_stdin(&mut self, bytes: &[u8], end: End) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        stdin.held.extend_from_slice(bytes);
        let before = stdin.cursor.clone();
        let mut on = Recorder {
            tally: &mut self.tally,
            detector: &self.detector,
            sink: &mut self.sink,
            source: &stdin.name,
            path: "-",
            now: Zoned::now(),
            result: Ok(()),
        };
        let scanned = self.scanner.scan(&stdin.held, &mut stdin.cursor, end, &mut |decision| on.decide(decision));
        on.result?;
        stdin.held.drain(..(stdin.cursor.head - before.head) as usize);
        let source = self.tally.source(&stdin.name);
        source.read_bytes += stdin.cursor.offset - before.offset;
        source.read_lines += scanned.lines;
        source.truncated_lines += scanned.truncated_lines;
        Ok(())
    }
}

/// Counts the decisions about one input, and passes matches on.
struct Recorder<'a> {
    tally: &'a mut Tally,
    detector: &'a Detector,
    sink: &'a mut Sink,
    source: &'a Arc<str>,
    path: &'a str,
    now: Zoned,
    result: io::Result<()>,
}

impl Recorder<'_> {
    fn decide(&mut self, decision: Decision<'_>) {
        let catalog: &Catalog = self.detector.catalog();
        match decision {
            Decision::Rejected(rule) => {
                self.tally.reject(rule.map_or("none", |rule| &self.detector.rules().all()[rule].id));
            }
            Decision::Accepted(matched) => {
                let seen: Timestamp = self.now.timestamp();
                let time = matched.time(&self.now).map_or(seen, |time| time.at.min(seen));
                self.tally.count(self.source, catalog.category(matched.code), matched.code, time, UNCATALOGUED);
                let sighting = Sighting { source: self.source, path: self.path, line: None, seen, matched: &matched };
                if self.result.is_ok() {
                    self.result = (self.sink)(&sighting, &self.now);
                }
            }
        }
    }
}

/// The directory whose events hint at changes of an input.
fn watched(input: &Input) -> Option<PathBuf> {
    let Input::Pattern(pattern) = input else { return None };
    let path = Path::new(pattern);
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.is_dir().then(|| parent.to_owned())
}

/// The files that a pattern stands for now, by path.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let visible = |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(visible).filter(|path| path.is_file()).collect()
    } else if path.exists() {
        vec![path.to_owned()]
    } else {
        glob::glob(pattern).into_iter().flatten().flatten().filter(|path| path.is_file()).collect()
    };
    paths.sort();
    paths
}
