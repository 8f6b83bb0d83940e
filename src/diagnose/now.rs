//! What is wrong right now: the last hours, kept in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::day::{CallsByWindow, Day};
use super::episodes::Episodes;
use super::finding::Finding;
use super::minutes::{Excerpt, Report};
use super::rules::{LONGEST, Rules};
use super::{History, Minutes, minute};
use crate::tally::Series;

/// Minutes that are kept apart: the longest window and the longest quiet time before it.
const KEPT: i64 = 2 * LONGEST;

/// The hour's history, in minutes.
const HOUR: i64 = 60;

/// The last records that are kept.
const RECENT: usize = 50;

/// Findings that are remembered once they ended.
const ENDED: usize = 20;

/// How long they are.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// The last two hours by the minute and the last day by ten minutes.
#[derive(Debug)]
pub struct Diagnosis {
    rules: Arc<Rules>,
    since: Timestamp,
    minutes: Minutes,
    day: Day,
    recent: VecDeque<Arc<Excerpt>>,
    episodes: Episodes,
    ended: VecDeque<Finding>,
    /// The minute that was judged last.
    judged: i64,
    /// Whether anything was reported since.
    is_new: bool,
}

/// What is wrong at one instant, for the page and the metrics.
#[derive(Clone, Debug)]
pub struct View {
    /// The instant.
    pub at: Timestamp,
    /// Since when reports are taken: what was read before is in nothing of this.
    pub since: Timestamp,
    /// What holds, in the order of the rules, and after it what ended within a day, the latest first.
    pub findings: Vec<Finding>,
    /// The last hour by the minute.
    pub hour: History,
    /// The last day by ten minutes.
    pub day: History,
    /// The codes of the last day, the most frequent first.
    pub top: Vec<Top>,
    /// The last records, the latest first.
    pub recent: Vec<Arc<Excerpt>>,
    /// Distinct calls.
    pub calls: CallsByWindow,
    /// The rules that were asked.
    pub rules: Arc<Rules>,
}

/// How often a code was reported lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// The code and its category.
    pub series: Series,
    /// Within the last hour.
    pub hour: u64,
    /// Within the last day.
    pub day: u64,
}

impl Diagnosis {
    /// Nothing was reported yet; reports are taken `since` now.
    pub fn new(rules: Arc<Rules>, since: Timestamp) -> Diagnosis {
        Diagnosis {
            episodes: Episodes::new(Arc::clone(&rules), 1),
            rules,
            since,
            minutes: Minutes::new(),
            day: Day::default(),
            recent: VecDeque::new(),
            ended: VecDeque::new(),
            judged: i64::MIN,
            is_new: false,
        }
    }

    /// Takes a report that is read at `now`. One that is older than a day is only among the last records.
    pub fn observe(&mut self, report: &Report<'_>, now: Timestamp) {
        let excerpt = Arc::new(Excerpt::of(report));
        let age = minute(now) - minute(report.at);
        if age < KEPT {
            let watched = self.rules.watches(report.code, report.category).then_some(&excerpt);
            self.minutes.entry(minute(report.at)).or_default().add(report, watched);
        }
        self.day.observe(report, minute(now));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(excerpt);
        self.is_new = true;
    }

    /// Whether [`advance`](Diagnosis::advance) may find something else than before.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_new || minute(now) != self.judged
    }

    /// Judges what holds now, of `sources` that are read; what begins and what ends with it.
    pub fn advance(&mut self, now: Timestamp, sources: usize) -> Vec<Finding> {
        let minute = minute(now);
        self.is_new = false;
        if minute != self.judged {
            self.forget(minute);
            self.judged = minute;
            self.ended.retain(|finding| finding.end.is_none_or(|end| now.duration_since(end) < REMEMBERED));
        }
        let changes = self.episodes.judge(&self.minutes, minute, sources);
        for ended in changes.iter().filter(|finding| !finding.active) {
            self.ended.push_front(ended.clone());
        }
        self.ended.truncate(ENDED);
        changes
    }

    /// Drops what is too old at this minute.
    fn forget(&mut self, now: i64) {
        while let Some(entry) = self.minutes.first_entry()
            && *entry.key() <= now - KEPT
        {
            self.episodes.forget(*entry.key(), entry.get());
            entry.remove();
        }
        self.day.forget(now);
    }

    /// What is to be seen now.
    pub fn view(&mut self, now: Timestamp) -> View {
        let minute = minute(now);
        let hour = History::of(minute - HOUR + 1, 1, HOUR, |at| self.minutes.get(&at).map(|minute| &minute.counts));
        let mut top: BTreeMap<Series, Top> = BTreeMap::new();
        let hours = self.minutes.range(minute - HOUR + 1..=minute).map(|(_, minute)| (&minute.counts, true));
        for (counts, is_hour) in hours.chain(self.day.counts().map(|counts| (counts, false))) {
            for (series, count) in counts.0.iter() {
                let top = top.entry(*series).or_insert(Top { series: *series, hour: 0, day: 0 });
                *(if is_hour { &mut top.hour } else { &mut top.day }) += count;
            }
        }
        let mut top: Vec<Top> = top.into_values().collect();
        top.sort_by_key(|top| (Reverse((top.day, top.hour)), top.series));
        let mut findings = self.episodes.active(&self.minutes, minute);
        findings.extend(self.ended.iter().cloned());
        let recent = self.recent.iter().rev().cloned().collect();
        View {
            at: now,
            since: self.since,
            findings,
            hour,
            day: self.day.history(minute),
            top,
            recent,
            calls: self.day.calls(),
            rules: Arc::clone(&self.rules),
        }
    }
}

impl View {
    /// What is to be seen before anything was reported.
    pub fn empty(rules: Arc<Rules>, at: Timestamp) -> View {
        Diagnosis::new(rules, at).view(at)
    }

    /// The findings that hold.
    pub fn active(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.active)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CodeCount;
    use super::*;
    use crate::catalog::{Catalog, Category};
    use crate::record::Code;

    struct Rig {
        diagnosis: Diagnosis,
        catalog: Catalog,
        now: Timestamp,
        source: Arc<str>,
    }

    impl Rig {
        fn new() -> Rig {
            let now = Timestamp::from_second(1_790_000_000).unwrap();
            let diagnosis = Diagnosis::new(Rules::embedded(), now);
            Rig { diagnosis, catalog: Catalog::embedded(), now, source: "a".into() }
        }

        /// Reports `times` errors of a record that is `age` minutes old, each of a call of its own.
        fn report(&mut self, code: u32, times: u64, age: i64) {
            let code = Code::new(code).unwrap();
            for n in 0..times {
                let text = format!("call CA{n:032x} failed with {code}, sip:bob@example.com");
                let report = Report {
                    at: self.now - SignedDuration::from_mins(age),
                    code,
                    category: self.catalog.category(code),
                    source: &self.source,
                    path: "app.log",
                    place: (0, n),
                    call: text.get(5..39),
                    text: text.as_bytes(),
                };
                self.diagnosis.observe(&report, self.now);
            }
        }

        fn pass(&mut self, minutes: i64) -> Vec<(String, bool)> {
            let mut changes = Vec::new();
            for _ in 0..minutes {
                self.now += SignedDuration::from_mins(1);
                changes.extend(self.judge());
            }
            changes
        }

        fn judge(&mut self) -> Vec<(String, bool)> {
            let changes = self.diagnosis.advance(self.now, 1);
            changes.into_iter().map(|finding| (finding.id, finding.active)).collect()
        }
    }

    fn change(id: &str, active: bool) -> Vec<(String, bool)> {
        vec![(id.to_owned(), active)]
    }

    #[test]
    fn a_finding_begins_and_ends_with_its_evidence() {
        let mut rig = Rig::new();
        rig.report(53405, 2, 0);
        assert_eq!(rig.judge(), []);
        rig.report(53405, 4, 0);
        assert_eq!(rig.judge(), change("ice-turn", true));
        assert_eq!(rig.judge(), []);
        let view = rig.diagnosis.view(rig.now);
        let finding = view.active().next().unwrap();
        assert_eq!((finding.count, finding.calls, finding.sources[0].count), (6, 4, 6));
        assert_eq!(finding.codes, [CodeCount { code: Code::new(53405).unwrap(), count: 6 }]);
        assert!(finding.first.as_ref().unwrap().text().contains("sip:[user]@"), "redacted");
        // It goes on for hours, longer than minutes are kept, and all of it is counted.
        for _ in 0..60 {
            assert_eq!(rig.pass(5), []);
            rig.report(53405, 6, 0);
        }
        let view = rig.diagnosis.view(rig.now);
        assert_eq!(view.active().next().unwrap().count, 366);
        assert_eq!(rig.pass(12), change("ice-turn", false));
        let view = rig.diagnosis.view(rig.now);
        let ended = &view.findings[0];
        assert_eq!((ended.active, ended.count), (false, 366));
        assert!(ended.end.unwrap() > ended.start);
    }

    #[test]
    fn a_backlog_makes_no_storm() {
        let mut rig = Rig::new();
        for age in (11..=2000).rev().step_by(7) {
            rig.report(53405, 20, age);
            rig.report(20101, 20, age);
            assert_eq!(rig.judge(), []);
        }
        let view = rig.diagnosis.view(rig.now);
        assert!(view.findings.is_empty());
        assert!(view.day.peak() > 0 && view.hour.peak() > 0);
    }

    #[test]
    fn what_is_told_late_has_its_true_start() {
        let mut rig = Rig::new();
        rig.report(53405, 1, 70);
        for age in (0..40).rev() {
            rig.report(53405, 3, age);
        }
        assert_eq!(rig.judge(), change("ice-turn", true));
        let view = rig.diagnosis.view(rig.now);
        let finding = view.active().next().unwrap();
        assert_eq!((rig.now.duration_since(finding.start).as_mins(), finding.count), (39, 120));
    }

    #[test]
    fn memory_is_bounded() {
        let mut rig = Rig::new();
        for n in 0..3000 {
            rig.report(10_000 + n * 13 % 80_000, 1, i64::from(n % 7));
            rig.pass(1);
        }
        for n in 0..3000 {
            rig.report(10_000 + n * 13, 1, 0);
        }
        let diagnosis = &rig.diagnosis;
        assert!(diagnosis.minutes.len() <= KEPT as usize && diagnosis.day.slots() <= 144);
        assert!(diagnosis.minutes.values().all(|minute| minute.counts.0.len() <= 512 + Category::ALL.len()));
        assert_eq!(diagnosis.recent.len(), RECENT);
    }

    #[test]
    fn calls_leave_the_windows() {
        let mut rig = Rig::new();
        rig.report(53405, 30, 0);
        rig.report(20101, 7, 90);
        rig.judge();
        let calls = |rig: &mut Rig| rig.diagnosis.view(rig.now).calls.map(|of| (of[0], of[2]));
        assert_eq!(calls(&mut rig), [(0, 30), (7, 30)]);
        rig.pass(70);
        assert_eq!(calls(&mut rig), [(0, 0), (7, 30)]);
        rig.pass(24 * 60);
        assert_eq!(calls(&mut rig), [(0, 0), (0, 0)]);
    }

    #[test]
    fn histories_end_now() {
        let mut rig = Rig::new();
        rig.report(53405, 3, 0);
        rig.report(53405, 2, 59);
        rig.report(53405, 1, 60);
        let view = rig.diagnosis.view(rig.now);
        let media = &view.hour.categories[&Category::Media];
        assert_eq!((media.len(), media[0], media[59], view.hour.totals()), (60, 2, 3, vec![(Category::Media, 5)]));
        assert_eq!((view.day.categories[&Category::Media].len(), view.day.totals()), (144, vec![(Category::Media, 6)]));
        assert_eq!((view.top[0].hour, view.top[0].day), (5, 6));
        assert_eq!(view.recent.len(), 6);
    }

    #[test]
    fn a_clock_that_was_set_back_counts_no_call_of_later() {
        let mut rig = Rig::new();
        rig.report(31005, 5, 0);
        let calls = |rig: &mut Rig| {
            rig.judge();
            rig.diagnosis.view(rig.now).calls.map(|of_window| of_window.iter().sum::<u64>())
        };
        assert_eq!(calls(&mut rig), [5, 5]);
        rig.now -= SignedDuration::from_hours(3);
        assert_eq!(calls(&mut rig), [0, 0]);
        rig.now += SignedDuration::from_hours(3);
        assert_eq!(calls(&mut rig), [5, 5]);
    }
}
