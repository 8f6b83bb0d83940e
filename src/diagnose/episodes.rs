//! Which findings hold, since when, and on what evidence, as minute follows minute.

use std::sync::Arc;

use jiff::Timestamp;

use super::finding::{Evidence, Finding, holds};
use super::minutes::Minute;
use super::rules::{LONGEST, Rules};
use super::{Minutes, start};

/// The findings that hold.
#[derive(Clone, Debug)]
pub(super) struct Episodes {
    rules: Arc<Rules>,
    /// The length of a slot of minutes.
    width: i64,
    /// For each rule, since when it holds.
    active: Vec<Option<Episode>>,
}

/// One time during which a finding holds.
#[derive(Clone, Debug)]
struct Episode {
    /// When the first report came that it rests on.
    start: Timestamp,
    /// The first minute that speaks for it.
    since: i64,
    /// What minutes said that are forgotten.
    settled: Evidence,
}

impl Episodes {
    /// None holds yet.
    pub(super) fn new(rules: Arc<Rules>, width: i64) -> Episodes {
        let active = vec![None; rules.all().len()];
        Episodes { rules, width, active }
    }

    /// Whether nothing holds.
    pub(super) fn is_quiet(&self) -> bool {
        self.active.iter().all(Option::is_none)
    }

    /// Judges at the end of the minute `now`; what begins and what ends.
    pub(super) fn judge(&mut self, minutes: &Minutes, now: i64, sources: usize) -> Vec<Finding> {
        let rules = Arc::clone(&self.rules);
        let held: Vec<bool> = rules
            .all()
            .iter()
            .zip(&self.active)
            .map(|(rule, active)| holds(rule, minutes, now, self.width, sources, active.is_some()))
            .collect();
        let mut changes = Vec::new();
        for (index, rule) in rules.all().iter().enumerate() {
            let is_better_said = rule.unless.iter().any(|other| held[*other]);
            match (held[index] && !is_better_said, self.active[index].is_some()) {
                (true, false) => {
                    // What is told late began when there was first so much of it.
                    let width = rule.window.max(self.width);
                    let is_met = |at: &i64| {
                        let count = |(_, minute): (&i64, &Minute)| minute.count(&rule.codes, &[]);
                        minutes.range(at - width + 1..=*at).map(count).sum::<u64>() >= rule.count
                    };
                    let began = (0..2 * LONGEST).map(|ago| now - ago * self.width).take_while(is_met).last();
                    let since = began.unwrap_or(now) - width + 1;
                    let mut evidence = Evidence::default();
                    minutes.range(since..=now).for_each(|(_, minute)| evidence.add(rule, minute));
                    let began = evidence.first().map_or_else(|| start(since), |first| first.at);
                    self.active[index] = Some(Episode { start: began, since, settled: Evidence::default() });
                    changes.push(evidence.finding(rule, began, None));
                }
                (false, true) => {
                    if let Some(episode) = self.active[index].take() {
                        let evidence = self.evidence(index, &episode, minutes, now);
                        let end = evidence.last().map_or_else(|| start(now), |last| last.at);
                        changes.push(evidence.finding(rule, episode.start, Some(end)));
                    }
                }
                _ => {}
            }
        }
        changes
    }

    /// What holds, in the order of the rules.
    pub(super) fn active(&self, minutes: &Minutes, now: i64) -> Vec<Finding> {
        let active = self.active.iter().enumerate().filter_map(|(index, episode)| Some((index, episode.as_ref()?)));
        active
            .map(|(index, episode)| {
                self.evidence(index, episode, minutes, now).finding(&self.rules.all()[index], episode.start, None)
            })
            .collect()
    }

    /// Remembers what a minute says that is about to be forgotten.
    pub(super) fn forget(&mut self, at: i64, minute: &Minute) {
        for (rule, episode) in self.rules.all().iter().zip(&mut self.active) {
            if let Some(episode) = episode
                && episode.since <= at
            {
                episode.settled.add(rule, minute);
            }
        }
    }

    fn evidence(&self, index: usize, episode: &Episode, minutes: &Minutes, now: i64) -> Evidence {
        let mut evidence = episode.settled.clone();
        let rule = &self.rules.all()[index];
        minutes.range(episode.since..=now.max(episode.since)).for_each(|(_, minute)| evidence.add(rule, minute));
        evidence
    }
}
