//! How the rules decide about a number.

use std::ops::Range;

use memchr::{memchr, memrchr};
use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::Cache;
use regex_automata::util::start;

use super::{Automaton, Rules, Side, Verdict};
use crate::catalog::Entry;

/// How far before a number its context reaches, in bytes.
pub(super) const REACH: usize = 256;

/// How far after a number, and before it, the catalogue's name of the code may begin, in bytes.
const NAME_GAP: usize = 40;

/// How many texts before hopeless numbers are remembered: a log says the same words before its numbers again and again.
const HOPELESS: usize = 256;

/// The evidence that `assume = "twilio"` on a source stands for.
const ASSUMED: &str = "twilio";

/// What one thread needs to run the rules: lazily built automata and what is known of the record at hand.
#[derive(Debug)]
pub(crate) struct Judge {
    any: Cache,
    catalogued: Cache,
    followed: Cache,
    before: Before,
    after: After,
    /// Each where [`place_of`] says.
    hopeless: Box<[Hopeless; HOPELESS]>,
    /// What is known of each evidence in the record at hand.
    known: Vec<Known>,
}

/// A text right behind which no rule accepts an uncatalogued number.
#[derive(Clone, Copy, Debug, Default)]
struct Hopeless {
    /// The last bytes before the number.
    text: u128,
    /// How many of them say so.
    seen: usize,
    /// Whether a wrapping may end among those.
    crosses: bool,
}

/// What the rules say of the text before one number; a number is looked at several times in a row.
#[derive(Debug, Default)]
struct Before {
    /// Where the number stands in memory; 0 for none.
    place: usize,
    is_catalogued: bool,
    /// How far back the automata ran before they died; `None` where one came to the text's start.
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
        // No text is found where it does not belong.
        let mut hopeless = Box::new([Hopeless::default(); HOPELESS]);
        hopeless[place_of(0)].text = (1..).find(|text| place_of(*text) != place_of(0)).unwrap_or_default();
        Judge {
            any: rules.any.dfa.create_cache(),
            catalogued: rules.catalogued.dfa.create_cache(),
            followed: rules.followed.dfa.create_cache(),
            before: Before::default(),
            after: After::default(),
            hopeless,
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
    /// the rules may have looked that far. Most numbers of most logs end here: what they cost is what a number costs.
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
        let at = number.start;
        let text = block[..at].last_chunk().map(|text| u128::from_ne_bytes(*text));
        if let Some(text) = text
            && let hopeless = &self.hopeless[place_of(text)]
            && hopeless.text == text
        {
            return !hopeless.crosses || text_start() + hopeless.seen <= at;
        }
        let Some(died) = self.dies_before(rules, block, at) else { return false };
        let seen = &block[died..at];
        let crosses = seen.iter().any(|byte| matches!(byte, b'\n' | b' ' | b'>' | b'"'));
        if let Some(text) = text
            && seen.len() <= size_of_val(&text)
        {
            self.hopeless[place_of(text)] = Hopeless { text, seen: seen.len(), crosses };
        }
        !crosses || text_start() <= died
    }

    /// Where the rules that speak of any number stop looking for what stands before one, if none that accepts matches
    /// by then.
    fn dies_before(&mut self, rules: &Rules, block: &[u8], at: usize) -> Option<usize> {
        if rules.accepts_anywhere {
            return None;
        }
        let (automaton, cache) = (&rules.any, &mut self.any);
        let low = at.saturating_sub(REACH);
        let mut state = automaton.start(cache, block, at)?;
        for (before, &byte) in block[low..at].iter().enumerate().rev() {
            state = automaton.dfa.next_state(cache, state, byte).ok()?;
            if state.is_tagged() {
                if state.is_dead() {
                    return Some(low + before);
                }
                let accepts = |rule: u16| rules.all[usize::from(rule)].verdict == Verdict::Accept;
                if state.is_match() && automaton.matches(cache, state).any(accepts) {
                    return None;
                }
            }
        }
        None
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
        let died = self.look_before(rules, line, number.start, entry.is_some());
        let died = died.is_some_and(|at| at >= start);
        let surroundings = Surroundings::of(line, number, entry);
        self.look_after(rules, surroundings.after);
        let accepts = |rule: &u16| {
            let rule = *rule as usize;
            rules.all[rule].verdict == Verdict::Accept && self.fits(rules, rule, &surroundings)
        };
        if self.before.rules.iter().any(accepts) || rules.anywhere.iter().any(accepts) {
            return Outlook::Possible;
        }
        if !died {
            return Outlook::Unclear;
        }
        // Only rules that reject are left: the first in their order decides, unless it asks for evidence.
        let mut rejects = merged(&self.before.rules, &rules.anywhere);
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
        self.look_before(rules, text, number.start, entry.is_some());
        let surroundings = Surroundings::of(text, &number, entry);
        self.look_after(rules, surroundings.after);
        let found = std::mem::take(&mut self.before.rules);
        let decided = merged(&found, &rules.anywhere).find(|&index| {
            let rule = &rules.all[index];
            self.fits(rules, index, &surroundings)
                && rule.has.iter().all(|&evidence| self.holds(rules, evidence, text))
                && !rule.lacks.iter().any(|&evidence| self.holds(rules, evidence, text))
        });
        self.before.rules = found;
        decided
    }

    /// Brings `before` up to a number; where the last of the automata died, `None` where one came to the text's start.
    fn look_before(&mut self, rules: &Rules, text: &[u8], at: usize, is_catalogued: bool) -> Option<usize> {
        let before = &mut self.before;
        let place = text[at..].as_ptr().addr();
        let is_same = before.place == place && before.is_catalogued == is_catalogued;
        // What stopped before this text's start would stop in it again.
        if !is_same || before.reach.is_none_or(|reach| reach > at || reach == REACH) {
            before.rules.clear();
            let mut died = rules.any.run_back(&mut self.any, text, at, &mut before.rules);
            if is_catalogued {
                let other = rules.catalogued.run_back(&mut self.catalogued, text, at, &mut before.rules);
                died = died.and_then(|died| Some(died.min(other?)));
            }
            before.rules.sort_unstable();
            before.rules.dedup();
            (before.place, before.is_catalogued, before.reach) = (place, is_catalogued, died.map(|died| at - died));
        }
        before.reach.map(|reach| at - reach)
    }

    /// Brings `after` up to what stands behind a number.
    fn look_after(&mut self, rules: &Rules, text: &[u8]) {
        let place = (text.as_ptr().addr(), text.len());
        if self.after.place != place {
            self.after.place = place;
            self.after.rules.clear();
            rules.followed.run_on(&mut self.followed, text, &mut self.after.rules);
        }
    }

    /// Whether what stands beside the number is what the rule asks for, its `before` aside.
    fn fits(&self, rules: &Rules, index: usize, surroundings: &Surroundings<'_>) -> bool {
        let rule = &rules.all[index];
        if !rule.any && surroundings.entry.is_none() {
            return false;
        }
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
        let compile = |before: &String| super::byte_regex(&format!(r"(?:{before})[0-9]{{5}}\z")).unwrap();
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
        self.followed.run_on(&mut self.followed.dfa.create_cache(), surroundings.after, &mut followed);
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
    /// Where a run backwards from `at` begins: the number's first digit is what assertions at a pattern's end look at.
    fn start(&self, cache: &mut Cache, text: &[u8], at: usize) -> Option<LazyStateID> {
        let start = start::Config::new().anchored(Anchored::Yes).look_behind(text.get(at).copied());
        self.dfa.start_state(cache, &start).ok()
    }

    /// The rules that match in this state.
    fn matches(&self, cache: &Cache, state: LazyStateID) -> impl Iterator<Item = u16> {
        (0..self.dfa.match_len(cache, state))
            .map(move |index| self.rules[self.dfa.match_pattern(cache, state, index).as_usize()])
    }

    /// Runs backwards from `at`, collecting the rules that match; where it died, so that nothing before that
    /// place could add to them, or `None` where it came to the text's start.
    ///
    /// An automaton whose lazily built states outgrow their memory starts over; past its limit the number is
    /// decided as if nothing matched, which the limit in the builder is large enough to rule out.
    pub(super) fn run_back(&self, cache: &mut Cache, text: &[u8], at: usize, found: &mut Vec<u16>) -> Option<usize> {
        let low = at.saturating_sub(REACH);
        let Some(mut state) = self.start(cache, text, at) else { return Some(at) };
        for (before, &byte) in text[low..at].iter().enumerate().rev() {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return Some(low + before) };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    found.extend(self.matches(cache, state));
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
            found.extend(self.matches(cache, state));
        }
        if low > 0 { Some(low) } else { None }
    }

    /// Runs forwards from behind a number, collecting the rules that match.
    fn run_on(&self, cache: &mut Cache, text: &[u8], found: &mut Vec<u16>) {
        let Ok(mut state) = self.dfa.start_state(cache, &after_number()) else { return };
        for &byte in text {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    found.extend(self.matches(cache, state));
                } else if state.is_dead() || state.is_quit() {
                    return;
                }
            }
        }
        if let Ok(state) = self.dfa.next_eoi_state(cache, state)
            && state.is_match()
        {
            found.extend(self.matches(cache, state));
        }
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

/// Where a text is remembered among the hopeless ones.
#[inline]
fn place_of(text: u128) -> usize {
    let folded = (text ^ text >> 64) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HOPELESS.ilog2())) as usize
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
