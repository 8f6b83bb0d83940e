//! Whether the state directory is ours, of this version, and to be written.

use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Check, Host, Observation, Setup, shell};
use crate::state::{self, Disk, Kept, Reset, Store};

/// How long a state may stand still before it is said.
const OLD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The slots of a directory, to be looked at only.
struct Look(PathBuf);

impl Disk for Look {
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>> {
        match std::fs::read(state::slot_path(&self.0, slot)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }

    fn write(&mut self, _: usize, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self, _: usize) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Looks at the state directory without taking possession of it.
pub(super) fn check(setup: &Setup, host: &Host) -> Vec<Observation> {
    let Some(directory) = &setup.state else {
        let mend = "name a state directory, else a restart begins at zero and misses what is written meanwhile";
        return vec![Observation::note(Check::State, "", "no state is kept", mend)];
    };
    let about = directory.display();
    let mut seen = Vec::new();
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    if accessat(CWD, there, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() || !there.is_dir() {
        let saw = format!("{} cannot be written by the user {}", there.display(), host.reader.user);
        let user = host.reader.user;
        let mend =
            format!("install -d -m 0750 -o {user} {}, or StateDirectory=twdiag in the unit", shell(about.to_string()));
        seen.push(Observation::mend(Check::State, about.to_string(), saw, mend));
    }
    if let Ok(resolved) = std::fs::canonicalize(there)
        && let Some(mount) = host.mounts.holding(&resolved).filter(|mount| mount.is_network() || mount.kind == "tmpfs")
    {
        let saw = format!("is on {} ({})", mount.kind, mount.point.display());
        seen.push(if mount.is_network() {
            Observation::mend(
                Check::State,
                about.to_string(),
                saw,
                "keep state on a disk of this machine: commits wait for the network, and locks may not hold",
            )
        } else {
            Observation::note(
                Check::State,
                about.to_string(),
                saw,
                "a restart of the machine begins at zero: keep state on a disk to outlive it",
            )
        });
    }
    let mut last: Option<Timestamp> = None;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path().display().to_string();
        match state::kept(&name) {
            Kept::Slot => {
                let written = entry.metadata().and_then(|status| status.modified()).ok();
                last = last.max(written.and_then(|time| Timestamp::try_from(time).ok()));
            }
            Kept::Lock => {}
            Kept::OtherVersion(version) => seen.push(Observation::mend(
                Check::State,
                path,
                format!(
                    "was left by a twdiag of the state version {version}, which this one ({}) does not read",
                    state::VERSION
                ),
                "run that twdiag, or remove the file: counts begin at zero beside it",
            )),
            Kept::Foreign => seen.push(Observation::note(
                Check::State,
                path,
                "is not a file of twdiag",
                "give twdiag a directory of its own",
            )),
        }
    }
    let (_, loaded) = Store::open(Box::new(Look(directory.clone())), &state::boot());
    if loaded.reset == Some(Reset::Damaged) {
        let mend = "check the disk; the next start goes on from the older offsets and begins all counts at zero";
        seen.push(Observation::mend(
            Check::State,
            about.to_string(),
            "a generation does not have the checksum that it was written with",
            mend,
        ));
    }
    for source in &loaded.state.sources {
        if setup.sources.iter().all(|configured| configured.name != *source) {
            let saw = format!("holds the source {source:?}, which is not configured");
            seen.push(Observation::note(
                Check::State,
                about.to_string(),
                saw,
                format!("twdiag state forget {}, if it is gone for good", shell(source)),
            ));
        }
    }
    if let Some(age) = last.map(|last| host.now.timestamp().duration_since(last)).filter(|age| *age > OLD) {
        let saw = format!("was last written {} days ago", age.as_hours() / 24);
        seen.push(Observation::note(
            Check::State,
            about.to_string(),
            saw,
            "what rotated away since then and is gone was not counted",
        ));
    }
    if seen.is_empty() {
        let saw = match last {
            Some(last) => format!("of this version, last written {}", last.strftime("%Y-%m-%dT%H:%M:%SZ")),
            None => "empty: the first start makes it".to_owned(),
        };
        seen.push(Observation::fine(Check::State, about.to_string(), saw));
    }
    seen
}
