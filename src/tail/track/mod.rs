//! The files of one source: what stands at the followed paths, compared with what is known, and read.
//!
//! A file is known by what it is. A look compares what stands at the [paths] with the files that are known; a rotated
//! file is [read](reading) to its end through its descriptor. What rotations leave is found [beside] the paths: the
//! rest of a [wanted] file, or [strangers], which may be generations that were never seen. [Finished](finished) files
//! are remembered, so that nothing is counted again. Whatever is found is said at most once.

mod beside;
mod finished;
mod paths;
mod reading;
mod strangers;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use super::discover::{Listing, directory_of};
use super::file::Followed;
use super::{Files, Own, StartAt};
use crate::detect::{Detector, Reading, Scanner};
use crate::mounts::Mounts;
use crate::state::{Checkpoint, Identity, Place};
use strangers::Stranger;
use wanted::Wanted;

/// Files of one source that are looked at in every pass; of more, a part.
pub(super) const MANY: usize = 1000;

/// How long nothing is written to a rotated file until it is left, and how long a missing one is searched for.
const QUIET: Duration = Duration::from_secs(10);

/// How long a rotated file is kept open, a broken archive tried again, or what is out of sight searched for, at most.
const PATIENCE: Duration = Duration::from_secs(600);

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
    inputs: Files,
    start_at: StartAt,
    own: Arc<Own>,
    scanner: Scanner,
    /// Those that are followed, rotated and still read, or finished.
    pub(super) files: Vec<Followed>,
    /// The files that are not where they were, not read to their end.
    wanted: Vec<Wanted>,
    /// The unknown files beside those of the source.
    strangers: BTreeMap<Identity, Stranger>,
    /// When a file was last rotated out of a directory.
    rotations: BTreeMap<PathBuf, Duration>,
    /// The links that were swapped lately: the old target, the new, and when.
    swapped: Vec<(PathBuf, PathBuf, Duration)>,
    /// When generations were found of which no file was known, as long as one may yet be found to be gone.
    unclaimed: Vec<Duration>,
    pub(super) listing: Listing,
    /// The patterns that were said to stand for nothing.
    waiting: BTreeSet<String>,
    /// The paths where something stands that cannot be read.
    failing: BTreeSet<PathBuf>,
    /// Whether the first sight of the source is past.
    pub(super) is_seen: bool,
    /// When a state was gone on from.
    resumed: Option<Duration>,
    /// Where the next pass over many files begins.
    part: usize,
    /// Another look is needed before this wake ends.
    pub(super) again: bool,
    /// A look ended before it had looked into all: the next one is due once what was found is committed.
    pub(super) is_cut: bool,
    /// Whether a file stands at a path where none did before.
    is_new: bool,
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
        self.known().map(|file| &file.known)
    }

    /// All files of which something is known, wherever they are.
    pub(super) fn known(&self) -> impl Iterator<Item = &Followed> {
        self.files.iter().chain(self.wanted.iter().map(|wanted| &wanted.file))
    }

    /// Compares what stands at the followed paths and beside them with what is known.
    pub(super) fn look(&mut self, look: Look, counts: &mut Counts) -> io::Result<()> {
        let is_first = !self.is_seen;
        let is_listed = self.listing.refresh(&self.inputs, counts.now);
        self.wait_for_sight(counts.now);
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

    /// Lets no time pass for what nobody can look at: beside a path that cannot be read, and in a directory that is
    /// gone. What happened there is found once that is back.
    fn wait_for_sight(&mut self, now: Duration) {
        let directories =
            |file: &Followed| [&file.known.path, &file.known.resolved].map(|path| directory_of(path).to_owned());
        let searched = self.wanted.iter().flat_map(|wanted| directories(&wanted.file));
        let candidates: HashSet<PathBuf> = self.rotations.keys().cloned().chain(searched).collect();
        let is_held = |directory: &PathBuf| self.known().any(|file| directories(file).contains(directory));
        let is_gone = |directory: &PathBuf| !directory.is_dir() && is_held(directory);
        let gone: HashSet<PathBuf> = candidates.into_iter().filter(is_gone).collect();
        self.rotations.extend(gone.iter().map(|directory| (directory.clone(), now)));
        for (old, _, at) in &mut self.swapped {
            *at = if gone.contains(directory_of(old)) { now } else { *at };
        }
        for wanted in &mut self.wanted {
            let Checkpoint { path, resolved, .. } = &wanted.file.known;
            let is_seen = ![path, resolved].iter().any(|path| gone.contains(directory_of(path)));
            if (!is_seen || self.failing.contains(path)) && now < wanted.file.rotated + PATIENCE {
                wanted.since = now;
            }
        }
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

    /// Remembers that a file was rotated out of the directories of its path and its target.
    fn note_rotation(&mut self, path: &Path, target: &Path, now: Duration) {
        for directory in [directory_of(path), directory_of(target)] {
            self.rotations.insert(directory.to_owned(), now);
        }
        self.again = true;
    }

    /// Says once of each pattern that it stands for nothing.
    fn wait_for_empty(&mut self) {
        for pattern in &self.listing.empty {
            if !self.waiting.contains(pattern) {
                tracing::warn!(path = pattern, "nothing there yet: waiting for it");
            }
        }
        self.waiting = self.listing.empty.iter().cloned().collect();
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
