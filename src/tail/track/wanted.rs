//! The rest of files that are not where they were: in the file itself under another name, a copy or an archive.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::beside::{Left, Sibling, Status};
use super::{PATIENCE, QUIET, Track};
use crate::state::{Checkpoint, Identity, Place};
use crate::tail::counts::Counts;
use crate::tail::file::{self, Beginning, Followed};
use crate::tail::rotated::{self, Packed};
use crate::tally::Rotation;

/// A file that is not where it was, not read to its end.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: Followed,
    /// Since when it could have been found.
    pub(super) since: Duration,
    /// What to count where the first search fails.
    kind: Option<Rotation>,
    /// What was looked into in vain.
    examined: BTreeSet<(Identity, Status)>,
    /// Whether an archive beside it was not whole.
    broken: bool,
    /// Whether something beside it is left for the next look.
    is_cut: bool,
    /// Whether it had been rotated away and found before, by an earlier process.
    was_rotated: bool,
}

/// What wanted files are searched for in, looked into once for all of them.
struct Search<'a> {
    siblings: Vec<&'a Sibling>,
    by_identity: HashMap<Identity, usize>,
    /// Those that are read, or were found to be what is wanted.
    taken: HashSet<Identity>,
    /// How their contents begin, where anybody asked; `None` where that cannot be read.
    beginnings: HashMap<Identity, Option<Beginning>>,
    left: &'a mut Left,
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

impl<'a> Search<'a> {
    fn new(siblings: Vec<&'a Sibling>, known: &[Followed], left: &'a mut Left) -> Search<'a> {
        let by_identity = siblings.iter().enumerate().map(|(at, sibling)| (sibling.identity, at)).collect();
        let is_read = |file: &&Followed| file.known.place != Place::Finished;
        let taken = known.iter().filter(is_read).map(|file| file.known.identity).collect();
        Search { siblings, by_identity, taken, beginnings: HashMap::new(), left }
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

/// How long ago a file was written to, by its status.
fn age(status: Status, counts: &Counts) -> Duration {
    let written = jiff::Timestamp::new(status.1, i32::try_from(status.2).unwrap_or(0)).unwrap_or_default();
    Duration::try_from(counts.wall.timestamp().duration_since(written)).unwrap_or_default()
}

impl Track {
    /// Searches for the rest of a file from now on.
    pub(super) fn want(&mut self, mut file: Followed, kind: Option<Rotation>, counts: &mut Counts) {
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

    /// Whether the file at a path is one that is searched for; it is followed there then.
    pub(super) fn find_at(&mut self, path: &Path, identity: Identity, counts: &mut Counts) -> io::Result<bool> {
        let found = self.wanted.iter().position(|wanted| wanted.file.known.identity == identity);
        let Some(found) = found else { return Ok(false) };
        if !self.wanted[found].file.take_up(file::open_same(path, identity)?)? {
            return Ok(false);
        }
        let mut wanted = self.wanted.remove(found);
        (wanted.file.known.path, wanted.file.known.place) = (path.to_owned(), Place::Followed);
        if wanted.kind.is_some() {
            counts.rotation(&self.source, Rotation::Rename);
        }
        self.files.push(wanted.file);
        counts.soil();
        Ok(true)
    }

    /// Looks for the rest of wanted files in what stands beside them.
    pub(super) fn search(&mut self, siblings: &[Sibling], left: &mut Left, counts: &mut Counts) -> io::Result<()> {
        let unmoved: Vec<Sibling> =
            self.wanted.iter().filter_map(|wanted| Sibling::unmoved(&wanted.file.known)).collect();
        let mut search = Search::new(siblings.iter().chain(&unmoved).collect(), &self.files, left);
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
            self.keep_in_mind(wanted.file, counts);
        }
        Ok(())
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
                    search.left.unpacked(&archive);
                    wanted.broken = true;
                }
                Packed::Plain(opened) => {
                    if !wanted.file.take_up(opened).unwrap_or(false) {
                        continue;
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
                    search.left.unpacked(&archive);
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

    /// A generation is read whole: a file of which nothing was judged and that is gone, now or soon, is among those.
    pub(super) fn claim_unjudged(&mut self, now: Duration) {
        match self.wanted.iter().position(|wanted| wanted.file.is_unjudged()) {
            Some(position) => drop(self.wanted.remove(position)),
            None => self.unclaimed.push(now),
        }
    }
}
