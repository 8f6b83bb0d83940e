//! One file: by what it is known again, and how far it was judged.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{OFlags, SeekFrom};

use super::discover::directory_of;
use crate::detect::{Cursor, Decision, Encoding, End, Scanned, Scanner};
use crate::state::{Checkpoint, Fingerprint, Identity, Place};

/// How much is read at once, in bytes; more where one line needs it.
const READ: usize = 256 << 10;

/// How much of one file is judged in one turn, in bytes, so that a large one does not hold up the others.
const TURN: u64 = 4 << 20;

/// How much of a file's beginning it is known by, in bytes.
pub(super) const HEAD: u64 = 1 << 10;

/// How much just before the offset it is known by, in bytes.
pub(super) const TAIL: usize = 64;

/// How much of its beginning tells a copy that is shorter than [`HEAD`], in bytes.
const START: u64 = 64;

/// How long a file counts as written to.
const HOT: Duration = Duration::from_secs(60);

/// How long an open record waits for its next line.
const SILENCE: Duration = Duration::from_millis(500);

/// A file, followed or remembered.
#[derive(Debug)]
pub(super) struct Followed {
    /// What is kept of it over a restart.
    pub(super) known: Checkpoint,
    /// Open while it is followed, or as long as it may still be written to.
    pub(super) file: Option<File>,
    /// The bytes just before the offset.
    tail: Vec<u8>,
    /// When it was last written to, by its status; tells that it was rewritten to the size that it had.
    modified: (i64, i64),
    /// When it was last seen to grow.
    pub(super) grown: Duration,
    /// How long nothing had been written to it when it was taken up, by its status.
    pub(super) quiet: Duration,
    /// When it was rotated away.
    pub(super) rotated: Duration,
    /// When it was last seen in a directory.
    pub(super) listed: Duration,
    /// Whether the last listing showed it; true before the first.
    pub(super) is_listed: bool,
    /// Whether it grew while it was followed.
    has_grown: bool,
    /// Whether the silence since it grew was judged.
    paused: bool,
    /// Whether it was empty and then written to: what it held in between may stand elsewhere.
    pub(super) touched: bool,
    /// Whether its status showed that there may be something to read.
    pub(super) pending: bool,
    /// Whether a turn ended before its end.
    pub(super) behind: bool,
    /// Whether it has no name left.
    pub(super) deleted: bool,
    /// Size and time of the last write when it was last found to be what it was, once it is finished.
    pub(super) finished_status: Option<(u64, i64, i64)>,
}

/// The length of a content, and its first bytes, [`HEAD`] of them at most.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) length: u64,
    bytes: Vec<u8>,
    /// That of all these bytes, which most files are compared by: taken once.
    whole: Fingerprint,
}

impl Beginning {
    pub(super) fn new(length: u64, bytes: Vec<u8>) -> Beginning {
        let whole = Fingerprint::of(&bytes);
        Beginning { length, bytes, whole }
    }

    /// That of a file.
    pub(super) fn of(file: &File, length: u64) -> io::Result<Beginning> {
        let mut bytes = vec![0; length.min(HEAD) as usize];
        let read = read_at(file, &mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Beginning::new(length, bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it has this beginning.
    pub(super) fn is(&self, known: Fingerprint) -> bool {
        if known.length == self.whole.length {
            return known == self.whole;
        }
        self.bytes.get(..known.length as usize).is_some_and(|bytes| Fingerprint::of(bytes) == known)
    }
}

/// What became of a file in one turn.
pub(super) enum Turn {
    /// As many bytes and lines were judged.
    Judged(u64, Scanned),
    /// It was emptied and may have been filled anew.
    Emptied {
        /// Whether it still has, or has again, as many bytes as were judged.
        refilled: bool,
    },
}

impl Followed {
    /// A file that is judged from `offset` on.
    pub(super) fn begin(
        path: &Path,
        source: &Arc<str>,
        file: File,
        offset: u64,
        now: Duration,
    ) -> io::Result<Followed> {
        let status = file.metadata()?;
        let known = Checkpoint {
            source: Arc::clone(source),
            path: path.to_owned(),
            resolved: std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            identity: Identity::of(&status),
            start: Fingerprint::default(),
            head: Fingerprint::default(),
            tail: Fingerprint::default(),
            cursor: Cursor { head: offset, offset, ..Cursor::default() },
            size: status.len(),
            place: Place::Followed,
        };
        let mut followed = Followed::restored(known, now);
        let length = offset.min(TAIL as u64);
        followed.tail.resize(length as usize, 0);
        let read = read_at(&file, &mut followed.tail, offset - length)?;
        followed.tail.truncate(read);
        followed.known.tail = Fingerprint::of(&followed.tail);
        followed.known.start = fingerprint(&file, 0, START)?;
        followed.known.head = fingerprint(&file, 0, offset.min(HEAD))?;
        followed.file = Some(file);
        Ok(followed)
    }

    /// A content without a file of its own that was judged to its end, of which these are the last bytes.
    pub(super) fn judged(path: &Path, source: &Arc<str>, content: &Beginning, tail: &[u8], now: Duration) -> Followed {
        let start = &content.bytes[..content.bytes.len().min(START as usize)];
        let known = Checkpoint {
            source: Arc::clone(source),
            path: path.to_owned(),
            resolved: path.to_owned(),
            start: Fingerprint::of(start),
            head: content.whole,
            tail: Fingerprint::of(tail),
            cursor: Cursor { head: content.length, offset: content.length, ..Cursor::default() },
            ..Checkpoint::default()
        };
        Followed::restored(known, now)
    }

    /// A file from the state, not looked at yet.
    pub(super) fn restored(known: Checkpoint, now: Duration) -> Followed {
        Followed {
            known,
            file: None,
            tail: Vec::new(),
            modified: (0, 0),
            grown: now,
            quiet: Duration::ZERO,
            rotated: now,
            listed: now,
            is_listed: true,
            has_grown: false,
            paused: false,
            touched: false,
            pending: true,
            behind: false,
            deleted: false,
            finished_status: None,
        }
    }

    /// Bytes that are not judged yet.
    pub(super) fn lag(&self) -> u64 {
        self.known.size.saturating_sub(self.known.cursor.offset)
    }

    /// Whether it holds something, and nothing of it was judged.
    pub(super) fn is_unjudged(&self) -> bool {
        self.known.cursor.offset == 0 && self.lag() > 0
    }

    /// Whether a file holds, where this one was judged, what was judged.
    pub(super) fn matches(&self, file: &File) -> io::Result<bool> {
        Ok(self.tail_in(file)?.is_some())
    }

    /// The bytes before the offset in a file that holds what was judged; `None` in another.
    fn tail_in(&self, file: &File) -> io::Result<Option<Vec<u8>>> {
        let Checkpoint { start, head, tail, cursor: Cursor { offset, .. }, .. } = &self.known;
        let length = tail.length.min(*offset).min(TAIL as u64);
        let mut bytes = vec![0; length as usize];
        let read = read_at(file, &mut bytes, offset - length)?;
        bytes.truncate(read);
        let is_same = file.metadata()?.len() >= *offset
            && Fingerprint::of(&bytes) == *tail
            && fingerprint(file, 0, start.length)? == *start
            && fingerprint(file, 0, head.length)? == *head;
        Ok(is_same.then_some(bytes))
    }

    /// Whether a content holds a beginning of this one, and nothing beyond what was judged or can still be read here.
    pub(super) fn begins_with(&self, content: &Beginning) -> io::Result<bool> {
        let Checkpoint { start, head, cursor, .. } = &self.known;
        if let Some(own) = &self.file {
            let length = content.bytes.len() as u64;
            let is_within = content.length > 0 && content.length <= own.metadata()?.len();
            if is_within && content.is(fingerprint(own, 0, length)?) {
                return Ok(true);
            }
            // It may have been emptied since it was judged.
        }
        let known = if content.length >= head.length { head } else { start };
        Ok(known.length > 0 && content.length <= cursor.offset && content.is(*known))
    }

    /// Whether a content begins as this one did as far as it was judged, of which something was.
    pub(super) fn has_head(&self, content: &Beginning) -> bool {
        self.known.head.length > 0 && content.is(self.known.head)
    }

    /// Reads on in a file where that holds what was judged, and says whether it does.
    ///
    /// What this one is known by stays what it was: the file may be emptied and filled anew at every instant, and a
    /// second look at it would take the new content for what was judged.
    pub(super) fn take_up(&mut self, file: File) -> io::Result<bool> {
        let Some(tail) = self.tail_in(&file)? else { return Ok(false) };
        self.known.identity = Identity::of(&file.metadata()?);
        (self.file, self.tail) = (Some(file), tail);
        (self.modified, self.paused, self.pending) = ((0, 0), false, true);
        Ok(true)
    }

    /// Closes it, for as long as nothing is written to it.
    pub(super) fn close_if_open(&mut self) {
        if self.file.take().is_some() {
            self.tail = Vec::new();
        }
    }

    /// Begins again at the beginning of a file that was emptied.
    pub(super) fn restart(&mut self) {
        self.known.cursor = Cursor::default();
        let none = Fingerprint::default();
        (self.known.start, self.known.head, self.known.tail) = (none, none, none);
        self.known.size = 0;
        self.tail.clear();
        (self.modified, self.paused, self.behind, self.pending) = ((0, 0), false, false, true);
    }

    /// Whether it is written to, or ends in a record that is still open: worth a look more often than others.
    pub(super) fn is_hot(&self, now: Duration) -> bool {
        let is_waiting = !self.paused && !self.known.cursor.open.is_empty();
        self.file.is_some() && (is_waiting || (self.has_grown && now < self.grown + HOT))
    }

    /// Whether its status says that there may be something to read.
    pub(super) fn is_changed(&self, status: &Metadata) -> bool {
        status.len() != self.known.size || (status.mtime(), status.mtime_nsec()) != self.modified
    }

    /// Whether it is there still, in a directory that is not: it is read on where it is until that is back.
    pub(super) fn is_out_of_sight(&self) -> bool {
        let is_gone = |path: &Path| !directory_of(path).is_dir();
        let is_there = |file: &File| file.metadata().is_ok_and(|status| status.nlink() > 0);
        self.file.as_ref().is_some_and(is_there) && (is_gone(&self.known.path) || is_gone(&self.known.resolved))
    }

    /// Judges what was written since the last turn, at most about `limit` bytes.
    pub(super) fn read(
        &mut self,
        now: Duration,
        limit: u64,
        scanner: &mut Scanner,
        block: &mut Vec<u8>,
        on: &mut impl FnMut(Decision<'_>),
    ) -> io::Result<Turn> {
        let mut judged = (0, Scanned::default());
        let Some(file) = &self.file else { return Ok(Turn::Judged(0, judged.1)) };
        let status = file.metadata()?;
        let size = status.len();
        self.pending = false;
        self.deleted = status.nlink() == 0;
        let cursor = &mut self.known.cursor;
        // Where nothing was judged, only a size tells.
        if size < cursor.offset || (cursor.offset == 0 && size < self.known.size) {
            return Ok(Turn::Emptied { refilled: false });
        }
        let is_changed = size != self.known.size || (status.mtime(), status.mtime_nsec()) != self.modified;
        let is_silence = !self.paused && !cursor.open.is_empty() && !is_changed && now >= self.grown + SILENCE;
        if !is_changed && !self.behind && !is_silence {
            return Ok(Turn::Judged(0, judged.1));
        }
        let is_first = self.modified == (0, 0);
        self.touched = is_changed && self.known.size == 0 && cursor.offset == 0 && !is_first;
        if is_changed {
            (self.grown, self.paused) = (now, false);
            if !is_first {
                (self.has_grown, self.quiet) = (true, Duration::ZERO);
            }
            // What stands before the offset is checked with every block; a writer of lines that end alike, emptied
            // and filled again to the same length, shows at the beginning.
            let (start, head) = (self.known.start, self.known.head);
            let longer = if start.length > head.length { start } else { head };
            if fingerprint(file, 0, longer.length)? != longer {
                return Ok(Turn::Emptied { refilled: true });
            }
        }
        self.behind = true;
        let encoding = encoding_of(file, scanner)?;
        if cursor.offset == 0 && size > 0 {
            let start = data_start(file, size, block)?;
            let start = start - start % encoding.unit();
            *cursor = Cursor { head: start, offset: start, ..Cursor::default() };
            self.known.head = Fingerprint::of(&[0; HEAD as usize][..start.min(HEAD) as usize]);
        }
        let mut want = READ;
        while judged.0 < TURN.min(limit) {
            let before = cursor.offset;
            let start = cursor.head.min(before - self.tail.len() as u64);
            let held = (before - start) as usize;
            let available = usize::try_from(size - start).unwrap_or(usize::MAX);
            block.resize(available.min(held + want), 0);
            let read = read_at(file, block, start)?;
            block.truncate(read);
            if read < held || block[held - self.tail.len()..held] != self.tail {
                if judged.0 == 0 {
                    return Ok(Turn::Emptied { refilled: true });
                }
                // The next turn finds out; what was judged in this one is to be counted.
                break;
            }
            if start == 0 && self.known.start.length < START {
                self.known.start = Fingerprint::of(&block[..read.min(START as usize)]);
            }
            let at_end = start + read as u64 >= size;
            let end = if at_end && is_silence { End::Pause } else { End::More };
            let scanned = scanner.scan_as(encoding, &block[(cursor.head - start) as usize..], cursor, end, on);
            let fresh = &block[held..(cursor.offset - start) as usize];
            learn((&mut self.known.head, &mut self.known.tail, &mut self.tail), before, fresh);
            judged.0 += cursor.offset - before;
            judged.1.lines += scanned.lines;
            judged.1.truncated_lines += scanned.truncated_lines;
            if at_end || read == 0 {
                self.modified = (status.mtime(), status.mtime_nsec());
                self.paused |= is_silence;
                self.behind = false;
                break;
            }
            // A block in which nothing ended must grow to hold the line.
            want = if cursor.offset == before { (want * 2).min(scanner.block_need(encoding)) } else { READ };
        }
        self.known.size = size;
        Ok(Turn::Judged(judged.0, judged.1))
    }

    /// Judges what is left of a file to which nothing more is written: its last line is complete as it is.
    pub(super) fn end(
        &mut self,
        scanner: &mut Scanner,
        block: &mut Vec<u8>,
        on: &mut impl FnMut(Decision<'_>),
    ) -> io::Result<(u64, Scanned)> {
        let Some(file) = &self.file else { return Ok((0, Scanned::default())) };
        let (before, start) = (self.known.cursor.offset, self.known.cursor.head);
        let left = self.known.size.saturating_sub(start);
        let encoding = encoding_of(file, scanner)?;
        let need = scanner.block_need(encoding);
        block.resize(usize::try_from(left).unwrap_or(need).min(need), 0);
        let read = read_at(file, block, start)?;
        block.truncate(read);
        if start + read as u64 <= before {
            return Ok((0, Scanned::default()));
        }
        let scanned = scanner.scan_as(encoding, block, &mut self.known.cursor, End::Input, on);
        let fresh = &block[(before - start) as usize..(self.known.cursor.offset - start) as usize];
        learn((&mut self.known.head, &mut self.known.tail, &mut self.tail), before, fresh);
        Ok((self.known.cursor.offset - before, scanned))
    }
}

/// Takes what was judged from an offset on into what a file is known by: its head, and its tail with the bytes of that.
fn learn((head, tail, bytes): (&mut Fingerprint, &mut Fingerprint, &mut Vec<u8>), before: u64, fresh: &[u8]) {
    if head.length == before && before < HEAD {
        head.extend(&fresh[..fresh.len().min((HEAD - before) as usize)]);
    }
    bytes.extend_from_slice(&fresh[fresh.len().saturating_sub(TAIL)..]);
    bytes.drain(..bytes.len().saturating_sub(TAIL));
    *tail = Fingerprint::of(bytes);
}

/// Opens a file for reading, without waiting where it is a pipe that nobody writes to.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Opens a file that was seen at a path, where that has not moved on meanwhile.
pub(super) fn open_same(path: &Path, identity: Identity) -> io::Result<File> {
    let file = open(path)?;
    if Identity::of(&file.metadata()?) == identity {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "another file stands there by now"))
}

/// How a file's bytes become text; read anew each time, so that nothing needs to be kept of it.
pub(super) fn encoding_of(file: &File, scanner: &Scanner) -> io::Result<Encoding> {
    let configured = scanner.reading().encoding;
    if configured != Encoding::Auto {
        return Ok(configured);
    }
    let mut start = [0; 2];
    let read = read_at(file, &mut start, 0)?;
    Ok(configured.of(&start[..read]))
}

/// Where the first byte stands that is not NUL: a writer that does not append leaves a hole where a file was emptied.
fn data_start(file: &File, size: u64, block: &mut Vec<u8>) -> io::Result<u64> {
    let mut first = [1];
    if read_at(file, &mut first, 0)? == 0 || first != [0] {
        return Ok(0);
    }
    // A file system that knows no holes says so, or that all is data.
    let mut start = rustix::fs::seek(file, SeekFrom::Data(0)).unwrap_or(0).min(size);
    while start < size {
        block.resize(usize::try_from(size - start).unwrap_or(READ).min(READ), 0);
        let read = read_at(file, block, start)?;
        match block[..read].iter().position(|byte| *byte != 0) {
            Some(position) => return Ok(start + position as u64),
            None if read == 0 => break,
            None => start += read as u64,
        }
    }
    Ok(start)
}

/// The fingerprint of a run of a file's bytes; shorter where the file is.
pub(super) fn fingerprint(file: &File, offset: u64, length: u64) -> io::Result<Fingerprint> {
    let mut bytes = vec![0; length.min(HEAD) as usize];
    let read = read_at(file, &mut bytes, offset)?;
    Ok(Fingerprint::of(&bytes[..read]))
}

/// Fills the buffer from an offset as far as the file goes.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_a_file_is_known_by_outlives_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let old = "one line of the old content\n".repeat(100);
        let (less, more) = ("and one of the new\n".repeat(5), "and one of the new\n".repeat(200));
        write(&old);
        let end = old.len() as u64;
        let begun = Followed::begin(&path, &"app".into(), open(&path).unwrap(), end, Duration::ZERO).unwrap();
        let restored = || Followed::restored(begun.known.clone(), Duration::ZERO);
        assert!(restored().take_up(open(&path).unwrap()).unwrap());
        // Emptied between any two steps, and filled to less or more than before: never taken for what it was, and
        // what it was is still known.
        for content in ["", &less, &more] {
            write(&old);
            let mut file = restored();
            assert!(file.take_up(open(&path).unwrap()).unwrap());
            write(content);
            assert_eq!(file.known, begun.known, "{}", content.len());
            let opened = open(&path).unwrap();
            assert!(!file.matches(&opened).unwrap() && !restored().take_up(opened).unwrap(), "{}", content.len());
            // A copy of it is a copy, although it no longer holds what it held.
            let copied = directory.path().join("copy");
            File::create(&copied).unwrap().write_all(old.as_bytes()).unwrap();
            let copy = open(&copied).unwrap();
            assert!(file.begins_with(&Beginning::of(&copy, end).unwrap()).unwrap(), "{}", content.len());
            assert!(restored().take_up(copy).unwrap(), "{}", content.len());
        }
    }
}
