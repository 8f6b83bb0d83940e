//! What a pattern stands for now, and what mounts hide.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Input;

/// The files that a pattern stands for, by path. A path that exists stands for itself, whatever signs it holds.
pub(super) fn matching(pattern: &str) -> Vec<PathBuf> {
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
pub(super) fn watched(input: &Input) -> BTreeSet<PathBuf> {
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

/// Whether a path is a mount of its own: a single file that was mounted shows the same file for ever.
pub(super) fn is_mount(path: &Path, mounts: &str) -> bool {
    mounts
        .lines()
        .filter_map(|mount| mount.split(' ').nth(4))
        .any(|point| unescaped(point) == path.as_os_str().as_encoded_bytes())
}

/// A mount point as the mount table writes it, with octal escapes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            let digits = [bytes.next(), bytes.next(), bytes.next()].map(|digit| digit.unwrap_or(b'0') & 7);
            out.push(digits[0] << 6 | digits[1] << 3 | digits[2]);
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_mounted_file() {
        let mounts = "36 35 98:0 / / rw - ext4 /dev/vda rw\n37 36 98:0 /x /logs/a\\040b.log rw - ext4 /dev/vda rw\n";
        assert!(is_mount(Path::new("/logs/a b.log"), mounts));
        assert!(!is_mount(Path::new("/logs/a"), mounts) && !is_mount(Path::new("/logs"), mounts));
    }
}
