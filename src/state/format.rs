//! The bytes of a generation: a header that is written last, and a body of varying-length numbers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Checkpoint, Cut, Fingerprint, Identity, Place, State, VERSION};
use crate::detect::{Cursor, OpenRecord};
use crate::record::Code;
use crate::tally::{Errors, Label, Rotation, Series, SourceTally};

/// Bytes before the body: magic, version, sequence, length, checksum of the body, checksum of the header.
pub(super) const HEADER: usize = 36;

const MAGIC: &[u8; 8] = b"twdiag\0s";

/// What a slot holds.
pub(super) enum Slot {
    /// It was never written.
    Empty,
    /// A whole generation.
    Valid(u64, Box<State>),
    /// Not what its checksum says; the sequence that its header names, where that is whole.
    Damaged(Option<u64>),
}

pub(super) fn write_header(header: &mut [u8], sequence: u64, body: &[u8]) {
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
    let (sequence, length, body, own) = (header.fixed()?, header.fixed()?, header.u32()?, header.u32()?);
    (known && own == crc32fast::hash(bytes.get(..32)?)).then_some((sequence, usize::try_from(length).ok()?, body))
}

pub(super) fn decode(bytes: &[u8]) -> Slot {
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

pub(super) fn encode(state: &Cut<'_>, out: &mut Vec<u8>) {
    let mut out = Writer(out);
    out.bytes(state.boot.as_bytes());
    out.u64(u64::from(state.clean));
    out.u64(state.sources.len() as u64);
    for source in state.sources {
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
    for ((source, series), since) in state.unannounced {
        out.bytes(source.as_bytes());
        out.series(series);
        out.time(*since);
    }
    out.bytes(state.undelivered);
    out.u64(state.files.len() as u64);
    for file in &state.files {
        out.checkpoint(file);
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
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
        // Mostly the same, which is not written twice.
        let is_other = file.resolved != file.path;
        self.bytes(if is_other { file.resolved.as_os_str().as_bytes() } else { b"" });
        for value in [
            file.identity.device,
            file.identity.inode,
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
        for run in [file.start, file.head, file.tail] {
            self.u64(run.length);
            self.0.extend_from_slice(&run.hash.to_le_bytes());
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
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn fixed(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn fingerprint(&mut self) -> Option<Fingerprint> {
        Some(Fingerprint { length: self.u64()?, hash: self.fixed()? })
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
        state.undelivered = self.bytes()?.to_vec();
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
        let (source, path, mut resolved) = (self.text()?.into(), self.path()?, self.path()?);
        if resolved.as_os_str().is_empty() {
            resolved.clone_from(&path);
        }
        let identity = Identity { device: self.u64()?, inode: self.u64()? };
        let size = self.u64()?;
        let place = match self.u64()? {
            0 => Place::Followed,
            1 => Place::Rotated,
            2 => Place::Finished,
            _ => return None,
        };
        let mut cursor = Cursor { head: self.u64()?, offset: self.u64()?, ..Cursor::default() };
        cursor.in_long_line = self.u64()? != 0;
        let open = self.u64()?;
        let [start, head, tail] = [self.fingerprint()?, self.fingerprint()?, self.fingerprint()?];
        for _ in 0..open {
            let mut record = OpenRecord { head: self.u64()?, settled: self.u64()?, counted: Vec::new() };
            for _ in 0..self.u64()? {
                record.counted.push(self.code()?);
            }
            cursor.open.push(record);
        }
        Some(Checkpoint { source, path, resolved, identity, start, head, tail, cursor, size, place })
    }
}
