//! Follows files and streams: one thread owns files, offsets and counts.
//!
//! Events of the file system are a hint that ends the owner's wait; what it then believes is what `stat` says.
//! The owner publishes immutable snapshots; nobody else sees a count change.
//!
//! Reading order: [`Follower`] does what is due and knows neither threads nor the time; a `track` holds the files of
//! one source and knows what rotations do to them, `file` is one file and how far it was judged, `stream` what has no
//! offsets; `counts` is where a decision becomes a number, `commits` when the state is written. Around them stands
//! `owner`, the thread that wakes the follower, with the `bell` that ends its wait and the `watches` that ring it.

mod bell;
mod commits;
mod counts;
mod discover;
mod file;
mod follower;
mod owner;
mod own;
mod rotated;
mod snapshot;
mod stream;
mod track;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::detect::Reading;
use crate::record::Code;

pub use bell::Hints;
pub use counts::Sink;
pub(crate) use discover::{matching, present, watched};
pub use follower::{Clock, Follower};
pub use own::Own;
pub use owner::{Handle, StartError, start};
pub(crate) use rotated::is_rotated_form;
pub use snapshot::{Snapshot, SourceGauges, StateHealth, WRITE_BUCKETS};

/// What to follow, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to follow.
    pub sources: Vec<Source>,
    /// The labels that the configuration gives the sources.
    pub labels: Arc<Labels>,
    /// The directory of the state file; without it nothing is kept.
    pub state: Option<PathBuf>,
    /// How long a series that was born late is shown at 0 at most, unless it is scraped.
    pub announce: Duration,
    /// Distinct uncatalogued codes that get series of their own.
    pub uncatalogued: usize,
    /// How long reading may take after the request to stop.
    pub drain: Duration,
    /// Files that are held open at most; others are opened when they change.
    pub descriptors: usize,
}

impl Plan {
    /// A plan for these sources, everything else as a user expects it who said nothing.
    pub fn new(sources: Vec<Source>) -> Plan {
        Plan {
            sources,
            labels: Arc::default(),
            state: None,
            announce: Duration::from_secs(60),
            uncatalogued: 100,
            drain: Duration::from_secs(10),
            descriptors: 512,
        }
    }
}

/// One thing to follow, by the name that its counts bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The value of the `source` label.
    pub name: Arc<str>,
    /// What it reads.
    pub input: Input,
    /// Where to begin in files that are there when it is first seen.
    pub start_at: StartAt,
    /// How its bytes are to be read.
    pub reading: Reading,
    /// Codes that are neither counted nor printed where it reports them.
    pub ignore: BTreeSet<Code>,
}

impl Source {
    /// One path, directory or glob by its own name.
    pub fn path(path: &str) -> Source {
        Source::new(path, Input::Files(Files { paths: vec![path.to_owned()], exclude: Vec::new() }))
    }

    /// Everything but name and input as a user expects it who said nothing.
    pub fn new(name: &str, input: Input) -> Source {
        Source {
            name: name.into(),
            input,
            start_at: StartAt::default(),
            reading: Reading::default(),
            ignore: BTreeSet::new(),
        }
    }
}

/// Labels of series, by the name of their source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Their names.
    pub names: Vec<String>,
    /// The values of each source, in the order of the names; those of a source that is not there are empty.
    pub of: BTreeMap<Arc<str>, Vec<String>>,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, once.
    Stdin,
    /// Files, and FIFOs that are named by their path.
    Files(Files),
}

impl Default for Input {
    fn default() -> Input {
        Input::Files(Files::default())
    }
}

/// Which files a source reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Paths, directories (their files) and globs.
    pub paths: Vec<String>,
    /// Globs of what is left out of that.
    pub exclude: Vec<String>,
}

/// Where reading begins in files that are there at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum StartAt {
    /// Only what is written from now on.
    #[default]
    End,
    /// All of it.
    Beginning,
}
