//! The counts, and what decides about them: the one place where a decision of the scanner becomes a number.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

use crate::detect::{Decision, Detector, Scanned};
use crate::diagnose::{Diagnosis, Finding, Report};
use crate::record::{Code, Delivery, Sighting};
use crate::tally::{Errors, Label, Rotation, Series, Tally};

/// Takes matches.
///
/// What it has taken and not yet written is part of the state: a match that is counted is written at least once,
/// whatever happens to the process.
pub trait Sink: Send {
    /// Takes one match. An error ends the following.
    ///
    /// # Errors
    /// Those of the stream behind it.
    fn take(&mut self, sighting: &Sighting<'_>, now: &Zoned) -> io::Result<Delivery>;

    /// Takes a diagnosis that begins to hold, or no longer does.
    ///
    /// # Errors
    /// Those of the stream behind it.
    fn found(&mut self, finding: &Finding, now: &Zoned) -> io::Result<()>;

    /// Appends what was taken and is not written yet, in a form of its own.
    fn undelivered(&self, out: &mut Vec<u8>);

    /// Takes what an earlier process left undelivered.
    fn resume(&mut self, undelivered: &[u8]);

    /// Explains matches from now on as this detector found them.
    fn explain_by(&mut self, detector: &Detector);
}

/// All counts and the present moment.
pub(super) struct Counts {
    pub(super) detector: Detector,
    pub(super) tally: Tally,
    /// Series that were born late and are shown at 0, and since when.
    pub(super) unannounced: BTreeMap<(Arc<str>, Series), Timestamp>,
    /// Matches that the sink dropped, by source.
    pub(super) dropped: BTreeMap<Arc<str>, u64>,
    pub(super) sink: Box<dyn Sink>,
    /// What the matches of the last hours mean together.
    pub(super) diagnosis: Diagnosis,
    /// The codes that a source reports in vain.
    pub(super) ignored: BTreeMap<Arc<str>, BTreeSet<Code>>,
    /// Distinct uncatalogued codes that get series of their own.
    pub(super) uncatalogued: usize,
    /// The present moment, since any fixed instant.
    pub(super) now: Duration,
    /// The present moment on the wall.
    pub(super) wall: Zoned,
    /// Since when counts or offsets differ from the state file.
    pub(super) dirty_since: Option<Duration>,
    /// What only memory has counted can no longer be read again: a commit cannot wait.
    pub(super) urgent: bool,
}

impl Counts {
    /// Notes that counts or offsets differ from the state file.
    pub(super) fn soil(&mut self) {
        self.dirty_since.get_or_insert(self.now);
    }

    /// Notes the same, and that it must be committed at once.
    pub(super) fn soil_urgently(&mut self) {
        self.urgent = true;
        self.soil();
    }

    /// What takes the decisions about one input.
    pub(super) fn recorder<'a>(&'a mut self, source: &'a Arc<str>, path: &'a str) -> Recorder<'a> {
        Recorder { counts: self, source, path, result: Ok(()) }
    }

    /// Counts what a scan went through.
    pub(super) fn judged(&mut self, source: &Arc<str>, bytes: u64, scanned: Scanned) {
        if bytes > 0 || scanned != Scanned::default() {
            let tally = self.tally.source(source);
            tally.read_bytes += bytes;
            tally.read_lines += scanned.lines;
            tally.truncated_lines += scanned.truncated_lines;
            self.soil();
        }
    }

    /// Counts a rotation.
    pub(super) fn rotation(&mut self, source: &Arc<str>, rotation: Rotation) {
        let kind = Rotation::ALL.iter().position(|kind| *kind == rotation).unwrap_or_default();
        self.tally.source(source).rotations[kind] += 1;
        self.soil_urgently();
    }

    /// Counts bytes that can no longer be read.
    pub(super) fn lost(&mut self, source: &Arc<str>, bytes: u64) {
        self.tally.source(source).lost_bytes += bytes;
        self.soil_urgently();
    }

    /// Counts a file that became unreadable.
    pub(super) fn read_error(&mut self, source: &Arc<str>) {
        self.tally.source(source).read_errors += 1;
        self.soil();
    }

    /// Shows what was not scraped at 0 within `announce`.
    pub(super) fn announce(&mut self, announce: Duration) {
        let before = self.unannounced.len();
        if before == 0 {
            return;
        }
        let wall = self.wall.timestamp();
        self.unannounced.retain(|_, since| wall.duration_since(*since).unsigned_abs() < announce);
        if self.unannounced.len() < before {
            self.soil();
        }
    }

    /// The counts as they may be shown: a series born late stands at 0 until it is announced.
    pub(super) fn shown(&self) -> Tally {
        let mut tally = self.tally.clone();
        for (source, series) in self.unannounced.keys() {
            if let Some(errors) = tally.source(source).errors.get_mut(series) {
                *errors = Errors::default();
            }
        }
        tally
    }
}

/// Counts the decisions about one input, and passes matches on.
pub(super) struct Recorder<'a> {
    counts: &'a mut Counts,
    source: &'a Arc<str>,
    path: &'a str,
    /// The first failure of the sink.
    pub(super) result: io::Result<()>,
}

impl Recorder<'_> {
    pub(super) fn decide(&mut self, decision: Decision<'_>) {
        let Counts { detector, tally, unannounced, dropped, sink, diagnosis, ignored, uncatalogued, wall, .. } =
            &mut *self.counts;
        match decision {
            Decision::Accepted(matched) if ignored.get(self.source).is_some_and(|of| of.contains(&matched.code)) => {}
            Decision::Rejected(rule) => tally.reject(rule.map_or("none", |rule| &detector.rules().all()[rule].id)),
            Decision::Accepted(matched) => {
                let seen = wall.timestamp();
                let time = matched.time(wall).map_or(seen, |time| time.at.min(seen));
                let category = detector.catalog().category(matched.code);
                tally.count(self.source, category, matched.code, time, *uncatalogued);
                let series = Series { category, code: Label::Code(matched.code) };
                let is_late = detector.catalog().get(matched.code).is_none();
                if is_late && tally.source(self.source).errors.get(&series).is_some_and(|errors| errors.total == 1) {
                    unannounced.insert((Arc::clone(self.source), series), seen);
                }
                let report = Report {
                    at: time,
                    code: matched.code,
                    category,
                    source: self.source,
                    path: self.path,
                    place: (0, matched.offset),
                    call: matched.call_sid(),
                    text: matched.text,
                };
                diagnosis.observe(&report, seen);
                let sighting = Sighting { source: self.source, path: self.path, line: None, seen, matched: &matched };
                if self.result.is_ok() {
                    match sink.take(&sighting, wall) {
                        Ok(Delivery::Taken) => {}
                        Ok(Delivery::Dropped) => *dropped.entry(Arc::clone(self.source)).or_default() += 1,
                        Err(error) => self.result = Err(error),
                    }
                }
            }
        }
    }
}
