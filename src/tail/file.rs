//! One followed file: what it is, how far it was judged, and what became of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::StartAt;
use crate::detect::{BLOCK_NEED, Cursor, Decision, End, Scanned, Scanner};
use crate::tally::Rotation;

/// How much is read at once, in bytes; more where one line needs it.
const READ: usize = 256 << 10;

/// What a file is, whatever its name: device and inode.
pub(super) type Identity = (u64, u64);

/// What became of files while they were read.
#[derive(Default)]
pub(super) struct Changes {
    /// Rotations seen.
    pub(super) rotations: Vec<Rotation>,
    /// Files that were rotated away, and how far each was judged.
    pub(super) left: Vec<(Identity, Cursor)>,
}

/// A file that is followed by its path.
pub(super) struct Followed {
    /// The source that it belongs to.
    pub(super) source: Arc<str>,
    /// Whether the last attempt to read it failed.
    pub(super) failing: bool,
    open: Option<File>,
    /// What the open file is.
    pub(super) identity: Identity,
    cursor: Cursor,
    /// Its size when it was last looked at.
    size: u64,
    start_at: StartAt,
}

impl Followed {
    /// A file that was rotated to this path from another one, and is read on from there.
    pub(super) fn resumed(path: &Path, source: Arc<str>, cursor: Cursor) -> Followed {
        let mut file = Followed::new(path, source, StartAt::Beginning);
        if file.size >= cursor.offset {
            file.cursor = cursor;
        }
        file
    }

    /// A file that was not looked at yet.
    pub(super) fn new(path: &Path, source: Arc<str>, start_at: StartAt) -> Followed {
        let mut file = Followed {
            source,
            failing: false,
            open: None,
            identity: (0, 0),
            cursor: Cursor::default(),
            size: 0,
            start_at,
        };
        // Where it cannot be opened now, reading tries again and says so.
        if let Ok(opened) = File::open(path) {
            file.adopt(opened).unwrap_or_else(|error| tracing::debug!(%error, "no status yet"));
        }
        file
    }

    /// Bytes that are not judged yet.
    pub(super) fn lag(&self) -> u64 {
        self.size.saturating_sub(self.cursor.offset)
    }

    /// Begins with a newly opened file.
    fn adopt(&mut self, opened: File) -> io::Result<()> {
        let status = opened.metadata()?;
        self.identity = (status.dev(), status.ino());
        self.size = status.len();
        // Only a file that was there at the first sight is entered at its end.
        let offset = match std::mem::replace(&mut self.start_at, StartAt::Beginning) {
            StartAt::End => status.len(),
            StartAt::Beginning => 0,
        };
        self.cursor = Cursor { head: offset, offset, ..Cursor::default() };
        self.open = Some(opened);
        Ok(())
    }

    /// Judges what was written since the last call, through rotation by rename and by truncation.
    pub(super) fn read(
        &mut self,
        path: &Path,
        end: End,
        scanner: &mut Scanner,
        block: &mut Vec<u8>,
        changes: &mut Changes,
        on: &mut impl FnMut(Decision<'_>),
    ) -> io::Result<(u64, Scanned)> {
        let mut total = (0, Scanned::default());
        if self.open.is_some() {
            self.read_open(end, scanner, block, changes, on, &mut total)?;
        }
        let at_path = match std::fs::metadata(path) {
            Ok(status) => status,
            // Renamed away and not created anew yet: the open file is still read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.open.is_some() => return Ok(total),
            Err(error) => return Err(error),
        };
        if self.open.is_none() || (at_path.dev(), at_path.ino()) != self.identity {
            let opened = File::open(path)?;
            if self.open.is_some() {
                changes.rotations.push(Rotation::Rename);
                // What was written to the old file up to the moment when the new one is open.
                self.read_open(End::Input, scanner, block, changes, on, &mut total)?;
                changes.left.push((self.identity, self.cursor.clone()));
                self.start_at = StartAt::Beginning;
            }
            self.adopt(opened)?;
            self.read_open(end, scanner, block, changes, on, &mut total)?;
        }
        Ok(total)
    }

    fn read_open(
        &mut self,
        end: End,
        scanner: &mut Scanner,
        block: &mut Vec<u8>,
        changes: &mut Changes,
        on: &mut impl FnMut(Decision<'_>),
        total: &mut (u64, Scanned),
    ) -> io::Result<()> {
        let Some(file) = &self.open else { return Ok(()) };
        let size = file.metadata()?.len();
        if size < self.cursor.offset {
            changes.rotations.push(if self.size <= self.cursor.offset {
                Rotation::Truncate
            } else {
                Rotation::TruncateUnsure
            });
            self.cursor = Cursor::default();
        }
        if size == self.size && end == End::More && size == self.cursor.offset {
            return Ok(());
        }
        self.size = size;
        let mut want = READ;
        loop {
            let before = self.cursor.offset;
            let available = usize::try_from(size - self.cursor.head).unwrap_or(usize::MAX);
            block.resize(available.min(want), 0);
            let read = read_at(file, block, self.cursor.head)?;
            block.truncate(read);
            let at_end = self.cursor.head + read as u64 >= size;
            let scanned = scanner.scan(block, &mut self.cursor, if at_end { end } else { End::More }, on);
            total.0 += self.cursor.offset - before;
            total.1.lines += scanned.lines;
            total.1.truncated_lines += scanned.truncated_lines;
            if at_end {
                return Ok(());
            }
            // A block in which nothing ended must grow to hold the line.
            want = if self.cursor.offset == before { (want * 2).min(BLOCK_NEED) } else { READ };
        }
    }
}

/// Fills the buffer from an offset as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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
