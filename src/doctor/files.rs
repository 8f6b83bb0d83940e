//! What stands in the way of reading a followed file now, after its next rotation, and whole.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::access::{Barrier, name, number};
use super::logrotate::{Create, Rotation};
use super::{Check, Host, Observation, Present, processes, shell};
use crate::state::Identity;
use crate::tail;

/// Whether the machine lets this process read a file, whatever modes, lists and capabilities say.
fn can_read(path: &Path) -> bool {
    accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS).is_ok()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Who is asked for: the reader in words.
fn reader(host: &Host) -> String {
    match host.reader.user {
        0 if host.reader.is_all_seeing => "root, who reads everything: ask as the user that will run twdiag".to_owned(),
        user => format!("{} ({user})", name(&host.at("/etc/passwd"), user)),
    }
}

/// What would let the reader pass.
fn way_past(barrier: &Barrier, host: &Host) -> String {
    let group = name(&host.at("/etc/group"), barrier.group);
    if barrier.group_helps {
        format!(
            "join the group {group}: SupplementaryGroups={group} in the unit, supplementalGroups: [{}] in a pod",
            barrier.group
        )
    } else if barrier.path.is_dir() {
        format!("chmod g+x {} and join the group {group}", shell(barrier.path.display()))
    } else {
        format!(
            "chmod g+r {} (and logrotate's `create 0640`), and join the group {group}",
            shell(barrier.path.display())
        )
    }
}

/// Files that are there and cannot be read, and places where there is nothing yet.
pub(super) fn unreadable(patterns: &[&str], present: &[Present], host: &Host) -> Vec<Observation> {
    let mut seen = Vec::new();
    for file in present.iter().filter(|file| !can_read(&file.path)) {
        let about = file.path.display();
        seen.push(match host.reader.barrier(&file.resolved) {
            Some(barrier) => {
                let (user, group) =
                    (name(&host.at("/etc/passwd"), barrier.user), name(&host.at("/etc/group"), barrier.group));
                let saw = format!(
                    "{} is {:04o} {user}:{group}; the reader is {}",
                    barrier.path.display(),
                    barrier.mode,
                    reader(host)
                );
                Observation::mend(Check::Unreadable, about, saw, way_past(&barrier, host))
            }
            None => Observation::mend(
                Check::Unreadable,
                about,
                "its mode allows reading, the kernel does not",
                "look at access lists (getfacl), SELinux or AppArmor, and at the unit's ReadOnlyPaths",
            ),
        });
    }
    for pattern in patterns.iter().filter(|pattern| tail::matching(pattern).is_empty()) {
        let is_hidden = |directory: &Path| directory.exists() && !can_read(directory);
        let above = Path::new(pattern).parent().filter(|above| is_hidden(above));
        let barrier = above.and_then(|above| host.reader.barrier(&above.join(".")));
        seen.push(match (above, barrier) {
            (Some(above), Some(barrier)) => {
                let saw = format!("{} cannot be listed by {}", above.display(), reader(host));
                Observation::mend(Check::Unreadable, pattern, saw, way_past(&barrier, host))
            }
            _ => Observation::note(
                Check::Unreadable,
                pattern,
                "nothing is there yet",
                "it is waited for: check the spelling",
            ),
        });
    }
    if seen.is_empty() {
        seen.push(Observation::fine(
            Check::Unreadable,
            "",
            format!("{} can be read by {}", counted(present.len(), "file"), reader(host)),
        ));
    }
    seen
}

/// The rotations that will take a followed path, whether a file is there or not.
fn concerned<'a>(
    patterns: &'a [&str],
    present: &'a [Present],
    rotations: &'a [Rotation],
) -> impl Iterator<Item = (&'a Path, &'a Rotation)> {
    let paths: BTreeSet<&Path> = present
        .iter()
        .flat_map(|file| [file.path.as_path(), file.resolved.as_path()])
        .chain(patterns.iter().map(Path::new))
        .collect();
    let holding =
        |path: &'a Path| rotations.iter().find(|rotation| rotation.holds(path)).map(|rotation| (path, rotation));
    paths.into_iter().filter_map(holding)
}

/// Rotations that make a file which the reader may not read, and rotated files that it may not.
pub(super) fn next_rotation(
    patterns: &[&str],
    present: &[Present],
    rotations: &[Rotation],
    host: &Host,
) -> Vec<Observation> {
    let (users, groups) = (host.at("/etc/passwd"), host.at("/etc/group"));
    let mut seen = Vec::new();
    let mut judged = 0;
    for (path, rotation) in concerned(patterns, present, rotations) {
        let Create::Like(mode, owner, group, place) = &rotation.create else { continue };
        judged += 1;
        let now = std::fs::metadata(path).ok();
        let of_now = |of: fn(&std::fs::Metadata) -> u32| now.as_ref().map(of);
        let mode = mode.or(of_now(|status| status.mode() & 0o777));
        let user = owner.as_deref().map_or_else(|| of_now(|status| status.uid()), |name| number(&users, name));
        let group = group.as_deref().map_or_else(|| of_now(|status| status.gid()), |name| number(&groups, name));
        let (Some(mode), Some(user), Some(group)) = (mode, user, group) else { continue };
        if !host.reader.may(4, mode, user, group) {
            let saw = format!(
                "{place} will create it {mode:04o} {}:{}; the reader is {}",
                name(&users, user),
                name(&groups, group),
                reader(host)
            );
            let barrier = Barrier { path: path.to_owned(), mode, user, group, group_helps: mode & 0o040 != 0 };
            let mend = if barrier.group_helps {
                way_past(&barrier, host)
            } else {
                format!("write `create 0640 {} GROUP` at {place}, with a group that twdiag is in", name(&users, user))
            };
            seen.push(Observation::mend(Check::NextRotation, path.display(), saw, mend));
        }
    }
    let mut rotated = 0;
    for file in present {
        let Some((parent, base)) = file.path.parent().zip(file.path.file_name().and_then(|base| base.to_str())) else {
            continue;
        };
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let is_rotated = entry.file_name().to_str().is_some_and(|name| tail::is_rotated_form(base, name));
            rotated += usize::from(is_rotated);
            if is_rotated && entry.path().is_file() && !can_read(&entry.path()) {
                let mend = host
                    .reader
                    .barrier(&entry.path())
                    .map_or_else(|| "look at access lists (getfacl)".to_owned(), |barrier| way_past(&barrier, host));
                let saw =
                    format!("rotated, and not to be read by {}: after a restart its rest would be lost", reader(host));
                seen.push(Observation::mend(Check::NextRotation, entry.path().display(), saw, mend));
            }
        }
    }
    if seen.is_empty() {
        let saw =
            format!("{} of logrotate and {} looked at", counted(judged, "`create`"), counted(rotated, "rotated file"));
        seen.push(Observation::fine(Check::NextRotation, "", saw));
    }
    seen
}

/// Files that were mounted one by one.
pub(super) fn single_file_mounts(present: &[Present], host: &Host) -> Vec<Observation> {
    let mounted =
        present.iter().filter(|file| host.mounts.is_point(&file.path) || host.mounts.is_point(&file.resolved));
    let mut seen: Vec<Observation> = mounted
        .map(|file| {
            let mend =
                format!("mount its directory {} instead", shell(file.path.parent().unwrap_or(&file.path).display()));
            Observation::mend(
                Check::SingleFileMount,
                file.path.display(),
                "is a mount of a single file, which shows the same file for ever: a rotation goes unseen",
                mend,
            )
        })
        .collect();
    if seen.is_empty() {
        seen.push(Observation::fine(
            Check::SingleFileMount,
            "",
            format!("{}, none of them a mount", counted(present.len(), "file")),
        ));
    }
    seen
}

/// Rotations that copy and truncate a followed file.
pub(super) fn copytruncate(patterns: &[&str], present: &[Present], rotations: &[Rotation]) -> Vec<Observation> {
    let concerned: BTreeMap<&Path, &Rotation> = concerned(patterns, present, rotations).collect();
    let truncating = concerned.iter().filter_map(|(path, rotation)| Some((path, rotation.copytruncate.as_ref()?)));
    let mut seen: Vec<Observation> = truncating
        .map(|(path, place)| {
            let saw = format!(
                "{place} says copytruncate: what is written between the copy and the truncation is lost to everyone"
            );
            let mend =
                format!("replace it at {place} with `create`, and let the writer open its log again in `postrotate`");
            Observation::mend(Check::Copytruncate, path.display(), saw, mend)
        })
        .collect();
    if seen.is_empty() {
        let saw = match concerned.values().next() {
            Some(rotation) => {
                format!("{} looked at, the first at {}", counted(concerned.len(), "rotation"), rotation.place)
            }
            None => "logrotate is not told to rotate a followed file".to_owned(),
        };
        seen.push(Observation::fine(Check::Copytruncate, "", saw));
    }
    seen
}

/// Processes that write a followed file elsewhere than at its end.
pub(super) fn append(present: &[Present], host: &Host) -> Vec<Observation> {
    let paths: BTreeMap<Identity, &Path> = present
        .iter()
        .filter_map(|file| Some((Identity::of(&std::fs::metadata(&file.path).ok()?), file.path.as_path())))
        .collect();
    let (writers, hidden) = processes::writers(&paths.keys().copied().collect(), host);
    let mut seen: Vec<Observation> = writers
        .iter()
        .filter(|writer| !writer.appends)
        .map(|writer| {
            let saw = format!(
                "process {} ({}) writes it without O_APPEND: after a truncation it writes behind a hole",
                writer.process, writer.program
            );
            Observation::mend(
                Check::Append,
                paths[&writer.file].display(),
                saw,
                "open the log for appending (>> instead of >)",
            )
        })
        .collect();
    if seen.is_empty() {
        let saw = format!("{} found, all of them append", counted(writers.len(), "writer"));
        seen.push(if hidden == 0 {
            Observation::fine(Check::Append, "", saw)
        } else {
            let saw = format!(
                "{saw}; {} of other users not looked into",
                counted(hidden, "process").replace("processs", "processes")
            );
            Observation::note(Check::Append, "", saw, "ask as root to look into them too")
        });
    }
    seen
}

/// Followed directories on file systems that other machines write.
pub(super) fn network(patterns: &[&str], present: &[Present], host: &Host) -> Vec<Observation> {
    let waited = patterns.iter().filter_map(|pattern| std::fs::canonicalize(Path::new(pattern).parent()?).ok());
    let directories: BTreeSet<_> =
        present.iter().filter_map(|file| file.resolved.parent().map(Path::to_owned)).chain(waited).collect();
    let remote = directories.iter().filter_map(|path| Some((path, host.mounts.holding(path)?)));
    let mut seen: Vec<Observation> = remote
        .filter(|(_, mount)| mount.is_network())
        .map(|(path, mount)| {
            let saw = format!(
                "is on {} ({}), which sends no events: lines are seen up to a second late",
                mount.kind,
                mount.point.display()
            );
            Observation::note(
                Check::NetworkFileSystem,
                path.display(),
                saw,
                "run twdiag on the machine that writes, if a second is too late",
            )
        })
        .collect();
    if seen.is_empty() {
        let saw = format!(
            "{} on file systems of this machine",
            counted(directories.len(), "directory").replace("directorys", "directories")
        );
        seen.push(Observation::fine(Check::NetworkFileSystem, "", saw));
    }
    seen
}
