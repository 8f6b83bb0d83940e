//! How the rules decide about a number.

use std::ops::Range;

use memchr::{memchr, memrchr};
use regex_automata::hybrid::dfa::Cache;

use super::super::Detector;
use super::super::numbers::{code_at, numbers};
use super::super::plain::{HIDDEN, Plain, is_hidden, may_end_hiding, may_hide};
use super::super::tables::{Table, begins_cell, ends_cell, may_be_cell, speaks_of_code};
use super::evidence::{Known, Meant};
use super::{RuleSet, Rules, Side, Verdict};
#[cfg(test)]
use crate::catalog::Catalog;
use crate::catalog::Entry;

/// How far before a number its context reaches, in bytes.
pub(super) const REACH: usize = 256;

/// How far after a number, and before it, the catalogue's name of the code may begin, in bytes.
const NAME_GAP: usize = 40;

/// How many texts before hopeless numbers are remembered: a log says the same words before its numbers again and again.
const HOPELESS: usize = 256;

/// So many codes of a list are looked at, back from the last one, to know of the first whether it is accepted.
const LISTED: usize = 8;

/// The evidence that `assume = "twilio"` on a source stands for.
const ASSUMED: &str = "twilio";

/// What the rules know while one scanner goes through its input.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Lent by the rules while a block is gone through.
    states: Option<States>,
    before: Before,
    after: After,
    /// What is known of each evidence in the record at hand.
    known: Vec<Known>,
    /// The text beside a number where something hides it, for as long as it is looked at.
    beside: Plain,
    /// The record at hand.
    meant: Meant,
    /// The table that the record at hand may be.
    table: Table,
    /// What a number's column says of it, for as long as it is looked at.
    cell: Vec<u8>,
    /// The last number that was decided about: where it stands in memory, how much of its record was known, and the rule.
    decided: Option<(usize, usize, Option<usize>)>,
}

/// What the rules learn of the logs that they are run over: too much for each of many scanners to have its own.
#[derive(Debug)]
pub(super) struct States {
    /// The lazily built automata.
    before: Cache,
    before_known: Cache,
    after: Cache,
    /// Each where [`place_of`] says.
    hopeless: Box<[Hopeless; HOPELESS]>,
}

impl States {
    fn new(rules: &Rules) -> States {
        // No text is found where it does not belong.
        let mut hopeless = Box::new([Hopeless::default(); HOPELESS]);
        hopeless[place_of(0)].text = (1..).find(|text| place_of(*text) != place_of(0)).unwrap_or_default();
        let [before, before_known, after] =
            [&rules.before, &rules.before_known, &rules.after].map(|automaton| automaton.dfa.create_cache());
        States { before, before_known, after, hopeless }
    }
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
    /// Whether a mark before the text may hide the first of those.
    is_cut: bool,
}

/// What the rules say of the text before one number; a number is looked at several times in a row.
#[derive(Debug, Default)]
struct Before {
    /// Where the number stands in memory; 0 for none.
    place: usize,
    /// How far back the automaton ran before it died; `None` where it came to the text's start.
    reach: Option<usize>,
    /// Rules that ask for nothing else there.
    rules: RuleSet,
}

/// What the rules say of the text behind one number.
#[derive(Debug, Default)]
struct After {
    /// Where that text stands in memory, and its length; (0, 0) for none.
    place: (usize, usize),
    /// Rules that ask for nothing else there.
    rules: RuleSet,
}

/// Where a rule might accept an uncatalogued number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// At no place like this, whatever its record holds.
    Nowhere,
    /// Only below a table's header.
    InTable,
    /// At this place.
    Here,
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
    /// Forgets the last number: what stands at its place in memory may be another.
    pub(crate) fn forget_place(&mut self) {
        self.before.place = 0;
        self.after.place = (0, 0);
        self.decided = None;
    }

    /// Ends a block: others may have what was lent.
    pub(crate) fn end_block(&mut self, rules: &Rules) {
        rules.idle().extend(self.states.take());
        self.forget_place();
    }

    /// Forgets what was known of the last record.
    pub(crate) fn begin_record(&mut self, assume_twilio: bool, rules: &Rules) {
        self.meant.forget();
        self.decided = None;
        self.table.forget();
        self.known.clear();
        self.known.extend(
            rules.evidence.iter().map(|evidence| {
                if assume_twilio && evidence.name == ASSUMED { Known::At(0, 0) } else { Known::Unknown }
            }),
        );
    }

    /// Where a rule could accept an uncatalogued number at this place, whatever its record holds.
    ///
    /// `text_start` says where the text of the number's line begins behind its wrapping; it is only asked where
    /// the rules may have looked that far. Most numbers of most logs end here: what they cost is what a number costs.
    #[inline]
    pub(crate) fn hope(
        &mut self,
        rules: &Rules,
        block: &[u8],
        number: &Range<usize>,
        text_start: impl FnOnce() -> usize,
    ) -> Hope {
        let after = block.get(number.end).copied().unwrap_or(b'\n');
        if !rules.followers[usize::from(after)] {
            return Hope::Nowhere;
        }
        let at = number.start;
        let text = block[..at].last_chunk().map(|text| u128::from_ne_bytes(*text));
        if let Some(text) = text
            && let hopeless = &self.states(rules).hopeless[place_of(text)]
            && hopeless.text == text
            && !(hopeless.is_cut && may_end_hiding(&block[..at - size_of_val(&text)]))
        {
            let is_hopeless = !hopeless.crosses || text_start() + hopeless.seen <= at;
            return if is_hopeless { Hope::Nowhere } else { Hope::Here };
        }
        self.look_before(rules, block, at, false);
        let Some(reach) = self.before.reach else { return Hope::Here };
        if !self.before.rules.is_disjoint(&rules.accept_any) {
            return Hope::Here;
        }
        let seen = &block[at - reach..at];
        let crosses = seen.iter().any(|byte| matches!(byte, b'\n' | b' ' | b'>' | b'"'));
        // What stands before a cell is not remembered: it says nothing without what stands above.
        let is_cell = begins_cell(&block[..at]);
        if let Some(text) = text
            && seen.len() <= size_of_val(&text)
            && let bytes = text.to_ne_bytes()
            && !may_hide(&bytes)
            && !is_cell
        {
            let unseen = bytes.len() - seen.len();
            let is_cut = bytes.iter().take(unseen + 1).all(is_hidden);
            self.states(rules).hopeless[place_of(text)] = Hopeless { text, seen: seen.len(), crosses, is_cut };
        }
        if crosses && text_start() + reach > at {
            Hope::Here
        } else if is_cell && ends_cell(&block[number.end..]) {
            Hope::InTable
        } else {
            Hope::Nowhere
        }
    }

    fn states(&mut self, rules: &Rules) -> &mut States {
        self.states.get_or_insert_with(|| rules.idle().pop().unwrap_or_else(|| States::new(rules)))
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
        self.look_before(rules, line, number.start, entry.is_some());
        let surroundings = Surroundings::of(line, number, entry);
        self.look_after(rules, surroundings.after);
        let accepts = |rule: usize| rules.all[rule].verdict == Verdict::Accept;
        if fitting(rules, &self.before, &self.after, &surroundings).any(accepts) {
            return Outlook::Possible;
        }
        if self.before.reach.is_none_or(|reach| number.start - reach < start) || may_be_cell(line, number) {
            return Outlook::Unclear;
        }
        // Only rules that reject are left: the first in their order decides, unless it asks for evidence.
        match fitting(rules, &self.before, &self.after, &surroundings).next() {
            Some(rule) if !rules.all[rule].has.is_empty() || !rules.all[rule].lacks.is_empty() => Outlook::Unclear,
            rule => Outlook::Nothing(rule),
        }
    }

    /// The first rule that matches a number of the record `text`, of which the first `length` bytes are known.
    ///
    /// In a table that is what its column says, and what else stands there only where that is of codes.
    pub(crate) fn decide(
        &mut self,
        detector: &Detector,
        text: &[u8],
        length: usize,
        number: Range<usize>,
    ) -> Option<usize> {
        let mut said = std::mem::take(&mut self.cell);
        let column = self.column(text, length, &number, &mut said);
        let in_column = column.map(|(place, is_of_codes)| {
            self.forget_place();
            let decided = self.decide_beside(detector, text, &(0..length), &said, &place);
            self.forget_place();
            (decided, is_of_codes)
        });
        self.cell = said;
        match in_column {
            Some((decided, is_of_codes)) if decided.is_some() || !is_of_codes => decided,
            _ => self.decide_beside(detector, text, &(0..length), &text[..length], &number),
        }
    }

    /// Writes what the column of a number says of it, where it is a cell: the number's place in that, and whether the
    /// column is of codes.
    fn column(
        &mut self,
        text: &[u8],
        length: usize,
        number: &Range<usize>,
        said: &mut Vec<u8>,
    ) -> Option<(Range<usize>, bool)> {
        if !may_be_cell(text, number) {
            return None;
        }
        let Judge { table, meant, .. } = self;
        let (_, known) = meant.part(text, 0..length);
        let (text, number) = meant.part(text, number.clone());
        let cell = table.cell(&text[known], &number)?;
        Some((cell.say(text, &number, said), speaks_of_code(&text[cell.column])))
    }

    /// The first rule that matches a number by what stands beside it in `said`, and by what a part of its record holds:
    /// whole lines, or what is near the number. No part begins before the last one.
    pub(crate) fn decide_beside(
        &mut self,
        detector: &Detector,
        text: &[u8],
        part: &Range<usize>,
        said: &[u8],
        number: &Range<usize>,
    ) -> Option<usize> {
        self.decide_listed(detector, text, part, said, number, LISTED)
    }

    /// The same, looking at so many numbers before this one.
    fn decide_listed(
        &mut self,
        detector: &Detector,
        text: &[u8],
        part: &Range<usize>,
        said: &[u8],
        number: &Range<usize>,
        depth: usize,
    ) -> Option<usize> {
        let place = said[number.start..].as_ptr().addr();
        if let Some((last, known, decided)) = self.decided
            && (last, known) == (place, part.end)
        {
            return decided;
        }
        let rules = &*detector.rules;
        let entry = detector.catalog.get(code_at(said, number));
        let surroundings = Surroundings::of(said, number, entry);
        let mut behind_accepted = None;
        let mut from = 0;
        let decided = loop {
            self.look_before(rules, said, number.start, entry.is_some());
            self.look_after(rules, surroundings.after);
            let Some(rule) = self.first_of_record(rules, text, part, &surroundings, from) else { break None };
            if !rules.all[rule].listed {
                break Some(rule);
            }
            let is_behind = *behind_accepted.get_or_insert_with(|| {
                let before = number_before(said, number).filter(|_| depth > 0)?;
                let decided = self.decide_listed(detector, text, part, said, &before, depth - 1)?;
                (rules.all[decided].verdict == Verdict::Accept).then_some(())
            });
            if is_behind.is_some() {
                break Some(rule);
            }
            from = rule + 1;
        };
        if depth == LISTED {
            self.decided = Some((place, part.end, decided));
        }
        decided
    }

    /// The first rule, of those from `from` on, that matches what was looked at beside a number, and what its record
    /// holds.
    fn first_of_record(
        &mut self,
        rules: &Rules,
        text: &[u8],
        part: &Range<usize>,
        surroundings: &Surroundings<'_>,
        from: usize,
    ) -> Option<usize> {
        let Judge { before, after, known, meant, .. } = self;
        let mut holds = |evidence: usize| {
            let (text, part) = meant.part(text, part.clone());
            known[evidence].holds(rules.evidence[evidence].regex(), text, part)
        };
        fitting(rules, before, after, surroundings).filter(|index| *index >= from).find(|&index| {
            let rule = &rules.all[index];
            rule.has.iter().all(|&evidence| holds(evidence)) && !rule.lacks.iter().any(|&evidence| holds(evidence))
        })
    }

    /// Brings `before` up to a number, of which the catalogue knows or not.
    fn look_before(&mut self, rules: &Rules, text: &[u8], at: usize, is_known: bool) {
        let place = text[at..].as_ptr().addr();
        // What stopped before this text's start would stop in it again.
        if self.before.place != place || self.before.reach.is_none_or(|reach| reach > at || reach == REACH) {
            let mut found = std::mem::take(&mut self.before.rules);
            let mut reach = self.run_back(rules, text, at, is_known, &mut found);
            let low = at - reach.unwrap_or(at);
            if may_hide(&text[low.saturating_sub(HIDDEN)..at]) {
                let low = at.saturating_sub(REACH + 1);
                let mut beside = std::mem::take(&mut self.beside);
                beside.read(&text[low..at]);
                // The number's first digit, which assertions look at.
                let length = beside.text.len();
                beside.text.extend(text.get(at));
                reach = self
                    .run_back(rules, &beside.text, length, is_known, &mut found)
                    .map(|reach| at - low - beside.origin[length - reach] as usize)
                    .or((low > 0).then_some(at - low));
                self.beside = beside;
            }
            self.before = Before { place, reach, rules: found };
        }
    }

    /// The rules that ask for nothing else before `at`, and how far the automata ran before they died.
    fn run_back(
        &mut self,
        rules: &Rules,
        text: &[u8],
        at: usize,
        is_known: bool,
        found: &mut RuleSet,
    ) -> Option<usize> {
        found.copy(&rules.anywhere);
        let states = self.states(rules);
        let mut died = rules.before.run_back(&mut states.before, text, at, |rule| found.insert(rule));
        if is_known {
            let other = rules.before_known.run_back(&mut states.before_known, text, at, |rule| found.insert(rule));
            died = died.zip(other).map(|(one, other)| one.min(other));
        }
        died.map(|died| at - died)
    }

    /// The rules that ask for nothing else behind a number, and how many bytes there were looked at.
    fn run_on(&mut self, rules: &Rules, text: &[u8], found: &mut RuleSet) -> usize {
        found.copy(&rules.unfollowed);
        if !is_bounded(text) {
            found.clear();
        }
        rules.after.run_on(&mut self.states(rules).after, text, |rule| found.insert(rule))
    }

    /// Brings `after` up to what stands behind a number.
    fn look_after(&mut self, rules: &Rules, text: &[u8]) {
        let place = (text.as_ptr().addr(), text.len());
        if self.after.place != place {
            let mut found = std::mem::take(&mut self.after.rules);
            let seen = self.run_on(rules, text, &mut found);
            if may_hide(&text[..seen]) {
                let mut beside = std::mem::take(&mut self.beside);
                beside.read(text);
                self.run_on(rules, &beside.text, &mut found);
                self.beside = beside;
            }
            self.after = After { place, rules: found };
        }
    }
}

/// The rules that match a number by what stands beside it, ascending.
fn fitting<'a>(
    rules: &'a Rules,
    before: &'a Before,
    after: &'a After,
    surroundings: &'a Surroundings<'a>,
) -> impl Iterator<Item = usize> {
    let scope = if surroundings.entry.is_some() { &before.rules } else { &rules.any };
    let is_named = |rule: &usize| surroundings.are_named(rules.all[*rule].name);
    RuleSet::common([&before.rules, &after.rules, scope]).filter(is_named)
}

/// The number before another on its line, no further away than a rule looks.
fn number_before(text: &[u8], number: &Range<usize>) -> Option<Range<usize>> {
    let low = number.start.saturating_sub(REACH);
    let line = memrchr(b'\n', &text[low..number.start]).map_or(low, |at| low + at + 1);
    numbers(&text[..number.start], line).last().filter(|before| before.start >= line)
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
        catalog: &Catalog,
        text: &[u8],
        number: Range<usize>,
    ) -> Option<usize> {
        let mut meant = Meant::default();
        let (_, place) = meant.part(text, number.clone());
        let (meant, _) = meant.part(text, 0..0);
        if may_be_cell(text, &number)
            && let Some(cell) = Table::default().cell(meant, &place)
        {
            let mut said = Vec::new();
            let place = cell.say(meant, &place, &mut said);
            let decided = self.decide_beside_slowly(patterns, catalog, text, &said, place);
            if decided.is_some() || !speaks_of_code(&meant[cell.column]) {
                return decided;
            }
        }
        self.decide_beside_slowly(patterns, catalog, text, text, number)
    }

    fn decide_beside_slowly(
        &self,
        patterns: &[Option<regex::bytes::Regex>],
        catalog: &Catalog,
        record: &[u8],
        text: &[u8],
        number: Range<usize>,
    ) -> Option<usize> {
        let entry = catalog.get(code_at(text, &number));
        let surroundings = Surroundings::of(text, &number, entry);
        let meant = |written| {
            let mut plain = Plain::default();
            plain.read(written);
            plain.text
        };
        let low = number.start.saturating_sub(REACH);
        let window = &text[low.saturating_sub(1)..number.start];
        let (mut beside, from) =
            if may_hide(window) { (meant(window), 0) } else { (text[..number.start].to_vec(), low) };
        beside.extend(&text[number.clone()]);
        let (after, record_text) = (meant(surroundings.after), meant(record));
        let mut followed = Vec::new();
        self.after.run_on(&mut self.after.dfa.create_cache(), &after, |rule| followed.push(rule));
        let is_behind_accepted = || {
            let before = number_before(text, &number)?;
            let rule = self.decide_beside_slowly(patterns, catalog, record, text, before)?;
            (self.all[rule].verdict == Verdict::Accept).then_some(())
        };
        self.all.iter().zip(patterns).enumerate().position(|(index, (rule, before))| {
            let is_followed = match &rule.after {
                Some(_) => followed.contains(&index),
                None => is_bounded(&after),
            };
            (rule.any || entry.is_some())
                && before.as_ref().is_none_or(|before| before.find_at(&beside, from).is_some())
                && is_followed
                && surroundings.are_named(rule.name)
                && rule.has.iter().all(|&evidence| self.evidence[evidence].regex().is_match(&record_text))
                && !rule.lacks.iter().any(|&evidence| self.evidence[evidence].regex().is_match(&record_text))
                && (!rule.listed || is_behind_accepted().is_some())
        })
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

    /// Whether the catalogue's name of the code stands where a rule wants it.
    fn are_named(&self, side: Option<Side>) -> bool {
        match (side, self.entry) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Side::After), Some(entry)) => named_after(self.after, entry),
            (Some(Side::Before), Some(entry)) => named_before(self.before, entry),
        }
    }
}

/// Where a text is remembered among the hopeless ones.
#[inline]
fn place_of(text: u128) -> usize {
    let folded = (text ^ text >> 64) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HOPELESS.ilog2())) as usize
}

/// Whether a number ends where it seems to: not as a part of a word, a larger number, a range, a path or a share.
fn is_bounded(after: &[u8]) -> bool {
    let next = |n: usize| after.get(n).copied().unwrap_or(b'\n');
    match next(0) {
        b'.' | b':' | b',' | b'/' => !next(1).is_ascii_digit(),
        b'-' => !next(1).is_ascii_alphanumeric(),
        b'%' => false,
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
