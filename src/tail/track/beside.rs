//! What rotations leave beside followed files.
//!
//! Whatever is found there is one of four: a file that is known, a copy of what is known, a generation that was
//! never seen, or nothing of ours. Only the rest of a file and a generation are read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Track;
use crate::detect::Cursor;
use crate::state::{Checkpoint, Identity, Place};
use crate::tail::counts::Counts;
use crate::tail::discover::directory_of;
use crate::tail::file::{self, Beginning, Followed};
use crate::tail::rotated::{self, Archive};

/// Unknown files that are looked into in one look: what was found is committed before the next ones, so that a process
/// that is killed again and again comes to an end of many.
const RESOLVED: usize = 64;

/// How much content of archives is unpacked in one look, in bytes; the one that goes beyond is the last one.
const UNPACKED: u64 = 8 << 20;

/// What of a file's status tells that it changed: its size and the time of the last write.
pub(super) type Status = (u64, i64, i64);

/// A file beside a followed one, named as a rotation would.
#[derive(Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    /// The path that it was rotated away from.
    pub(super) base: PathBuf,
    pub(super) identity: Identity,
    pub(super) status: Status,
    /// Whether a pattern finds it by itself.
    pub(super) is_matched: bool,
    /// Whether a link passed over it.
    pub(super) is_between: bool,
}

/// What one look may still do.
pub(super) struct Left {
    /// Unknown files to look into.
    pub(super) files: usize,
    /// Content of archives to unpack, in bytes.
    pub(super) bytes: u64,
}

impl Left {
    /// Takes off what an archive cost.
    pub(super) fn unpacked(&mut self, archive: &Archive) {
        self.bytes = self.bytes.saturating_sub(archive.beginning.length);
    }
}

impl Sibling {
    /// A rotated file where it was last: a link's old target has no name that a rotation would give.
    pub(super) fn unmoved(known: &Checkpoint) -> Option<Sibling> {
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
    pub(super) fn beginning(&self) -> Option<Beginning> {
        rotated::beginning(&file::open_same(&self.path, self.identity).ok()?).ok()
    }
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
        let mut left = Left { files: RESOLVED, bytes: UNPACKED };
        self.search(&siblings, &mut left, counts)?;
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

    /// The files beside those of the source, oldest first.
    fn siblings(&self) -> Vec<Sibling> {
        let mut bases: BTreeMap<PathBuf, HashSet<String>> = BTreeMap::new();
        let mut add = |path: &Path| {
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                bases.entry(directory_of(path).to_owned()).or_default().insert(name.to_owned());
            }
        };
        for file in self.known().filter(|file| file.known.place != Place::Finished) {
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

    /// Judges the rest of an archive's content, and remembers the archive and the content: copies may turn up.
    pub(super) fn scan_archive(
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
        let judged = Followed::judged(&sibling.path, &self.source, &archive.beginning, &archive.tail, counts.now);
        self.keep_in_mind(judged, counts);
        self.remember(sibling, archive.file, counts);
        counts.soil_urgently();
        Ok(())
    }

    /// Reads a file beside a followed one from its cursor on.
    pub(super) fn place(&mut self, mut file: Followed, sibling: &Sibling, counts: &mut Counts) {
        self.strangers.remove(&sibling.identity);
        (file.grown, file.rotated) = (counts.now, counts.now);
        if sibling.is_matched {
            (file.known.path, file.known.place) = (sibling.path.clone(), Place::Followed);
        } else {
            (file.known.path, file.known.place) = (sibling.base.clone(), Place::Rotated);
        }
        file.known.resolved.clone_from(&sibling.path);
        self.files.retain(|known| known.known.identity != sibling.identity);
        self.files.push(file);
        counts.soil();
        self.again = true;
    }
}
