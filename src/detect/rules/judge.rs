//! How the rules decide about a number.

use std::ops::Range;

use memchr::{memchr, memrchr};
use regex_automata::Anchored;
use regex_automata::hybrid::dfa::Cache;
use regex_automata::util::start;

use super::{Automaton, Rule, Rules, Side, Verdict};
use crate::catalog::Entry;

/// How far before a number its context reaches, in bytes.
const REACH: usize = 256;

/// How far after a number, and before it, the catalogue's name of the code may begin, in bytes.
const NAME_GAP: usize = 40;

/// The evidence that `assume = "twilio"` on a source stands for.
const ASSUMED: &str = "twilio";

/// What one thread needs to run the rules: lazily built automata and what is known of the record at hand.
#[derive(Debug)]
pub(crate) struct Judge {
    catalogued: Cache,
    any: Cache,
    /// Rules whose `before` matches, ascending.
    found: Vec<u16>,
    /// What is known of each evidence in the record at hand.
    known: Vec<Known>,
}

/// How much of a record has been searched for one piece of evidence.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Not within the record's first bytes, this many.
    absent: usize,
    /// Within the record's first bytes, this many; 0 where that is not known.
    present: usize,
}

/// What can be said of a number from its surroundings alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// No rule that accepts can match at this place; the rule that rejects it whatever the record holds, if any.
    Nothing(Option<usize>),
    /// Rules that reject may match, or rules that the text before the line's start could still complete.
    Unclear,
    /// A rule that accepts matches at this place, if the record holds what it asks for.
    Possible,
}

impl Judge {
    /// The memory to run these rules with.
    pub(crate) fn new(rules: &Rules) -> Judge {
        Judge {
            catalogued: rules.catalogued.dfa.create_cache(),
            any: rules.any.dfa.create_cache(),
            found: Vec::new(),
            known: vec![Known::default(); rules.evidence.len()],
        }
    }

    /// Forgets what was known of the last record.
    pub(crate) fn begin_record(&mut self, assume_twilio: bool, rules: &Rules) {
        for (known, evidence) in self.known.iter_mut().zip(&rules.evidence) {
            let assumed = assume_twilio && evidence.name == ASSUMED;
            *known = Known { absent: 0, present: usize::from(assumed) };
        }
    }

    /// Looks at a number's line alone. What stands before `start` in it is its wrapping, which may have to be
    /// looked through.
    pub(crate) fn outlook(
        &mut self,
        rules: &Rules,
        line: &[u8],
        start: usize,
        number: &Range<usize>,
        entry: Option<&Entry>,
    ) -> Outlook {
        let (automaton, died) = self.run(rules, line, number.start, entry.is_some());
        let died = died.is_some_and(|at| at >= start);
        let surroundings = Surroundings::of(line, number, entry);
        let accepts = |rule: &u16| {
            let rule = &rules.all[*rule as usize];
            rule.verdict == Verdict::Accept && rule.fits(&surroundings)
        };
        if self.found.iter().any(accepts) || automaton.anywhere.iter().any(accepts) {
            return Outlook::Possible;
        }
        if !died || !self.found.is_empty() {
            return Outlook::Unclear;
        }
        let mut rejects = automaton.anywhere.iter().map(|rule| *rule as usize);
        match rejects.find(|&rule| rules.all[rule].fits(&surroundings)) {
            Some(rule) if !rules.all[rule].has.is_empty() || !rules.all[rule].lacks.is_empty() => Outlook::Unclear,
            rule => Outlook::Nothing(rule),
        }
    }

    /// The first rule that matches a number of the record `text`, of which the first `length` bytes are known.
    pub(crate) fn decide(
        &mut self,
        rules: &Rules,
        text: &[u8],
        length: usize,
        number: Range<usize>,
        entry: Option<&Entry>,
    ) -> Option<usize> {
        let text = &text[..length];
        let (automaton, _) = self.run(rules, text, number.start, entry.is_some());
        let mut found = std::mem::take(&mut self.found);
        found.extend_from_slice(&automaton.anywhere);
        found.sort_unstable();
        let surroundings = Surroundings::of(text, &number, entry);
        let decided = found.iter().map(|rule| *rule as usize).find(|&index| {
            let rule = &rules.all[index];
            rule.fits(&surroundings)
                && rule.has.iter().all(|&evidence| self.holds(rules, evidence, text))
                && !rule.lacks.iter().any(|&evidence| self.holds(rules, evidence, text))
        });
        self.found = found;
        decided
    }

    /// Collects into `found` the rules whose `before` ends at `at`; the automaton that did, and where it died.
    fn run<'r>(
        &mut self,
        rules: &'r Rules,
        text: &[u8],
        at: usize,
        catalogued: bool,
    ) -> (&'r Automaton, Option<usize>) {
        let (automaton, cache) =
            if catalogued { (&rules.catalogued, &mut self.catalogued) } else { (&rules.any, &mut self.any) };
        self.found.clear();
        let died = automaton.run(cache, text, at, &mut self.found);
        self.found.sort_unstable();
        self.found.dedup();
        (automaton, died)
    }

    fn holds(&mut self, rules: &Rules, evidence: usize, text: &[u8]) -> bool {
        let known = &mut self.known[evidence];
        if known.present != 0 && known.present <= text.len() {
            return true;
        }
        if text.len() <= known.absent {
            return false;
        }
        let held = rules.evidence[evidence].pattern.is_match(text);
        if held {
            known.present = text.len()
        } else {
            known.absent = text.len()
        }
        held
    }
}

impl Automaton {
    /// Runs backwards from `at`, collecting the rules that match; where it died, so that nothing before that
    /// place could add to them, or `None` where it came to the text's start.
    ///
    /// An automaton whose lazily built states outgrow their memory starts over; past its limit the number is
    /// decided as if nothing matched, which the limit in [`Builder::automaton`] is large enough to rule out.
    fn run(&self, cache: &mut Cache, text: &[u8], at: usize, found: &mut Vec<u16>) -> Option<usize> {
        let low = at.saturating_sub(REACH);
        // Backwards, the byte after the number's start is what assertions at the pattern's end look at.
        let start = start::Config::new().anchored(Anchored::Yes).look_behind(text.get(at).copied());
        let Ok(mut state) = self.dfa.start_state(cache, &start) else { return Some(at) };
        let collect = |cache: &Cache, state, found: &mut Vec<u16>| {
            for i in 0..self.dfa.match_len(cache, state) {
                found.push(self.rules[self.dfa.match_pattern(cache, state, i).as_usize()]);
            }
        };
        for (before, &byte) in text[low..at].iter().enumerate().rev() {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return Some(low + before) };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    collect(cache, state, found);
                } else if state.is_dead() || state.is_quit() {
                    return Some(low + before);
                }
            }
        }
        let last = match low.checked_sub(1) {
            Some(before) => self.dfa.next_state(cache, state, text[before]),
            None => self.dfa.next_eoi_state(cache, state),
        };
        if let Ok(state) = last
            && state.is_match()
        {
            collect(cache, state, found);
        }
        if low > 0 { Some(low) } else { None }
    }
}

/// What stands beside a number on its line.
struct Surroundings<'a> {
    before: &'a [u8],
    after: &'a [u8],
    entry: Option<&'a Entry>,
}

impl<'a> Surroundings<'a> {
    fn of(text: &'a [u8], number: &Range<usize>, entry: Option<&'a Entry>) -> Surroundings<'a> {
        let after = &text[number.end..(number.end + REACH).min(text.len())];
        let after = &after[..memchr(b'\n', after).unwrap_or(after.len())];
        let before = &text[number.start.saturating_sub(REACH)..number.start];
        let before = &before[memrchr(b'\n', before).map_or(0, |at| at + 1)..];
        Surroundings { before, after, entry }
    }
}
impl Rule {
    /// Whether what stands beside the number is what the rule asks for, its `before` aside.
    fn fits(&self, surroundings: &Surroundings<'_>) -> bool {
        let after = match &self.after {
            Some(after) => after.is_match(surroundings.after),
            None => is_bounded(surroundings.after),
        };
        let named = match (self.name, surroundings.entry) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Side::After), Some(entry)) => named_after(surroundings.after, entry),
            (Some(Side::Before), Some(entry)) => named_before(surroundings.before, entry),
        };
        after && named
    }
}

/// Whether a number ends where it seems to: not as a part of a word, a larger number, a range, a path or a share.
fn is_bounded(after: &[u8]) -> bool {
    let next = |n: usize| after.get(n).copied().unwrap_or(b'\n');
    match next(0) {
        b'.' | b':' | b',' | b'/' => !next(1).is_ascii_digit(),
        b'-' => !next(1).is_ascii_alphanumeric(),
        b'%' => next(1).is_ascii_hexdigit() && next(2).is_ascii_hexdigit(),
        byte => !(byte.is_ascii_alphanumeric() || byte == b'_'),
    }
}

/// Whether the catalogue's name of the code begins soon after the number.
fn named_after(after: &[u8], entry: &Entry) -> bool {
    let name = entry.name.trim_end_matches('.').as_bytes();
    !name.is_empty() && after.windows(name.len()).take(NAME_GAP).any(|text| text.eq_ignore_ascii_case(name))
}

/// Whether the catalogue's name of the code ends shortly before the number.
fn named_before(before: &[u8], entry: &Entry) -> bool {
    let name = entry.name.trim_end_matches('.').as_bytes();
    !name.is_empty() && before.windows(name.len()).rev().take(NAME_GAP).any(|text| text.eq_ignore_ascii_case(name))
}
