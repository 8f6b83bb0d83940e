//! What a pattern stands for now.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Input;

/// The files that a pattern stands for, by path. A path that exists stands for itself, whatever signs it holds.
pub(crate) fn matching(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let visible = |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(visible).filter(|path| path.is_file()).collect()
    } else if std::fs::symlink_metadata(path).is_ok() {
        vec![path.to_owned()]
    } else {
        glob::glob(pattern).into_iter().flatten().flatten().filter(|path| path.is_file()).collect()
    };
    paths.sort();
    paths
}

/// The directories whose events hint at changes of an input: its own, and that of a link's target.
pub(crate) fn watched(input: &Input) -> BTreeSet<PathBuf> {
    let Input::Pattern(pattern) = input else { return BTreeSet::new() };
    let path = Path::new(pattern);
    let mut directories = BTreeSet::new();
    if path.is_dir() {
        directories.insert(path.to_owned());
    }
    for file in matching(pattern).into_iter().chain([path.to_owned()]) {
        let resolved = std::fs::canonicalize(&file).ok();
        for file in [Some(file), resolved].into_iter().flatten() {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if parent.is_dir() {
                directories.insert(parent.to_owned());
            }
        }
    }
    directories
}
