//! What was wrong when: the reports of one pass over files, by their own time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::episodes::Episodes;
use super::finding::Finding;
use super::minutes::{Counts, Excerpt, Minute, Report};
use super::rules::Rules;
use super::{Calls, History, Minutes, minute};
use crate::catalog::Category;

/// What the slots of one timeline may take, in bytes; where they would take more, each becomes twice as long. Each thread
/// of a scan has one timeline.
const MEMORY: usize = 64 << 20;

/// The steps that a history is shown in, in minutes, the shortest first.
const STEPS: [i64; 16] =
    [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 7 * 1_440, 28 * 1_440, 364 * 1_440, 3_640 * 1_440];

/// Reports by their own time. Parts may be merged in any order.
#[derive(Clone, Debug)]
pub struct Timeline {
    rules: Arc<Rules>,
    /// The length of a slot, in minutes: a power of two.
    width: i64,
    /// By the first minute of each slot.
    slots: Minutes,
    /// What the slots take, in bytes.
    cost: usize,
    calls: BTreeMap<Category, Calls>,
    undated: u64,
}

impl Timeline {
    /// Nothing was reported.
    pub fn new(rules: Arc<Rules>) -> Timeline {
        Timeline { rules, width: 1, slots: Minutes::new(), cost: 0, calls: BTreeMap::new(), undated: 0 }
    }

    /// Takes a report of a record that says when it happened.
    pub fn observe(&mut self, report: &Report<'_>) {
        let excerpt = self.rules.watches(report.code, report.category).then(|| Arc::new(Excerpt::of(report)));
        let at = minute(report.at);
        let at = at - at.rem_euclid(self.width);
        let slot = self.slots.entry(at).or_insert_with(|| {
            let slot = Minute::default();
            self.cost += slot.cost();
            slot
        });
        self.cost += slot.add(report, excerpt.as_ref());
        self.call(report.category, report.call);
        self.bound();
    }

    /// Takes a report of a record that does not.
    pub fn observe_undated(&mut self, category: Category, call: Option<&str>) {
        self.undated += 1;
        self.call(category, call);
    }

    fn call(&mut self, category: Category, call: Option<&str>) {
        if let Some(call) = call {
            self.calls.entry(category).or_default().insert(call);
        }
    }

    /// Adds the reports of another part of the pass.
    pub fn merge(&mut self, mut other: Timeline) {
        while self.width < other.width {
            self.widen();
        }
        while other.width < self.width {
            other.widen();
        }
        for (at, slot) in other.slots {
            self.slots.entry(at).or_default().merge(&slot);
        }
        self.cost = self.slots.values().map(Minute::cost).sum();
        for (category, calls) in &other.calls {
            self.calls.entry(*category).or_default().merge(calls);
        }
        self.undated += other.undated;
        self.bound();
    }

    fn bound(&mut self) {
        while self.cost > MEMORY && self.slots.len() > 1 {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.width *= 2;
        for (at, slot) in std::mem::take(&mut self.slots) {
            self.slots.entry(at - at.rem_euclid(self.width)).or_default().merge(&slot);
        }
        self.cost = self.slots.values().map(Minute::cost).sum();
    }

    /// Reports of records that do not say when they happened.
    pub fn undated(&self) -> u64 {
        self.undated
    }

    /// Distinct calls by category, as [`Category::ALL`].
    pub fn calls(&self) -> [u64; Category::ALL.len()] {
        Category::ALL.map(|category| self.calls.get(&category).map_or(0, |calls| calls.clone().count()))
    }

    /// Reports over time, in at most `most` steps of a usual length; `None` without a dated report.
    pub fn history(&self, most: i64) -> Option<History> {
        let (first, last) = (*self.slots.first_key_value()?.0, *self.slots.last_key_value()?.0);
        let fits = |step: &&i64| **step >= self.width && last.div_euclid(**step) - first.div_euclid(**step) < most;
        let step = *STEPS.iter().find(fits).or(STEPS.last())?;
        let mut sums: BTreeMap<i64, Counts> = BTreeMap::new();
        for (at, slot) in &self.slots {
            let sum = sums.entry(at.div_euclid(step)).or_default();
            slot.counts.0.iter().for_each(|(series, count)| sum.add(*series, *count));
        }
        let (first, last) = (first.div_euclid(step), last.div_euclid(step));
        Some(History::of(first, step, (last - first + 1).min(most), |at| sums.get(&at)))
    }

    /// What held when, of `sources` that were read: by start. One that held to the end of the log is active.
    pub fn findings(&self, sources: usize) -> Vec<Finding> {
        let mut episodes = Episodes::new(Arc::clone(&self.rules), self.width);
        let mut findings = Vec::new();
        let mut at = i64::MIN;
        let mut judge = |episodes: &mut Episodes, at| {
            findings.extend(episodes.judge(&self.slots, at, sources).into_iter().filter(|finding| !finding.active));
        };
        for next in self.slots.keys() {
            // In between the windows empty, and what held ends.
            while at < *next - self.width && !episodes.is_quiet() {
                at += self.width;
                judge(&mut episodes, at);
            }
            at = *next;
            judge(&mut episodes, at);
        }
        findings.extend(episodes.active(&self.slots, at));
        findings.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        findings
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Catalog;
    use crate::record::Code;

    const CODES: [u32; 6] = [53405, 20101, 31005, 20104, 31486, 31503];

    fn filled(reports: impl IntoIterator<Item = (u64, i64, usize)>) -> Timeline {
        let catalog = Catalog::embedded();
        let mut timeline = Timeline::new(Rules::embedded());
        for (place, minute, code) in reports {
            let code = Code::new(CODES[code % CODES.len()]).unwrap();
            let call = format!("CA{:032x}", place / 2);
            timeline.observe(&Report {
                at: Timestamp::from_second(minute * 60).unwrap(),
                code,
                category: catalog.category(code),
                source: &"a".into(),
                path: "a.log",
                place: (0, place),
                call: (place % 5 > 0).then_some(&call),
                text: format!("{place}: {code}").as_bytes(),
            });
        }
        timeline
    }

    fn shown(timeline: &Timeline) -> String {
        let json = |value: Option<History>| serde_json::to_string(&value).unwrap();
        let findings = serde_json::to_string(&timeline.findings(1)).unwrap();
        format!("{} {:?} {:?} {findings}", timeline.width, timeline.calls(), json(timeline.history(96)))
    }

    proptest! {
        #[test]
        fn parts_merge_in_any_order(
            reports in proptest::collection::vec((0..300_i64, 0..6_usize), 0..400),
            cuts in proptest::collection::vec(0..3_usize, 400),
            far in 1..1000_i64,
        ) {
            let numbered = |(place, (minute, code)): (usize, &(i64, usize))| (place as u64, minute * far, *code);
            let all: Vec<_> = reports.iter().enumerate().map(numbered).collect();
            let whole = shown(&filled(all.clone()));
            let part = |n| filled(all.iter().copied().filter(|(place, ..)| cuts[*place as usize] == n));
            for order in [[0, 1, 2], [2, 0, 1]] {
                let mut left = part(order[0]);
                left.merge(part(order[1]));
                left.merge(part(order[2]));
                let mut tail = part(order[1]);
                tail.merge(part(order[2]));
                let mut right = part(order[0]);
                right.merge(tail);
                prop_assert_eq!(&shown(&left), &whole);
                prop_assert_eq!(&shown(&right), &whole);
            }
        }
    }

    #[test]
    fn findings_have_a_start_and_an_end() {
        let storm = (0..40).map(|n| (n, 100 + n as i64 / 8, 0));
        let later = (40..50).map(|n| (n, 400 + n as i64 % 3, 1));
        let findings = filled(storm.chain(later)).findings(1);
        let seen: Vec<_> = findings.iter().map(|of| (of.id.as_str(), of.active, of.count)).collect();
        assert_eq!(seen, [("ice-turn", false, 40), ("wrong-credentials", true, 10)]);
        let (start, end) = (findings[0].start.as_second() / 60, findings[0].end.unwrap().as_second() / 60);
        assert_eq!((start, end), (100, 104));
        assert_eq!(findings[0].first.as_ref().unwrap().text(), "0: 53405");
        assert_eq!(findings[0].last.as_ref().unwrap().text(), "39: 53405");
    }

    #[test]
    fn many_years_are_bounded() {
        let timeline = filled((0..60_000).map(|n| (n, n as i64 * 97, n as usize)));
        assert!(timeline.cost <= MEMORY && timeline.slots.len() > 1000, "{}", timeline.slots.len());
        let history = timeline.history(96).unwrap();
        assert_eq!(history.totals().iter().map(|(_, count)| count).sum::<u64>(), 60_000);
        assert!(history.categories.values().all(|counts| counts.len() <= 96));
    }

    #[test]
    fn nothing_dated_has_no_history() {
        let mut timeline = filled([]);
        timeline.observe_undated(Category::Media, Some("CA1"));
        assert_eq!((timeline.undated(), timeline.history(96), timeline.findings(1).len()), (1, None, 0));
        assert_eq!(timeline.calls()[2], 1);
    }
}
