//! Lines too long to be judged as a whole: each number by what stands around it.

use std::ops::Range;

use memchr::memchr;

use super::Scanner;
use crate::detect::numbers::{code_at, numbers};
use crate::detect::rules::{Outlook, Verdict};
use crate::detect::{Assume, Cursor, Decision, End, OpenRecord};
use crate::record::Match;
use crate::redact::outside_secrets;

/// How much of an overlong line is looked at on each side of a number, in bytes.
const WINDOW: usize = 4 << 10;

/// How many words are left out where a window was cut: as many as a secret may have, a phone number of 15 digits that
/// are set apart.
const CUT_WORDS: usize = 16;

impl Scanner {
    /// Scans what a block holds of an overlong line; where the line after it begins, once its end is seen.
    pub(super) fn scan_long_line(
        &mut self,
        block: &[u8],
        cursor: &mut Cursor,
        base: u64,
        fresh: usize,
        end: End,
        on: &mut impl FnMut(Decision<'_>),
    ) -> Option<usize> {
        let mut open = cursor.open.pop().unwrap_or_default();
        let start = open.head.saturating_sub(base) as usize;
        let stop = match memchr(b'\n', &block[fresh..]) {
            Some(at) => Some(fresh + at + 1),
            None if end == End::Input => Some(block.len()),
            None => None,
        };
        let line = start..stop.unwrap_or(block.len());
        // A byte less than the window: where the line goes on, each window is seen to end before it.
        let judged = stop.unwrap_or(block.len().saturating_sub(WINDOW + 1).max(fresh));
        for number in numbers(&block[..line.end], fresh).take_while(|number| number.end <= judged) {
            self.judge_in_window(block, &line, number, base, &mut open, on);
        }
        cursor.offset = base + judged as u64;
        match stop {
            Some(_) => {
                cursor.in_long_line = false;
                cursor.head = cursor.offset;
                cursor.open.clear();
            }
            None => {
                cursor.head = cursor.offset.saturating_sub(2 * WINDOW as u64).max(open.head).max(base);
                cursor.open = vec![open];
            }
        }
        stop
    }

    /// Judges a number of an overlong line by what stands around it.
    pub(super) fn judge_in_window(
        &mut self,
        block: &[u8],
        line: &Range<usize>,
        number: Range<usize>,
        base: u64,
        open: &mut OpenRecord,
        on: &mut impl FnMut(Decision<'_>),
    ) {
        let rules = &self.detector.rules;
        let code = code_at(block, &number);
        let entry = self.detector.catalog.get(code);
        if open.counted.contains(&code) {
            return;
        }
        let window = number.start.saturating_sub(WINDOW).max(line.start)..(number.end + WINDOW).min(line.end);
        let text = &block[window.clone()];
        let number = number.start - window.start..number.end - window.start;
        self.judge.begin_record(self.reading.assume == Assume::Twilio, rules);
        match self.judge.outlook(rules, text, 0, &number, entry) {
            Outlook::Nothing(_) if entry.is_none() => return,
            Outlook::Nothing(rule) => return on(Decision::Rejected(rule)),
            Outlook::Unclear | Outlook::Possible => {}
        }
        let decided = self.judge.decide(&self.detector, text, text.len(), number.clone());
        match decided {
            Some(rule) if rules.all()[rule].verdict == Verdict::Accept => {
                open.counted.push(code);
                let offset = open.head;
                let line_start = (open.head.saturating_sub(base)) as usize;
                let shown = whole_words(text, &number, window.start > line.start, window.end < line.end);
                let number = number.start - shown.start..number.end - shown.start;
                let text = &text[shown];
                on(Decision::Accepted(Match {
                    code,
                    rule,
                    offset,
                    record: offset,
                    line_start,
                    head: text,
                    text,
                    escaped: false,
                    number,
                }));
            }
            _ if entry.is_some() => on(Decision::Rejected(decided)),
            _ => {}
        }
    }
}

/// The part of a window without the words at the ends that were cut: one may be a part of a secret that cannot be told
/// as one, or the secret whose name was cut off, as in `password: …`.
fn whole_words(text: &[u8], number: &Range<usize>, cut_before: bool, cut_after: bool) -> Range<usize> {
    let is_blank = |at: usize| text.get(at).is_some_and(u8::is_ascii_whitespace);
    let ends = |at: &usize| is_blank(*at) && !at.checked_sub(1).is_some_and(is_blank);
    let begins = |at: &usize| is_blank(*at) && !is_blank(at + 1);
    let start = if cut_before { (0..number.start).filter(ends).nth(CUT_WORDS - 1) } else { Some(0) };
    let end =
        if cut_after { (number.end..text.len()).rev().filter(begins).nth(CUT_WORDS - 1) } else { Some(text.len()) };
    let part = outside_secrets(text, start.unwrap_or(number.start)..end.unwrap_or(number.end));
    part.start.min(number.start)..part.end.max(number.end)
}
