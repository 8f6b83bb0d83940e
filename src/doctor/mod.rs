//! Looks for what would make twdiag miss something, or the world see too much, and names the mend; it changes nothing.

mod access;
mod clock;
mod files;
mod logrotate;
mod processes;
mod reach;
mod state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use serde::Serialize;

use crate::mounts::Mounts;
use crate::tail::{self, Input, Source};

pub use access::Reader;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What is followed.
    pub sources: Vec<Source>,
    /// The directory of the state file.
    pub state: Option<PathBuf>,
    /// Where the page is served.
    pub listen: Option<SocketAddr>,
    /// Whether whoever asks for the page must show a password or a certificate.
    pub is_guarded: bool,
}

/// Where it is run.
#[derive(Clone, Debug)]
pub struct Host {
    /// The directory that stands for `/` where `/etc` and `/proc` are looked at.
    pub root: PathBuf,
    /// Who reads the files.
    pub reader: Reader,
    /// What is mounted.
    pub mounts: Mounts,
    /// The time.
    pub now: Zoned,
}

impl Host {
    /// This machine, as this process sees it, with `/etc` and `/proc` below `root`.
    pub fn below(root: &Path) -> Host {
        let reader = std::fs::read_to_string("/proc/self/status").map(|text| Reader::parse(&text)).unwrap_or_default();
        Host { root: root.to_owned(), reader, mounts: Mounts::of_this_process(), now: Zoned::now() }
    }

    /// Where an absolute path of the machine is looked at.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A file that cannot be read.
    Unreadable,
    /// A rotation that will make a file that cannot be read.
    NextRotation,
    /// A file that was mounted alone, which shows the same file for ever.
    SingleFileMount,
    /// A rotation that copies and truncates, which loses what is written in between.
    Copytruncate,
    /// A writer that does not append, which leaves holes after a truncation.
    Append,
    /// A file system that sends no events for what other machines write.
    NetworkFileSystem,
    /// The kernel's limits of watches.
    Inotify,
    /// A clock that jumped, or records that are of another time.
    Clock,
    /// A page that the world can read.
    Listen,
    /// A state that is not ours, not of this version or not to be written.
    State,
}

impl Check {
    /// The name in both formats.
    pub fn name(self) -> &'static str {
        match self {
            Check::Unreadable => "unreadable",
            Check::NextRotation => "next-rotation",
            Check::SingleFileMount => "single-file-mount",
            Check::Copytruncate => "copytruncate",
            Check::Append => "append",
            Check::NetworkFileSystem => "network-file-system",
            Check::Inotify => "inotify",
            Check::Clock => "clock",
            Check::Listen => "listen",
            Check::State => "state",
        }
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing to do.
    Fine,
    /// Worth knowing; nothing is lost by it.
    Note,
    /// Something needs doing.
    Mend,
}

/// What a check saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// What was looked for.
    pub check: Check,
    /// What it came to.
    pub verdict: Verdict,
    /// The file, directory or address that it is about; empty for the machine.
    pub about: String,
    /// What was there.
    pub saw: String,
    /// What to do, in one line; empty where nothing is.
    pub mend: String,
}

impl Observation {
    fn fine(check: Check, about: impl ToString, saw: impl Into<String>) -> Observation {
        let (about, saw) = (about.to_string(), saw.into());
        Observation { check, verdict: Verdict::Fine, about, saw, mend: String::new() }
    }

    fn note(check: Check, about: impl ToString, saw: impl Into<String>, mend: impl Into<String>) -> Observation {
        Observation { verdict: Verdict::Note, mend: mend.into(), ..Observation::fine(check, about, saw) }
    }

    fn mend(check: Check, about: impl ToString, saw: impl Into<String>, mend: impl Into<String>) -> Observation {
        Observation { verdict: Verdict::Mend, mend: mend.into(), ..Observation::fine(check, about, saw) }
    }
}

/// A word as a shell takes it, whoever named it: mends are copied into terminals.
fn shell(word: impl std::fmt::Display) -> String {
    let word = word.to_string();
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "/._-".contains(sign);
    if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A file that is there now, and will be followed.
#[derive(Clone, Debug)]
struct Present {
    /// Its absolute path as configured.
    path: PathBuf,
    /// The same without links.
    resolved: PathBuf,
}

/// Makes every check, each of which says at least what it looked at.
pub fn examine(setup: &Setup, host: &Host) -> Vec<Observation> {
    let start = clock::Reading::now();
    let patterns: Vec<&str> = setup
        .sources
        .iter()
        .flat_map(|source| match &source.input {
            Input::Files(files) => files.paths.as_slice(),
            Input::Stdin => &[],
        })
        .map(String::as_str)
        .collect();
    let mut present: Vec<Present> = Vec::new();
    for path in patterns.iter().flat_map(|pattern| tail::matching(pattern)) {
        let path = std::path::absolute(&path).unwrap_or(path);
        let resolved = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        present.push(Present { path, resolved });
    }
    let rotations = logrotate::read(host);
    let mut seen = files::unreadable(&patterns, &present, host);
    seen.extend(files::next_rotation(&patterns, &present, &rotations, host));
    seen.extend(files::single_file_mounts(&present, host));
    seen.extend(files::copytruncate(&patterns, &present, &rotations));
    seen.extend(files::append(&present, host));
    seen.extend(files::network(&patterns, &present, host));
    seen.push(processes::inotify(&setup.sources, host));
    seen.extend(clock::check(&present, setup.state.as_deref(), &start, host));
    seen.push(reach::listen(setup));
    seen.extend(state::check(setup, host));
    seen
}
