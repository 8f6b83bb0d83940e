//! What the owner of the counts publishes: one consistent cut, immutable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Labels;
use crate::catalog::Catalog;
use crate::diagnose::View;
use crate::tally::Tally;

/// Everything the page shows about sources and counts at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The committed counters. A series born late stands at 0 until it is announced.
    pub tally: Tally,
    /// The gauges of each source; its keys are the sources in use.
    pub gauges: BTreeMap<Arc<str>, SourceGauges>,
    /// How the state file fares.
    pub state: StateHealth,
    /// Whether everything that was in the files at the start has been read.
    pub caught_up: bool,
    /// The catalogue in use.
    pub catalog: Arc<Catalog>,
    /// What the errors of the last hours mean together.
    pub seen: Arc<View>,
    /// The labels that the configuration gives the sources.
    pub labels: Arc<Labels>,
}

/// What a source holds right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceGauges {
    /// Bytes in its files that are not judged yet.
    pub lag_bytes: u64,
    /// Files followed.
    pub files: u64,
    /// Whether it is standard input or a FIFO, of which no file is followed.
    pub is_stream: bool,
    /// Bytes of deleted files that are still held open.
    pub deleted_open_bytes: u64,
    /// Matches that a slow reader of standard output lost since the start.
    pub dropped_matches: u64,
}

/// How the state file fares since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateHealth {
    /// Commits written.
    pub writes: u64,
    /// Commits and syncs that failed.
    pub write_errors: u64,
    /// Times the counts began again at zero because the state was damaged or fell back.
    pub resets: u64,
    /// Commits that took at most each bound of [`WRITE_BUCKETS`].
    pub write_buckets: [u64; WRITE_BUCKETS.len()],
    /// The sum of all commits' durations, in seconds.
    pub write_seconds: f64,
    /// Whether the last attempt to write failed.
    pub failing: bool,
}

/// Upper bounds of the histogram of commits, in seconds.
pub const WRITE_BUCKETS: [f64; 6] = [0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];
