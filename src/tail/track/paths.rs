//! What stands at the followed paths, compared with what stood there.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Look, MANY, Track};
use crate::state::{Identity, Place};
use crate::tail::counts::Counts;
use crate::tail::discover::directory_of;
use crate::tail::file::{self, Followed};
use crate::tail::{StartAt, rotated};
use crate::tally::Rotation;

/// Passes after which every one of many files was looked at.
const PARTS: usize = 5;

impl Track {
    /// The paths where something other stands than before, or that must be tried again.
    pub(super) fn moved(&mut self, look: Look, now: Duration) -> Vec<PathBuf> {
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

    /// Compares what stands at a path with what was there.
    pub(super) fn visit(&mut self, path: &Path, is_first: bool, counts: &mut Counts) {
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
                match here {
                    Some(here) if self.files[here].is_out_of_sight() => self.files[here].pending = true,
                    Some(here) => self.rotate_away(here, counts),
                    None => {}
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

    pub(super) fn fail(&mut self, path: &Path, error: &io::Error, counts: &mut Counts) {
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
        if !is_first {
            self.note_swap(path, counts.now);
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
                (file.known.path, file.known.place, file.pending) = (path.to_owned(), Place::Followed, true);
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
        if self.find_at(path, identity, counts)? {
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

    /// Remembers that a link leads to another file than when it was last followed: what it passed over is looked for.
    fn note_swap(&mut self, path: &Path, now: Duration) {
        if !std::fs::symlink_metadata(path).is_ok_and(|status| status.is_symlink()) {
            return;
        }
        let last = self.known().filter(|file| file.known.path == path).max_by_key(|file| file.rotated);
        if let (Some(last), Ok(target)) = (last, std::fs::canonicalize(path))
            && last.known.resolved != target
        {
            self.swapped.push((last.known.resolved.clone(), target, now));
        }
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
        self.known().any(is_beside) || self.listing.paths.iter().chain(&self.failing).any(is_listed_beside)
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
            (_, Some(target)) if is_link && *target != old_target => Rotation::Symlink,
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

    /// A file was emptied in place, and is read from its beginning from now on.
    pub(super) fn empty(&mut self, here: usize, refilled: bool, counts: &mut Counts) {
        let mut old = Followed::restored(self.files[here].known.clone(), counts.now);
        self.files[here].restart();
        let unsure = refilled || old.lag() > 0;
        let kind = if unsure { Rotation::TruncateUnsure } else { Rotation::Truncate };
        // What it held may stand in a copy, which is another file.
        old.known.identity = Identity::default();
        self.note_rotation(&old.known.path.clone(), &old.known.resolved.clone(), counts.now);
        self.want(old, Some(kind), counts);
    }
}
