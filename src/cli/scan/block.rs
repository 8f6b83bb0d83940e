//! The bytes that a pass looks at: what is left of the last block, and right behind it what was read since.

use std::io::{self, Read};
use std::ops::Range;

/// How much is read at once, in bytes: it stays in the second-level cache until it is scanned.
const READ: usize = 256 << 10;

/// What memory pages are aligned to, in bytes. The kernel copies to such a place faster than to any other,
/// and copying is most of what a pass costs: so every read goes to the same one, and what is left is moved before it.
const PAGE: usize = 4096;

/// A buffer that is filled again and again.
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where reads go.
    place: usize,
    held: Range<usize>,
}

impl Block {
    /// Room for what is usually left of a block.
    pub(super) fn new() -> Block {
        Block::with_room(128 << 10)
    }

    fn with_room(room: usize) -> Block {
        let bytes = vec![0; room + PAGE + READ];
        let place = room + bytes[room..].as_ptr().align_offset(PAGE).min(PAGE);
        Block { bytes, place, held: place..place }
    }

    /// What was kept and read.
    pub(super) fn held(&self) -> &[u8] {
        &self.bytes[self.held.clone()]
    }

    /// Holds nothing.
    pub(super) fn clear(&mut self) {
        self.held = self.place..self.place;
    }

    /// Drops the first bytes, this many.
    pub(super) fn forget(&mut self, done: usize) {
        self.held.start += done;
    }

    /// Reads on behind what is held; the number of bytes, 0 at the end.
    ///
    /// # Errors
    /// Those of the reader.
    pub(super) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        if self.held.len() > self.place {
            let mut larger = Block::with_room(2 * self.held.len());
            larger.held = larger.place - self.held.len()..larger.place;
            larger.bytes[larger.held.clone()].copy_from_slice(self.held());
            *self = larger;
        } else {
            let start = self.place - self.held.len();
            self.bytes.copy_within(self.held.clone(), start);
            self.held = start..self.place;
        }
        loop {
            match from.read(&mut self.bytes[self.place..self.place + READ]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(size) => {
                    self.held.end = self.place + size;
                    return Ok(size);
                }
            }
        }
    }
}
