//! The directory of the state file: it belongs to one process at a time, and may go and come back.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Disk, Identity, SLOTS, StateError, VERSION};

/// Who may read the state: it may hold match lines that are not delivered yet.
const MODE: u32 = 0o600;

/// The slots as files of a directory that belongs to one process at a time.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held locked for as long as this lives.
    lock: Option<File>,
    slots: [Option<File>; SLOTS],
}

impl Directory {
    /// Takes possession of a directory. One that cannot be made or written to now is tried again at every commit.
    ///
    /// # Errors
    /// Another process has it.
    pub fn open(path: &Path) -> Result<Directory, StateError> {
        let mut directory = Directory { path: path.to_owned(), lock: None, slots: [const { None }; SLOTS] };
        match directory.lock() {
            Err(Unlocked::Taken(pid)) => return Err(StateError::Locked { directory: path.to_owned(), pid }),
            Err(Unlocked::Io(error)) => {
                tracing::error!(directory = %path.display(), %error, "state cannot be kept: counting goes on without, and writing is tried again");
            }
            Ok(()) => directory.name_newer(),
        }
        Ok(directory)
    }

    /// Says so where a newer twdiag left its state.
    fn name_newer(&self) {
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if matches!(kept(&entry.file_name().to_string_lossy()), Kept::OtherVersion(version) if version > VERSION) {
                tracing::warn!(file = %entry.path().display(), "left by a newer twdiag: starting afresh beside it");
                return;
            }
        }
    }

    fn lock(&mut self) -> Result<(), Unlocked> {
        std::fs::create_dir_all(&self.path)?;
        let mut options = OpenOptions::new();
        let mut lock =
            options.read(true).write(true).create(true).truncate(false).mode(MODE).open(self.path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid)?;
                return Err(Unlocked::Taken(pid.trim().to_owned()));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        self.lock = Some(lock);
        Ok(())
    }

    /// Lets go of a directory that was removed or replaced: what is open there is written for nobody.
    fn check_is_there(&mut self) -> bool {
        let identity = |status: io::Result<std::fs::Metadata>| status.ok().map(|status| Identity::of(&status));
        let held = self.lock.as_ref().and_then(|lock| identity(lock.metadata()));
        let is_there = held.is_some() && held == identity(std::fs::metadata(self.path.join("lock")));
        if !is_there {
            self.slots = [const { None }; SLOTS];
            self.lock = None;
        }
        is_there
    }

    fn slot(&mut self, slot: usize) -> io::Result<&File> {
        if self.lock.is_none() {
            self.lock().map_err(|unlocked| match unlocked {
                Unlocked::Taken(pid) => io::Error::other(format!("the directory is in use by the process {pid}")),
                Unlocked::Io(error) => error,
            })?;
        }
        if self.slots[slot].is_none() {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE)
                .open(slot_path(&self.path, slot))?;
            self.slots[slot] = Some(file);
        }
        self.slots[slot].as_ref().ok_or_else(|| io::Error::other("the slot was opened above"))
    }
}

/// Where a slot is kept.
pub(crate) fn slot_path(directory: &Path, slot: usize) -> PathBuf {
    directory.join(format!("state.v{VERSION}.{slot}"))
}

/// What a file of a state directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A generation of this version.
    Slot,
    /// The mark of the process that has the directory.
    Lock,
    /// A generation of another version.
    OtherVersion(u32),
    /// Not ours.
    Foreign,
}

/// What a file of this name is.
pub(crate) fn kept(name: &str) -> Kept {
    let version = name.strip_prefix("state.v").and_then(|rest| rest.split('.').next()?.parse().ok());
    match version {
        Some(VERSION) => Kept::Slot,
        Some(version) => Kept::OtherVersion(version),
        None if name == "lock" => Kept::Lock,
        None => Kept::Foreign,
    }
}

/// Why a directory is not this process's.
enum Unlocked {
    Taken(String),
    Io(io::Error),
}

impl From<io::Error> for Unlocked {
    fn from(error: io::Error) -> Unlocked {
        Unlocked::Io(error)
    }
}

impl Disk for Directory {
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>> {
        match std::fs::read(slot_path(&self.path, slot)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            read => read,
        }
    }

    fn write(&mut self, slot: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.slot(slot).and_then(|file| file.write_all_at(bytes, offset));
        if written.is_err() {
            self.check_is_there();
        }
        written
    }

    fn sync(&mut self, slot: usize) -> io::Result<()> {
        self.slot(slot)?.sync_data()?;
        if !self.check_is_there() {
            return Err(io::Error::other("the state directory was removed or replaced"));
        }
        File::open(&self.path)?.sync_data()
    }
}
