//! When the state file is written: before anything is shown, within a bound, and only where it differs.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use super::snapshot::{StateHealth, WRITE_BUCKETS};
use crate::state::{Checkpoint, Cut, Store};

/// How long counts may differ from the state file.
pub(super) const COMMIT: Duration = Duration::from_millis(100);

/// From when on they are written by whoever wakes the owner anyway, so that nothing else needs to.
const EARLY: Duration = Duration::from_millis(80);

/// How long the state file may differ from the disk.
const SYNC: Duration = Duration::from_secs(5);

/// The state file and what is known of it.
pub(super) struct Commits {
    store: Option<Store>,
    boot: String,
    pub(super) health: StateHealth,
    unsynced: bool,
    synced: Duration,
    /// When a write failed last.
    failed: Option<Duration>,
    /// What the sink had not written as of the last commit.
    undelivered: Vec<u8>,
    /// Bytes for the next one of those; kept for its allocation.
    spare: Vec<u8>,
}

impl Commits {
    /// Without a store nothing is written, and every commit succeeds.
    pub(super) fn new(store: Option<Store>, boot: String, resets: u64, now: Duration) -> Commits {
        let health = StateHealth { resets, ..StateHealth::default() };
        let (undelivered, spare) = (Vec::new(), Vec::new());
        Commits { store, boot, health, unsynced: true, synced: now, failed: None, undelivered, spare }
    }

    /// Whether a commit is due; one that failed is tried again after a while, not at once.
    pub(super) fn is_due(&self, counts: &Counts) -> bool {
        let is_patient = self.failed.is_some_and(|failed| counts.now < failed + COMMIT);
        !is_patient && (counts.urgent || counts.dirty_since.is_some_and(|since| counts.now >= since + EARLY))
    }

    /// How long from now something will be due, where anything will.
    pub(super) fn idle(&self, counts: &Counts) -> Option<Duration> {
        let commit = counts.dirty_since.map(|since| self.failed.unwrap_or(since).max(since) + COMMIT);
        let sync = (self.unsynced && self.store.is_some()).then_some(self.synced + SYNC);
        let due = commit.into_iter().chain(sync).min()?;
        Some(due.saturating_sub(counts.now))
    }

    /// Notes what the sink wrote since the last commit: a process that is killed must not repeat it for ever.
    pub(super) fn check_delivery(&mut self, counts: &mut Counts) {
        if self.store.is_some() && !self.undelivered.is_empty() {
            self.spare.clear();
            counts.sink.undelivered(&mut self.spare);
            if self.spare != self.undelivered {
                counts.soil();
            }
        }
    }

    /// Writes the state where it differs from what was written last.
    pub(super) fn commit<'a>(
        &mut self,
        counts: &mut Counts,
        sources: &BTreeSet<Arc<str>>,
        files: impl Iterator<Item = &'a Checkpoint>,
        clean: bool,
    ) {
        if counts.dirty_since.is_none() && !clean {
            return;
        }
        counts.urgent = false;
        let Some(store) = &mut self.store else {
            counts.dirty_since = None;
            return;
        };
        self.undelivered.clear();
        counts.sink.undelivered(&mut self.undelivered);
        let cut = Cut {
            boot: &self.boot,
            clean,
            tally: &counts.tally,
            sources,
            unannounced: &counts.unannounced,
            undelivered: &self.undelivered,
            files: files.collect(),
        };
        let start = std::time::Instant::now();
        match store.commit(&cut) {
            Ok(()) => {
                if self.health.failing {
                    tracing::info!("state can be written again");
                }
                (self.health.failing, self.failed, self.unsynced) = (false, None, true);
                counts.dirty_since = None;
                self.health.writes += 1;
                let seconds = start.elapsed().as_secs_f64();
                self.health.write_seconds += seconds;
                for (bound, count) in WRITE_BUCKETS.into_iter().zip(&mut self.health.write_buckets) {
                    *count += u64::from(seconds <= bound);
                }
            }
            Err(error) => self.fail(counts, &error),
        }
    }

    /// Makes the last commit survive a loss of power, every few seconds.
    pub(super) fn sync_if_due(&mut self, counts: &mut Counts) {
        if self.unsynced && counts.now >= self.synced + SYNC {
            self.sync(counts);
        }
    }

    /// Makes the last commit survive a loss of power.
    pub(super) fn sync(&mut self, counts: &mut Counts) {
        self.synced = counts.now;
        match self.store.as_mut().map_or(Ok(()), Store::sync) {
            Ok(()) => self.unsynced = false,
            Err(error) => self.fail(counts, &error),
        }
    }

    fn fail(&mut self, counts: &mut Counts, error: &io::Error) {
        self.failed = Some(counts.now);
        counts.soil();
        self.health.write_errors += 1;
        if !std::mem::replace(&mut self.health.failing, true) {
            tracing::error!(%error, "state cannot be written: counting goes on, and a crash now would set counters back");
        }
    }
}
