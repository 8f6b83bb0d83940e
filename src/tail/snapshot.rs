//! What the owner of the counts publishes: one consistent cut, immutable.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::tally::Tally;

/// Everything the page shows about sources and counts at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The counters.
    pub tally: Tally,
    /// The gauges of each source; its keys are the sources in use.
    pub gauges: BTreeMap<Arc<str>, SourceGauges>,
    /// Whether everything that was in the files at the start has been read.
    pub caught_up: bool,
    /// The catalogue in use.
    pub catalog: Arc<Catalog>,
}

/// What a source holds right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceGauges {
    /// Bytes in its files that are not judged yet.
    pub lag_bytes: u64,
    /// Files followed.
    pub files: u64,
}
