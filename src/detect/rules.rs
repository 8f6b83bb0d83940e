//! The detection rules: what a rule is, how files of them are compiled, and how they decide about a number.
//!
//! A file of rules is data (`rules/detect.toml` is the one compiled in). The rules are one ordered list; the
//! first that matches decides. A rule looks at what stands right before the number, right after it, and at
//! what else the record holds.
//!
//! All `before` patterns are one automaton that runs backwards from the number and stops as soon as none of
//! them can match: a number in the wrong place costs a few steps, whatever the number of rules. All `after` patterns
//! are another, which runs forwards. They are parsed pattern by pattern and compiled together: a start takes a quarter
//! of what a regex for each pattern took.

mod automaton;
mod compile;
mod evidence;
mod judge;
mod set;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use regex::bytes::Regex;
use regex_automata::hybrid::dfa::DFA;
use serde::Deserialize;

use self::compile::Builder;
use self::judge::States;
pub(super) use self::judge::{Hope, Judge, Outlook};
use self::set::RuleSet;
use super::numbers::numbers;
use super::plain::Plain;
use super::tables::Table;
use crate::problem::Problems;

/// The detection rules in their order, compiled.
#[derive(Debug)]
pub struct Rules {
    all: Vec<Rule>,
    evidence: Vec<Evidence>,
    /// What stands before a number, by the rules that speak of any.
    before: Automaton,
    /// The same by those that speak only of numbers that the catalogue knows, which few are.
    before_known: Automaton,
    /// What stands behind it.
    after: Automaton,
    /// Rules that say nothing about what stands before.
    anywhere: RuleSet,
    /// Rules that say nothing about what stands behind: the number must end there.
    unfollowed: RuleSet,
    /// Rules that speak of any number.
    any: RuleSet,
    /// Rules that accept any number.
    accept_any: RuleSet,
    /// By byte: whether a rule may accept an uncatalogued number that this byte follows.
    followers: Box<[bool; 256]>,
    /// Lent to scanners, a block at a time.
    idle: Mutex<Vec<States>>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in `why`, in matches and in metrics.
    pub id: String,
    /// What it stands for and why it decides so.
    pub description: String,
    /// What it decides.
    pub verdict: Verdict,
    /// Whether it also speaks about numbers that the catalogue lacks.
    pub any: bool,
    /// Records in which it decides about a number.
    pub examples: Vec<String>,
    /// Records in which it does not, though they look alike.
    pub near_misses: Vec<String>,
    /// The file it stands in.
    pub path: Arc<str>,
    /// What must stand before the number, with its parts filled in; and after it.
    before: Option<String>,
    after: Option<String>,
    name: Option<Side>,
    /// Whether the number before it, on its line, must be an accepted one.
    listed: bool,
    has: Vec<usize>,
    lacks: Vec<usize>,
}

/// What a rule decides about a number that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The number is a reported error code.
    Accept,
    /// The number is something else.
    Reject,
}

/// On which side of the number the catalogue's own name of the code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Before,
    After,
}

/// Something that a record holds or lacks.
#[derive(Clone, Debug)]
struct Evidence {
    name: String,
    /// With its parts filled in.
    pattern: String,
    /// Of embedded evidence made for the first record that is searched for it: few logs meet all of it.
    compiled: OnceLock<Regex>,
}

impl Evidence {
    fn regex(&self) -> &Regex {
        let compile = || {
            byte_regex(&self.pattern).unwrap_or_else(|error| panic!("{} is embedded and tested: {error}", self.name))
        };
        self.compiled.get_or_init(compile)
    }
}

/// What several rules want on one side of a number.
#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    /// The rule of each pattern.
    rules: Vec<u16>,
}

/// A file of rules that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// What is wrong in the files, with its places.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The rules are sound one by one and too large together.
    #[error("the rules are too large to compile: {0}")]
    TooLarge(String),
}

impl Rules {
    /// The rules compiled into the binary.
    pub fn embedded() -> Rules {
        Rules::layered(&[]).unwrap_or_else(|error| panic!("the embedded rules are tested: {error}"))
    }

    /// The users' rules, in order, in front of the embedded ones. Each is a path, to name in messages, and its text.
    ///
    /// # Errors
    /// Every problem of every file, with its place.
    pub fn layered(files: &[(String, String)]) -> Result<Rules, RulesError> {
        let mut sources: Vec<(Arc<str>, Arc<str>)> =
            files.iter().map(|(path, text)| (path.as_str().into(), text.as_str().into())).collect();
        sources.push(("rules/detect.toml".into(), include_str!("../../rules/detect.toml").into()));
        Builder::default().build(&sources)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<States>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every rule, in the order in which they are tried.
    pub fn all(&self) -> &[Rule] {
        &self.all
    }

    /// For each rule, how many times further the rules look back from the sample's numbers for its sake.
    ///
    /// A rule that looks no further than another costs nothing, and one that lets uncatalogued numbers stand behind
    /// anything has every number judged: that counts as looking as far as any rule can.
    ///
    /// # Errors
    /// None where the rules themselves could be built.
    pub fn costs(&self, sample: &[&str]) -> Result<Vec<f64>, RulesError> {
        let sides: Vec<_> = self.all.iter().map(compile::Sides::of).collect();
        let places =
            || sample.iter().flat_map(|line| numbers(line.as_bytes(), 0).map(|number| (line.as_bytes(), number.start)));
        let mut looks = Vec::new();
        for (index, rule) in self.all.iter().enumerate() {
            let automaton = Automaton::of(&sides, Side::Before, |other| other == index)?;
            let mut cache = automaton.dfa.create_cache();
            let look = |(line, at): (&[u8], usize)| match &rule.before {
                Some(_) => at - automaton.run_back(&mut cache, line, at, |_| ()).unwrap_or(0),
                None if rule.any && rule.verdict == Verdict::Accept => judge::REACH,
                None => 0,
            };
            looks.push(places().map(look).collect::<Vec<_>>());
        }
        let furthest = |without: Option<usize>| -> usize {
            let others = || looks.iter().enumerate().filter(|(index, _)| Some(*index) != without);
            (0..places().count()).map(|place| others().map(|(_, looks)| looks[place]).max().unwrap_or(0)).sum()
        };
        let all = furthest(None) as f64;
        Ok((0..looks.len()).map(|index| all / furthest(Some(index)).max(1) as f64).collect())
    }

    /// What a rule that decided about a number goes by: what stands before and after it, or the name of its column, and
    /// the evidence that the record holds, each with its first place.
    pub fn evidence_of(&self, rule: &Rule, text: &[u8], number: &Range<usize>) -> Vec<(&str, Range<usize>)> {
        let mut found = Vec::new();
        // Patterns are over what the text means, places in what was written.
        let mut plain = Plain::default();
        let mut find = |name, regex: &Regex, written: Range<usize>, digits: &[u8]| {
            plain.read(&text[written.clone()]);
            plain.text.extend(digits);
            let place = regex.find(&plain.text)?;
            let origin = |at: usize| written.start + plain.origin[at.min(plain.origin.len() - 1)] as usize;
            Some((name, origin(place.start())..origin(place.end()))).filter(|(_, place)| !place.is_empty())
        };
        if let Some(before) = &rule.before
            && let Ok(before) = byte_regex(&format!(r"(?:{before})[0-9]{{5}}\z"))
        {
            let low = number.start.saturating_sub(judge::REACH);
            let place = find("before", &before, low..number.start, &text[number.clone()]);
            found.extend(place.or_else(|| Some(("column", column_of(text, number)?))));
        }
        if let Some(after) = &rule.after
            && let Ok(after) = byte_regex(&format!("^(?:{after})"))
        {
            found.extend(find("after", &after, number.end..text.len(), &[]));
        }
        for &index in &rule.has {
            let evidence = &self.evidence[index];
            found.extend(find(evidence.name.as_str(), evidence.regex(), 0..text.len(), &[]));
        }
        found
    }

    /// Names of the evidence that a rule wants the record to lack.
    pub fn lacks_of(&self, rule: &Rule) -> Vec<&str> {
        rule.lacks.iter().map(|&index| self.evidence[index].name.as_str()).collect()
    }
}

/// The name of the column that a number of a record stands in.
fn column_of(text: &[u8], number: &Range<usize>) -> Option<Range<usize>> {
    let mut plain = Plain::default();
    plain.read(text);
    let place = |written| plain.origin.partition_point(|at| (*at as usize) < written);
    let cell = Table::default().cell(&plain.text, &(place(number.start)..place(number.end)))?;
    Some(plain.origin[cell.column.start] as usize..plain.origin[cell.column.end] as usize)
}

/// Patterns are over bytes and ignore case.
fn byte_regex(pattern: &str) -> Result<Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(pattern).unicode(false).case_insensitive(true).build()
}
