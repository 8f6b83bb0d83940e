//! The scan of one block: numbers first, then the record of each, then its rules.

mod overlong;

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::numbers::{code_at, numbers};
use super::records::{Line, Lines, Record};
use super::rules::{Hope, Judge, Outlook, Verdict};
use super::wrapping::Dress;
use super::{Assume, Cursor, Decision, Detector, Encoding, End, OpenRecord, RECORD_SPAN, Reading, Scanned};
use crate::record::{Code, Match};

/// What a container runtime names a line's stream with, in CRI's prefix and at the end of Docker's object.
///
/// One pass for both: two at 30 GB/s each took twice as long, and both marks at once with Teddy ran at 0.4 GB/s on
/// Docker's lines, which all hold one.
static STREAM: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"std"));

/// Scans blocks, one at a time, for one thread.
#[derive(Debug)]
pub struct Scanner {
    detector: Detector,
    reading: Reading,
    judge: Judge,
    /// The text of a record whose lines do not stand side by side.
    text: Vec<u8>,
    /// Where each line of the record at hand begins in its text.
    starts: Vec<usize>,
    /// What the record at hand leaves rejected.
    rejected: Vec<Option<usize>>,
    /// Numbers of the record at hand that only its end decides: each with its line, and whether its rejection counts.
    undecided: Vec<(Range<usize>, usize, bool)>,
    /// The line of the last number that was looked at in the block at hand.
    line: Line,
    /// The memory of the last record's lines.
    lines: Vec<Line>,
    /// Lines that were judged as parts of a record before the scan came to them, ascending.
    covered: Vec<Range<usize>>,
    /// Where the last plain one of those records ends.
    plain_end: usize,
}

impl Scanner {
    pub(super) fn new(detector: Detector, reading: Reading) -> Scanner {
        Scanner {
            detector,
            reading,
            judge: Judge::default(),
            text: Vec::new(),
            starts: Vec::new(),
            rejected: Vec::new(),
            undecided: Vec::new(),
            line: Line::default(),
            lines: Vec::new(),
            covered: Vec::new(),
            plain_end: 0,
        }
    }

    /// Judges the complete lines of a block and moves the cursor past them.
    ///
    /// `block` begins at `cursor.head` and holds everything read since. Decisions of one record come in the
    /// order of its numbers. Any bytes are valid. A block of [`Scanner::block_need`] bytes always moves the cursor.
    pub fn scan(&mut self, block: &[u8], cursor: &mut Cursor, end: End, on: &mut impl FnMut(Decision<'_>)) -> Scanned {
        let scanned = self.scan_block(block, cursor, end, on);
        self.judge.end_block(&self.detector.rules);
        scanned
    }

    fn scan_block(
        &mut self,
        block: &[u8],
        cursor: &mut Cursor,
        end: End,
        on: &mut impl FnMut(Decision<'_>),
    ) -> Scanned {
        let mut scanned = Scanned::default();
        let base = cursor.head;
        let mut fresh = (cursor.offset - base) as usize;
        let mut floor = 0;
        if cursor.in_long_line {
            let Some(after) = self.scan_long_line(block, cursor, base, fresh, end, on) else { return scanned };
            scanned.lines += 1;
            fresh = after;
            floor = after;
        }
        let limit = match end {
            End::Input => block.len(),
            End::More | End::Pause => memrchr(b'\n', &block[fresh..]).map_or(fresh, |at| fresh + at + 1),
        };
        scanned.lines += u64::from(limit > fresh && block[limit - 1] != b'\n');
        let is_cut = block.len() - limit > self.reading.line_limit;
        let lines = Lines { block: &block[..limit], floor, limit: self.reading.line_limit };
        // An overlong line goes on with no record: what is open before it is over.
        let end_of_lines = if is_cut && end == End::More { End::Pause } else { end };
        self.scan_lines(lines, cursor, base, fresh, end_of_lines, on, &mut scanned);
        if is_cut {
            scanned.truncated_lines += 1;
            cursor.in_long_line = true;
            cursor.open = vec![OpenRecord { head: base + limit as u64, ..OpenRecord::default() }];
            self.scan_long_line(block, cursor, base, limit, end, on);
        }
        scanned
    }

    /// How the bytes that it scans are to be read.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// A block of so many bytes, in this encoding, always lets a scan move on.
    pub fn block_need(&self, encoding: Encoding) -> usize {
        2 * (self.reading.line_limit + RECORD_SPAN) * encoding.unit() as usize
    }

    /// Each number of a record, and the rule that decides about it once the whole record is known.
    pub fn decisions(&mut self, record: &[u8]) -> Vec<(Range<usize>, Code, Option<usize>)> {
        let rules = &self.detector.rules;
        self.judge.begin_record(self.reading.assume == Assume::Twilio, rules);
        let mut decisions = Vec::new();
        for number in numbers(record, 0) {
            let rule = self.judge.decide(&self.detector, record, record.len(), number.clone());
            decisions.push((number.clone(), code_at(record, &number), rule));
        }
        self.judge.end_block(rules);
        decisions
    }

    /// Scans the lines that begin at `fresh` or later, and settles the records that were open.
    #[expect(clippy::too_many_arguments, reason = "one step of `scan`, whose state it shares")]
    fn scan_lines(
        &mut self,
        lines: Lines<'_>,
        cursor: &mut Cursor,
        base: u64,
        fresh: usize,
        end: End,
        on: &mut impl FnMut(Decision<'_>),
        scanned: &mut Scanned,
    ) {
        let limit = lines.block.len();
        self.line = Line::default();
        self.covered.clear();
        self.plain_end = 0;
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut cursor.open) {
            if open.head < base + lines.floor as u64 {
                continue;
            }
            let record = lines.record(lines.at((open.head - base) as usize), std::mem::take(&mut self.lines));
            let closed = record.closed || end == End::Input;
            if closed || end == End::Pause || record.end() > fresh {
                self.judge(&lines, &record, base, &mut open, closed || end == End::Pause, fresh, fresh, on);
                self.cover(&record);
            }
            if !closed {
                if end == End::Pause {
                    open.settled = base + limit as u64;
                }
                still_open.push(open);
            }
            self.lines = record.lines;
        }
        if limit > fresh {
            let mut parts = partial_lines(&lines, fresh).into_iter().peekable();
            let long = long_lines(lines.block, fresh, lines.limit);
            scanned.truncated_lines += long;
            let mut numbers = numbers(lines.block, fresh);
            for number in numbers.by_ref() {
                if long == 0 && self.is_hopeless(&lines, &number) {
                    continue;
                }
                while let Some(part) = parts.next_if(|part| *part < number.start) {
                    self.visit(&lines, part..part, base, fresh, end, on, &mut still_open);
                }
                self.visit(&lines, number, base, fresh, end, on, &mut still_open);
            }
            scanned.lines += numbers.newlines();
            for part in parts {
                self.visit(&lines, part..part, base, fresh, end, on, &mut still_open);
            }
        }
        if end == End::Input {
            still_open.clear();
        } else if limit > fresh {
            // An overlong line was judged to its end, and nothing goes on with it.
            for line in lines.last_of_streams().into_iter().filter(|line| !line.is_long) {
                let head = lines.head(line.clone(), self.floor_of(&line));
                let head = base + head.span.start as u64;
                if still_open.iter().all(|open| open.head != head) {
                    still_open.push(OpenRecord { head, ..OpenRecord::default() });
                }
            }
        }
        still_open.sort_by_key(|open| open.head);
        cursor.offset = base + limit as u64;
        cursor.head = still_open.first().map_or(cursor.offset, |open| open.head);
        cursor.open = still_open;
    }

    /// Whether a number is neither in the catalogue nor where a rule could accept it.
    #[inline]
    fn is_hopeless(&mut self, lines: &Lines<'_>, number: &Range<usize>) -> bool {
        let Scanner { detector, judge, line, .. } = self;
        if detector.catalog.knows(code_at(lines.block, number)) {
            return false;
        }
        let text_start = || lines.containing_again(line, number.start).text.start;
        match judge.hope(&detector.rules, lines.block, number, text_start) {
            Hope::Nowhere => true,
            // What stands above a row says what its numbers are.
            Hope::InTable => lines.begins(lines.containing_again(line, number.start)),
            Hope::Here => false,
        }
    }

    /// Looks at a number, or at an empty range where a partial line begins, and judges its record if it may matter.
    #[expect(clippy::too_many_arguments, reason = "one step of `scan_lines`, whose state it shares")]
    fn visit(
        &mut self,
        lines: &Lines<'_>,
        number: Range<usize>,
        base: u64,
        fresh: usize,
        end: End,
        on: &mut impl FnMut(Decision<'_>),
        still_open: &mut Vec<OpenRecord>,
    ) {
        if !self.covered.is_empty() {
            // A record that is joined over other streams' lines reaches ahead; one that is done is forgotten.
            if self.covered.iter().any(|span| span.contains(&number.start)) {
                return;
            }
        }
        let line = lines.containing_again(&mut self.line, number.start).clone();
        if line.is_long {
            let mut open = OpenRecord { head: base + line.span.start as u64, ..OpenRecord::default() };
            self.judge_long_line(lines.block, &line.span, line.span.clone(), base, &mut open, on);
            self.plain_end = line.span.end;
            self.covered.push(line.span);
            return;
        }
        if !number.is_empty() {
            let start = line.span.start;
            let entry = self.detector.catalog.get(code_at(lines.block, &number));
            let in_line = number.start - start..number.end - start;
            let text = &lines.block[start..line.text.end.max(number.end)];
            if let Outlook::Nothing(rule) =
                self.judge.outlook(&self.detector.rules, text, line.text.start - start, &in_line, entry)
            {
                if entry.is_some() {
                    on(Decision::Rejected(rule));
                }
                return;
            }
        }
        let floor = self.floor_of(&line);
        let record = lines.record(lines.head(line, floor), std::mem::take(&mut self.lines));
        let closed = record.closed || end == End::Input;
        let mut open = OpenRecord { head: base + record.head().span.start as u64, ..OpenRecord::default() };
        let closing = closed || end == End::Pause;
        self.judge(lines, &record, base, &mut open, closing, fresh, number.start, on);
        self.cover(&record);
        if !closed {
            if end == End::Pause {
                open.settled = base + lines.block.len() as u64;
            }
            still_open.push(open);
        }
        self.lines = record.lines;
    }

    /// Judges the numbers of a record that are not decided yet.
    ///
    /// A number counts as first seen where it begins at `visited` or later, or where its line was completed
    /// only after `fresh`.
    #[expect(clippy::too_many_arguments, reason = "the one place where a record meets the rules")]
    fn judge(
        &mut self,
        lines: &Lines<'_>,
        record: &Record,
        base: u64,
        open: &mut OpenRecord,
        closing: bool,
        fresh: usize,
        visited: usize,
        on: &mut impl FnMut(Decision<'_>),
    ) {
        let block = lines.block;
        let Scanner { detector, judge, text, starts, reading, rejected, undecided, .. } = self;
        let rules = &detector.rules;
        let contiguous = record.lines.len() == 1 || record.head().stream == 0;
        starts.clear();
        let text: &[u8] = if contiguous {
            let first = record.text(0).start;
            starts.extend((0..record.lines.len()).map(|line| record.text(line).start - first));
            &block[first..record.lines[record.lines.len() - 1].text.end]
        } else {
            judge.forget_place();
            text.clear();
            for (index, line) in record.lines.iter().enumerate() {
                starts.push(text.len());
                text.extend_from_slice(&block[record.text(index)]);
                if !line.partial {
                    text.push(b'\n');
                }
            }
            text
        };
        judge.begin_record(reading.assume == Assume::Twilio, rules);
        let accepts = |rule: Option<usize>| rule.is_some_and(|rule| rules.all()[rule].verdict == Verdict::Accept);
        let mut accept = |number: Range<usize>, index: usize, rule: usize, counted: &mut Vec<Code>| {
            let code = code_at(text, &number);
            counted.push(code);
            let line = &record.lines[index];
            on(Decision::Accepted(Match {
                code,
                rule,
                offset: base + line.span.start as u64,
                record: base + record.head().span.start as u64,
                line_start: line.span.start,
                head: &block[record.head().span.clone()],
                text,
                escaped: record.head().dress == Dress::Docker,
                number,
            }));
        };
        // First what each line and those before it say, then what the whole record says: the order in which a
        // follower comes to know it.
        for number in numbers(text, 0) {
            let code = code_at(text, &number);
            if open.counted.contains(&code) {
                continue;
            }
            let index = starts.partition_point(|start| *start <= number.start) - 1;
            // The logical line: partial lines and the one that ends them.
            let whole = |line: &Line| !line.partial;
            let last = record.lines[index..].iter().position(whole).map(|more| index + more);
            let unfinished = last.is_none();
            if unfinished && !closing {
                continue;
            }
            let last = last.unwrap_or(record.lines.len() - 1);
            let first = record.lines[..index].iter().rposition(whole).map_or(0, |before| before + 1);
            let line_end = record.lines[last].span.end;
            if base + line_end as u64 <= open.settled {
                continue;
            }
            let known = if last + 1 < starts.len() { starts[last + 1] } else { text.len() };
            let entry = detector.catalog.get(code);
            let in_line = number.start - starts[first]..number.end - starts[first];
            let outlook = judge.outlook(rules, &text[starts[first]..known], 0, &in_line, entry);
            if let Outlook::Nothing(rule) = outlook {
                let place = record.text(index).start + (number.start - starts[index]);
                // What a partial line holds is judged once its end is known not to come.
                let is_new = unfinished || if first == last { place >= visited } else { line_end > fresh };
                if entry.is_some() && is_new {
                    rejected.push(rule);
                }
                continue;
            }
            let decided = judge.decide(detector, text, known, number.clone());
            match decided {
                Some(rule) if accepts(decided) => accept(number, index, rule, &mut open.counted),
                _ if closing => undecided.push((number, index, outlook == Outlook::Possible || entry.is_some())),
                _ => {}
            }
        }
        for (number, index, counts) in undecided.drain(..) {
            let code = code_at(text, &number);
            if open.counted.contains(&code) {
                continue;
            }
            let decided = judge.decide(detector, text, text.len(), number.clone());
            match decided {
                Some(rule) if accepts(decided) => accept(number, index, rule, &mut open.counted),
                _ if counts => rejected.push(decided),
                _ => {}
            }
        }
        for rule in rejected.drain(..) {
            on(Decision::Rejected(rule));
        }
    }

    /// Remembers the lines of a judged record.
    fn cover(&mut self, record: &Record) {
        let start = record.head().span.start;
        // What lies wholly before a plain record, or well before a wrapped one, is not met again.
        if record.head().stream == 0 {
            self.covered.clear();
            self.covered.push(start..record.end());
            self.plain_end = record.end();
        } else {
            self.covered.retain(|span| span.end + super::RECORD_SPAN > start);
            self.covered.extend(record.lines.iter().map(|line| line.span.clone()));
        }
    }

    /// How far back the record of `line` may reach: not into a plain record that was judged.
    fn floor_of(&self, line: &Line) -> usize {
        // A bare line behind a wrapped one may be a part of its record, which reaches back to that record's head.
        if line.stream != 0 || self.plain_end > line.span.start { 0 } else { self.plain_end }
    }
}

/// Lines that begin at `from` or later and are too long to be judged as a whole; one look for each `limit`.
fn long_lines(block: &[u8], from: usize, limit: usize) -> u64 {
    let (mut found, mut at) = (0, from);
    while block.len() - at > limit {
        at += match memrchr(b'\n', &block[at..at + limit]) {
            Some(last) => last + 1,
            None => {
                found += 1;
                memchr(b'\n', &block[at + limit..]).map_or(block.len() - at, |rest| limit + rest + 1)
            }
        };
    }
    found
}

/// Where container runtimes left a line unfinished, ascending: what it says may be cut anywhere, even in a number.
fn partial_lines(lines: &Lines<'_>, fresh: usize) -> Vec<usize> {
    let block = &lines.block[fresh..];
    let may_be_partial = |mark: &usize| {
        let (before, name) = block.split_at(*mark);
        match before.strip_suffix(br#"","stream":""#) {
            // In Docker's JSON the text of a finished line ends in an escaped newline.
            Some(text) => !text.ends_with(br"\n"),
            None => name.get(b"stdout".len()..).is_some_and(|tag| tag.starts_with(b" P")),
        }
    };
    let mut line = Line::default();
    let mut found: Vec<usize> = STREAM
        .find_iter(block)
        .filter(may_be_partial)
        .filter_map(|mark| {
            let line = lines.containing_again(&mut line, fresh + mark);
            (line.partial && line.span.start >= fresh).then_some(line.span.start)
        })
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests;
