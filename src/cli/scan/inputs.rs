//! The files that the arguments of a one-pass command stand for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::input::STDIN;
use crate::output::escape;

/// The inputs in their order, and what stands for none.
#[derive(Default)]
pub(super) struct Inputs {
    pub(super) found: Vec<Input>,
    /// One message for each thing that cannot be used.
    pub(super) unusable: Vec<String>,
}

/// One file, or standard input.
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// The argument that named it; `stdin` for standard input.
    pub(super) source: Arc<str>,
    /// In bytes as it is stored; 0 where that is not known.
    pub(super) size: u64,
    /// Its place among the inputs.
    pub(super) place: usize,
}

impl Input {
    /// Whether a glob matches it; standard input has no name.
    pub(super) fn is_matched(&self, glob: &glob::Pattern) -> bool {
        self.path != Path::new(STDIN) && glob.matches_path(&self.path)
    }
}

impl Inputs {
    /// Adds what an argument stands for: standard input, a file, a directory's files, or a glob's.
    pub(super) fn add(&mut self, argument: &str, recursive: bool) {
        let path = Path::new(argument);
        if argument == STDIN {
            return self.push(path.to_owned(), &"stdin".into());
        }
        let source: Arc<str> = escape(argument).into();
        if path.is_dir() {
            return self.directory(path, &source, recursive);
        }
        if path.symlink_metadata().is_ok() {
            return self.push(path.to_owned(), &source);
        }
        // As in a shell, `*` stands for no hidden file.
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let paths = match glob::glob_with(argument, options) {
            Ok(paths) => paths,
            Err(error) => return self.unusable.push(format!("{argument}: {error}; a glob has *, ?, [ab] and **")),
        };
        let before = (self.found.len(), self.unusable.len());
        for path in paths {
            match path {
                Ok(path) if path.is_dir() => {}
                Ok(path) => self.push(path, &source),
                Err(error) => self.unusable.push(error.to_string()),
            }
        }
        if before == (self.found.len(), self.unusable.len()) {
            self.unusable.push(format!("{argument}: no such file, and no file matches it as a glob"));
        }
    }

    /// Adds the files of a directory that are not hidden, by name. Links to directories are not entered.
    fn directory(&mut self, directory: &Path, source: &Arc<str>, recursive: bool) {
        let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unusable.push(format!("{}: {error}", directory.display())),
        };
        entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if path.is_file() {
                self.push(path, source);
            } else if recursive && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.directory(&path, source, recursive);
            }
        }
    }

    fn push(&mut self, path: PathBuf, source: &Arc<str>) {
        let size = path.metadata().map_or(0, |metadata| metadata.len());
        self.found.push(Input { path, source: Arc::clone(source), size, place: self.found.len() });
    }
}
