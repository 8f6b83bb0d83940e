//! Reads logrotate's configuration: which files it rotates, how it makes the next one, and where that is said.

use std::path::{Path, PathBuf};

use super::Host;

/// Where logrotate is told what to do.
const CONFIGURATION: &str = "/etc/logrotate.conf";

/// How deep files may include others.
const DEPTH: usize = 8;

/// Endings of files in a directory that logrotate leaves out.
const TABOO: [&str; 10] =
    [",v", ".cfsaved", ".disabled", ".dpkg-dist", ".dpkg-old", ".dpkg-new", ".rpmorig", ".rpmsave", ".swp", "~"];

/// How files of some names are rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    /// Paths and globs.
    pub(super) patterns: Vec<String>,
    /// Where copying and truncating is asked for, where it is.
    pub(super) copytruncate: Option<Place>,
    /// How the next file is made.
    pub(super) create: Create,
    /// Where the rotation is described.
    pub(super) place: Place,
}

impl Rotation {
    /// Whether it rotates a file of this path.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.patterns.iter().any(|pattern| {
            let same = Path::new(pattern) == path;
            same || glob::Pattern::new(pattern).is_ok_and(|glob| {
                let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
                glob.matches_path_with(path, options)
            })
        })
    }
}

/// Where something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: PathBuf,
    line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// How the file is made that takes the place of a rotated one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Create {
    /// By the program that writes.
    ByWriter,
    /// By logrotate, with this mode, owner and group; what is not said is as it was.
    Like(Option<u32>, Option<String>, Option<String>, Place),
}

/// What holds for the rotations that follow.
#[derive(Clone)]
struct Settings {
    copytruncate: Option<Place>,
    create: Create,
}

/// What the machine's logrotate is told; nothing where there is none.
pub(super) fn read(host: &Host) -> Vec<Rotation> {
    let mut rotations = Vec::new();
    let mut settings = Settings { copytruncate: None, create: Create::ByWriter };
    read_file(Path::new(CONFIGURATION), host, &mut settings, DEPTH, &mut rotations);
    rotations
}

fn read_file(file: &Path, host: &Host, settings: &mut Settings, depth: usize, rotations: &mut Vec<Rotation>) {
    let Ok(text) = std::fs::read(host.at(file)) else { return };
    let text = String::from_utf8_lossy(&text);
    let mut own = None;
    let (mut patterns, mut in_script) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let place = Place { file: file.to_owned(), line: number + 1 };
        let line = line.trim();
        let word = line.split_whitespace().next().unwrap_or_default();
        match word {
            _ if in_script => in_script = word != "endscript",
            "" => {}
            _ if line.starts_with('#') => {}
            "prerotate" | "postrotate" | "firstaction" | "lastaction" | "preremove" => in_script = true,
            "include" if own.is_none() && depth > 0 => {
                let target = line.strip_prefix("include").unwrap_or_default().trim().trim_matches('"');
                for file in included(Path::new(target), host) {
                    read_file(&file, host, settings, depth - 1, rotations);
                }
            }
            _ if own.is_none() && (!patterns.is_empty() || word.starts_with(['/', '"', '\'', '{'])) => {
                let (names, rest) = line.split_once('{').map_or((line, None), |(names, rest)| (names, Some(rest)));
                patterns.extend(split(names));
                if let Some(rest) = rest {
                    let mut inner = settings.clone();
                    rest.trim_end_matches('}').split(';').for_each(|rest| inner.take(rest, &place));
                    own = Some((std::mem::take(&mut patterns), inner, place.clone()));
                }
            }
            _ => own.as_mut().map_or(&mut *settings, |(_, inner, _)| inner).take(line.trim_end_matches('}'), &place),
        }
        if !in_script
            && line.ends_with('}')
            && let Some((patterns, inner, place)) = own.take()
        {
            let Settings { copytruncate, create } = inner;
            rotations.push(Rotation { patterns, copytruncate, create, place });
        }
    }
}

impl Settings {
    fn take(&mut self, line: &str, place: &Place) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("copytruncate") => self.copytruncate = Some(place.clone()),
            Some("nocopytruncate") => self.copytruncate = None,
            Some("nocreate") => self.create = Create::ByWriter,
            Some("create") => {
                let mode = words.clone().next().and_then(|word| u32::from_str_radix(word, 8).ok());
                if mode.is_some() {
                    words.next();
                }
                let (owner, group) = (words.next().map(str::to_owned), words.next().map(str::to_owned));
                self.create = Create::Like(mode, owner, group, place.clone());
            }
            _ => {}
        }
    }
}

/// A file, or those of a directory in the order of their names.
fn included(target: &Path, host: &Host) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(host.at(target)) else { return vec![target.to_owned()] };
    let wanted = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        !name.starts_with('.') && TABOO.iter().all(|ending| !name.ends_with(ending))
    };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| wanted(&entry.file_name()) && entry.path().is_file())
        .map(|entry| target.join(entry.file_name()))
        .collect();
    files.sort();
    files
}

/// The paths of a line, which may be quoted.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for sign in line.chars().chain([' ']) {
        match quote {
            Some(open) if sign == open => quote = None,
            None if sign == '"' || sign == '\'' => quote = Some(sign),
            None if sign.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            _ => word.push(sign),
        }
    }
    words
}
