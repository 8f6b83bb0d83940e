//! The words of the core: a code, and a code that a record reports.

use std::fmt;
use std::ops::Range;

use jiff::{Timestamp, Zoned};
use memchr::memmem;
use serde::{Serialize, Serializer};

use crate::detect::{RecordTime, record_time};

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

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
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
    /// Offset in the source of the first byte of its record.
    pub record: u64,
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
    ///
    /// `now` gives the local zone, for a record that names none, and the year, for a format that has none.
    pub fn time(&self, now: &Zoned) -> Option<RecordTime> {
        record_time(self.head, now)
    }

    /// The first call that the record names: `CA` and 32 hexadecimal digits.
    pub fn call_sid(&self) -> Option<&str> {
        let mut from = 0;
        while let Some(at) = memmem::find(&self.text[from..], b"CA") {
            let start = from + at;
            let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            if let Some(sid) = self.text.get(start..start + 34)
                && sid[2..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                && !is_word(self.text.get(start + 34))
            {
                return std::str::from_utf8(sid).ok();
            }
            from = start + 2;
        }
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
    /// The buffer was full: it is gone.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let code = Code::new(31005).unwrap();
        let text = text.as_bytes();
        let matched = Match {
            code,
            rule: 0,
            offset: 0,
            record: 0,
            line_start: 0,
            head: text,
            text,
            escaped: false,
            number: 0..0,
        };
        assert_eq!(matched.call_sid(), expected);
    }

    const SID: &str = "CA0a1b2c3d4e5f60718293a4b5c6d7e8f9";

    #[test]
    fn names_the_first_call() {
        check(&format!("call {SID} failed"), Some(SID));
        check(SID, Some(SID));
        check(&format!("CallSid={SID}&ErrorCode=31005"), Some(SID));
        check(&format!("CallSid%22%3A%22{SID}%22"), Some(SID));
        check(&format!(r#"{{\"callSid\":\"{SID}\"}}"#), Some(SID));
        check(&format!("error\n  at CA\n  sid: '{SID}',\n"), Some(SID));
        check(&format!("{SID} then CA{}", "1".repeat(32)), Some(SID));
    }

    #[test]
    fn takes_nothing_else_for_a_call() {
        check("no call", None);
        check("CA", None);
        check("CA0a1b2c3d4e5f60718293a4b5c6d7e8f", None);
        check("CA0a1b2c3d4e5f60718293a4b5c6d7e8f90", None);
        check("CA0A1B2C3D4E5F60718293A4B5C6D7E8F9", None);
        check("AC0a1b2c3d4e5f60718293a4b5c6d7e8f9", None);
    }
}
