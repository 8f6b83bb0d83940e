//! Lines too long to be judged as a whole: each number by what stands around it.

use std::ops::Range;

use memchr::memchr;

use super::{Scanner, code_at};
use crate::detect::numbers::numbers;
use crate::detect::rules::{Outlook, Verdict};
use crate::detect::{Assume, Cursor, Decision, End, OpenRecord};
use crate::record::Match;

/// How much of an overlong line is looked at on each side of a number, in bytes.
const WINDOW: usize = 4 << 10;

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
        let judged = stop.unwrap_or(block.len().saturating_sub(WINDOW).max(fresh));
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
        let decided = self.judge.decide(rules, text, text.len(), number.clone(), entry);
        match decided {
            Some(rule) if rules.all()[rule].verdict == Verdict::Accept => {
                open.counted.push(code);
                let offset = open.head;
                let line_start = (open.head.saturating_sub(base)) as usize;
                // A word that the window cuts may be a part of a secret that could not be told as one.
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

/// The part of a window without the words that its ends cut.
fn whole_words(text: &[u8], number: &Range<usize>, cut_before: bool, cut_after: bool) -> Range<usize> {
    let start = text[..number.start].iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(number.start);
    let end =
        text[number.end..].iter().rposition(|byte| byte.is_ascii_whitespace()).map_or(number.end, |at| number.end + at);
    (if cut_before { start } else { 0 })..(if cut_after { end } else { text.len() })
}
