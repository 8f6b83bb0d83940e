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

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::detect::{Cursor, OpenRecord};
use crate::record::Code;
use crate::tally::{Errors, Label, Rotation, Series, SourceTally, Tally};

/// The version of the format. It is part of the slots' names, so that another version's stand untouched beside.
pub(crate) const VERSION: u32 = 1;

/// Generations on disk: the latest, the synced one, and the one that is being written.
const SLOTS: usize = 3;

/// Bytes before the body: magic, version, sequence, length, checksum of the body, checksum of the header.
const HEADER: usize = 40;

const MAGIC: &[u8; 8] = b"twdiag\0s";

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
    /// The files, and how far each was judged.
    pub files: Vec<Checkpoint>,
}

/// How far a file was judged, and by what it is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The source that it belongs to.
    pub source: Arc<str>,
    /// The path under which it was found.
    pub path: PathBuf,
    /// The same without symbolic links.
    pub resolved: PathBuf,
    /// Device and inode.
    pub identity: Identity,
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

impl Checkpoint {
    /// The place of a file that was moved elsewhere.
    pub(crate) fn nothing(source: &Arc<str>) -> Checkpoint {
        Checkpoint {
            source: Arc::clone(source),
            path: PathBuf::new(),
            resolved: PathBuf::new(),
            identity: Identity::default(),
            head: Fingerprint::default(),
            tail: Fingerprint::default(),
            cursor: Cursor::default(),
            size: 0,
            place: Place::Finished,
        }
    }
}

/// Where a file stands among the followed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At its path.
    Followed,
    /// Rotated away; it may still be written to.
    Rotated,
    /// Rotated away and read to its end: only remembered, so that it is never read again.
    Finished,
}

/// What a file is, whatever its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
    pub fn commit(&mut self, state: &State) -> io::Result<()> {
        let slot = (0..SLOTS).find(|slot| Some(*slot) != self.latest && Some(*slot) != self.synced).unwrap_or(0);
        self.buffer.clear();
        self.buffer.resize(HEADER, 0);
        encode(state, &mut self.buffer);
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
        let mut lock = options.read(true).write(true).create(true).truncate(false).open(self.path.join("lock"))?;
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
            let file = options.read(true).write(true).create(true).truncate(false).open(slot_path(&self.path, slot))?;
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

/// Names the present start of the machine; empty where the system does not say.
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// What a slot holds.
enum Slot {
    /// It was never written.
    Empty,
    /// A whole generation.
    Valid(u64, Box<State>),
    /// Not what its checksum says; the sequence that its header names, where that is whole.
    Damaged(Option<u64>),
}

fn write_header(header: &mut [u8], sequence: u64, body: &[u8]) {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(body);
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&sequence.to_le_bytes());
    header[20..28].copy_from_slice(&(body.len() as u64).to_le_bytes());
    header[28..32].copy_from_slice(&checksum.finalize().to_le_bytes());
    let own = crc32fast::hash(&header[..32]);
    header[32..36].copy_from_slice(&own.to_le_bytes());
}

/// Sequence, length and checksum of the body.
fn read_header(bytes: &[u8]) -> Option<(u64, usize, u32)> {
    let mut header = Reader(bytes);
    let known = header.take(8)? == MAGIC && header.u32()? == VERSION;
    let (sequence, length, body, own) = (header.u64()?, header.u64()?, header.u32()?, header.u32()?);
    (known && own == crc32fast::hash(bytes.get(..32)?)).then_some((sequence, usize::try_from(length).ok()?, body))
}

fn decode(bytes: &[u8]) -> Slot {
    let is_blank = |header: &[u8]| header.iter().all(|byte| *byte == 0);
    // A first write that was cut short leaves a body under a hole; nobody ever saw it.
    if bytes.is_empty() || bytes.get(..HEADER).is_some_and(is_blank) {
        return Slot::Empty;
    }
    let Some((sequence, length, checksum)) = read_header(bytes) else { return Slot::Damaged(None) };
    let body = bytes.get(HEADER..).and_then(|rest| rest.get(..length)).filter(|body| crc32fast::hash(body) == checksum);
    match body.and_then(|body| Reader(body).state()) {
        Some(state) => Slot::Valid(sequence, Box::new(state)),
        None => Slot::Damaged(Some(sequence)),
    }
}

fn encode(state: &State, out: &mut Vec<u8>) {
    let mut out = Writer(out);
    out.bytes(state.boot.as_bytes());
    out.u64(u64::from(state.clean));
    out.u64(state.sources.len() as u64);
    for source in &state.sources {
        out.bytes(source.as_bytes());
    }
    out.u64(state.tally.sources.len() as u64);
    for (name, source) in &state.tally.sources {
        out.bytes(name.as_bytes());
        out.u64(source.errors.len() as u64);
        for (series, errors) in &source.errors {
            out.series(series);
            out.u64(errors.total);
            out.u64(u64::from(errors.last_seen.is_some()));
            out.time(errors.last_seen.unwrap_or_default());
        }
        for count in
            [source.read_bytes, source.read_lines, source.lost_bytes, source.truncated_lines, source.read_errors]
        {
            out.u64(count);
        }
        out.u64(source.rotations.len() as u64);
        for (kind, count) in Rotation::ALL.into_iter().zip(source.rotations) {
            out.bytes(kind.name().as_bytes());
            out.u64(count);
        }
    }
    out.u64(state.tally.rejected.len() as u64);
    for (rule, count) in &state.tally.rejected {
        out.bytes(rule.as_bytes());
        out.u64(*count);
    }
    out.u64(state.tally.uncatalogued.len() as u64);
    for code in &state.tally.uncatalogued {
        out.u64(u64::from(code.get()));
    }
    out.u64(state.unannounced.len() as u64);
    for ((source, series), since) in &state.unannounced {
        out.bytes(source.as_bytes());
        out.series(series);
        out.time(*since);
    }
    out.u64(state.files.len() as u64);
    for file in &state.files {
        out.checkpoint(file);
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn time(&mut self, time: Timestamp) {
        self.u64(time.as_second().cast_unsigned());
        self.u64(u64::from(time.subsec_nanosecond().cast_unsigned()));
    }

    fn series(&mut self, series: &Series) {
        self.bytes(series.category.name().as_bytes());
        self.u64(match series.code {
            Label::Code(code) => u64::from(code.get()),
            Label::Other => 0,
        });
    }

    fn checkpoint(&mut self, file: &Checkpoint) {
        self.bytes(file.source.as_bytes());
        self.bytes(file.path.as_os_str().as_bytes());
        self.bytes(file.resolved.as_os_str().as_bytes());
        for value in [
            file.identity.device,
            file.identity.inode,
            file.head.length,
            file.head.hash,
            file.tail.length,
            file.tail.hash,
            file.size,
            match file.place {
                Place::Followed => 0,
                Place::Rotated => 1,
                Place::Finished => 2,
            },
            file.cursor.head,
            file.cursor.offset,
            u64::from(file.cursor.in_long_line),
            file.cursor.open.len() as u64,
        ] {
            self.u64(value);
        }
        for record in &file.cursor.open {
            self.u64(record.head);
            self.u64(record.settled);
            self.u64(record.counted.len() as u64);
            for code in &record.counted {
                self.u64(u64::from(code.get()));
            }
        }
    }
}

/// Takes values off the front; `None` where they end or make no sense.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(PathBuf::from(OsStr::from_bytes(self.bytes()?)))
    }

    fn code(&mut self) -> Option<Code> {
        Code::new(u32::try_from(self.u64()?).ok()?)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (second, nanosecond) = (self.u64()?.cast_signed(), i32::try_from(self.u64()?).ok()?);
        Timestamp::new(second, nanosecond).ok()
    }

    fn series(&mut self) -> Option<Series> {
        let category = self.text()?.parse().ok()?;
        let code = match self.u64()? {
            0 => Label::Other,
            number => Label::Code(Code::new(u32::try_from(number).ok()?)?),
        };
        Some(Series { category, code })
    }

    fn state(&mut self) -> Option<State> {
        let mut state = State { boot: self.text()?.to_owned(), clean: self.u64()? != 0, ..State::default() };
        for _ in 0..self.u64()? {
            state.sources.insert(self.text()?.into());
        }
        for _ in 0..self.u64()? {
            let name = self.text()?.into();
            state.tally.sources.insert(name, self.source()?);
        }
        for _ in 0..self.u64()? {
            state.tally.rejected.insert(self.text()?.into(), self.u64()?);
        }
        for _ in 0..self.u64()? {
            state.tally.uncatalogued.insert(self.code()?);
        }
        for _ in 0..self.u64()? {
            let key = (self.text()?.into(), self.series()?);
            state.unannounced.insert(key, self.time()?);
        }
        for _ in 0..self.u64()? {
            state.files.push(self.checkpoint()?);
        }
        self.0.is_empty().then_some(state)
    }

    fn source(&mut self) -> Option<SourceTally> {
        let mut source = SourceTally::default();
        for _ in 0..self.u64()? {
            let (series, total, seen, time) = (self.series()?, self.u64()?, self.u64()? != 0, self.time()?);
            source.errors.insert(series, Errors { total, last_seen: seen.then_some(time) });
        }
        source.read_bytes = self.u64()?;
        source.read_lines = self.u64()?;
        source.lost_bytes = self.u64()?;
        source.truncated_lines = self.u64()?;
        source.read_errors = self.u64()?;
        for _ in 0..self.u64()? {
            let (name, count) = (self.text()?, self.u64()?);
            let kind = Rotation::ALL.into_iter().position(|kind| kind.name() == name)?;
            source.rotations[kind] = count;
        }
        Some(source)
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        let (source, path, resolved) = (self.text()?.into(), self.path()?, self.path()?);
        let identity = Identity { device: self.u64()?, inode: self.u64()? };
        let head = Fingerprint { length: self.u64()?, hash: self.u64()? };
        let tail = Fingerprint { length: self.u64()?, hash: self.u64()? };
        let size = self.u64()?;
        let place = match self.u64()? {
            0 => Place::Followed,
            1 => Place::Rotated,
            2 => Place::Finished,
            _ => return None,
        };
        let mut cursor = Cursor { head: self.u64()?, offset: self.u64()?, ..Cursor::default() };
        cursor.in_long_line = self.u64()? != 0;
        for _ in 0..self.u64()? {
            let mut record = OpenRecord { head: self.u64()?, settled: self.u64()?, counted: Vec::new() };
            for _ in 0..self.u64()? {
                record.counted.push(self.code()?);
            }
            cursor.open.push(record);
        }
        Some(Checkpoint { source, path, resolved, identity, head, tail, cursor, size, place })
    }
}
