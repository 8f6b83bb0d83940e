//! How the rules decide about a number.

use std::ops::Range;

use memchr::{memchr, memrchr};
use regex_automata::Anchored;
use regex_automata::hybrid::dfa::Cache;
use regex_automata::util::start;
#[cfg(test)]
use regex_syntax::hir::Hir;

use super::{Automaton, Followed, Rules, Side, Verdict};
use crate::catalog::Entry;

/// How far before a number its context reaches, in bytes.
pub(super) const REACH: usize = 256;

/// How far after a number, and before it, the catalogue's name of the code may begin, in bytes.
const NAME_GAP: usize = 40;

/// The evidence that `assume = "twilio"` on a source stands for.
const ASSUMED: &str = "twilio";

/// What one thread needs to run the rules: lazily built automata and what is known of the record at hand.
#[derive(Debug)]
pub(crate) struct Judge {
    catalogued: Cache,
    any: Cache,
    followed: Cache,
    before: Before,
    after: After,
    /// Rules whose `before` matches at the number at hand, ascending.
    found: Vec<u16>,
    /// What is known of each evidence in the record at hand.
    known: Vec<Known>,
}

/// What the rules say of the text before one number; a number is looked at several times in a row.
#[derive(Debug, Default)]
struct Before {
    /// Where the number stands in memory; 0 for none.
    place: usize,
    is_catalogued: bool,
    /// How far back the automaton ran before it died; `None` where it came to the text's start.
    reach: Option<usize>,
    /// Rules whose `before` matches, ascending.
    rules: Vec<u16>,
}

/// What the rules say of the text behind one number.
#[derive(Debug, Default)]
struct After {
    /// Where that text stands in memory, and its length; (0, 0) for none.
    place: (usize, usize),
    /// Rules whose `after` matches.
    rules: Vec<u16>,
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
            followed: rules.followed.dfa.create_cache(),
            before: Before::default(),
            after: After::default(),
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

    /// Forgets the last number: what stands at its place in memory may be another.
    pub(crate) fn forget_place(&mut self) {
        self.before.place = 0;
        self.after.place = (0, 0);
    }

    /// Whether no rule can accept an uncatalogued number at this place, whatever its record holds.
    ///
    /// `text_start` says where the text of the number's line begins behind its wrapping; it is only asked where
    /// the rules look that far. Most numbers of most logs end here: what they cost is what a number costs.
    #[inline]
    pub(crate) fn is_hopeless(
        &mut self,
        rules: &Rules,
        block: &[u8],
        number: &Range<usize>,
        text_start: impl FnOnce() -> usize,
    ) -> bool {
        let after = block.get(number.end).copied().unwrap_or(b'\n');
        if !rules.followers[usize::from(after)] {
            return true;
        }
        if rules.any.accepts_anywhere {
            return false;
        }
        self.found.clear();
        let Some(died) = rules.any.run(&mut self.any, block, number.start, &mut self.found) else { return false };
        let rejects = |rule: &u16| rules.all[usize::from(*rule)].verdict == Verdict::Reject;
        if !self.found.iter().all(rejects) {
            return false;
        }
        // What was looked at must be the line's own text: wrappings end in one of these, or are Docker's.
        let seen = &block[died..number.start];
        let crossed = seen.iter().any(|byte| matches!(byte, b'\n' | b' ' | b'>')) || seen.ends_with(b"\"");
        !crossed || text_start() <= died
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
        let (automaton, died) = self.look_before(rules, line, number.start, entry.is_some());
        let died = died.is_some_and(|at| at >= start);
        let surroundings = Surroundings::of(line, number, entry);
        self.look_after(rules, surroundings.after);
        let accepts = |rule: &u16| {
            let rule = *rule as usize;
            rules.all[rule].verdict == Verdict::Accept && self.fits(rules, rule, &surroundings)
        };
        if self.before.rules.iter().any(accepts) || automaton.accepts_anywhere && automaton.anywhere.iter().any(accepts)
        {
            return Outlook::Possible;
        }
        if !died {
            return Outlook::Unclear;
        }
        // Only rules that reject are left: the first in their order decides, unless it asks for evidence.
        let mut rejects = merged(&self.before.rules, &automaton.anywhere);
        match rejects.find(|&rule| self.fits(rules, rule, &surroundings)) {
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
        let (automaton, _) = self.look_before(rules, text, number.start, entry.is_some());
        let surroundings = Surroundings::of(text, &number, entry);
        self.look_after(rules, surroundings.after);
        let found = std::mem::take(&mut self.before.rules);
        let decided = merged(&found, &automaton.anywhere).find(|&index| {
            let rule = &rules.all[index];
            self.fits(rules, index, &surroundings)
                && rule.has.iter().all(|&evidence| self.holds(rules, evidence, text))
                && !rule.lacks.iter().any(|&evidence| self.holds(rules, evidence, text))
        });
        self.before.rules = found;
        decided
    }

    /// Brings `before` up to a number; the automaton that did, and where it died.
    fn look_before<'r>(
        &mut self,
        rules: &'r Rules,
        text: &[u8],
        at: usize,
        is_catalogued: bool,
    ) -> (&'r Automaton, Option<usize>) {
        let (automaton, cache) =
            if is_catalogued { (&rules.catalogued, &mut self.catalogued) } else { (&rules.any, &mut self.any) };
        let before = &mut self.before;
        let place = text[at..].as_ptr().addr();
        let is_same = before.place == place && before.is_catalogued == is_catalogued;
        // What stopped before this text's start would stop in it again.
        if !is_same || before.reach.is_none_or(|reach| reach > at || reach == REACH) {
            before.rules.clear();
            let died = automaton.run(cache, text, at, &mut before.rules);
            before.rules.sort_unstable();
            before.rules.dedup();
            (before.place, before.is_catalogued, before.reach) = (place, is_catalogued, died.map(|died| at - died));
        }
        (automaton, before.reach.map(|reach| at - reach))
    }

    /// Brings `after` up to what stands behind a number.
    fn look_after(&mut self, rules: &Rules, text: &[u8]) {
        let place = (text.as_ptr().addr(), text.len());
        if self.after.place != place {
            self.after.place = place;
            self.after.rules.clear();
            rules.followed.run(&mut self.followed, text, &mut self.after.rules);
        }
    }

    /// Whether what stands beside the number is what the rule asks for, its `before` aside.
    fn fits(&self, rules: &Rules, index: usize, surroundings: &Surroundings<'_>) -> bool {
        let rule = &rules.all[index];
        let after = if rule.after.is_some() {
            self.after.rules.contains(&(index as u16))
        } else {
            is_bounded(surroundings.after)
        };
        after
            && match (rule.name, surroundings.entry) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(Side::After), Some(entry)) => named_after(surroundings.after, entry),
                (Some(Side::Before), Some(entry)) => named_before(surroundings.before, entry),
            }
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

#[cfg(test)]
impl Rules {
    /// Each rule's `before` as a pattern of its own, with the number that it ends at.
    pub(crate) fn slow_patterns(&self) -> Vec<Option<regex::bytes::Regex>> {
        let compile = |before: &Hir| super::byte_regex(&format!(r"(?:{before})[0-9]{{5}}\z")).unwrap();
        self.all.iter().map(|rule| rule.before.as_ref().map(compile)).collect()
    }

    /// What [`Judge::decide`] says, by trying one rule after the other.
    pub(crate) fn decide_slowly(
        &self,
        patterns: &[Option<regex::bytes::Regex>],
        text: &[u8],
        number: Range<usize>,
        entry: Option<&Entry>,
    ) -> Option<usize> {
        let surroundings = Surroundings::of(text, &number, entry);
        let low = number.start.saturating_sub(REACH);
        let mut followed = Vec::new();
        self.followed.run(&mut self.followed.dfa.create_cache(), surroundings.after, &mut followed);
        self.all.iter().zip(patterns).enumerate().position(|(index, (rule, before))| {
            let is_followed = match &rule.after {
                Some(_) => followed.contains(&(index as u16)),
                None => is_bounded(surroundings.after),
            };
            let is_named = match (rule.name, entry) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(Side::After), Some(entry)) => named_after(surroundings.after, entry),
                (Some(Side::Before), Some(entry)) => named_before(surroundings.before, entry),
            };
            (rule.any || entry.is_some())
                && before.as_ref().is_none_or(|before| before.find_at(&text[..number.end], low).is_some())
                && is_followed
                && is_named
                && rule.has.iter().all(|&evidence| self.evidence[evidence].pattern.is_match(text))
                && !rule.lacks.iter().any(|&evidence| self.evidence[evidence].pattern.is_match(text))
        })
    }
}

impl Automaton {
    /// Runs backwards from `at`, collecting the rules that match; where it died, so that nothing before that
    /// place could add to them, or `None` where it came to the text's start.
    ///
    /// An automaton whose lazily built states outgrow their memory starts over; past its limit the number is
    /// decided as if nothing matched, which the limit in the builder is large enough to rule out.
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
impl Followed {
    /// Runs forwards, collecting the rules that match.
    fn run(&self, cache: &mut Cache, text: &[u8], found: &mut Vec<u16>) {
        let Ok(mut state) = self.dfa.start_state(cache, &after_number()) else { return };
        let collect = |cache: &Cache, state, found: &mut Vec<u16>| {
            for i in 0..self.dfa.match_len(cache, state) {
                found.push(self.rules[self.dfa.match_pattern(cache, state, i).as_usize()]);
            }
        };
        for &byte in text {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    collect(cache, state, found);
                } else if state.is_dead() || state.is_quit() {
                    return;
                }
            }
        }
        if let Ok(state) = self.dfa.next_eoi_state(cache, state)
            && state.is_match()
        {
            collect(cache, state, found);
        }
    }
}

/// Where a pattern for what stands behind a number starts: as if the text began there, so that `^` and `\b` hold.
pub(super) fn after_number() -> start::Config {
    start::Config::new().anchored(Anchored::Yes).look_behind(None)
}

/// The rules of two ascending lists, ascending.
fn merged(some: &[u16], others: &[u16]) -> impl Iterator<Item = usize> {
    let (mut some, mut others) = (some.iter().copied().peekable(), others.iter().copied().peekable());
    std::iter::from_fn(move || {
        let first = match (some.peek(), others.peek()) {
            (Some(one), Some(other)) if other < one => others.next(),
            (Some(_), _) => some.next(),
            (None, _) => others.next(),
        };
        first.map(usize::from)
    })
}

/// Whether a number ends where it seems to: not as a part of a word, a larger number, a range, a path or a share.
fn is_bounded(after: &[u8]) -> bool {
    let next = |n: usize| after.get(n).copied().unwrap_or(b'\n');
    match next(0) {
        b'.' | b':' | b',' | b'/' => !next(1).is_ascii_digit(),
        b'-' => !next(1).is_ascii_alphanumeric(),
        b'%' => next(1).is_ascii_hexdigit() && next(2).is_ascii_hexdigit(),
        byte => may_be_bounded(byte),
    }
}

/// Whether a number that this byte follows may be [bounded](is_bounded).
pub(super) fn may_be_bounded(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || byte == b'_')
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
