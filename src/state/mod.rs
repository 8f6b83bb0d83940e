//! The state file: offsets and counts as one, so that a restart neither loses nor repeats.
//!
//! Three slots hold three generations. A commit goes to a slot that is neither the latest complete one nor the
//! latest synced one, body first and header last; so at every instant the latest complete generation and a synced
//! one are whole. Writing in place needs no new block on a full disk, and is a hundred times cheaper than a rename.
//!
//! Counters may never go back a little, which Prometheus would take for a reset and add whole. A generation is
//! therefore trusted with its counts only where it is certain that it is the last one that anybody saw: it was
//! written since the machine booted, or its writer stopped in good order. Else its offsets hold and all counts
//! begin at zero.

mod directory;
mod format;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::detect::Cursor;
use crate::tally::{Series, Tally};

pub use directory::Directory;
pub(crate) use directory::{Kept, kept, slot_path};
use format::{HEADER, Slot, decode, encode, write_header};

/// The version of the format. It is part of the slots' names, so that another version's stand untouched beside.
pub(crate) const VERSION: u32 = 1;

/// Generations on disk: the latest, the synced one, and the one that is being written.
const SLOTS: usize = 3;

/// What is kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which start of the machine wrote it; empty where that is unknown.
    pub boot: String,
    /// Whether it is the last word of a process that stopped in good order.
    pub clean: bool,
    /// The counts.
    pub tally: Tally,
    /// The sources whose first sight is past.
    pub sources: BTreeSet<Arc<str>>,
    /// Series that are still shown at 0, and since when.
    pub unannounced: BTreeMap<(Arc<str>, Series), Timestamp>,
    /// Counted matches that the sink had not written yet, in its own form.
    pub undelivered: Vec<u8>,
    /// The files, and how far each was judged.
    pub files: Vec<Checkpoint>,
}

impl State {
    /// The same, borrowed.
    pub fn cut(&self) -> Cut<'_> {
        Cut {
            boot: &self.boot,
            clean: self.clean,
            tally: &self.tally,
            sources: &self.sources,
            unannounced: &self.unannounced,
            undelivered: &self.undelivered,
            files: self.files.iter().collect(),
        }
    }
}

/// A [`State`] borrowed from those who hold its parts: what a commit writes.
#[derive(Debug)]
pub struct Cut<'a> {
    /// See [`State::boot`].
    pub boot: &'a str,
    /// See [`State::clean`].
    pub clean: bool,
    /// See [`State::tally`].
    pub tally: &'a Tally,
    /// See [`State::sources`].
    pub sources: &'a BTreeSet<Arc<str>>,
    /// See [`State::unannounced`].
    pub unannounced: &'a BTreeMap<(Arc<str>, Series), Timestamp>,
    /// See [`State::undelivered`].
    pub undelivered: &'a [u8],
    /// See [`State::files`].
    pub files: Vec<&'a Checkpoint>,
}

/// How far a file was judged, and by what it is known again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The source that it belongs to.
    pub source: Arc<str>,
    /// The path under which it was found.
    pub path: PathBuf,
    /// The same without symbolic links.
    pub resolved: PathBuf,
    /// Device and inode.
    pub identity: Identity,
    /// The very first of its bytes, as far as they were seen: tells a copy of a young file.
    pub start: Fingerprint,
    /// Its first bytes, as far as they were judged.
    pub head: Fingerprint,
    /// The bytes just before the offset.
    pub tail: Fingerprint,
    /// How far it was judged.
    pub cursor: Cursor,
    /// Its size when it was last looked at.
    pub size: u64,
    /// Where it stands.
    pub place: Place,
}

/// Where a file stands among the followed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// At its path.
    #[default]
    Followed,
    /// Rotated away; it may still be written to.
    Rotated,
    /// Rotated away and read to its end: only remembered, so that it is never read again.
    Finished,
}

/// What a file is, whatever its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

impl Identity {
    /// The identity of the file that has this status.
    pub fn of(status: &std::fs::Metadata) -> Identity {
        Identity { device: status.dev(), inode: status.ino() }
    }
}

/// A run of bytes, known again without being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many bytes.
    pub length: u64,
    /// FNV-1a, because it can be continued from nothing but itself.
    pub hash: u64,
}

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint { length: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.extend(bytes);
        fingerprint
    }

    /// Takes the bytes that follow.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Why state cannot be kept at all.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process keeps its state there.
    #[error("the state directory {} is in use by the process {pid}: give each twdiag a directory of its own", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The number of that process, as it wrote it.
        pid: String,
    },
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The state to go on from; empty at the very first start.
    pub state: State,
    /// Why all counts begin at zero although there was a state.
    pub reset: Option<Reset>,
}

/// Why counts begin at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reset {
    /// The machine went down before the latest state was synced.
    #[error("the machine went down without a last word of twdiag")]
    Boot,
    /// The latest generation does not have the checksum that it was written with.
    #[error("the state file is damaged")]
    Damaged,
}

/// The operations on disk that a commit is made of, so that tests can stop after each.
pub trait Disk: Send {
    /// The slot's bytes; empty where it was never written.
    ///
    /// # Errors
    /// Those of the file system.
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>>;

    /// Writes in place; what stands behind is left as it is.
    ///
    /// # Errors
    /// Those of the file system; a part may be written.
    fn write(&mut self, slot: usize, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written to the slot survive a loss of power.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync(&mut self, slot: usize) -> io::Result<()>;
}

/// The state file, open for commits.
pub struct Store {
    disk: Box<dyn Disk>,
    sequence: u64,
    latest: Option<usize>,
    synced: Option<usize>,
    /// The bytes of the next commit; kept for its allocation.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Store {
    /// Reads the latest generation that can be trusted, on a machine whose present start is named `boot`.
    ///
    /// A slot that cannot be read is as good as damaged: a state file is never a reason not to start.
    pub fn open(mut disk: Box<dyn Disk>, boot: &str) -> (Store, Loaded) {
        let slots: Vec<Slot> =
            (0..SLOTS).map(|slot| disk.read(slot).map_or(Slot::Damaged(None), |b| decode(&b))).collect();
        let sequence_of = |slot: &Slot| match slot {
            Slot::Valid(sequence, _) => Some(*sequence),
            Slot::Empty | Slot::Damaged(_) => None,
        };
        let latest = (0..SLOTS)
            .filter(|slot| sequence_of(&slots[*slot]).is_some())
            .max_by_key(|slot| sequence_of(&slots[*slot]));
        let mut sequence = latest.and_then(|slot| sequence_of(&slots[slot])).unwrap_or(0);
        // A header is written last: one that is newer than every whole generation was whole itself once.
        let damaged = slots.iter().any(|slot| match slot {
            Slot::Damaged(Some(of)) => *of > sequence,
            Slot::Damaged(None) => true,
            Slot::Empty | Slot::Valid(..) => false,
        });
        for slot in &slots {
            if let Slot::Damaged(Some(of)) = slot {
                sequence = sequence.max(*of);
            }
        }
        let state = latest.and_then(|latest| match slots.into_iter().nth(latest) {
            Some(Slot::Valid(_, state)) => Some(*state),
            _ => None,
        });
        let reset = match &state {
            _ if damaged => Some(Reset::Damaged),
            Some(state) if state.boot != boot && !state.clean => Some(Reset::Boot),
            _ => None,
        };
        let mut state = state.unwrap_or_default();
        if reset.is_some() {
            state.tally = Tally::default();
            state.unannounced.clear();
        }
        // Nothing tells which generation was synced last, and the first commit may overwrite it: now it is this one.
        let synced = latest.filter(|slot| disk.sync(*slot).is_ok());
        (Store { disk, sequence, latest, synced, buffer: Vec::new() }, Loaded { state, reset })
    }

    /// Writes a generation. It survives the death of the process, and that of the machine once it is synced.
    ///
    /// # Errors
    /// Those of the file system; the generations before are whole then.
    pub fn commit(&mut self, cut: &Cut<'_>) -> io::Result<()> {
        let slot = (0..SLOTS).find(|slot| Some(*slot) != self.latest && Some(*slot) != self.synced).unwrap_or(0);
        self.buffer.clear();
        self.buffer.resize(HEADER, 0);
        encode(cut, &mut self.buffer);
        let (header, body) = self.buffer.split_at_mut(HEADER);
        write_header(header, self.sequence + 1, body);
        self.disk.write(slot, HEADER as u64, body)?;
        self.disk.write(slot, 0, header)?;
        self.sequence += 1;
        self.latest = Some(slot);
        Ok(())
    }

    /// Makes the latest generation survive a loss of power.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(latest) = self.latest {
            self.disk.sync(latest)?;
            self.synced = Some(latest);
        }
        Ok(())
    }
}

/// Names the present start of the machine; empty where the system does not say.
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
