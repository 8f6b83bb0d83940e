//! Whether a rule holds at one minute, and what speaks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::Minutes;
use super::calls::{COARSE, Calls};
use super::minutes::{Cell, Excerpt, Minute, SOURCES};
use super::rules::{Rule, Spread};
use crate::record::Code;

/// What comes along with a pattern is one for every so many of it at least; what hardly does is fewer.
const RARE: u64 = 5;

/// Something that is wrong, or was.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub id: String,
    /// Whether it holds now.
    pub active: bool,
    /// What is wrong, in one line.
    pub title: String,
    /// What the pattern stands for.
    pub meaning: String,
    /// What to do, the first thing first.
    pub steps: Vec<String>,
    /// When the first report came that it rests on.
    pub start: Timestamp,
    /// When the last one came; `None` while it holds.
    pub end: Option<Timestamp>,
    /// Reports since the start.
    pub count: u64,
    /// Distinct calls that they name.
    pub calls: u64,
    /// The same by code.
    pub codes: Vec<CodeCount>,
    /// The same by source.
    pub sources: Vec<SourceCount>,
    /// The first of the records.
    pub first: Option<Arc<Excerpt>>,
    /// The last of them.
    pub last: Option<Arc<Excerpt>>,
}

/// How often a code was reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodeCount {
    /// The code.
    pub code: Code,
    /// How often.
    pub count: u64,
}

/// How often a source reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceCount {
    /// The source's name.
    pub source: Arc<str>,
    /// How often.
    pub count: u64,
}

/// What speaks for a finding since it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    codes: BTreeMap<Code, u64>,
    all: Cell,
}

impl Evidence {
    /// Adds what a minute says of the rule.
    pub(super) fn add(&mut self, rule: &Rule, minute: &Minute) {
        for (code, cell) in minute.cells(&rule.codes).chain(minute.cells(&rule.with)) {
            *self.codes.entry(code).or_default() += cell.count();
            self.all.merge(cell);
        }
    }

    /// The earliest record.
    pub(super) fn first(&self) -> Option<&Arc<Excerpt>> {
        self.all.ends.as_ref().map(|(first, _)| first)
    }

    /// The latest record.
    pub(super) fn last(&self) -> Option<&Arc<Excerpt>> {
        self.all.ends.as_ref().map(|(_, last)| last)
    }

    /// The finding that it speaks for, which began at `start` and, where it did, ended at `end`.
    pub(super) fn finding(mut self, rule: &Rule, start: Timestamp, end: Option<Timestamp>) -> Finding {
        let codes = self.codes.iter().map(|(code, count)| CodeCount { code: *code, count: *count });
        let of_source = |(source, count): (&Arc<str>, &u64)| SourceCount { source: Arc::clone(source), count: *count };
        Finding {
            id: rule.id.clone(),
            active: end.is_none(),
            title: rule.title.clone(),
            meaning: rule.meaning.clone(),
            steps: rule.steps.clone(),
            start,
            end,
            count: self.all.count(),
            calls: self.all.calls.count(),
            codes: codes.collect(),
            sources: self.all.sources.iter().map(of_source).collect(),
            first: self.first().cloned(),
            last: self.last().cloned(),
        }
    }
}

/// Whether a rule holds at the end of the minute `now`.
///
/// A slot of `minutes` is `width` minutes long; of `sources` sources in all. A finding that `is_active` already
/// need not be rising, nor follow a quiet time.
pub(super) fn holds(rule: &Rule, minutes: &Minutes, now: i64, width: i64, sources: usize, is_active: bool) -> bool {
    let window = rule.window.max(width);
    let sum = |from: i64, to: i64, terms, except: &[_]| -> u64 {
        minutes.range(from + 1..=to).map(|(_, minute)| minute.count(terms, except)).sum()
    };
    let count = sum(now - window, now, &rule.codes, &[]);
    if count < rule.count {
        return false;
    }
    let in_window = || minutes.range(now - window + 1..=now).map(|(_, minute)| minute);
    let is_spread = {
        let reporting: BTreeSet<&Arc<str>> = in_window()
            .flat_map(|minute| minute.cells(&rule.codes))
            .flat_map(|(_, cell)| cell.sources.iter().map(|(source, _)| source))
            .collect();
        match rule.spread {
            Spread::AtLeast(least) => reporting.len() >= least.min(sources),
            // Of very many sources, a minute tells only so many apart.
            Spread::All => reporting.len() >= sources.clamp(2, SOURCES),
        }
    };
    let together = sum(now - window, now, &rule.with, &rule.codes);
    let apart = sum(now - window, now, &rule.without, &rule.codes);
    let more = sum(now - window, now, &rule.against, &rule.codes);
    is_spread
        && (rule.with.is_empty() || together * RARE >= count)
        && (rule.without.is_empty() || apart * RARE < count)
        && more <= count
        && (is_active || !rule.rising || sum(now - window / 2, now, &rule.codes, &[]) * 2 > count)
        && (is_active
            || rule.quiet == 0
            || sum(now - window - rule.quiet, now - window, &rule.codes, &[]) * RARE < count)
        // Last, since it costs most.
        && (rule.calls <= 1 || calls(rule, in_window()) >= rule.calls)
}

/// The distinct calls of the minutes; a record without one stands for one of its own.
fn calls<'a>(rule: &Rule, minutes: impl Iterator<Item = &'a Minute>) -> u64 {
    let (mut calls, mut callless) = (Calls::<COARSE>::default(), 0);
    for minute in minutes {
        for (_, cell) in minute.cells(&rule.codes).chain(minute.cells(&rule.with)) {
            calls.merge(&cell.calls);
            callless += cell.callless;
        }
    }
    calls.count() + callless
}
