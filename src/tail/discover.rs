//! What patterns stand for now.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{Files, Input};
use crate::state::Identity;

/// How long after a change a directory is listed at every look: time stamps of file systems are coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// How often everything is listed although no directory shows a change, for file systems that show none.
const RELIST: Duration = Duration::from_secs(60);

/// What tells that a directory changed: what it is, and when an entry came or went last.
type Stamp = (Identity, i64, i64);

/// The paths that patterns stand for, found anew only where a directory changed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The matched paths, ascending.
    pub(super) paths: Vec<PathBuf>,
    /// The directories on which the paths depend; `None` where there is none.
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    /// The FIFOs that are named by their paths.
    pub(super) fifos: Vec<PathBuf>,
    /// The patterns that stand for nothing.
    pub(super) empty: Vec<String>,
    /// Directories of interest besides.
    beside: BTreeMap<PathBuf, Option<Stamp>>,
    /// When it was made.
    listed: Option<Duration>,
    /// When a change was last seen.
    changed: Duration,
}

impl Listing {
    /// Lists again where that may show something new, and says whether it did.
    pub(super) fn refresh(&mut self, files: &Files, now: Duration) -> bool {
        let is_same = |(directory, known): (&PathBuf, &Option<Stamp>)| stamp(directory) == *known;
        let is_changed = !(self.stamps.iter().all(is_same) && self.beside.iter().all(is_same));
        if is_changed {
            self.changed = now;
        }
        if let Some(listed) = self.listed
            && !is_changed
            && listed >= self.changed + SETTLED
            && now < listed + RELIST
        {
            return false;
        }
        // Stamped before it is listed: what comes in between shows as a change.
        for (directory, known) in &mut self.beside {
            *known = stamp(directory);
        }
        self.stamps.clear();
        self.paths.clear();
        self.empty.clear();
        for pattern in &files.paths {
            let mut paths = expand_once(pattern, &mut self.stamps);
            if paths.is_empty() {
                self.empty.push(pattern.clone());
            }
            self.paths.append(&mut paths);
        }
        self.paths.sort_unstable();
        self.paths.dedup();
        let is_fifo = |path: &&PathBuf| std::fs::metadata(path).is_ok_and(|status| status.file_type().is_fifo());
        let named = files.paths.iter().map(PathBuf::from);
        self.fifos = named.filter(|path| is_fifo(&path)).collect();
        if !files.exclude.is_empty() {
            let excluded: Vec<glob::Pattern> =
                files.exclude.iter().filter_map(|pattern| glob::Pattern::new(pattern).ok()).collect();
            self.paths.retain(|path| !excluded.iter().any(|pattern| pattern.matches_path(path)));
        }
        self.listed = Some(now);
        true
    }

    /// Lists again at the next look.
    pub(super) fn forget(&mut self) {
        self.listed = None;
    }

    /// Takes a directory in, so that a change of it leads to a look.
    pub(super) fn watch(&mut self, directory: &Path) {
        if !self.stamps.contains_key(directory) && !self.beside.contains_key(directory) {
            // Not known yet: the next look finds that it changed.
            self.beside.insert(directory.to_owned(), None);
        }
    }

    /// The directories that are there, on which the paths depend or which are of interest.
    pub(super) fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.stamps.iter().chain(&self.beside).filter(|(_, stamp)| stamp.is_some()).map(|(directory, _)| directory)
    }
}

fn stamp(directory: &Path) -> Option<Stamp> {
    let status = std::fs::metadata(directory).ok().filter(std::fs::Metadata::is_dir)?;
    Some((Identity::of(&status), status.mtime(), status.mtime_nsec()))
}

/// The files that a pattern stands for. A path that exists stands for itself, whatever signs it holds.
fn expand_once(pattern: &str, stamps: &mut BTreeMap<PathBuf, Option<Stamp>>) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let mut depend = |directory: &Path| {
        stamps.entry(directory.to_owned()).or_insert_with(|| stamp(directory));
    };
    depend(directory_of(path));
    match std::fs::symlink_metadata(path) {
        Ok(status) if status.is_file() => return vec![path.to_owned()],
        Ok(_) if path.is_dir() => {
            depend(path);
            let visible =
                |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            // The listing tells what an entry is; only a link must be asked.
            let is_file = |entry: &std::fs::DirEntry| match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => kind.is_file(),
                _ => may_be_file(&entry.path()),
            };
            return entries.filter(is_file).map(|entry| entry.path()).filter(visible).collect();
        }
        Ok(_) => return vec![path.to_owned()],
        Err(_) => {}
    }
    let mut prefix = PathBuf::new();
    for component in path.components() {
        let is_pattern =
            matches!(component, Component::Normal(name) if name.to_string_lossy().contains(['*', '?', '[']));
        if is_pattern {
            let directories = match prefix.as_os_str() {
                name if name.is_empty() => vec![PathBuf::from(".")],
                _ if has_signs(&prefix) => expand(&prefix),
                _ => vec![prefix.clone()],
            };
            for directory in directories.iter().filter(|directory| directory.is_dir()) {
                depend(directory);
            }
        }
        prefix.push(component);
    }
    expand(path).into_iter().filter(|path| may_be_file(path)).collect()
}

/// Whether a file stands at a path, or something that cannot be looked at now: that it is none is not known then.
fn may_be_file(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(status) => status.is_file(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

fn has_signs(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

fn expand(pattern: &Path) -> Vec<PathBuf> {
    pattern.to_str().and_then(|pattern| glob::glob(pattern).ok()).into_iter().flatten().flatten().collect()
}

/// The directory that holds a path: a bare name is where the process stands.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The files that a pattern stands for now, ascending.
pub(crate) fn matching(pattern: &str) -> Vec<PathBuf> {
    let mut paths = expand_once(pattern, &mut BTreeMap::new());
    paths.sort_unstable();
    paths
}

/// The files that a source reads now, ascending.
pub(crate) fn present(files: &Files) -> Vec<PathBuf> {
    let mut listing = Listing::default();
    listing.refresh(files, Duration::ZERO);
    listing.paths
}

/// The directories whose events hint at changes of an input: those that its patterns depend on, and those of links' targets.
pub(crate) fn watched(input: &Input) -> BTreeSet<PathBuf> {
    let Input::Files(files) = input else { return BTreeSet::new() };
    let mut listing = Listing::default();
    listing.refresh(files, Duration::ZERO);
    let targets = listing.paths.iter().filter_map(|path| std::fs::canonicalize(path).ok());
    let targets: Vec<PathBuf> = targets.map(|target| directory_of(&target).to_owned()).collect();
    listing.directories().cloned().chain(targets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_again_only_where_a_directory_changed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        std::fs::create_dir_all(at("a/x")).unwrap();
        std::fs::write(at("a/x/1.log"), "").unwrap();
        let files =
            Files { paths: vec![text("a/*/*.log"), text("b.log"), text("c")], exclude: vec![text("a/*/not.log")] };
        let mut listing = Listing::default();
        let mut seconds = 0;
        let mut refresh = |listing: &mut Listing| {
            seconds += 1;
            listing.refresh(&files, Duration::from_secs(seconds))
        };
        assert!(refresh(&mut listing) && listing.paths == [at("a/x/1.log")]);
        while refresh(&mut listing) {}
        std::fs::create_dir_all(at("a/y")).unwrap();
        assert!(refresh(&mut listing));
        for name in ["a/y/2.log", "a/y/not.log", "b.log"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::fs::create_dir(at("c")).unwrap();
        std::fs::write(at("c/.hidden"), "").unwrap();
        assert!(refresh(&mut listing));
        assert_eq!(listing.paths, [at("a/x/1.log"), at("a/y/2.log"), at("b.log")]);
        while refresh(&mut listing) {}
        std::fs::write(at("c/3"), "").unwrap();
        assert!(refresh(&mut listing));
        assert_eq!(listing.paths.last(), Some(&at("c/3")));
        while refresh(&mut listing) {}
        std::fs::write(at("a/x/1.log"), "grown").unwrap();
        assert!(!refresh(&mut listing));
        assert!((0..60).any(|_| refresh(&mut listing)), "once a minute whatever the directories show");
    }
}
