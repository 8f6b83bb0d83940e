//! The last day by ten minutes: what was reported, and the distinct calls that it names.

use std::collections::BTreeMap;

use super::minutes::{Counts, Report};
use super::{Calls, History, minute};
use crate::catalog::Category;
use crate::tally::{Label, Series};

/// The length of a slot, in minutes.
const SLOT: i64 = 10;

/// Slots of a day.
const SLOTS: i64 = 24 * 60 / SLOT;

/// The windows of `twilio_error_calls`: the label, and its length in slots, so that a window slides by ten minutes.
pub const WINDOWS: [(&str, i64); 2] = [("1h", 60 / SLOT), ("24h", SLOTS)];

/// Distinct calls by window, as [`WINDOWS`], and by category, as [`Category::ALL`].
pub type CallsByWindow = [[u64; Category::ALL.len()]; WINDOWS.len()];

/// The reports of a day; at most 16 KiB for each slot and category, once those name thousands of calls.
#[derive(Debug, Default)]
pub(super) struct Day {
    /// By the number of ten minutes since 1970.
    slots: BTreeMap<i64, Slot>,
    /// By window and category, the calls of the slots in it.
    calls: [BTreeMap<Category, Calls>; WINDOWS.len()],
    /// The slot that was the last one when the windows were made.
    latest: Option<i64>,
}

/// The reports of ten minutes.
#[derive(Debug, Default)]
struct Slot {
    counts: Counts,
    calls: BTreeMap<Category, Calls>,
}

impl Day {
    /// Takes a report at the minute `now`. One that is older than a day is none of it.
    pub(super) fn observe(&mut self, report: &Report<'_>, now: i64) {
        let at = minute(report.at).div_euclid(SLOT);
        let age = now.div_euclid(SLOT) - at;
        if age >= SLOTS {
            return;
        }
        let slot = self.slots.entry(at).or_default();
        slot.counts.add(Series { category: report.category, code: Label::Code(report.code) }, 1);
        let Some(call) = report.call else { return };
        slot.calls.entry(report.category).or_default().insert(call);
        for ((_, length), calls) in WINDOWS.iter().zip(&mut self.calls) {
            if age < *length {
                calls.entry(report.category).or_default().insert(call);
            }
        }
    }

    /// Drops what is older than a day at the minute `now`, and makes the windows anew where one slid on.
    pub(super) fn forget(&mut self, now: i64) {
        let latest = now.div_euclid(SLOT);
        // A clock that was set back leaves slots ahead of it: they count once it comes to them.
        if self.latest.replace(latest) == Some(latest) {
            return;
        }
        while let Some(entry) = self.slots.first_entry()
            && *entry.key() <= latest - SLOTS
        {
            entry.remove();
        }
        for ((_, length), calls) in WINDOWS.iter().zip(&mut self.calls) {
            calls.clear();
            for (_, of_slot) in self.slots.range(latest - length + 1..=latest) {
                for (category, of_category) in &of_slot.calls {
                    calls.entry(*category).or_default().merge(of_category);
                }
            }
        }
    }

    /// The day before the minute `now` ends.
    pub(super) fn history(&self, now: i64) -> History {
        let first = now.div_euclid(SLOT) - SLOTS + 1;
        History::of(first, SLOT, SLOTS, |at| self.slots.get(&at).map(|slot| &slot.counts))
    }

    /// What each slot counted.
    pub(super) fn counts(&self) -> impl Iterator<Item = &Counts> {
        self.slots.values().map(|slot| &slot.counts)
    }

    /// The distinct calls of each window.
    pub(super) fn calls(&mut self) -> CallsByWindow {
        let mut counts = CallsByWindow::default();
        for (counts, calls) in counts.iter_mut().zip(&mut self.calls) {
            for (count, category) in counts.iter_mut().zip(Category::ALL) {
                *count = calls.get_mut(&category).map_or(0, Calls::count);
            }
        }
        counts
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }
}
