//! What other processes hold: files that they write, and the kernel's watches.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{Check, Host, Observation};
use crate::state::Identity;
use crate::tail::{self, Source};

/// What `open` was given when the file is only read.
const READ_ONLY: u32 = 0;

/// The bits of `open` that say how a file may be used.
const ACCESS: u32 = 0o3;

/// The bit of `open` by which every write goes to the end.
const APPEND: u32 = 0o2000;

/// A process that has a file open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    /// The file.
    pub(super) file: Identity,
    /// The number of the process.
    pub(super) process: u32,
    /// The name of its program.
    pub(super) program: String,
    /// Whether every write goes to the end.
    pub(super) appends: bool,
}

/// Who writes these files, and how many processes did not let us look.
pub(super) fn writers(files: &BTreeSet<Identity>, host: &Host) -> (Vec<Writer>, usize) {
    let (mut writers, mut hidden) = (Vec::new(), 0);
    for (process, directory) in processes(host) {
        let Ok(open) = std::fs::read_dir(directory.join("fd")) else {
            // A process of the kernel, or one that ended meanwhile, writes no log.
            hidden += usize::from(std::fs::read(directory.join("cmdline")).is_ok_and(|line| !line.is_empty()));
            continue;
        };
        for entry in open.flatten() {
            // Only files have a path; asking the others for their status could wait for ever.
            let is_file = std::fs::read_link(entry.path()).is_ok_and(|target| target.is_absolute());
            let Some(status) = Some(entry.path()).filter(|_| is_file).and_then(|path| std::fs::metadata(path).ok())
            else {
                continue;
            };
            let file = Identity::of(&status);
            let flags = std::fs::read_to_string(directory.join("fdinfo").join(entry.file_name()));
            let flags = flags.ok().and_then(|text| flags_of(&text)).unwrap_or(READ_ONLY);
            if files.contains(&file) && flags & ACCESS != READ_ONLY {
                let program = std::fs::read_to_string(directory.join("comm")).unwrap_or_default().trim().to_owned();
                writers.push(Writer { file, process, program, appends: flags & APPEND != 0 });
            }
        }
    }
    (writers, hidden)
}

/// What `fdinfo` says of how a descriptor was opened.
fn flags_of(text: &str) -> Option<u32> {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

fn processes(host: &Host) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(host.at("/proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))).collect()
}

/// Whether the kernel has watches left for the directories that are followed.
pub(super) fn inotify(sources: &[Source], host: &Host) -> Observation {
    let directories: BTreeSet<PathBuf> = sources.iter().flat_map(|source| tail::watched(&source.input)).collect();
    let limit = |name: &str| -> Option<u64> {
        let path = host.at("/proc/sys/fs/inotify").join(name);
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let (watches, instances) = (limit("max_user_watches"), limit("max_user_instances"));
    let (Some(watches), Some(instances)) = (watches, instances) else {
        let saw = "the kernel names no limits: files are looked at every second, with or without events";
        return Observation::note(Check::Inotify, "", saw, "");
    };
    let (mut used, mut open) = (0, 0);
    for (_, directory) in processes(host) {
        if std::fs::metadata(&directory).is_ok_and(|status| status.uid() == host.reader.user) {
            for entry in std::fs::read_dir(directory.join("fdinfo")).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let held = text.lines().filter(|line| line.starts_with("inotify ")).count() as u64;
                used += held;
                open += u64::from(held > 0);
            }
        }
    }
    let needed = directories.len() as u64;
    let saw = format!(
        "{needed} watches needed, {used} of {watches} in use by this user; {open} of {instances} instances in use"
    );
    let mut short = Vec::new();
    if used + needed > watches {
        short.push(format!("fs.inotify.max_user_watches={}", (2 * (used + needed)).next_power_of_two()));
    }
    if open + 1 > instances {
        short.push(format!("fs.inotify.max_user_instances={}", (2 * (open + 1)).next_power_of_two()));
    }
    if short.is_empty() {
        return Observation::fine(Check::Inotify, "", saw);
    }
    let mend =
        format!("sysctl -w {} (and in /etc/sysctl.d/), else changes are seen up to a second late", short.join(" "));
    Observation::mend(Check::Inotify, "", saw, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_a_descriptor_was_opened() {
        assert_eq!(flags_of("pos:\t0\nflags:\t0102001\nmnt_id:\t29\n"), Some(0o102_001));
        assert_eq!(flags_of("pos:\t0\n"), None);
    }
}
