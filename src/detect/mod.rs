//! Finding codes: a block of bytes in, decisions out.
//!
//! A caller keeps one [`Cursor`] for each file or stream, reads a block that begins at
//! [`Cursor::head`], and hands both to [`Scanner::scan`]; afterwards it may forget every byte
//! before the new head. What the cursor holds is all that a restart needs.

mod encoding;
mod joining;
mod numbers;
mod plain;
mod records;
mod rules;
mod scanner;
mod tables;
mod time;
mod wrapping;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::diagnose;
use crate::record::{Code, Match};

pub use encoding::Encoding;
pub(crate) use records::first_cut;
pub use rules::{Rule, Rules, RulesError, Verdict};
pub use scanner::Scanner;
pub use time::{RecordTime, record_time};

/// A line longer than this is judged piece by piece and counted as truncated, in bytes of UTF-8, unless a source says
/// otherwise.
pub const LINE_LIMIT: usize = 1 << 20;

/// A record never reaches further than this from its head, in bytes; a line that would begin beyond starts a new one.
pub const RECORD_SPAN: usize = 64 << 10;

/// What a source's configuration says of generic codes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Assume {
    /// Only evidence in the record makes a number a Twilio code.
    #[default]
    Nothing,
    /// Generic codes in this source are Twilio's.
    Twilio,
}

/// How the bytes of a source are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What generic codes in it are.
    pub assume: Assume,
    /// How its bytes become text.
    pub encoding: Encoding,
    /// What [`LINE_LIMIT`] is otherwise; not less than twice what is looked at around a number of an overlong line.
    pub line_limit: usize,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { assume: Assume::default(), encoding: Encoding::default(), line_limit: LINE_LIMIT }
    }
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
    /// Whether `offset` lies inside an overlong line.
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
    /// Overlong lines.
    pub truncated_lines: u64,
}

/// The catalogue and all rules, compiled; shared by every thread.
#[derive(Clone, Debug)]
pub struct Detector {
    catalog: Arc<Catalog>,
    rules: Arc<Rules>,
    findings: Arc<diagnose::Rules>,
}

impl Detector {
    /// Brings the rules and a catalogue together, with the embedded rules of diagnosis.
    pub fn new(catalog: Arc<Catalog>, rules: Arc<Rules>) -> Detector {
        Detector { catalog, rules, findings: diagnose::Rules::embedded() }
    }

    /// The same with these rules of diagnosis.
    pub fn diagnosing(self, findings: Arc<diagnose::Rules>) -> Detector {
        Detector { findings, ..self }
    }

    /// The catalogue in use.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The rules in use.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The rules of diagnosis in use.
    pub fn findings(&self) -> &Arc<diagnose::Rules> {
        &self.findings
    }

    /// A scanner for one thread, with buffers of its own.
    pub fn scanner(&self, assume: Assume) -> Scanner {
        self.scanner_for(Reading { assume, ..Reading::default() })
    }

    /// The same for bytes that are to be read in a way of their own.
    pub fn scanner_for(&self, reading: Reading) -> Scanner {
        Scanner::new(self.clone(), reading)
    }
}
