//! What was reported within one minute, and the records that say so.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::calls::{COARSE, Calls};
use super::flat::Flat;
use super::rules::Term;
use crate::catalog::Category;
use crate::record::Code;
use crate::redact::redact;
use crate::tally::{Label, Series};

/// How much of a record is shown, in bytes.
const SHOWN: usize = 1024;

/// What is kept beyond, in bytes: a secret that the end cuts in two would not be known as one, so that much of what
/// stands before a cut is not shown. Longer than any secret that is told by its end.
const MARGIN: usize = 256;

/// Distinct codes that are counted apart within one minute; further ones count together.
const DISTINCT: usize = 512;

/// Codes of which more than the count is known within one minute; of further ones only the count is. The embedded rules
/// speak of 27, and rules that speak of a category may speak of thousands.
const WATCHED: usize = 64;

/// Sources that are told apart of one code within one minute; further ones count together.
pub(super) const SOURCES: usize = 64;

/// The name that those count under.
static OTHERS: LazyLock<Arc<str>> = LazyLock::new(|| "others".into());

/// What takes memory, in bytes: a minute, a code that is counted in it, a code of which more is known with its two
/// records, and of that a source and a call, of which all together take [`CALLS`] at most. None of it depends on which of
/// the reports came first, so that parts of a pass are bounded as the whole is.
const COSTS: [usize; 5] = [1 << 10, 64, 768 + 2 * (192 + SHOWN + MARGIN), 64, 24];

/// What the calls of one code within one minute take at most, in bytes.
const CALLS: usize = 5 << 10;

/// One accepted code, as diagnosis takes it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// When: the record's time where it has one, at most now, else the time of its arrival.
    pub at: Timestamp,
    /// What.
    pub code: Code,
    /// Its category.
    pub category: Category,
    /// The source that reports it.
    pub source: &'a Arc<str>,
    /// The file, as it was named.
    pub path: &'a str,
    /// Where among all inputs: orders reports of one time.
    pub place: (usize, u64),
    /// The call that it names.
    pub call: Option<&'a str>,
    /// The record, not redacted.
    pub text: &'a [u8],
}

/// The beginning of a record that reported a code. What it gives out is redacted.
#[derive(Debug)]
pub struct Excerpt {
    /// When it was reported.
    pub at: Timestamp,
    /// The code.
    pub code: Code,
    /// Its category.
    pub category: Category,
    /// The source.
    pub source: Arc<str>,
    /// The file, as it was named.
    pub path: Box<str>,
    place: (usize, u64),
    raw: Box<[u8]>,
    is_cut: bool,
    /// Redacted when it is first asked for: most records never are.
    shown: OnceLock<String>,
}

impl Excerpt {
    /// Keeps what is shown of a record.
    pub fn of(report: &Report<'_>) -> Excerpt {
        let raw = &report.text[..report.text.len().min(SHOWN + MARGIN)];
        Excerpt {
            at: report.at,
            code: report.code,
            category: report.category,
            source: Arc::clone(report.source),
            path: report.path.into(),
            place: report.place,
            is_cut: raw.len() < report.text.len(),
            raw: raw.into(),
            shown: OnceLock::new(),
        }
    }

    /// The record without secrets; past about a kilobyte it ends in `…`.
    pub fn text(&self) -> &str {
        self.shown.get_or_init(|| {
            let redacted = redact(&self.raw);
            let redacted = redacted.trim_end();
            let end = if self.is_cut { redacted.len().saturating_sub(MARGIN) } else { redacted.len().min(SHOWN) };
            let end = (0..=end).rev().find(|end| redacted.is_char_boundary(*end)).unwrap_or(0);
            let (shown, rest) = redacted.split_at(end);
            format!("{shown}{}", if self.is_cut || !rest.is_empty() { "…" } else { "" })
        })
    }

    /// By time, and by place within one time.
    fn order(&self, other: &Excerpt) -> Ordering {
        (self.at, self.place).cmp(&(other.at, other.place))
    }
}

impl Serialize for Excerpt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Excerpt", 6)?;
        object.serialize_field("time", &self.at)?;
        object.serialize_field("source", &self.source)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("category", &self.category)?;
        object.serialize_field("text", self.text())?;
        object.end()
    }
}

/// How often each code was reported; of many codes, the later ones together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub Flat<Series, u64>);

/// The reports of one minute.
#[derive(Clone, Debug, Default)]
pub struct Minute {
    /// How often each code was reported.
    pub counts: Counts,
    /// What is known beyond that of the codes that a rule speaks of.
    pub watched: Flat<(Category, Code), Cell>,
}

/// The reports of one code within one minute.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// By source.
    pub sources: Flat<Arc<str>, u64>,
    /// Reports that name no call.
    pub callless: u64,
    /// The calls that the others name.
    pub calls: Calls<COARSE>,
    /// The earliest and the latest record.
    pub ends: Option<(Arc<Excerpt>, Arc<Excerpt>)>,
}

impl Counts {
    /// Adds to the count of a code.
    pub fn add(&mut self, series: Series, count: u64) {
        let is_apart = self.0.len() < DISTINCT || self.0.contains_key(&series);
        let series = if is_apart { series } else { Series { code: Label::Other, ..series } };
        *self.0.value(series) += count;
    }

    /// The sum by category.
    pub fn categories(&self) -> BTreeMap<Category, u64> {
        let mut sums = BTreeMap::new();
        for (series, count) in self.0.iter() {
            *sums.entry(series.category).or_default() += count;
        }
        sums
    }
}

impl Minute {
    /// Counts a report; `excerpt` where a rule speaks of its code. Gives by how many bytes its cost grew.
    pub fn add(&mut self, report: &Report<'_>, excerpt: Option<&Arc<Excerpt>>) -> usize {
        let [_, counted, ..] = COSTS;
        let before = self.counts.0.len();
        self.counts.add(Series { category: report.category, code: Label::Code(report.code) }, 1);
        let grown = counted * (self.counts.0.len() - before);
        let Some(excerpt) = excerpt else { return grown };
        let Some(cell) = self.cell((report.category, report.code)) else { return grown };
        let before = cell.cost();
        cell.add(report.source, 1);
        match report.call {
            Some(call) => cell.calls.insert(call),
            None => cell.callless += 1,
        }
        cell.extend(excerpt, excerpt);
        grown + cell.cost() - before
    }

    /// Adds the reports of another minute.
    pub fn merge(&mut self, other: &Minute) {
        for (series, count) in other.counts.0.iter() {
            self.counts.add(*series, *count);
        }
        for (series, cell) in other.watched.iter() {
            if let Some(own) = self.cell(*series) {
                own.merge(cell);
            }
        }
    }

    /// The cell of a code, where there is one or still room for one.
    fn cell(&mut self, series: (Category, Code)) -> Option<&mut Cell> {
        let has_room = self.watched.len() < WATCHED || self.watched.contains_key(&series);
        has_room.then(|| self.watched.value(series))
    }

    /// About how much memory it takes at most, in bytes.
    pub(super) fn cost(&self) -> usize {
        let [own, counted, ..] = COSTS;
        own + counted * self.counts.0.len() + self.watched.iter().map(|(_, cell)| cell.cost()).sum::<usize>()
    }

    /// How often anything of the terms was reported that is none of `except`.
    pub(super) fn count(&self, terms: &[Term], except: &[Term]) -> u64 {
        let holds = |terms: &[Term], series: &Series| match series.code {
            Label::Code(code) => terms.iter().any(|term| term.holds(code, series.category)),
            Label::Other => terms.contains(&Term::Category(series.category)),
        };
        let wanted = self.counts.0.iter().filter(|(series, _)| holds(terms, series) && !holds(except, series));
        wanted.map(|(_, count)| count).sum()
    }

    /// What is known of the codes of the terms.
    pub(super) fn cells<'a>(&'a self, terms: &'a [Term]) -> impl Iterator<Item = (Code, &'a Cell)> {
        let holds = |(category, code): (Category, Code)| terms.iter().any(|term| term.holds(code, category));
        self.watched.iter().filter(move |(series, _)| holds(**series)).map(|((_, code), cell)| (*code, cell))
    }
}

impl Cell {
    /// About how much memory it takes at most, in bytes; nothing before its first report.
    fn cost(&self) -> usize {
        if self.ends.is_none() {
            return 0;
        }
        let [.., own, source, call] = COSTS;
        let calls = usize::try_from(self.count() - self.callless).unwrap_or(CALLS).saturating_mul(call).min(CALLS);
        own + source * self.sources.len() + calls
    }

    fn add(&mut self, source: &Arc<str>, count: u64) {
        let is_apart = self.sources.len() < SOURCES || self.sources.contains_key(source);
        *self.sources.value(Arc::clone(if is_apart { source } else { &OTHERS })) += count;
    }

    fn extend(&mut self, first: &Arc<Excerpt>, last: &Arc<Excerpt>) {
        match &mut self.ends {
            None => self.ends = Some((Arc::clone(first), Arc::clone(last))),
            Some((earliest, latest)) => {
                if first.order(earliest) == Ordering::Less {
                    *earliest = Arc::clone(first);
                }
                if last.order(latest) != Ordering::Less {
                    *latest = Arc::clone(last);
                }
            }
        }
    }

    /// Adds the reports of another minute or source.
    pub fn merge(&mut self, other: &Cell) {
        for (source, count) in other.sources.iter() {
            self.add(source, *count);
        }
        self.callless += other.callless;
        self.calls.merge(&other.calls);
        if let Some((first, last)) = &other.ends {
            self.extend(first, last);
        }
    }

    /// Reports of all sources.
    pub fn count(&self) -> u64 {
        self.sources.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let source = "a".into();
        let code = Code::new(31005).unwrap();
        let report = Report {
            at: Timestamp::UNIX_EPOCH,
            code,
            category: Category::Signaling,
            source: &source,
            path: "-",
            place: (0, 0),
            call: None,
            text: text.as_bytes(),
        };
        assert_eq!(Excerpt::of(&report).text(), shown);
    }

    #[test]
    fn a_minute_takes_no_more_than_it_costs() {
        let catalog = Catalog::embedded();
        let rules = crate::diagnose::Rules::embedded();
        for (sources, calls) in [(1, 1), (1, 5000), (64, 5000), (200, 5000)] {
            let names: Vec<Arc<str>> = (0..sources).map(|n| format!("source-{n}").into()).collect();
            let mut filled = None;
            let taken = allocation_counter::measure(|| {
                let mut minute = Minute::default();
                for entry in catalog.entries().iter().filter(|entry| rules.watches(entry.code, entry.category)) {
                    for n in 0..calls {
                        let report = Report {
                            at: Timestamp::UNIX_EPOCH,
                            code: entry.code,
                            category: entry.category,
                            source: &names[n % sources],
                            path: "app.log",
                            place: (0, n as u64),
                            call: Some(&format!("CA{n:032x}")),
                            text: &[b'x'; 2 * SHOWN],
                        };
                        minute.add(&report, Some(&Arc::new(Excerpt::of(&report))));
                    }
                }
                filled = Some(minute);
            });
            let minute = filled.unwrap();
            let (taken, cost) = (taken.bytes_current.unsigned_abs() as usize, minute.cost());
            println!("{} codes, {sources} sources, {calls} calls: {taken} bytes, {cost} at most", minute.watched.len());
            assert!(taken <= cost, "{taken} of {cost}");
            assert!(minute.watched.iter().all(|(_, cell)| cell.sources.len() <= SOURCES + 1));
            assert!(minute.watched.iter().all(|(_, cell)| cell.count() == calls as u64));
        }
    }

    #[test]
    fn shows_no_secret_that_the_end_cuts_in_two() {
        check("ConnectionError (31005): bob@example.com\n", "ConnectionError (31005): [email]");
        let token = "0123456789abcdef0123456789abcdef";
        for length in [SHOWN, SHOWN + MARGIN - 16, SHOWN + MARGIN - 40, SHOWN + MARGIN] {
            let text = format!("{} {token} and more", "x ".repeat(length / 2));
            let source = "a".into();
            let report = Report {
                at: Timestamp::UNIX_EPOCH,
                code: Code::new(31005).unwrap(),
                category: Category::Signaling,
                source: &source,
                path: "-",
                place: (0, 0),
                call: None,
                text: text.as_bytes(),
            };
            let excerpt = Excerpt::of(&report);
            assert!(!excerpt.text().contains("0123"), "{}", excerpt.text());
            assert!(excerpt.text().ends_with('…') && excerpt.text().len() <= SHOWN + 3);
        }
    }
}
