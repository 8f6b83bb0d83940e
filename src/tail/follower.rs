//! The owner of files, offsets and counts, without a thread: told when to wake, it does what is due.
//!
//! Files are known by what they are. A look compares what stands at the followed paths and beside them with the
//! files that are known; a rotated file is read to its end through its descriptor, or else searched for. Whatever
//! is found is said at most once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

use super::file::{Followed, Turn};
use super::snapshot::{Snapshot, SourceGauges, StateHealth, WRITE_BUCKETS};
use super::{Input, Plan, Sink, StartAt, discover, file, rotated};
use crate::detect::{Assume, Cursor, Decision, Detector, End, Scanner};
use crate::mounts::Mounts;
use crate::record::Sighting;
use crate::state::{Identity, Loaded, Place, State, Store};
use crate::tally::{Label, Rotation, Series, Tally};

/// How often everything is looked at without a hint, up to [`MANY`] files.
const LOOK: Duration = Duration::from_secs(1);

/// The same beyond.
const LOOK_AT_MANY: Duration = Duration::from_secs(5);

/// Files that are looked at every second.
const MANY: usize = 1000;

/// How often files that are written to are looked at without a hint.
const HOT_LOOK: Duration = Duration::from_millis(250);

/// How long a file counts as written to.
const HOT: Duration = Duration::from_secs(60);

/// How soon after a look a hint leads to the next: a busy writer hints without end.
const HINTED: Duration = Duration::from_millis(20);

/// How long counts may differ from the state file.
const COMMIT: Duration = Duration::from_millis(100);

/// How long the state file may differ from the disk.
const SYNC: Duration = Duration::from_secs(5);

/// How long nothing is written to a rotated file until it is left, and how long a missing one is searched for.
const QUIET: Duration = Duration::from_secs(10);

/// How long a rotated file is kept open, or a broken archive tried again, at most.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long an unknown file beside a followed one must be unchanged to be what it will be.
const SETTLED: Duration = Duration::from_secs(2);

/// How long a finished file without a name is remembered.
const MEMORY: Duration = Duration::from_secs(3600);

/// Finished files that are remembered.
const REMEMBERED: usize = 1000;

/// Where time comes from.
pub trait Clock: Send {
    /// What the clock on the wall says.
    fn wall(&self) -> Zoned;

    /// The time since any fixed instant; never goes back.
    fn uptime(&self) -> Duration;
}

/// A file that is not where it was, not read to its end.
#[derive(Debug)]
struct Wanted {
    file: Followed,
    since: Duration,
    /// What to count where the first search fails.
    kind: Option<Rotation>,
    /// What was looked into in vain: identity, size and time of change.
    examined: BTreeSet<(Identity, u64, i64, i64)>,
    /// Whether an archive beside it was not whole.
    broken: bool,
}

/// An unknown file beside a followed one.
#[derive(Debug)]
struct Stranger {
    since: Duration,
    changed: Duration,
    status: (u64, i64, i64),
    /// Whether what is in it was found not to matter yet, as of its status.
    examined: bool,
}

/// A file beside a followed one, named as a rotation would.
#[derive(Debug)]
struct Sibling {
    path: PathBuf,
    /// The path that it was rotated away from.
    base: PathBuf,
    identity: Identity,
    status: (u64, i64, i64),
    /// Whether a pattern finds it by itself.
    is_matched: bool,
    /// Whether a link passed over it.
    is_between: bool,
}

/// Follows files and counts; see the module.
pub struct Follower {
    plan: Plan,
    detector: Detector,
    scanner: Scanner,
    clock: Box<dyn Clock>,
    sink: Sink,
    store: Option<Store>,
    boot: String,
    tally: Tally,
    seen: BTreeSet<Arc<str>>,
    unannounced: BTreeMap<(Arc<str>, Series), Timestamp>,
    files: Vec<Followed>,
    wanted: Vec<Wanted>,
    strangers: BTreeMap<(Arc<str>, Identity), Stranger>,
    /// When a file was last rotated out of a directory.
    rotations: BTreeMap<(Arc<str>, PathBuf), Duration>,
    /// The links that were swapped lately: the old target, the new, and when.
    swapped: Vec<(PathBuf, PathBuf, Duration)>,
    waiting: BTreeSet<String>,
    failing: BTreeSet<(Arc<str>, PathBuf)>,
    stdin: Option<Stdin>,
    block: Vec<u8>,
    health: StateHealth,
    next_look: Duration,
    next_read: Duration,
    last_look: Duration,
    dirty_since: Option<Duration>,
    /// What only memory has counted can no longer be read again.
    urgent: bool,
    unsynced: bool,
    synced: Duration,
    /// Another look is needed before this wake ends.
    again: bool,
    caught_up: bool,
    published: Arc<Snapshot>,
    published_at: Duration,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("files", &self.files).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// What was read of standard input and may still matter.
struct Stdin {
    name: Arc<str>,
    held: Vec<u8>,
    cursor: Cursor,
    fed: Duration,
    paused: bool,
}

impl Follower {
    /// Goes on from a state, or begins without one.
    pub fn new(
        plan: Plan,
        detector: &Detector,
        clock: Box<dyn Clock>,
        sink: Sink,
        state: Option<(Store, Loaded)>,
        boot: String,
    ) -> Follower {
        let now = clock.uptime();
        let (store, loaded) = state.map_or((None, Loaded::default()), |(store, loaded)| (Some(store), loaded));
        let mut health = StateHealth::default();
        if let Some(reset) = loaded.reset {
            tracing::warn!("{reset}: reading goes on from the offsets of an older state, and all counts begin at zero");
            health.resets += 1;
        }
        let State { mut tally, sources: seen, unannounced, files: known, .. } = loaded.state;
        let mut stdin = None;
        for source in &plan.sources {
            tally.source(&source.name);
            if source.input == Input::Stdin {
                let name = Arc::clone(&source.name);
                stdin = Some(Stdin { name, held: Vec::new(), cursor: Cursor::default(), fed: now, paused: true });
            }
        }
        let (mut files, mut wanted) = (Vec::new(), Vec::new());
        for known in known {
            let is_rotated = known.place == Place::Rotated;
            let file = Followed::restored(known, now);
            if is_rotated {
                wanted.push(Wanted { file, since: now, kind: None, examined: BTreeSet::new(), broken: false });
            } else {
                files.push(file);
            }
        }
        let published = Arc::new(Snapshot {
            tally: tally.clone(),
            gauges: BTreeMap::new(),
            state: health.clone(),
            caught_up: false,
            catalog: Arc::clone(detector.catalog()),
        });
        let mut follower = Follower {
            scanner: detector.scanner(Assume::Nothing),
            detector: detector.clone(),
            clock,
            sink,
            store,
            boot,
            tally,
            seen,
            unannounced,
            files,
            wanted,
            strangers: BTreeMap::new(),
            rotations: BTreeMap::new(),
            swapped: Vec::new(),
            waiting: BTreeSet::new(),
            failing: BTreeSet::new(),
            stdin,
            block: Vec::new(),
            health,
            next_look: now,
            next_read: now,
            last_look: now,
            dirty_since: Some(now),
            urgent: true,
            unsynced: true,
            synced: now,
            again: false,
            caught_up: false,
            published,
            published_at: now,
            plan,
        };
        // From here on the state's author may die: nobody may take an earlier generation for the last one.
        follower.commit(now);
        follower.sync(now);
        follower
    }

    /// Brings the next look forward, because something may have changed.
    pub fn hint(&mut self) {
        let soon = self.last_look + HINTED;
        self.next_look = self.next_look.min(soon);
    }

    /// Does what is due, and says how long from now nothing will be.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn wake(&mut self) -> io::Result<Duration> {
        let now = self.clock.uptime();
        let is_look = now >= self.next_look;
        self.advance(now, is_look)?;
        self.pause_stdin(now)?;
        if self.urgent || self.dirty_since.is_some_and(|since| now >= since + COMMIT) {
            self.commit(now);
        }
        if self.unsynced && now >= self.synced + SYNC {
            self.sync(now);
        }
        let mut next = self.next_look.min(self.next_read);
        if let Some(since) = self.dirty_since {
            // A commit that failed is tried again with the next look, not at once.
            next = next.min((since + COMMIT).max(now + COMMIT / 2));
        }
        if self.stdin.as_ref().is_some_and(|stdin| !stdin.paused) {
            next = next.min(now + HOT_LOOK);
        }
        Ok(next.saturating_sub(now))
    }

    /// Reads what the files hold, commits, and gives the counts as committed.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn publish(&mut self) -> io::Result<Arc<Snapshot>> {
        let now = self.clock.uptime();
        if now < self.published_at + Duration::from_millis(1) && now > self.published_at {
            return Ok(Arc::clone(&self.published));
        }
        self.advance(now, self.files.len() <= MANY)?;
        self.commit(now);
        self.published_at = now;
        let shown = Arc::clone(&self.published);
        // Now that they were seen at 0, the next scrape sees their counts.
        if !self.unannounced.is_empty() {
            self.unannounced.clear();
            self.soil(now);
        }
        Ok(shown)
    }

    /// Reads what the files hold until nothing is left or `enough` says so, then saves the state for good.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(&mut self, enough: &mut dyn FnMut() -> bool) -> io::Result<Arc<Snapshot>> {
        let now = self.clock.uptime();
        self.advance(now, true)?;
        while self.files.iter().any(|file| file.behind) && !enough() {
            self.advance(now, false)?;
        }
        match self.files.iter().filter(|file| file.behind).count() {
            0 => tracing::debug!("all files were read to their ends"),
            left => tracing::warn!(files = left, "the time to drain was over: the rest is read at the next start"),
        }
        self.commit_state(now, true);
        self.sync(now);
        self.unannounced.clear();
        self.published = self.snapshot();
        Ok(Arc::clone(&self.published))
    }

    /// The counts as last committed.
    pub fn published(&self) -> &Arc<Snapshot> {
        &self.published
    }

    /// Judges the next bytes of standard input.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn feed(&mut self, bytes: &[u8], end: End) -> io::Result<()> {
        let now = self.clock.uptime();
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        stdin.held.extend_from_slice(bytes);
        stdin.paused = end != End::More;
        if !bytes.is_empty() {
            stdin.fed = now;
        }
        let before = (stdin.cursor.head, stdin.cursor.offset);
        let name = Arc::clone(&stdin.name);
        let mut on = Recorder {
            tally: &mut self.tally,
            detector: &self.detector,
            unannounced: &mut self.unannounced,
            sink: &mut self.sink,
            bound: self.plan.uncatalogued,
            source: &name,
            path: "-",
            now: self.clock.wall(),
            result: Ok(()),
        };
        let scanned = self.scanner.scan(&stdin.held, &mut stdin.cursor, end, &mut |decision| on.decide(decision));
        on.result?;
        stdin.held.drain(..(stdin.cursor.head - before.0) as usize);
        let judged = stdin.cursor.offset - before.1;
        let source = self.tally.source(&name);
        source.read_bytes += judged;
        source.read_lines += scanned.lines;
        source.truncated_lines += scanned.truncated_lines;
        self.soil(now);
        Ok(())
    }

    fn pause_stdin(&mut self, now: Duration) -> io::Result<()> {
        if self.stdin.as_ref().is_some_and(|stdin| !stdin.paused && now >= stdin.fed + 2 * HOT_LOOK) {
            self.feed(b"", End::Pause)?;
        }
        Ok(())
    }

    /// Looks and reads until rotations lead to nothing new.
    fn advance(&mut self, now: Duration, is_look: bool) -> io::Result<()> {
        self.again = false;
        if is_look {
            self.look(now)?;
        }
        self.read(now, is_look)?;
        // What was emptied or moved away may stand elsewhere by now: a few times, because writers go on.
        for _ in 0..4 {
            if !std::mem::take(&mut self.again) {
                break;
            }
            self.look(now)?;
            self.read(now, true)?;
        }
        if is_look {
            self.retire(now);
        }
        self.expire(now);
        let is_behind = self.files.iter().any(|file| file.behind);
        self.caught_up |= !is_behind && !self.seen.is_empty();
        let is_hot = self.files.iter().any(|file| file.file.is_some() && now < file.grown + HOT);
        self.next_read = match (is_behind, is_hot) {
            (true, _) => now,
            (false, true) => now + HOT_LOOK,
            (false, false) => self.next_look,
        };
        Ok(())
    }

    /// Notes that the state file differs from now on.
    fn soil(&mut self, now: Duration) {
        self.dirty_since.get_or_insert(now);
    }

    /// Compares what stands at the followed paths and beside them with what is known.
    fn look(&mut self, now: Duration) -> io::Result<()> {
        self.last_look = now;
        self.next_look = now + if self.files.len() > MANY { LOOK_AT_MANY } else { LOOK };
        let mut names: BTreeMap<Arc<str>, bool> = BTreeMap::new();
        let mut matched: BTreeSet<(Arc<str>, PathBuf)> = BTreeSet::new();
        for source in self.plan.sources.clone() {
            let Input::Pattern(pattern) = &source.input else { continue };
            let is_first = !self.seen.contains(&source.name);
            names.insert(Arc::clone(&source.name), is_first);
            let paths = discover::matching(pattern);
            if !paths.is_empty() {
                self.waiting.remove(pattern);
            } else if self.waiting.insert(pattern.clone()) {
                tracing::warn!(path = pattern, "nothing there yet: waiting for it");
            }
            for path in paths {
                self.visit(&source.name, &path, is_first, now);
                matched.insert((Arc::clone(&source.name), path));
            }
        }
        let is_gone = |file: &Followed| {
            file.known.place == Place::Followed
                && names.contains_key(&file.known.source)
                && !matched.contains(&(Arc::clone(&file.known.source), file.known.path.clone()))
        };
        let gone: Vec<(Arc<str>, PathBuf)> = self
            .files
            .iter()
            .filter(|file| is_gone(file))
            .map(|file| (Arc::clone(&file.known.source), file.known.path.clone()))
            .collect();
        for (source, path) in gone {
            self.visit(&source, &path, false, now);
        }
        for (name, is_first) in names {
            self.look_beside(&name, is_first, &matched, now)?;
            if self.seen.insert(name) {
                // What is there from the start must not be taken for new after a crash.
                self.urgent = true;
                self.soil(now);
            }
        }
        self.swapped.retain(|(_, _, at)| now < *at + QUIET);
        Ok(())
    }

    /// Compares what stands at a path with what was there.
    fn visit(&mut self, source: &Arc<str>, path: &Path, is_first: bool, now: Duration) {
        let here = self.files.iter().position(|file| {
            file.known.place == Place::Followed && file.known.source == *source && file.known.path == path
        });
        let result = match std::fs::metadata(path) {
            Ok(status) if status.is_file() => match here {
                Some(here) if self.files[here].known.identity == Identity::of(&status) => {
                    self.files[here].listed = now;
                    self.reopen(here, path, &status, now)
                }
                here => {
                    if let Some(here) = here {
                        self.rotate_away(here, now);
                    }
                    self.meet(source, path, &status, is_first, now)
                }
            },
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(here) = here {
                    self.rotate_away(here, now);
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        let key = (Arc::clone(source), path.to_owned());
        match result {
            Ok(()) => {
                if self.failing.remove(&key) {
                    tracing::info!(path = %path.display(), "can be read again");
                }
            }
            Err(error) => {
                if self.failing.insert(key) {
                    self.tally.source(source).read_errors += 1;
                    self.soil(now);
                    tracing::warn!(path = %path.display(), %error, "cannot be read: waiting for it");
                }
            }
        }
    }

    /// Opens a known file at its path where it is not open, and checks that it is what it was.
    fn reopen(&mut self, here: usize, path: &Path, status: &std::fs::Metadata, now: Duration) -> io::Result<()> {
        if self.files[here].file.is_some() || !self.files[here].is_changed(status) {
            return Ok(());
        }
        let opened = file::open(path)?;
        if self.files[here].matches(&opened)? {
            return self.files[here].attach(opened);
        }
        self.emptied(here, true, now);
        self.files[here].attach(opened)
    }

    /// Begins with a file that stands at a path where it did not stand before.
    fn meet(
        &mut self,
        source: &Arc<str>,
        path: &Path,
        status: &std::fs::Metadata,
        is_first: bool,
        now: Duration,
    ) -> io::Result<()> {
        let identity = Identity::of(status);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if rotated::is_packed_form(name) {
            return Ok(());
        }
        let same = |file: &Followed| file.known.source == *source && file.known.identity == identity;
        if let Some(known) = self.files.iter().position(same) {
            let there = std::fs::metadata(&self.files[known].known.path).map(|status| Identity::of(&status));
            if self.files[known].known.place == Place::Followed && there.ok() == Some(identity) {
                // The same file under a second name is followed under the first.
                return Ok(());
            }
            let opened = file::open(path)?;
            if self.files[known].matches(&opened)? {
                let file = &mut self.files[known];
                (file.known.path, file.known.place) = (path.to_owned(), Place::Followed);
                file.known.resolved = std::fs::canonicalize(path)?;
                if file.file.is_none() {
                    file.attach(opened)?;
                }
                self.soil(now);
                return Ok(());
            }
            // The inode serves another file now. What was read of the old one may stand elsewhere yet.
            self.files[known].known.identity = Identity::default();
            if self.files[known].known.place != Place::Finished {
                let old = self.files.remove(known);
                self.want(old, Some(Rotation::DeleteUnread), now);
            }
        }
        if self.wanted.iter().any(|wanted| same(&wanted.file)) {
            let opened = file::open(path)?;
            if let Some(found) = self.wanted.iter().position(|wanted| same(&wanted.file))
                && self.wanted[found].file.matches(&opened)?
            {
                let mut wanted = self.wanted.remove(found);
                wanted.file.attach(opened)?;
                (wanted.file.known.path, wanted.file.known.place) = (path.to_owned(), Place::Followed);
                if wanted.kind.is_some() {
                    self.count_rotation(source, Rotation::Rename, now);
                }
                self.files.push(wanted.file);
                return Ok(());
            }
        }
        let is_beside = |file: &Followed| {
            let base = file.known.path.file_name().and_then(|base| base.to_str()).unwrap_or_default();
            file.known.source == *source
                && file.known.place != Place::Finished
                && file.known.path.parent() == path.parent()
                && rotated::is_rotated_form(base, name)
        };
        if !is_first && (self.files.iter().any(is_beside) || self.wanted.iter().any(|wanted| is_beside(&wanted.file))) {
            // It may be a copy of what was counted: judged with the others beside the file.
            return Ok(());
        }
        let offset = if is_first && self.plan.start_at == StartAt::End { status.len() } else { 0 };
        self.files.push(Followed::begin(path, source, file::open(path)?, offset, now)?);
        if let Ok(absolute) = std::path::absolute(path)
            && Mounts::of_this_process().is_point(&absolute)
        {
            tracing::warn!(path = %path.display(), "is a mount of a single file, which shows the same file for ever: mount its directory instead, or rotations go unseen");
        }
        self.soil(now);
        Ok(())
    }

    /// A file no longer stands at its path.
    fn rotate_away(&mut self, here: usize, now: Duration) {
        let path = self.files[here].known.path.clone();
        let old_target = self.files[here].known.resolved.clone();
        if self.files[here].file.is_none()
            && let Ok(opened) = file::open(&old_target)
            && opened.metadata().is_ok_and(|status| Identity::of(&status) == self.files[here].known.identity)
            && self.files[here].matches(&opened).unwrap_or(false)
        {
            // A link's old target, which was closed.
            if let Err(error) = self.files[here].attach(opened) {
                tracing::debug!(%error, "cannot be read on");
            }
        }
        let new_target = std::fs::canonicalize(&path).ok();
        let is_link = std::fs::symlink_metadata(&path).is_ok_and(|status| status.is_symlink());
        let source = Arc::clone(&self.files[here].known.source);
        let links = self.files[here].file.as_ref().and_then(|file| {
            let status = file.metadata().ok()?;
            Some(std::os::unix::fs::MetadataExt::nlink(&status))
        });
        for directory in [path.parent(), old_target.parent()].into_iter().flatten() {
            self.rotations.insert((Arc::clone(&source), directory_of(directory)), now);
        }
        self.again = true;
        let kind = match (links, &new_target) {
            (_, Some(target)) if is_link && *target != old_target => {
                self.swapped.push((old_target, target.clone(), now));
                Rotation::Symlink
            }
            (Some(0), Some(_)) => Rotation::Replace,
            (Some(0), None) => Rotation::Delete,
            (Some(_), _) => Rotation::Rename,
            (None, _) => Rotation::DeleteUnread,
        };
        if links.is_some() {
            let file = &mut self.files[here];
            (file.known.place, file.rotated) = (Place::Rotated, now);
            self.count_rotation(&source, kind, now);
        } else {
            let file = self.files.remove(here);
            self.want(file, Some(kind), now);
        }
    }

    /// A file was emptied in place, and is read from its beginning from now on.
    fn emptied(&mut self, here: usize, refilled: bool, now: Duration) {
        let mut old = Followed::restored(self.files[here].checkpoint(), now);
        self.files[here].restart();
        let unsure = refilled || old.lag() > 0;
        let kind = if unsure { Rotation::TruncateUnsure } else { Rotation::Truncate };
        // What it held may stand in a copy, which is another file.
        old.known.identity = Identity::default();
        for directory in [old.known.path.parent(), old.known.resolved.parent()].into_iter().flatten() {
            self.rotations.insert((Arc::clone(&old.known.source), directory_of(directory)), now);
        }
        self.want(old, Some(kind), now);
    }

    /// Searches for the rest of a file from now on.
    fn want(&mut self, mut file: Followed, kind: Option<Rotation>, now: Duration) {
        file.close_if_open();
        file.known.place = Place::Rotated;
        file.rotated = now;
        file.behind = false;
        self.wanted.push(Wanted { file, since: now, kind, examined: BTreeSet::new(), broken: false });
        (self.again, self.urgent) = (true, true);
        self.soil(now);
    }

    fn count_rotation(&mut self, source: &Arc<str>, rotation: Rotation, now: Duration) {
        let kind = Rotation::ALL.iter().position(|kind| *kind == rotation).unwrap_or_default();
        self.tally.source(source).rotations[kind] += 1;
        self.urgent = true;
        self.soil(now);
    }

    /// Looks at the files that a rotation may have made: the rest of wanted ones, and generations that were never seen.
    fn look_beside(
        &mut self,
        source: &Arc<str>,
        is_first: bool,
        matched: &BTreeSet<(Arc<str>, PathBuf)>,
        now: Duration,
    ) -> io::Result<()> {
        let siblings = self.siblings(source, matched);
        let present: BTreeSet<Identity> = siblings.iter().map(|sibling| sibling.identity).collect();
        self.strangers.retain(|(of, identity), _| of != source || present.contains(identity));
        self.forget_replaced(source, &siblings, now);
        if is_first {
            for sibling in &siblings {
                if self.index_of(source, sibling.identity).is_none() {
                    self.remember(source, sibling, now);
                }
            }
        }
        self.search(source, &siblings, now)?;
        for sibling in &siblings {
            if self.index_of(source, sibling.identity).is_none() {
                self.resolve(source, sibling, now)?;
            }
        }
        Ok(())
    }

    fn index_of(&self, source: &Arc<str>, identity: Identity) -> Option<usize> {
        self.files.iter().position(|file| file.known.source == *source && file.known.identity == identity)
    }

    /// The files beside those of a source, oldest first.
    fn siblings(&self, source: &Arc<str>, matched: &BTreeSet<(Arc<str>, PathBuf)>) -> Vec<Sibling> {
        let mut bases: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
        let mut add = |path: &Path| {
            if let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
                bases.entry(directory_of(directory)).or_default().insert(name.to_owned());
            }
        };
        let followed = self.files.iter().filter(|file| file.known.place != Place::Finished);
        for file in followed.chain(self.wanted.iter().map(|wanted| &wanted.file)) {
            if file.known.source == *source {
                add(&file.known.path);
                add(&file.known.resolved);
            }
        }
        for input in self.plan.sources.iter().filter(|of| of.name == *source).map(|of| &of.input) {
            if let Input::Pattern(pattern) = input {
                add(Path::new(pattern));
            }
        }
        let mut found: BTreeMap<Identity, Sibling> = BTreeMap::new();
        for (directory, bases) in &bases {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let is_between = self.swapped.iter().any(|(old, new, _)| {
                    old.parent() == Some(directory) && new.parent() == Some(directory) && {
                        let text = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                        text(old).zip(text(new)).is_some_and(|(old, new)| rotated::is_between(&old, &new, name))
                    }
                });
                let base = bases.iter().find(|base| rotated::is_rotated_form(base, name));
                let base = match base {
                    Some(base) => directory.join(base),
                    None if is_between => entry.path(),
                    None => continue,
                };
                let Ok(status) = entry.metadata() else { continue };
                if !status.is_file() {
                    continue;
                }
                let path = if directory == Path::new(".") { PathBuf::from(name) } else { directory.join(name) };
                let is_matched = matched.contains(&(Arc::clone(source), path.clone()));
                let identity = Identity::of(&status);
                let status = status_of(&status);
                found.entry(identity).or_insert(Sibling { path, base, identity, status, is_matched, is_between });
            }
        }
        let mut siblings: Vec<Sibling> = found.into_values().collect();
        siblings.sort_by_key(|sibling| (sibling.status.1, sibling.status.2, sibling.path.clone()));
        siblings
    }

    /// Forgets finished files whose inode serves another file now.
    fn forget_replaced(&mut self, source: &Arc<str>, siblings: &[Sibling], now: Duration) {
        for sibling in siblings {
            let Some(known) = self.index_of(source, sibling.identity) else { continue };
            let file = &mut self.files[known];
            file.listed = now;
            if file.known.place != Place::Finished || file.finished_status == Some(sibling.status) {
                continue;
            }
            file.finished_status = Some(sibling.status);
            if let Ok(opened) = file::open(&sibling.path)
                && !file.matches(&opened).unwrap_or(true)
            {
                self.files[known].known.identity = Identity::default();
                self.soil(now);
            }
        }
    }

    /// Records a file beside a followed one as one that is never to be read.
    fn remember(&mut self, source: &Arc<str>, sibling: &Sibling, now: Duration) {
        self.strangers.remove(&(Arc::clone(source), sibling.identity));
        let remembered = file::open(&sibling.path)
            .and_then(|opened| Followed::begin(&sibling.path, source, opened, sibling.status.0, now));
        match remembered {
            Ok(mut file) => {
                file.close_if_open();
                file.known.place = Place::Finished;
                file.finished_status = Some(sibling.status);
                self.files.push(file);
                self.soil(now);
            }
            Err(error) => tracing::debug!(path = %sibling.path.display(), %error, "cannot be remembered"),
        }
    }

    /// Looks for the rest of wanted files in what stands beside them.
    fn search(&mut self, source: &Arc<str>, siblings: &[Sibling], now: Duration) -> io::Result<()> {
        let wanted = std::mem::take(&mut self.wanted);
        for mut wanted in wanted {
            if wanted.file.known.source != *source {
                self.wanted.push(wanted);
                continue;
            }
            if self.search_one(source, &mut wanted, siblings, now)? {
                continue;
            }
            if let Some(kind) = wanted.kind.take() {
                self.count_rotation(source, kind, now);
            }
            let patience = if wanted.broken { PATIENCE } else { QUIET };
            if now < wanted.since + patience {
                self.wanted.push(wanted);
            } else {
                self.lose(&wanted.file, now);
            }
        }
        Ok(())
    }

    /// Whether the rest of a file was found; it is read then, or will be.
    fn search_one(
        &mut self,
        source: &Arc<str>,
        wanted: &mut Wanted,
        siblings: &[Sibling],
        now: Duration,
    ) -> io::Result<bool> {
        for sibling in siblings {
            let (size, seconds, nanoseconds) = sibling.status;
            let is_itself = sibling.identity == wanted.file.known.identity;
            let is_other = self
                .index_of(source, sibling.identity)
                .is_some_and(|known| self.files[known].known.place != Place::Finished);
            // A file of which nothing was judged is known by nothing but its inode.
            if is_other || (wanted.file.known.cursor.offset == 0 && !is_itself) {
                continue;
            }
            if !wanted.examined.insert((sibling.identity, size, seconds, nanoseconds)) {
                continue;
            }
            let Ok(packed) = file::open(&sibling.path).and_then(rotated::Packed::open) else { continue };
            match packed {
                rotated::Packed::Broken => wanted.broken = true,
                rotated::Packed::Plain(opened) => {
                    if !wanted.file.matches(&opened).unwrap_or(false) || wanted.file.attach_to(opened).is_err() {
                        continue;
                    }
                    if let Some(known) = self.index_of(source, sibling.identity) {
                        self.files.remove(known);
                    }
                    self.strangers.remove(&(Arc::clone(source), sibling.identity));
                    if wanted.kind.is_some() {
                        let kind = if is_itself { Rotation::Rename } else { Rotation::Truncate };
                        self.count_rotation(source, kind, now);
                    }
                    let mut file = std::mem::replace(
                        &mut wanted.file,
                        Followed::restored(crate::state::Checkpoint::nothing(source), now),
                    );
                    (file.grown, file.rotated, file.known.resolved) = (now, now, sibling.path.clone());
                    if sibling.is_matched {
                        (file.known.path, file.known.place) = (sibling.path.clone(), Place::Followed);
                    }
                    self.files.push(file);
                    self.again = true;
                    return Ok(true);
                }
                rotated::Packed::Whole(archive) => {
                    let known = wanted.file.checkpoint();
                    if !archive.matches(known.head, known.tail, known.cursor.offset).unwrap_or(false) {
                        continue;
                    }
                    if wanted.kind.is_some() {
                        self.count_rotation(source, Rotation::Compressed, now);
                    }
                    self.scan_archive(source, sibling, &archive, known.cursor, now)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Judges the rest of an archive's content, and remembers the archive.
    fn scan_archive(
        &mut self,
        source: &Arc<str>,
        sibling: &Sibling,
        archive: &rotated::Archive,
        mut cursor: Cursor,
        now: Duration,
    ) -> io::Result<()> {
        let before = cursor.offset;
        let path = sibling.path.display().to_string();
        let mut on = Recorder {
            tally: &mut self.tally,
            detector: &self.detector,
            unannounced: &mut self.unannounced,
            sink: &mut self.sink,
            bound: self.plan.uncatalogued,
            source,
            path: &path,
            now: self.clock.wall(),
            result: Ok(()),
        };
        let scanned = archive.scan(&mut cursor, &mut self.scanner, &mut |decision| on.decide(decision));
        on.result?;
        match scanned {
            Ok(scanned) => {
                let tally = self.tally.source(source);
                tally.read_bytes += cursor.offset - before;
                tally.read_lines += scanned.lines;
                tally.truncated_lines += scanned.truncated_lines;
                tally.lost_bytes += archive.length - cursor.offset;
            }
            // It was whole a moment ago: what was counted of it stays counted, and it is not read again.
            Err(error) => tracing::warn!(path, %error, "an archive could be read in part only"),
        }
        if let Some(known) = self.index_of(source, sibling.identity) {
            self.files.remove(known);
        }
        self.remember(source, sibling, now);
        self.urgent = true;
        Ok(())
    }

    /// Decides what an unknown file beside a followed one is: a copy of what is known, a generation that was never
    /// seen, or nothing of ours.
    fn resolve(&mut self, source: &Arc<str>, sibling: &Sibling, now: Duration) -> io::Result<()> {
        let fresh = Stranger { since: now, changed: now, status: sibling.status, examined: false };
        let stranger = self.strangers.entry((Arc::clone(source), sibling.identity)).or_insert(fresh);
        if stranger.status != sibling.status {
            (stranger.changed, stranger.status, stranger.examined) = (now, sibling.status, false);
        }
        let is_quiet = now >= stranger.changed + SETTLED;
        let since = stranger.since;
        let directory = directory_of(sibling.path.parent().unwrap_or(Path::new("")));
        let rotated_at = self.rotations.get(&(Arc::clone(source), directory)).copied();
        let is_near = sibling.is_between || rotated_at.is_some_and(|at| at >= since || now <= at + QUIET);
        // Archives are read through once for each change, and once more when they have settled.
        if stranger.examined && !is_quiet && !is_near {
            return Ok(());
        }
        stranger.examined = true;
        let opened = match file::open(&sibling.path).and_then(rotated::Packed::open) {
            Ok(rotated::Packed::Plain(opened)) => opened,
            Ok(rotated::Packed::Broken) => {
                if now >= since + PATIENCE {
                    tracing::warn!(path = %sibling.path.display(), "an archive that cannot be read to its end is left out");
                    self.remember(source, sibling, now);
                }
                return Ok(());
            }
            Ok(rotated::Packed::Whole(archive)) => {
                let is_known = self.files.iter().filter(|file| file.known.source == *source).any(|file| {
                    let known = file.checkpoint();
                    known.head.length > 0
                        && archive.matches(known.head, known.tail, known.cursor.offset).unwrap_or(false)
                });
                if is_near && !is_known {
                    self.drop_unjudged(source);
                    return self.scan_archive(source, sibling, &archive, Cursor::default(), now);
                }
                if is_known || is_quiet {
                    self.remember(source, sibling, now);
                }
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        let size = sibling.status.0;
        let ours = |file: &&Followed| file.known.source == *source && file.known.head.length > 0;
        let copied = self.files.iter().filter(ours).find(|file| file.matches(&opened).unwrap_or(false));
        if let Some(original) = copied {
            if original.known.place == Place::Finished && size > original.known.cursor.offset {
                // It goes on after what was counted of it under another name.
                let mut rest = Followed::restored(original.checkpoint(), now);
                if rest.attach_to(opened).is_ok() {
                    self.place(source, rest, sibling, now);
                }
            } else if is_quiet || original.known.place == Place::Finished {
                self.remember(source, sibling, now);
            }
            return Ok(());
        }
        let beginning = file::fingerprint(&opened, 0, size.min(file::HEAD)).ok();
        let live = self.files.iter().filter(ours).find(|file| {
            let same = |of: &std::fs::File| file::fingerprint(of, 0, size.min(file::HEAD)).ok() == beginning;
            size > 0 && file.file.as_ref().is_some_and(same)
        });
        if let Some(live) = live {
            // A copy that is being made, or one that holds more than was judged of the original so far.
            if is_quiet && live.known.cursor.offset >= size {
                self.remember(source, sibling, now);
            }
            return Ok(());
        }
        let longest = self.files.iter().filter(ours).map(|file| file.known.head.length).max().unwrap_or(0);
        if !is_quiet && (size == 0 || size < longest) {
            return Ok(());
        }
        if is_near || (is_quiet && sibling.is_matched) {
            self.drop_unjudged(source);
            if let Ok(file) = Followed::begin(&sibling.path, source, opened, 0, now) {
                self.place(source, file, sibling, now);
            }
        } else if is_quiet {
            self.remember(source, sibling, now);
        }
        Ok(())
    }

    /// Reads a file beside a followed one from its cursor on.
    fn place(&mut self, source: &Arc<str>, mut file: Followed, sibling: &Sibling, now: Duration) {
        self.strangers.remove(&(Arc::clone(source), sibling.identity));
        (file.grown, file.rotated) = (now, now);
        if sibling.is_matched {
            (file.known.path, file.known.place) = (sibling.path.clone(), Place::Followed);
        } else {
            (file.known.path, file.known.place) = (sibling.base.clone(), Place::Rotated);
        }
        file.known.resolved = sibling.path.clone();
        self.files.push(file);
        self.soil(now);
        self.again = true;
    }

    /// A generation is read whole: one that was wanted from its beginning is among those.
    fn drop_unjudged(&mut self, source: &Arc<str>) {
        let unjudged = |wanted: &Wanted| wanted.file.known.source == *source && wanted.file.known.cursor.offset == 0;
        if let Some(position) = self.wanted.iter().position(unjudged) {
            self.wanted.remove(position);
        }
    }

    /// Counts what can no longer be read.
    fn lose(&mut self, file: &Followed, now: Duration) {
        let bytes = file.lag();
        if bytes > 0 {
            self.tally.source(&file.known.source).lost_bytes += bytes;
            self.soil(now);
            tracing::warn!(path = %file.known.path.display(), bytes, "a rotation destroyed what was not read yet, or a line was never ended");
        }
    }

    /// Judges what was written: rotated files first, so that what is older is said first.
    fn read(&mut self, now: Duration, is_all: bool) -> io::Result<()> {
        let mut order: Vec<usize> = (0..self.files.len()).filter(|index| self.files[*index].file.is_some()).collect();
        order.sort_by_key(|index| {
            let file = &self.files[*index];
            (file.known.place == Place::Followed, file.rotated)
        });
        let mut behind: BTreeSet<PathBuf> = BTreeSet::new();
        let wall = self.clock.wall();
        let mut emptied = Vec::new();
        for index in order {
            let file = &mut self.files[index];
            if !(is_all || file.behind || now < file.grown + HOT) || behind.contains(&file.known.path) {
                continue;
            }
            let name = Arc::clone(&file.known.source);
            let path = file.known.path.display().to_string();
            let mut on = Recorder {
                tally: &mut self.tally,
                detector: &self.detector,
                unannounced: &mut self.unannounced,
                sink: &mut self.sink,
                bound: self.plan.uncatalogued,
                source: &name,
                path: &path,
                now: wall.clone(),
                result: Ok(()),
            };
            let before = (file.known.cursor.clone(), file.known.size);
            let turn = file.read(now, &mut self.scanner, &mut self.block, &mut |decision| on.decide(decision));
            on.result?;
            let is_changed = before != (file.known.cursor.clone(), file.known.size);
            if file.behind && file.known.place == Place::Rotated {
                behind.insert(file.known.path.clone());
            }
            let tally = self.tally.source(&name);
            match turn {
                Ok(Turn::Judged(bytes, scanned)) => {
                    tally.read_bytes += bytes;
                    tally.read_lines += scanned.lines;
                    tally.truncated_lines += scanned.truncated_lines;
                    if is_changed {
                        self.dirty_since.get_or_insert(now);
                    }
                }
                Ok(Turn::Emptied { refilled }) => emptied.push((index, refilled)),
                Err(error) => {
                    if self.failing.insert((Arc::clone(&name), file.known.path.clone())) {
                        tally.read_errors += 1;
                        tracing::warn!(path, %error, "cannot be read: trying again");
                    }
                }
            }
        }
        for (index, refilled) in emptied {
            self.emptied(index, refilled, now);
        }
        Ok(())
    }

    /// Leaves rotated files to which nothing is written any more, and closes descriptors beyond the budget.
    fn retire(&mut self, now: Duration) {
        for index in 0..self.files.len() {
            let file = &self.files[index];
            let is_over = now >= file.grown.max(file.rotated) + QUIET || now >= file.rotated + PATIENCE;
            if file.known.place == Place::Rotated && is_over && !file.behind {
                let file = &mut self.files[index];
                file.close_if_open();
                file.known.place = Place::Finished;
                file.listed = now;
                let lag = file.lag();
                if lag > 0 {
                    tracing::warn!(path = %file.known.path.display(), bytes = lag, "a rotated file ends in half a line, which is not judged");
                    self.tally.source(&self.files[index].known.source.clone()).lost_bytes += lag;
                }
                self.soil(now);
            }
        }
        let before = self.files.len();
        self.files.retain(|file| file.known.place != Place::Finished || now < file.listed + MEMORY);
        let finished = self.files.iter().filter(|file| file.known.place == Place::Finished).count();
        let mut surplus = finished.saturating_sub(REMEMBERED);
        self.files.retain(|file| {
            let is_dropped = surplus > 0 && file.known.place == Place::Finished;
            surplus -= usize::from(is_dropped);
            !is_dropped
        });
        if self.files.len() < before {
            self.soil(now);
        }
        self.rotations.retain(|_, at| now < *at + PATIENCE);
        let mut open: Vec<usize> = (0..self.files.len()).filter(|index| self.files[*index].file.is_some()).collect();
        if open.len() > self.plan.descriptors {
            open.sort_by_key(|index| self.files[*index].grown);
            let surplus = open.len() - self.plan.descriptors;
            open.retain(|index| self.files[*index].known.place == Place::Followed && !self.files[*index].behind);
            for index in open.into_iter().take(surplus) {
                self.files[index].close_if_open();
            }
        }
    }

    /// Shows what was not scraped at 0 in time.
    fn expire(&mut self, now: Duration) {
        if self.unannounced.is_empty() {
            return;
        }
        let wall = self.clock.wall().timestamp();
        let before = self.unannounced.len();
        let announce = self.plan.announce;
        self.unannounced.retain(|_, since| wall.duration_since(*since).unsigned_abs() < announce);
        if self.unannounced.len() < before {
            self.soil(now);
        }
    }

    /// Writes the state where it differs, and publishes the counts.
    fn commit(&mut self, now: Duration) {
        self.commit_state(now, false);
        self.published = self.snapshot();
    }

    fn commit_state(&mut self, now: Duration, clean: bool) {
        if self.dirty_since.is_none() && !clean {
            return;
        }
        self.urgent = false;
        let Some(store) = &mut self.store else {
            self.dirty_since = None;
            return;
        };
        let files = self.files.iter().chain(self.wanted.iter().map(|wanted| &wanted.file));
        let state = State {
            boot: self.boot.clone(),
            clean,
            tally: self.tally.clone(),
            sources: self.seen.clone(),
            unannounced: self.unannounced.clone(),
            files: files.map(Followed::checkpoint).collect(),
        };
        let start = std::time::Instant::now();
        match store.commit(&state) {
            Ok(()) => {
                if self.health.failing {
                    tracing::info!("state can be written again");
                }
                (self.health.failing, self.dirty_since, self.unsynced) = (false, None, true);
                self.health.writes += 1;
                let seconds = start.elapsed().as_secs_f64();
                self.health.write_seconds += seconds;
                for (bound, count) in WRITE_BUCKETS.into_iter().zip(&mut self.health.write_buckets) {
                    *count += u64::from(seconds <= bound);
                }
            }
            Err(error) => {
                self.dirty_since = Some(now);
                self.state_failed(&error);
            }
        }
    }

    fn sync(&mut self, now: Duration) {
        self.synced = now;
        match self.store.as_mut().map_or(Ok(()), Store::sync) {
            Ok(()) => self.unsynced = false,
            Err(error) => {
                self.soil(now);
                self.state_failed(&error);
            }
        }
    }

    fn state_failed(&mut self, error: &io::Error) {
        self.health.write_errors += 1;
        if !std::mem::replace(&mut self.health.failing, true) {
            tracing::error!(%error, "state cannot be written: counting goes on, and a crash now would set counters back");
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let mut gauges: BTreeMap<Arc<str>, SourceGauges> = BTreeMap::new();
        for source in &self.plan.sources {
            gauges.entry(Arc::clone(&source.name)).or_default();
        }
        let wanted = self.wanted.iter().map(|wanted| &wanted.file);
        for file in self.files.iter().chain(wanted).filter(|file| file.known.place != Place::Finished) {
            let Some(gauge) = gauges.get_mut(&file.known.source) else { continue };
            gauge.files += u64::from(file.file.is_some() || file.known.place == Place::Followed);
            gauge.lag_bytes += file.lag();
            gauge.deleted_open_bytes += if file.deleted && file.file.is_some() { file.known.size } else { 0 };
        }
        let mut tally = self.tally.clone();
        for (source, series) in self.unannounced.keys() {
            if let Some(errors) = tally.source(source).errors.get_mut(series) {
                *errors = crate::tally::Errors::default();
            }
        }
        let caught_up = self.caught_up || self.stdin.is_some();
        let catalog = Arc::clone(self.detector.catalog());
        Arc::new(Snapshot { tally, gauges, state: self.health.clone(), caught_up, catalog })
    }
}

/// What of a file's status tells that it changed: its size and the time of the last write.
fn status_of(status: &std::fs::Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (status.len(), status.mtime(), status.mtime_nsec())
}

/// A directory as it can be listed: the parent of a bare name is where the process stands.
fn directory_of(parent: &Path) -> PathBuf {
    if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }
}

/// Counts the decisions about one input, and passes matches on.
struct Recorder<'a> {
    tally: &'a mut Tally,
    detector: &'a Detector,
    unannounced: &'a mut BTreeMap<(Arc<str>, Series), Timestamp>,
    sink: &'a mut Sink,
    bound: usize,
    source: &'a Arc<str>,
    path: &'a str,
    now: Zoned,
    result: io::Result<()>,
}

impl Recorder<'_> {
    fn decide(&mut self, decision: Decision<'_>) {
        match decision {
            Decision::Rejected(rule) => {
                self.tally.reject(rule.map_or("none", |rule| &self.detector.rules().all()[rule].id));
            }
            Decision::Accepted(matched) => {
                let seen: Timestamp = self.now.timestamp();
                let time = matched.time(&self.now).map_or(seen, |time| time.at.min(seen));
                let category = self.detector.catalog().category(matched.code);
                self.tally.count(self.source, category, matched.code, time, self.bound);
                let series = Series { category, code: Label::Code(matched.code) };
                let is_late = self.detector.catalog().get(matched.code).is_none();
                if is_late && self.tally.source(self.source).errors.get(&series).is_some_and(|errors| errors.total == 1)
                {
                    self.unannounced.insert((Arc::clone(self.source), series), seen);
                }
                let sighting = Sighting { source: self.source, path: self.path, line: None, seen, matched: &matched };
                if self.result.is_ok() {
                    self.result = (self.sink)(&sighting, &self.now);
                }
            }
        }
    }
}
