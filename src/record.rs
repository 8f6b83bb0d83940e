//! The words of the core: a code, and a code that a record reports.

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;

/// A Twilio error code: five digits, 10000 to 99999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u32);

impl Code {
    /// The code with this number, or `None` outside 10000 to 99999.
    pub const fn new(number: u32) -> Option<Code> {
        if number >= 10_000 && number <= 99_999 { Some(Code(number)) } else { None }
    }

    /// The number, 10000 to 99999.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Twilio's page about this code.
    pub fn docs(self) -> String {
        format!("https://www.twilio.com/docs/errors/{}", self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A code that a record reports as an error.
///
/// It borrows from the scanned block; what outlives the scan is copied by the sink that needs it.
#[derive(Debug)]
pub struct Match<'a> {
    /// The code.
    pub code: Code,
    /// Index of the rule that accepted it, in [`Rules::all`](crate::detect::Rules::all).
    pub rule: usize,
    /// Offset in the source of the first byte of the physical line that holds the code.
    pub offset: u64,
    /// The same place, as an index into the scanned block.
    pub line_start: usize,
    /// The physical line that begins the record, with what a container wrapped around it.
    pub head: &'a [u8],
    /// The record as far as it was read, without container wrapping; not redacted.
    pub text: &'a [u8],
    /// Whether `text` is the inside of a JSON string, as Docker writes it.
    pub escaped: bool,
    /// Where the number stands in `text`.
    pub number: Range<usize>,
}

impl Match<'_> {
    /// When the record says it happened; `None` where it does not say.
    pub fn time(&self) -> Option<Timestamp> {
        None
    }

    /// The call that the record names, as `CA` and 32 hexadecimal digits.
    pub fn call_sid(&self) -> Option<&str> {
        None
    }
}

/// A match and where it was seen: what a sink receives.
#[derive(Debug)]
pub struct Sighting<'a> {
    /// The name of the source.
    pub source: &'a str,
    /// The file as the user named it or a glob found it; `-` for standard input.
    pub path: &'a str,
    /// The line that holds the code, from 1; `None` while following.
    pub line: Option<u64>,
    /// When twdiag read it.
    pub seen: Timestamp,
    /// The match.
    pub matched: &'a Match<'a>,
}

/// What a sink did with a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is written, waits in the sink's buffer, or is not wanted.
    Taken,
    /// The buffer was full: it is gone, and counted.
    Dropped,
}
