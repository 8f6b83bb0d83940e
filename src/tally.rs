//! Counts by source, category and code: what the page shows and the state file keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::catalog::Category;
use crate::record::Code;

/// The `code` label of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// One code.
    Code(Code),
    /// All uncatalogued codes past the bound on distinct ones.
    Other,
}

/// What distinguishes one error counter from another within a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The operational category.
    pub category: Category,
    /// The code, or the rest.
    pub code: Label,
}

/// How often an error was reported, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Reports counted.
    pub total: u64,
    /// The latest report, by the record's own time where it has one; `None` until one is seen.
    pub last_seen: Option<Timestamp>,
}

/// The ways in which a followed file is replaced or emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rotation {
    /// Renamed, and a new file created under its name.
    Rename,
    /// Emptied in place after all of it was read.
    Truncate,
    /// Emptied in place; bytes may have gone unseen.
    TruncateUnsure,
    /// Another file moved over it.
    Replace,
    /// A symbolic link now points elsewhere.
    Symlink,
    /// Deleted after all of it was read.
    Delete,
    /// Deleted with bytes unread.
    DeleteUnread,
    /// Compressed before all of it was read.
    Compressed,
}

impl Rotation {
    /// Every kind, in the order of the page.
    pub const ALL: [Rotation; 8] = [
        Rotation::Rename,
        Rotation::Truncate,
        Rotation::TruncateUnsure,
        Rotation::Replace,
        Rotation::Symlink,
        Rotation::Delete,
        Rotation::DeleteUnread,
        Rotation::Compressed,
    ];

    /// The value of the `kind` label.
    pub const fn name(self) -> &'static str {
        match self {
            Rotation::Rename => "rename",
            Rotation::Truncate => "truncate",
            Rotation::TruncateUnsure => "truncate_unsure",
            Rotation::Replace => "replace",
            Rotation::Symlink => "symlink",
            Rotation::Delete => "delete",
            Rotation::DeleteUnread => "delete_unread",
            Rotation::Compressed => "compressed",
        }
    }
}

/// The counters of one source. All of them only ever rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTally {
    /// Reported errors.
    pub errors: BTreeMap<Series, Errors>,
    /// Bytes judged.
    pub read_bytes: u64,
    /// Lines judged.
    pub read_lines: u64,
    /// Rotations, indexed as [`Rotation::ALL`].
    pub rotations: [u64; Rotation::ALL.len()],
    /// Bytes that a rotation destroyed unread.
    pub lost_bytes: u64,
    /// Lines longer than the line limit.
    pub truncated_lines: u64,
    /// Failures to open or read a file, one for each change of state.
    pub read_errors: u64,
}

/// All counters of the process that outlive it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By source name.
    pub sources: BTreeMap<Arc<str>, SourceTally>,
    /// Numbers that looked like codes and were rejected, by the id of the rule (`none` without one).
    pub rejected: BTreeMap<Arc<str>, u64>,
    /// The uncatalogued codes that have series of their own.
    pub uncatalogued: BTreeSet<Code>,
}

impl Tally {
    /// Counts one reported error.
    ///
    /// Past `bound` distinct uncatalogued codes, further ones count as [`Label::Other`].
    pub fn count(&mut self, source: &Arc<str>, category: Category, code: Code, time: Timestamp, bound: usize) {
        let label = if category == Category::Uncatalogued && !self.uncatalogued.contains(&code) {
            if self.uncatalogued.len() < bound {
                self.uncatalogued.insert(code);
                Label::Code(code)
            } else {
                Label::Other
            }
        } else {
            Label::Code(code)
        };
        let errors = self.source(source).errors.entry(Series { category, code: label }).or_default();
        errors.total += 1;
        errors.last_seen = errors.last_seen.max(Some(time));
    }

    /// The counters of a source, at zero where it is new.
    pub fn source(&mut self, name: &Arc<str>) -> &mut SourceTally {
        if !self.sources.contains_key(name) {
            self.sources.insert(Arc::clone(name), SourceTally::default());
        }
        self.sources.get_mut(name).expect("inserted above")
    }

    /// Counts one rejected number.
    pub fn reject(&mut self, rule: &str) {
        match self.rejected.get_mut(rule) {
            Some(count) => *count += 1,
            None => {
                self.rejected.insert(rule.into(), 1);
            }
        }
    }
}
