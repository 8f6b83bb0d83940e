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

/// How much is searched for evidence at once, in bytes: what is near one number is near many.
const STRETCH: usize = 64 << 10;

/// What is read beyond a window, so that nothing that hides something is cut at its ends, in bytes.
const MARGIN: usize = 64;

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
        // Less than the window: where the line goes on, each window is seen to end before it.
        let judged = stop.unwrap_or(block.len().saturating_sub(WINDOW + MARGIN).max(fresh));
        self.judge_long_line(block, &line, fresh..judged, base, &mut open, on);
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

    /// Judges the numbers of an overlong line that end in a part of it, each by what stands around it.
    pub(super) fn judge_long_line(
        &mut self,
        block: &[u8],
        line: &Range<usize>,
        part: Range<usize>,
        base: u64,
        open: &mut OpenRecord,
        on: &mut impl FnMut(Decision<'_>),
    ) {
        let mut stretch = 0..0;
        for number in numbers(&block[..line.end], part.start).take_while(|number| number.end <= part.end) {
            let window = number.start.saturating_sub(WINDOW).max(line.start)..(number.end + WINDOW).min(line.end);
            if stretch.end < (window.end + MARGIN).min(line.end) {
                stretch = window.start.saturating_sub(MARGIN).max(line.start)..(window.start + STRETCH).min(line.end);
                self.judge.begin_record(self.reading.assume == Assume::Twilio, &self.detector.rules);
            }
            self.judge_in_window(block, line, &stretch, window, number, base, open, on);
        }
    }

    /// Judges a number of an overlong line by what stands in a window around it.
    #[expect(clippy::too_many_arguments, reason = "one step of `judge_long_line`, whose state it shares")]
    fn judge_in_window(
        &mut self,
        block: &[u8],
        line: &Range<usize>,
        stretch: &Range<usize>,
        window: Range<usize>,
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
        let within = |range: &Range<usize>| range.start - stretch.start..range.end - stretch.start;
        let text = &block[stretch.clone()];
        match self.judge.outlook(rules, text, 0, &within(&number), entry) {
            Outlook::Nothing(_) if entry.is_none() => return,
            Outlook::Nothing(rule) => return on(Decision::Rejected(rule)),
            Outlook::Unclear | Outlook::Possible => {}
        }
        let near = within(&window);
        let decided = self.judge.decide_beside(&self.detector, text, &near, &text[..near.end], &within(&number));
        match decided {
            Some(rule) if rules.all()[rule].verdict == Verdict::Accept => {
                open.counted.push(code);
                let offset = open.head;
                let line_start = (open.head.saturating_sub(base)) as usize;
                let text = &block[window.clone()];
                let number = number.start - window.start..number.end - window.start;
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
