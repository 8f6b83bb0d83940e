//! The files of one source: what stands at the followed paths, compared with what is known, and read.
//!
//! A file is known by what it is. A look compares what stands at the paths with the files that are known; a rotated
//! file is read to its end through its descriptor, or else searched for [beside](super::beside). Whatever is found
//! is said at most once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::beside::{Stranger, Wanted};
use super::counts::Counts;
use super::discover::{Listing, directory_of};
use super::file::{self, Followed, Turn};
use super::{Files, Own, StartAt, rotated};
use crate::detect::{Detector, Reading, Scanner};
use crate::mounts::Mounts;
use crate::state::{Checkpoint, Identity, Place};
use crate::tally::Rotation;

/// Files of one source that are looked at in every pass; of more, a part.
pub(super) const MANY: usize = 1000;

/// Passes after which every one of many files was looked at.
const PARTS: usize = 5;

/// How long nothing is written to a rotated file until it is left, and how long a missing one is searched for.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// How long a rotated file is kept open, or a broken archive tried again, at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// How long a finished file without a name is remembered.
const MEMORY: Duration = Duration::from_secs(3600);

/// Finished files without a name that are remembered.
const REMEMBERED: usize = 1000;

/// Who is asked to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Time: of many files, a part.
    Pass,
    /// Someone who needs to know all: the start, the end, a rotation.
    Full,
}

/// The files of one source.
pub(super) struct Track {
    pub(super) source: Arc<str>,
    pub(super) inputs: Files,
    start_at: StartAt,
    pub(super) own: Arc<Own>,
    pub(super) scanner: Scanner,
    pub(super) files: Vec<Followed>,
    pub(super) wanted: Vec<Wanted>,
    pub(super) strangers: BTreeMap<Identity, Stranger>,
    /// When a file was last rotated out of a directory.
    pub(super) rotations: BTreeMap<PathBuf, Duration>,
    /// The links that were swapped lately: the old target, the new, and when.
    pub(super) swapped: Vec<(PathBuf, PathBuf, Duration)>,
    /// When generations were found of which no file was known, as long as one may yet be found to be gone.
    pub(super) unclaimed: Vec<Duration>,
    pub(super) listing: Listing,
    /// The patterns that were said to stand for nothing.
    waiting: BTreeSet<String>,
    pub(super) failing: BTreeSet<PathBuf>,
    /// Whether the first sight of the source is past.
    pub(super) is_seen: bool,
    /// When a state was gone on from.
    pub(super) resumed: Option<Duration>,
    /// Where the next pass over many files begins.
    part: usize,
    /// Another look is needed before this wake ends.
    pub(super) again: bool,
    /// A look ended before it had looked into all: the next one is due once what was found is committed.
    pub(super) is_cut: bool,
    /// Whether a file stands at a path where none did before.
    pub(super) is_new: bool,
    /// Where the next turn of reading begins.
    turn: usize,
}

impl Track {
    /// Goes on from what is known of a source's files.
    pub(super) fn new(
        (source, inputs): (&Arc<str>, &Files),
        (start_at, reading): (StartAt, Reading),
        own: &Arc<Own>,
        detector: &Detector,
        known: Vec<Checkpoint>,
        is_seen: bool,
        now: Duration,
    ) -> Track {
        let (rotated, files): (Vec<_>, Vec<_>) = known
            .into_iter()
            .map(|known| Followed::restored(known, now))
            .partition(|file| file.known.place == Place::Rotated);
        let mut track = Track {
            source: Arc::clone(source),
            inputs: inputs.clone(),
            start_at,
            own: Arc::clone(own),
            scanner: detector.scanner_for(reading),
            resumed: is_seen.then_some(now),
            files,
            wanted: rotated.into_iter().map(|file| Wanted::resumed(file, now)).collect(),
            strangers: BTreeMap::new(),
            rotations: BTreeMap::new(),
            swapped: Vec::new(),
            unclaimed: Vec::new(),
            listing: Listing::default(),
            waiting: BTreeSet::new(),
            failing: BTreeSet::new(),
            is_seen,
            part: 0,
            again: false,
            is_cut: false,
            is_new: true,
            turn: 0,
        };
        for file in &track.files {
            track.listing.watch(directory_of(&file.known.resolved));
        }
        track.swapped = track.swapped_before(now);
        track
    }

    /// The links whose old targets an earlier process had not left: what they passed over may not have been looked
    /// into yet.
    fn swapped_before(&self, now: Duration) -> Vec<(PathBuf, PathBuf, Duration)> {
        let targets = self.followed().flat_map(|file| {
            let known = &file.known;
            let is_old = move |old: &&Checkpoint| old.path == known.path && old.resolved != known.resolved;
            let old = self.wanted.iter().map(|wanted| &wanted.file.known).filter(is_old);
            old.map(|old| (old.resolved.clone(), known.resolved.clone(), now))
        });
        targets.collect()
    }

    /// Follows other paths from now on, in another way; what is known of files stays known.
    pub(super) fn change(&mut self, inputs: &Files, start_at: StartAt, reading: Reading, detector: &Detector) {
        (self.inputs, self.start_at, self.is_new) = (inputs.clone(), start_at, true);
        self.scanner = detector.scanner_for(reading);
        self.listing.forget();
    }

    /// What is kept of the files over a restart.
    pub(super) fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        self.files.iter().chain(self.wanted.iter().map(|wanted| &wanted.file)).map(|file| &file.known)
    }

    /// Compares what stands at the followed paths and beside them with what is known.
    pub(super) fn look(&mut self, look: Look, counts: &mut Counts) -> io::Result<()> {
        let is_first = !self.is_seen;
        let is_listed = self.listing.refresh(&self.inputs, counts.now);
        for path in self.moved(look, counts.now) {
            self.visit(&path, false, counts);
        }
        if is_listed {
            self.wait_for_empty();
            self.leave_unmatched(counts);
            let followed: HashSet<&Path> = self.followed().map(|file| &*file.known.path).collect();
            let is_fresh = |path: &&PathBuf| !followed.contains(path.as_path());
            let fresh: Vec<PathBuf> = self.listing.paths.iter().filter(is_fresh).cloned().collect();
            for path in fresh {
                self.visit(&path, is_first, counts);
            }
        }
        self.look_beside(is_listed, is_first, counts)?;
        if is_first {
            // What is there from the start must not be taken for new after a crash.
            self.is_seen = true;
            counts.soil_urgently();
        }
        self.unclaimed.retain(|at| counts.now < *at + QUIET);
        self.swapped.retain(|(_, _, at)| counts.now < *at + QUIET);
        Ok(())
    }

    /// Leaves files that are there and that no pattern stands for any more.
    fn leave_unmatched(&mut self, counts: &mut Counts) {
        let matched: HashSet<&Path> = self.listing.paths.iter().map(PathBuf::as_path).collect();
        for file in &mut self.files {
            if file.known.place == Place::Followed
                && !matched.contains(file.known.path.as_path())
                && file.known.path.exists()
            {
                file.close_if_open();
                file.known.place = Place::Finished;
                counts.soil();
            }
        }
    }

    fn followed(&self) -> impl Iterator<Item = &Followed> {
        self.files.iter().filter(|file| file.known.place == Place::Followed)
    }

    /// The paths where something other stands than before, or that must be tried again.
    fn moved(&mut self, look: Look, now: Duration) -> Vec<PathBuf> {
        let count = self.files.len();
        let part = if look == Look::Full || count <= MANY { count } else { count.div_ceil(PARTS) };
        let from = if part == count { 0 } else { self.part % count };
        self.part = from + part;
        let mut moved: Vec<PathBuf> = self.failing.iter().cloned().collect();
        for at in 0..part {
            let file = &mut self.files[(from + at) % count];
            if file.known.place != Place::Followed {
                continue;
            }
            match std::fs::metadata(&file.known.path) {
                Ok(status) if status.is_file() && Identity::of(&status) == file.known.identity => {
                    file.listed = now;
                    if file.is_changed(&status) {
                        file.pending = true;
                        if file.file.is_none() {
                            moved.push(file.known.path.clone());
                        }
                    }
                }
                _ => moved.push(file.known.path.clone()),
            }
        }
        moved.sort_unstable();
        moved.dedup();
        moved
    }

    fn wait_for_empty(&mut self) {
        for pattern in &self.listing.empty {
            if !self.waiting.contains(pattern) {
                tracing::warn!(path = pattern, "nothing there yet: waiting for it");
            }
        }
        self.waiting = self.listing.empty.iter().cloned().collect();
    }

    /// Compares what stands at a path with what was there.
    fn visit(&mut self, path: &Path, is_first: bool, counts: &mut Counts) {
        let here = self
            .files
            .iter()
            .position(|file| file.known.place == Place::Followed && file.known.path.as_os_str() == path.as_os_str());
        let result = match std::fs::metadata(path) {
            Ok(status) if status.is_file() => match here {
                Some(here) if self.files[here].known.identity == Identity::of(&status) => {
                    self.reopen(here, path, &status, counts)
                }
                here => {
                    if let Some(here) = here {
                        self.rotate_away(here, counts);
                    }
                    self.meet(path, &status, is_first, counts)
                }
            },
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(here) = here {
                    self.rotate_away(here, counts);
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        match result {
            // It went away between two steps: the next look finds out whereto.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.again = true;
                self.listing.forget();
            }
            Ok(()) => {
                if self.failing.remove(path) {
                    // What was left because of it is met now, and it may have been rotated meanwhile.
                    self.listing.forget();
                    self.rotations.insert(directory_of(path).to_owned(), counts.now);
                    tracing::info!(path = %path.display(), "can be read again");
                }
            }
            Err(error) => self.fail(path, &error, counts),
        }
    }

    fn fail(&mut self, path: &Path, error: &io::Error, counts: &mut Counts) {
        if self.failing.insert(path.to_owned()) {
            counts.read_error(&self.source);
            tracing::warn!(path = %path.display(), %error, "cannot be read: waiting for it");
        }
    }

    /// Opens a known file at its path where it is not open, and checks that it is what it was.
    fn reopen(&mut self, here: usize, path: &Path, status: &Metadata, counts: &mut Counts) -> io::Result<()> {
        if self.files[here].file.is_some() || !self.files[here].is_changed(status) {
            return Ok(());
        }
        let identity = Identity::of(status);
        if !self.files[here].take_up(file::open_same(path, identity)?)? {
            self.empty(here, true, counts);
            // Nothing was judged of it, so that it may hold anything.
            self.files[here].take_up(file::open_same(path, identity)?)?;
        }
        Ok(())
    }

    /// Begins with a file that stands at a path where it did not stand before.
    fn meet(&mut self, path: &Path, status: &Metadata, is_first: bool, counts: &mut Counts) -> io::Result<()> {
        let identity = Identity::of(status);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if rotated::is_packed_form(name) || self.own.holds(path, identity) {
            return Ok(());
        }
        if let Some(known) = self.files.iter().position(|file| file.known.identity == identity) {
            let there = std::fs::metadata(&self.files[known].known.path).map(|status| Identity::of(&status));
            if self.files[known].known.place == Place::Followed && there.ok() == Some(identity) {
                // The same file under a second name is followed under the first.
                return Ok(());
            }
            let opened = file::open_same(path, identity)?;
            let file = &mut self.files[known];
            let is_it = if file.file.is_some() { file.matches(&opened)? } else { file.take_up(opened)? };
            if is_it {
                (file.known.path, file.known.place) = (path.to_owned(), Place::Followed);
                file.known.resolved = std::fs::canonicalize(path)?;
                self.listing.watch(directory_of(&file.known.resolved));
                counts.soil();
                return Ok(());
            }
            // The inode serves another file now. What was read of the old one may stand elsewhere yet.
            self.files[known].known.identity = Identity::default();
            if self.files[known].known.place != Place::Finished {
                let old = self.files.remove(known);
                self.want(old, Some(Rotation::DeleteUnread), counts);
            }
        }
        if let Some(found) = self.wanted.iter().position(|wanted| wanted.file.known.identity == identity)
            && self.wanted[found].file.take_up(file::open_same(path, identity)?)?
        {
            let mut wanted = self.wanted.remove(found);
            (wanted.file.known.path, wanted.file.known.place) = (path.to_owned(), Place::Followed);
            if wanted.kind.is_some() {
                counts.rotation(&self.source, Rotation::Rename);
            }
            self.files.push(wanted.file);
            counts.soil();
            return Ok(());
        }
        if !is_first && self.is_beside_another(path, name) {
            // It may be a copy of what was counted: judged with the others beside the file.
            return Ok(());
        }
        if !is_first {
            // Another may have stood there and gone since the last look.
            self.rotations.insert(directory_of(path).to_owned(), counts.now);
        }
        let opened = file::open_same(path, identity)?;
        let unit = file::encoding_of(&opened, &self.scanner)?.unit();
        let offset = if is_first && self.start_at == StartAt::End { status.len() / unit * unit } else { 0 };
        let file = Followed::begin(path, &self.source, opened, offset, counts.now)?;
        self.listing.watch(directory_of(&file.known.resolved));
        self.files.push(file);
        self.is_new = true;
        counts.soil();
        Ok(())
    }

    /// Whether a path is named as a rotation of a file that is known beside it.
    fn is_beside_another(&self, path: &Path, name: &str) -> bool {
        let is_beside = |file: &Followed| {
            let base = file.known.path.file_name().and_then(|base| base.to_str()).unwrap_or_default();
            file.known.place != Place::Finished
                && file.known.path.parent() == path.parent()
                && rotated::is_rotated_form(base, name)
        };
        // One that stands there and was not met yet, or cannot be read now, may be what this is a copy of.
        let is_listed_beside = |base: &PathBuf| {
            let base_name = base.file_name().and_then(|base| base.to_str()).unwrap_or_default();
            base.parent() == path.parent() && rotated::is_rotated_form(base_name, name)
        };
        self.files.iter().any(is_beside)
            || self.wanted.iter().any(|wanted| is_beside(&wanted.file))
            || self.listing.paths.iter().chain(&self.failing).any(is_listed_beside)
    }

    /// A file no longer stands at its path.
    fn rotate_away(&mut self, here: usize, counts: &mut Counts) {
        let path = self.files[here].known.path.clone();
        let old_target = self.files[here].known.resolved.clone();
        if self.files[here].file.is_none()
            && let Ok(opened) = file::open_same(&old_target, self.files[here].known.identity)
            && let Err(error) = self.files[here].take_up(opened)
        {
            // A link's old target, which was closed.
            tracing::debug!(%error, "cannot be read on");
        }
        let new_target = std::fs::canonicalize(&path).ok();
        let is_link = std::fs::symlink_metadata(&path).is_ok_and(|status| status.is_symlink());
        let links = self.files[here].file.as_ref().and_then(|file| Some(file.metadata().ok()?.nlink()));
        self.note_rotation(&path, &old_target, counts.now);
        let kind = match (links, &new_target) {
            (_, Some(target)) if is_link && *target != old_target => {
                self.swapped.push((old_target, target.clone(), counts.now));
                Rotation::Symlink
            }
            (Some(0), Some(_)) => Rotation::Replace,
            (Some(0), None) => Rotation::Delete,
            (Some(_), _) => Rotation::Rename,
            (None, _) => Rotation::DeleteUnread,
        };
        if links.is_some() {
            let file = &mut self.files[here];
            (file.known.place, file.rotated) = (Place::Rotated, counts.now);
            counts.rotation(&self.source, kind);
        } else {
            let file = self.files.remove(here);
            self.want(file, Some(kind), counts);
        }
    }

    /// Remembers that a file was rotated out of the directories of its path and its target.
    fn note_rotation(&mut self, path: &Path, target: &Path, now: Duration) {
        for directory in [directory_of(path), directory_of(target)] {
            self.rotations.insert(directory.to_owned(), now);
        }
        self.again = true;
    }

    /// A file was emptied in place, and is read from its beginning from now on.
    fn empty(&mut self, here: usize, refilled: bool, counts: &mut Counts) {
        let mut old = Followed::restored(self.files[here].known.clone(), counts.now);
        self.files[here].restart();
        let unsure = refilled || old.lag() > 0;
        let kind = if unsure { Rotation::TruncateUnsure } else { Rotation::Truncate };
        // What it held may stand in a copy, which is another file.
        old.known.identity = Identity::default();
        self.note_rotation(&old.known.path.clone(), &old.known.resolved.clone(), counts.now);
        self.want(old, Some(kind), counts);
    }

    /// Searches for the rest of a file from now on.
    fn want(&mut self, mut file: Followed, kind: Option<Rotation>, counts: &mut Counts) {
        if file.is_unjudged() && self.unclaimed.pop().is_some() {
            if let Some(kind) = kind {
                counts.rotation(&self.source, kind);
            }
            return;
        }
        file.close_if_open();
        file.known.place = Place::Rotated;
        file.rotated = counts.now;
        file.behind = false;
        self.wanted.push(Wanted::new(file, kind, counts.now));
        self.again = true;
        counts.soil_urgently();
    }

    /// Judges what was written: rotated files first, so that what is older is said first. Takes what it reads off
    /// the budget, in bytes, and leaves the rest behind where that is used up.
    pub(super) fn read(
        &mut self,
        is_pass: bool,
        budget: &mut u64,
        block: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let now = counts.now;
        let is_due = |file: &Followed| {
            let is_told = file.pending || file.behind || file.is_hot(now);
            file.file.is_some() && (is_told || (is_pass && file.known.place == Place::Rotated))
        };
        let mut order: Vec<usize> = (0..self.files.len()).filter(|index| is_due(&self.files[*index])).collect();
        if order.is_empty() {
            return Ok(());
        }
        // Whoever was read first last time is last now, so that a budget starves nobody.
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % order.len();
        order.rotate_left(first);
        order.sort_by_key(|index| {
            let file = &self.files[*index];
            (file.known.place == Place::Followed, if file.known.place == Place::Followed { now } else { file.rotated })
        });
        let mut behind: BTreeSet<PathBuf> = BTreeSet::new();
        let mut emptied = Vec::new();
        let mut touched = Vec::new();
        let mut failed = Vec::new();
        for index in order {
            let file = &mut self.files[index];
            if behind.contains(&file.known.path) {
                continue;
            }
            if *budget == 0 {
                file.behind = true;
                continue;
            }
            let path = file.known.path.display().to_string();
            let before = (file.known.cursor.clone(), file.known.size);
            let mut on = counts.recorder(&self.source, &path);
            let turn = file.read(now, *budget, &mut self.scanner, block, &mut |decision| on.decide(decision));
            on.result?;
            if file.behind && file.known.place == Place::Rotated {
                behind.insert(file.known.path.clone());
            }
            if std::mem::take(&mut file.touched) {
                touched.push((file.known.path.clone(), file.known.resolved.clone()));
            }
            match turn {
                Ok(Turn::Judged(bytes, scanned)) => {
                    *budget = budget.saturating_sub(bytes);
                    counts.judged(&self.source, bytes, scanned);
                    if before != (file.known.cursor.clone(), file.known.size) {
                        counts.soil();
                    }
                }
                Ok(Turn::Emptied { refilled }) => emptied.push((index, refilled)),
                Err(error) => {
                    file.behind = false;
                    failed.push((file.known.path.clone(), error));
                }
            }
        }
        for (path, error) in failed {
            self.fail(&path, &error, counts);
        }
        for (path, target) in touched {
            self.note_rotation(&path, &target, now);
        }
        for (index, refilled) in emptied {
            self.empty(index, refilled, counts);
        }
        Ok(())
    }

    /// Leaves rotated files to which nothing is written any more, and forgets finished ones in time.
    pub(super) fn retire(&mut self, block: &mut Vec<u8>, counts: &mut Counts) -> io::Result<()> {
        let now = counts.now;
        for file in &mut self.files {
            let is_quiet = now + file.quiet >= file.grown.max(file.rotated) + QUIET;
            let is_over = is_quiet || now >= file.rotated + PATIENCE;
            // A link's old target tells a restart what is to be looked into, as long as there is some left.
            if file.known.place != Place::Rotated || !is_over || file.behind || self.is_cut {
                continue;
            }
            let path = file.known.path.display().to_string();
            let mut on = counts.recorder(&self.source, &path);
            let ended = file.end(&mut self.scanner, block, &mut |decision| on.decide(decision));
            on.result?;
            match ended {
                Ok((bytes, scanned)) => counts.judged(&self.source, bytes, scanned),
                Err(error) => tracing::warn!(path, %error, "the end of a rotated file cannot be read"),
            }
            file.close_if_open();
            (file.known.place, file.listed) = (Place::Finished, now);
            let lag = file.lag();
            if lag > 0 {
                counts.lost(&self.source, lag);
                tracing::warn!(path, bytes = lag, "the end of a rotated file was not read");
            }
            counts.soil();
        }
        self.forget(counts);
        self.rotations.retain(|_, at| now < *at + PATIENCE);
        Ok(())
    }

    /// Forgets finished files that had no name for long, or that are too many.
    fn forget(&mut self, counts: &mut Counts) {
        let now = counts.now;
        let before = self.files.len();
        let is_nameless = |file: &Followed| file.known.place == Place::Finished && !file.is_listed;
        self.files.retain(|file| !is_nameless(file) || now < file.listed + MEMORY);
        let mut surplus = self.files.iter().filter(|file| is_nameless(file)).count().saturating_sub(REMEMBERED);
        self.files.retain(|file| {
            let is_dropped = surplus > 0 && is_nameless(file);
            surplus -= usize::from(is_dropped);
            !is_dropped
        });
        if self.files.len() < before {
            counts.soil();
        }
    }

    /// Says once for each path that it is a mount of a single file, which shows the same file for ever.
    pub(super) fn name_mounts(&mut self, said: &mut BTreeSet<PathBuf>) {
        if !std::mem::take(&mut self.is_new) {
            return;
        }
        let mounts = Mounts::of_this_process();
        for file in self.followed() {
            if let Ok(absolute) = std::path::absolute(&file.known.path)
                && mounts.is_point(&absolute)
                && said.insert(absolute)
            {
                tracing::warn!(path = %file.known.path.display(), "is a mount of a single file, which shows the same file for ever: mount its directory instead, or rotations go unseen");
            }
        }
    }
}
