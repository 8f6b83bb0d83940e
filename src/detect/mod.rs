//! Finding codes: a block of bytes in, decisions out.
//!
//! A caller keeps one [`Cursor`] for each file or stream, reads a block that begins at
//! [`Cursor::head`], and hands both to [`Scanner::scan`]; afterwards it may forget every byte
//! before the new head. What the cursor holds is all that a restart needs.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::record::{Code, Match};

/// A line longer than this is judged piece by piece and counted as truncated, in bytes.
pub const LINE_LIMIT: usize = 1 << 20;

/// A record never reaches further than this from its head, in bytes; a line that would begin beyond starts a new one.
pub const RECORD_SPAN: usize = 64 << 10;

/// A block of this size always lets [`Scanner::scan`] move on, in bytes.
pub const BLOCK_NEED: usize = LINE_LIMIT + 2 * RECORD_SPAN;

/// What a source's configuration says of generic codes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assume {
    /// Only evidence in the record makes a number a Twilio code.
    #[default]
    Nothing,
    /// Generic codes in this source are Twilio's.
    Twilio,
}

/// Where the reading of a file or stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Offset of the oldest record that is still open: where the next block must begin. At most `offset`.
    pub head: u64,
    /// Offset of the end of what was judged and counted: the end of a line, unless `in_long_line`.
    pub offset: u64,
    /// The records between `head` and `offset` that may still grow, ascending by head.
    pub open: Vec<OpenRecord>,
    /// Whether `offset` lies inside a line longer than [`LINE_LIMIT`].
    pub in_long_line: bool,
}

/// A record whose end was not seen yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenRecord {
    /// Offset of its first byte.
    pub head: u64,
    /// Numbers that end before this offset are decided for good.
    pub settled: u64,
    /// The codes already counted of it.
    pub counted: Vec<Code>,
}

/// What follows the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More may come at any time: an unfinished line waits.
    More,
    /// Nothing came for a while: undecided numbers are rejected, an unfinished line waits.
    Pause,
    /// Nothing more will come: an unfinished line is complete as it is.
    Input,
}

/// What was decided about a number.
#[derive(Debug)]
pub enum Decision<'a> {
    /// The record reports this code as an error. Once for each record and code.
    Accepted(Match<'a>),
    /// A number that might have been a code is none; the index of the rule that said so, `None` where none matched.
    Rejected(Option<usize>),
}

/// What one call of [`Scanner::scan`] went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Line ends passed (and an unfinished last line at [`End::Input`]).
    pub lines: u64,
    /// Lines longer than [`LINE_LIMIT`].
    pub truncated_lines: u64,
}

/// The rules and the catalogue, compiled; shared by every thread.
#[derive(Clone)]
pub struct Detector {
    catalog: Arc<Catalog>,
    rules: Arc<Rules>,
}

/// The detection rules in their order.
pub struct Rules {
    all: Vec<Rule>,
}

/// One detection rule.
pub struct Rule {
    /// Its name in `why`, in matches and in metrics.
    pub id: String,
}

impl Rules {
    /// The rules compiled into the binary.
    pub fn embedded() -> Rules {
        Rules { all: vec![Rule { id: "sdk-class".into() }] }
    }

    /// Every rule, in the order in which they are tried.
    pub fn all(&self) -> &[Rule] {
        &self.all
    }
}

impl Detector {
    /// Compiles the rules against a catalogue.
    pub fn new(catalog: Arc<Catalog>, rules: Arc<Rules>) -> Detector {
        Detector { catalog, rules }
    }

    /// The catalogue in use.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The rules in use.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// A scanner for one thread, with buffers of its own.
    pub fn scanner(&self, assume: Assume) -> Scanner {
        let _ = assume;
        Scanner { detector: self.clone() }
    }
}

/// Scans blocks, one at a time.
pub struct Scanner {
    detector: Detector,
}

impl Scanner {
    /// Judges the complete lines of a block and moves the cursor past them.
    ///
    /// `block` begins at `cursor.head` and holds everything read since. Decisions come in the order of the
    /// numbers within a record. Any bytes are valid.
    pub fn scan(&mut self, block: &[u8], cursor: &mut Cursor, end: End, on: &mut impl FnMut(Decision<'_>)) -> Scanned {
        // A stand-in that knows one form, `(31005):`, and takes each line for a record.
        let _ = &self.detector;
        let fresh = (cursor.offset - cursor.head) as usize;
        let mut scanned = Scanned::default();
        let mut start = fresh;
        while start < block.len() {
            let stop = match memchr::memchr(b'\n', &block[start..]) {
                Some(length) => start + length + 1,
                None if end == End::Input => block.len(),
                None => break,
            };
            let line = &block[start..stop];
            for at in memchr::memchr_iter(b'(', line) {
                let digits =
                    line.get(at + 1..at + 6).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| d.parse().ok());
                if let Some(code) = digits.and_then(Code::new)
                    && line.get(at + 6..at + 8) == Some(b"):")
                {
                    on(Decision::Accepted(Match {
                        code,
                        rule: 0,
                        offset: cursor.head + start as u64,
                        line_start: start,
                        head: line,
                        text: line,
                        number: at + 1..at + 6,
                    }));
                }
            }
            scanned.lines += 1;
            start = stop;
        }
        cursor.offset = cursor.head + start as u64;
        cursor.head = cursor.offset;
        scanned
    }
}
