//! Follows files and streams: one thread owns files, offsets and counts.

use std::sync::Arc;

use crate::detect::Assume;

pub use snapshot::{Snapshot, SourceGauges, StateHealth, WRITE_BUCKETS};

mod snapshot;

/// One named source as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The value of the `source` label.
    pub name: Arc<str>,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// Where reading begins in files present when the state first sees this source.
    pub start_at: StartAt,
    /// What generic codes in it are taken for.
    pub assume: Assume,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, once.
    Stdin,
    /// A path, a directory (its files) or a glob.
    Pattern(String),
}

/// Where reading begins in a file that is present at the first sight of its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// Only what is written from now on.
    #[default]
    End,
    /// All of it.
    Beginning,
}
