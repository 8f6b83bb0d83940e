//! What rotations leave beside followed files: the rest of a file, copies, archives, and whole generations.
//!
//! Whatever is found there is one of four: a file that is known, a copy of what is known, a generation that was
//! never seen, or nothing of ours. Only a rest and a generation are read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::counts::Counts;
use super::discover::directory_of;
use super::file::{self, Beginning, Followed};
use super::rotated::{self, Archive, Packed};
use super::track::{PATIENCE, QUIET, Track};
use crate::detect::Cursor;
use crate::state::{Checkpoint, Identity, Place};
use crate::tally::Rotation;

/// How long an unknown file beside a followed one must be unchanged to be what it will be.
const SETTLED: Duration = Duration::from_secs(2);

/// Unknown files that are looked into in one look: what was found is committed before the next ones, so that a process
/// that is killed again and again comes to an end of many.
const RESOLVED: usize = 64;

/// How much content of archives is unpacked in one look, in bytes; the one that goes beyond is the last one.
const UNPACKED: u64 = 8 << 20;

/// Remembered files that are opened in one look, to see whether they still are what they were.
const COMPARED: usize = 1000;

/// What of a file's status tells that it changed: its size and the time of the last write.
pub(super) type Status = (u64, i64, i64);

/// A file that is not where it was, not read to its end.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: Followed,
    since: Duration,
    /// What to count where the first search fails.
    pub(super) kind: Option<Rotation>,
    /// What was looked into in vain.
    examined: BTreeSet<(Identity, Status)>,
    /// Whether an archive beside it was not whole.
    broken: bool,
    /// Whether something beside it is left for the next look.
    is_cut: bool,
    /// Whether it had been rotated away and found before, by an earlier process.
    was_rotated: bool,
}

impl Wanted {
    pub(super) fn new(file: Followed, kind: Option<Rotation>, now: Duration) -> Wanted {
        Wanted { file, since: now, kind, examined: BTreeSet::new(), broken: false, is_cut: false, was_rotated: false }
    }

    /// One that an earlier process left as rotated.
    pub(super) fn resumed(file: Followed, now: Duration) -> Wanted {
        Wanted { was_rotated: true, ..Wanted::new(file, None, now) }
    }
}

/// An unknown file beside a followed one.
#[derive(Debug)]
pub(super) struct Stranger {
    since: Duration,
    changed: Duration,
    status: Status,
    /// Whether it came with a rotation, or while nobody looked: it may be a generation that was never seen.
    is_near: bool,
    /// Whether what is in it was found not to matter yet, as of its status.
    is_examined: bool,
    /// Whether it is an archive that was not whole: while it grows, it is not unpacked again and again.
    is_broken: bool,
    /// Whether nothing more will be found out about it as long as it stays as it is.
    is_settled: bool,
    /// How its content begins, as of its status, where it is a copy of a file of which less was judged yet.
    copied: Option<Beginning>,
}

/// A file beside a followed one, named as a rotation would.
#[derive(Debug)]
pub(super) struct Sibling {
    path: PathBuf,
    /// The path that it was rotated away from.
    base: PathBuf,
    identity: Identity,
    status: Status,
    /// Whether a pattern finds it by itself.
    is_matched: bool,
    /// Whether a link passed over it.
    is_between: bool,
}

/// What wanted files are searched for in, looked into once for all of them.
struct Search<'a> {
    siblings: Vec<&'a Sibling>,
    by_identity: HashMap<Identity, usize>,
    /// Those that are read, or were found to be what is wanted.
    taken: HashSet<Identity>,
    /// How their contents begin, where anybody asked; `None` where that cannot be read.
    beginnings: HashMap<Identity, Option<Beginning>>,
    left: Left,
}

/// What one look may still do.
struct Left {
    /// Unknown files to look into.
    files: usize,
    /// Content of archives to unpack, in bytes.
    bytes: u64,
}

impl<'a> Search<'a> {
    fn new<'b>(siblings: Vec<&'a Sibling>, known: impl Iterator<Item = &'b Checkpoint>) -> Search<'a> {
        let by_identity = siblings.iter().enumerate().map(|(at, sibling)| (sibling.identity, at)).collect();
        let taken = known.filter(|known| known.place != Place::Finished).map(|known| known.identity).collect();
        Search {
            siblings,
            by_identity,
            taken,
            beginnings: HashMap::new(),
            left: Left { files: RESOLVED, bytes: UNPACKED },
        }
    }

    fn is_taken(&self, sibling: &Sibling) -> bool {
        self.taken.contains(&sibling.identity)
    }

    fn take(&mut self, sibling: &Sibling) {
        self.taken.insert(sibling.identity);
    }

    /// Where a file may be: first itself under another name, then whatever begins as it did. One of which nothing was
    /// judged is known by nothing but its inode.
    fn places_of(&mut self, file: &Followed) -> Vec<&'a Sibling> {
        let itself = self.by_identity.get(&file.known.identity).map(|at| self.siblings[*at]);
        if itself.is_some_and(|itself| !self.is_taken(itself) && itself.status.0 >= file.known.cursor.offset) {
            // Almost always: the others are not even opened.
            let is_it = |opened: File| file.matches(&opened);
            let itself =
                itself.filter(|itself| file::open_same(&itself.path, itself.identity).and_then(is_it).unwrap_or(true));
            if let Some(itself) = itself {
                return vec![itself];
            }
        }
        if file.known.cursor.offset == 0 {
            return Vec::new();
        }
        let beginnings = &mut self.beginnings;
        let begins = |sibling: &&Sibling| {
            let beginning = beginnings.entry(sibling.identity).or_insert_with(|| sibling.beginning());
            // What cannot be read now may be tried again.
            beginning.as_ref().is_none_or(|beginning| file.known.head.length == 0 || file.has_head(beginning))
        };
        self.siblings.iter().copied().filter(begins).collect()
    }
}

impl Sibling {
    /// A rotated file where it was last: a link's old target has no name that a rotation would give.
    fn unmoved(known: &Checkpoint) -> Option<Sibling> {
        let status = std::fs::symlink_metadata(&known.resolved).ok().filter(std::fs::Metadata::is_file)?;
        (Identity::of(&status) == known.identity).then(|| Sibling {
            path: known.resolved.clone(),
            base: known.path.clone(),
            identity: known.identity,
            status: (status.len(), status.mtime(), status.mtime_nsec()),
            is_matched: false,
            is_between: false,
        })
    }

    /// How its content begins, plain or compressed.
    fn beginning(&self) -> Option<Beginning> {
        rotated::beginning(&file::open_same(&self.path, self.identity).ok()?).ok()
    }
}

/// How long ago a file was written to, by its status.
fn age(status: Status, counts: &Counts) -> Duration {
    let written = jiff::Timestamp::new(status.1, i32::try_from(status.2).unwrap_or(0)).unwrap_or_default();
    Duration::try_from(counts.wall.timestamp().duration_since(written)).unwrap_or_default()
}

impl Track {
    /// Looks at the files that a rotation may have made, where there may be something new among them.
    pub(super) fn look_beside(&mut self, is_listed: bool, is_first: bool, counts: &mut Counts) -> io::Result<()> {
        let is_open = !self.wanted.is_empty() || self.strangers.values().any(|stranger| !stranger.is_settled);
        if !is_listed && !is_open && !self.again {
            return Ok(());
        }
        let siblings = self.siblings();
        self.compare_with_known(&siblings, counts);
        if is_first {
            for sibling in self.unknown(&siblings) {
                if let Ok(opened) = file::open_same(&sibling.path, sibling.identity) {
                    self.remember(sibling, opened, counts);
                }
            }
        }
        let mut left = self.search(&siblings, counts)?;
        let mut unknown = self.unknown(&siblings);
        // Those that nobody looked into yet come first.
        unknown.sort_by_key(|sibling| self.strangers.get(&sibling.identity).is_some_and(|known| known.is_examined));
        for sibling in unknown {
            self.resolve(sibling, &mut left, counts)?;
        }
        Ok(())
    }

    /// Those that are not known by their identity, or whose content went on since they were left.
    fn unknown<'a>(&self, siblings: &'a [Sibling]) -> Vec<&'a Sibling> {
        let known: HashMap<Identity, &Followed> = self.files.iter().map(|file| (file.known.identity, file)).collect();
        let is_unknown = |sibling: &&Sibling| {
            known.get(&sibling.identity).is_none_or(|file| {
                file.known.place == Place::Finished
                    && file.finished_status.is_some_and(|status| status != sibling.status)
            })
        };
        siblings.iter().filter(is_unknown).collect()
    }

    fn index_of(&self, identity: Identity) -> Option<usize> {
        self.files.iter().position(|file| file.known.identity == identity)
    }

    /// The files beside those of the source, oldest first.
    fn siblings(&self) -> Vec<Sibling> {
        let mut bases: BTreeMap<PathBuf, HashSet<String>> = BTreeMap::new();
        let mut add = |path: &Path| {
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                bases.entry(directory_of(path).to_owned()).or_default().insert(name.to_owned());
            }
        };
        let followed = self.files.iter().filter(|file| file.known.place != Place::Finished);
        for file in followed.chain(self.wanted.iter().map(|wanted| &wanted.file)) {
            add(&file.known.path);
            add(&file.known.resolved);
        }
        for pattern in &self.inputs.paths {
            add(Path::new(pattern));
        }
        let matched: HashSet<&Path> = self.listing.paths.iter().map(PathBuf::as_path).collect();
        let mut found: HashMap<Identity, Sibling> = HashMap::new();
        for (directory, bases) in &bases {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let is_between = self.is_between(directory, name);
                let base = match rotated::base_of(name, bases) {
                    Some(base) => directory.join(base),
                    None if is_between => entry.path(),
                    None => continue,
                };
                let Ok(status) = entry.metadata() else { continue };
                let identity = Identity::of(&status);
                let path = if directory == Path::new(".") { PathBuf::from(name) } else { directory.join(name) };
                if !status.is_file() || self.own.holds(&path, identity) {
                    continue;
                }
                let is_matched = matched.contains(path.as_path());
                let status = (status.len(), status.mtime(), status.mtime_nsec());
                found.entry(identity).or_insert(Sibling { path, base, identity, status, is_matched, is_between });
            }
        }
        let mut siblings: Vec<Sibling> = found.into_values().collect();
        siblings.sort_by(|a, b| (a.status.1, a.status.2, &a.path).cmp(&(b.status.1, b.status.2, &b.path)));
        siblings
    }

    /// Whether a link passed over a file of this name when it was swapped.
    fn is_between(&self, directory: &Path, name: &str) -> bool {
        let text = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        self.swapped.iter().any(|(old, new, _)| {
            old.parent() == Some(directory)
                && new.parent() == Some(directory)
                && text(old).zip(text(new)).is_some_and(|(old, new)| rotated::is_between(&old, &new, name))
        })
    }

    /// Notes which known files are still there, and forgets finished ones whose inode serves another file now.
    fn compare_with_known(&mut self, siblings: &[Sibling], counts: &mut Counts) {
        let there: HashMap<Identity, &Sibling> = siblings.iter().map(|sibling| (sibling.identity, sibling)).collect();
        self.strangers.retain(|identity, _| there.contains_key(identity));
        let mut left = COMPARED;
        for file in &mut self.files {
            let sibling = there.get(&file.known.identity);
            file.is_listed = sibling.is_some();
            let Some(sibling) = sibling else { continue };
            file.listed = counts.now;
            if file.known.place != Place::Finished || file.finished_status == Some(sibling.status) {
                continue;
            }
            if left == 0 {
                self.is_cut = true;
                continue;
            }
            left -= 1;
            let opened = match file::open_same(&sibling.path, sibling.identity) {
                Ok(opened) => opened,
                // It was renamed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => {
                    file.finished_status = Some(sibling.status);
                    continue;
                }
            };
            if !file.matches(&opened).unwrap_or(true) {
                file.known.identity = Identity::default();
                counts.soil();
            } else if sibling.status.0 <= file.known.cursor.offset {
                file.finished_status = Some(sibling.status);
            } else {
                // It went on: what that is must be found out.
                file.finished_status.get_or_insert((0, 0, 0));
            }
        }
    }

    /// Records a file beside a followed one as one that is never to be read as it is.
    fn remember(&mut self, sibling: &Sibling, opened: File, counts: &mut Counts) {
        self.strangers.remove(&sibling.identity);
        match Followed::begin(&sibling.path, &self.source, opened, sibling.status.0, counts.now) {
            Ok(mut file) => {
                file.close_if_open();
                file.known.place = Place::Finished;
                file.finished_status = Some(sibling.status);
                if let Some(known) = self.index_of(sibling.identity) {
                    self.files.remove(known);
                }
                self.files.push(file);
                counts.soil();
            }
            Err(error) => tracing::debug!(path = %sibling.path.display(), %error, "cannot be remembered"),
        }
    }

    /// Looks for the rest of wanted files in what stands beside them.
    fn search(&mut self, siblings: &[Sibling], counts: &mut Counts) -> io::Result<Left> {
        let unmoved: Vec<Sibling> =
            self.wanted.iter().filter_map(|wanted| Sibling::unmoved(&wanted.file.known)).collect();
        let mut search =
            Search::new(siblings.iter().chain(&unmoved).collect(), self.files.iter().map(|file| &file.known));
        for mut wanted in std::mem::take(&mut self.wanted) {
            if self.search_one(&mut wanted, &mut search, counts)? {
                continue;
            }
            if let Some(kind) = wanted.kind.take() {
                counts.rotation(&self.source, kind);
            }
            let patience = if wanted.broken { PATIENCE } else { QUIET };
            if wanted.is_cut || counts.now < wanted.since + patience {
                self.wanted.push(wanted);
                continue;
            }
            let bytes = wanted.file.lag();
            if bytes > 0 {
                tracing::warn!(path = %wanted.file.known.path.display(), bytes, "a rotation destroyed what was not read yet, or a line was never ended");
                counts.lost(&self.source, bytes);
            }
            self.keep_to_tell_copies(wanted.file, counts);
        }
        Ok(search.left)
    }

    /// Remembers a file of which only copies may still turn up.
    fn keep_to_tell_copies(&mut self, mut file: Followed, counts: &mut Counts) {
        if file.known.head.length > 0 {
            file.known.identity = Identity::default();
            (file.known.place, file.known.size) = (Place::Finished, file.known.cursor.offset);
            (file.listed, file.is_listed) = (counts.now, false);
            self.files.push(file);
        }
        counts.soil();
    }

    /// Whether the rest of a file was found; it is read then, or will be.
    fn search_one(&mut self, wanted: &mut Wanted, search: &mut Search<'_>, counts: &mut Counts) -> io::Result<bool> {
        wanted.is_cut = false;
        for sibling in search.places_of(&wanted.file) {
            let is_itself = sibling.identity == wanted.file.known.identity;
            if search.is_taken(sibling) || wanted.examined.contains(&(sibling.identity, sibling.status)) {
                continue;
            }
            if search.left.bytes == 0 && rotated::is_packed_form(&sibling.path.to_string_lossy()) {
                (self.is_cut, wanted.is_cut) = (true, true);
                continue;
            }
            // One that was renamed meanwhile is looked into next time.
            let opened = file::open_same(&sibling.path, sibling.identity);
            let Ok(packed) = opened.and_then(Packed::open) else {
                self.again = true;
                continue;
            };
            wanted.examined.insert((sibling.identity, sibling.status));
            match packed {
                Packed::Broken(archive) => {
                    search.left.bytes = search.left.bytes.saturating_sub(archive.length);
                    wanted.broken = true;
                }
                Packed::Plain(opened) => {
                    if !wanted.file.take_up(opened).unwrap_or(false) {
                        continue;
                    }
                    if let Some(known) = self.index_of(sibling.identity) {
                        self.files.remove(known);
                    }
                    if wanted.kind.is_some() {
                        let kind = if is_itself { Rotation::Rename } else { Rotation::Truncate };
                        counts.rotation(&self.source, kind);
                    }
                    let nothing = Followed::restored(Checkpoint::default(), counts.now);
                    let mut file = std::mem::replace(&mut wanted.file, nothing);
                    if is_itself && wanted.was_rotated {
                        // Left at once, where nothing has been written to it for long: what it lacks it will not get.
                        file.quiet = age(sibling.status, counts);
                    }
                    search.take(sibling);
                    self.place(file, sibling, counts);
                    return Ok(true);
                }
                Packed::Whole(archive) => {
                    search.left.bytes = search.left.bytes.saturating_sub(archive.length);
                    let known = &wanted.file.known;
                    if !archive.matches(known.head, known.tail, known.cursor.offset).unwrap_or(false) {
                        continue;
                    }
                    if wanted.kind.is_some() {
                        counts.rotation(&self.source, Rotation::Compressed);
                    }
                    let cursor = known.cursor.clone();
                    search.take(sibling);
                    self.scan_archive(sibling, archive, cursor, counts)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Judges the rest of an archive's content, and remembers the archive.
    fn scan_archive(
        &mut self,
        sibling: &Sibling,
        archive: Archive,
        mut cursor: Cursor,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let before = cursor.offset;
        let path = sibling.path.display().to_string();
        let mut on = counts.recorder(&self.source, &path);
        let scanned = archive.scan(&mut cursor, &mut self.scanner, &mut |decision| on.decide(decision));
        on.result?;
        match scanned {
            Ok(scanned) => counts.judged(&self.source, cursor.offset - before, scanned),
            // It was whole a moment ago: what was counted of it stays counted, and it is not read again.
            Err(error) => tracing::warn!(path, %error, "an archive could be read in part only"),
        }
        self.remember(sibling, archive.file, counts);
        counts.soil_urgently();
        Ok(())
    }

    /// Decides what an unknown file beside a followed one is.
    fn resolve(&mut self, sibling: &Sibling, left: &mut Left, counts: &mut Counts) -> io::Result<()> {
        let now = counts.now;
        let fresh = Stranger {
            since: now,
            changed: now,
            status: sibling.status,
            is_near: self.resumed.is_some_and(|at| now < at + QUIET),
            is_examined: false,
            is_broken: false,
            is_settled: false,
            copied: None,
        };
        // What stood there was rotated away before it was ever seen.
        let is_base_unseen = !self.files.iter().any(|file| {
            file.known.place == Place::Followed
                && (file.known.path == sibling.base || file.known.resolved == sibling.base)
        });
        let stranger = self.strangers.entry(sibling.identity).or_insert(fresh);
        if stranger.status != sibling.status {
            (stranger.changed, stranger.status) = (now, sibling.status);
            (stranger.is_examined, stranger.is_settled, stranger.copied) = (false, false, None);
        }
        let rotated_at = self.rotations.get(directory_of(&sibling.path)).copied();
        stranger.is_near |= is_base_unseen
            || sibling.is_between
            || rotated_at.is_some_and(|at| at >= stranger.since || now <= at + QUIET);
        let is_quiet = now >= stranger.changed + SETTLED;
        let (since, is_near) = (stranger.since, stranger.is_near);
        // Files are read through once for each change, and once more when they have settled.
        // While the file itself cannot be read, nothing tells its copy from a generation.
        if ((stranger.is_examined || stranger.is_broken) && !is_quiet)
            || stranger.is_settled
            || self.failing.contains(&sibling.base)
        {
            return Ok(());
        }
        let is_waiting = |content: &Beginning| self.judged_of_copy(content, sibling.identity) == Some(false);
        if self.strangers[&sibling.identity].copied.as_ref().is_some_and(is_waiting) {
            return Ok(());
        }
        if left.files == 0 || left.bytes == 0 {
            self.is_cut |= !self.strangers[&sibling.identity].is_examined;
            return Ok(());
        }
        left.files -= 1;
        if let Some(stranger) = self.strangers.get_mut(&sibling.identity) {
            (stranger.is_examined, stranger.copied) = (true, None);
        }
        match file::open_same(&sibling.path, sibling.identity).and_then(Packed::open) {
            Ok(Packed::Plain(opened)) => self.resolve_plain(sibling, opened, is_near, is_quiet, counts),
            Ok(Packed::Whole(archive)) => {
                left.bytes = left.bytes.saturating_sub(archive.length);
                self.resolve_archive(sibling, archive, is_near, is_quiet, counts)
            }
            Ok(Packed::Broken(archive)) => {
                left.bytes = left.bytes.saturating_sub(archive.length);
                if let Some(stranger) = self.strangers.get_mut(&sibling.identity) {
                    stranger.is_broken = true;
                }
                if now >= since + PATIENCE {
                    tracing::warn!(path = %sibling.path.display(), "an archive that cannot be read to its end is left out");
                    self.remember(sibling, archive.file, counts);
                }
                Ok(())
            }
            // It was renamed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(stranger) = self.strangers.get_mut(&sibling.identity) {
                    stranger.is_examined = false;
                }
                self.again = true;
                Ok(())
            }
            Err(error) => {
                tracing::debug!(path = %sibling.path.display(), %error, "cannot be looked into");
                self.settle(sibling.identity);
                Ok(())
            }
        }
    }

    /// Of a content that is a copy of what one other file holds or held: whether all of it was judged there. It may
    /// be all that is left of the rest, once that file is emptied, deleted or compressed.
    fn judged_of_copy(&self, content: &Beginning, identity: Identity) -> Option<bool> {
        let others = self.files.iter().filter(|file| file.known.identity != identity);
        let mut originals = others
            .chain(self.wanted.iter().map(|wanted| &wanted.file))
            .filter(|file| file.begins_with(content).unwrap_or(false))
            .peekable();
        originals.peek()?;
        Some(originals.any(|file| file.known.place == Place::Finished || file.known.cursor.offset >= content.length))
    }

    /// Leaves a copy alone: for good, once what it holds was judged in the file that it is a copy of.
    fn leave_copy(&mut self, sibling: &Sibling, opened: File, content: Beginning, is_quiet: bool, counts: &mut Counts) {
        if self.judged_of_copy(&content, sibling.identity) == Some(false) {
            if let Some(stranger) = self.strangers.get_mut(&sibling.identity) {
                stranger.copied = Some(content);
            }
        } else if is_quiet {
            self.remember(sibling, opened, counts);
        }
    }

    fn settle(&mut self, identity: Identity) {
        if let Some(stranger) = self.strangers.get_mut(&identity) {
            stranger.is_settled = true;
        }
    }

    fn resolve_archive(
        &mut self,
        sibling: &Sibling,
        archive: Archive,
        is_near: bool,
        is_quiet: bool,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let Ok(content) = archive.beginning() else { return Ok(()) };
        let wanted = self.wanted.iter().map(|wanted| &wanted.file);
        let is_known = self.files.iter().chain(wanted).any(|file| {
            let Checkpoint { head, tail, cursor, .. } = &file.known;
            let holds_all = || archive.matches(*head, *tail, cursor.offset).unwrap_or(false);
            file.begins_with(&content).unwrap_or(false) || (file.has_head(&content) && holds_all())
        });
        if is_near && !is_known {
            self.claim_unjudged(counts.now);
            return self.scan_archive(sibling, archive, Cursor::default(), counts);
        }
        if is_known {
            self.leave_copy(sibling, archive.file, content, true, counts);
        } else if is_quiet {
            self.remember(sibling, archive.file, counts);
        }
        Ok(())
    }

    fn resolve_plain(
        &mut self,
        sibling: &Sibling,
        opened: File,
        is_near: bool,
        is_quiet: bool,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let size = sibling.status.0;
        let Ok(content) = Beginning::of(&opened, size) else { return Ok(()) };
        let others = || {
            let wanted = self.wanted.iter().map(|wanted| &wanted.file);
            self.files.iter().filter(|file| file.known.identity != sibling.identity).chain(wanted)
        };
        // A copy, whole or in the making, of a file that is read where it is or searched for.
        let is_copy = others().any(|file| {
            let is_alive = file.known.place != Place::Finished || size <= file.known.cursor.offset;
            let holds_all = || file.matches(&opened).unwrap_or(false);
            file.begins_with(&content).unwrap_or(false) || (is_alive && file.has_head(&content) && holds_all())
        });
        if is_copy {
            self.leave_copy(sibling, opened, content, is_quiet, counts);
            return Ok(());
        }
        // It goes on after what was counted of it, under this name or another.
        let is_start = |file: &&Followed| {
            file.known.place == Place::Finished
                && file.has_head(&content)
                && size > file.known.cursor.offset
                && file.matches(&opened).unwrap_or(false)
        };
        let started = self.files.iter().filter(is_start).max_by_key(|file| file.known.cursor.offset);
        if let Some(started) = started {
            let mut rest = Followed::restored(started.known.clone(), counts.now);
            if rest.take_up(opened).unwrap_or(false) {
                if let Some(known) = self.index_of(sibling.identity) {
                    self.files.remove(known);
                }
                self.place(rest, sibling, counts);
            }
            return Ok(());
        }
        let longest = self.files.iter().map(|file| file.known.head.length).max().unwrap_or(0);
        if !is_quiet && (size == 0 || size < longest) {
            return Ok(());
        }
        if is_near || (is_quiet && sibling.is_matched) {
            self.claim_unjudged(counts.now);
            if let Ok(file) = Followed::begin(&sibling.path, &self.source, opened, 0, counts.now) {
                self.place(file, sibling, counts);
            }
        } else if is_quiet {
            self.remember(sibling, opened, counts);
        }
        Ok(())
    }

    /// Reads a file beside a followed one from its cursor on.
    fn place(&mut self, mut file: Followed, sibling: &Sibling, counts: &mut Counts) {
        self.strangers.remove(&sibling.identity);
        (file.grown, file.rotated) = (counts.now, counts.now);
        if sibling.is_matched {
            (file.known.path, file.known.place) = (sibling.path.clone(), Place::Followed);
        } else {
            (file.known.path, file.known.place) = (sibling.base.clone(), Place::Rotated);
        }
        file.known.resolved.clone_from(&sibling.path);
        self.files.push(file);
        counts.soil();
        self.again = true;
    }

    /// A generation is read whole: a file of which nothing was judged and that is gone, now or soon, is among those.
    fn claim_unjudged(&mut self, now: Duration) {
        match self.wanted.iter().position(|wanted| wanted.file.is_unjudged()) {
            Some(position) => drop(self.wanted.remove(position)),
            None => self.unclaimed.push(now),
        }
    }
}
