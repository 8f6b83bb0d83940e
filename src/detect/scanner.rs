//! The scan of one block: numbers first, then the record of each, then its rules.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::numbers::numbers;
use super::records::{Line, Lines, Record};
use super::rules::{Judge, Outlook, Verdict};
use super::wrapping::{Dress, unwrap};
use super::{Assume, Cursor, Decision, Detector, End, LINE_LIMIT, OpenRecord, Scanned};
use crate::record::{Code, Match};

/// How much of an overlong line is looked at on each side of a number, in bytes.
const WINDOW: usize = 4 << 10;

/// Scans blocks, one at a time, for one thread.
#[derive(Debug)]
pub struct Scanner {
    detector: Detector,
    assume: Assume,
    judge: Judge,
    /// The text of a record whose lines do not stand side by side.
    text: Vec<u8>,
    /// Where each line of the record at hand begins in its text.
    starts: Vec<usize>,
    /// Lines that were judged as parts of a record before the scan came to them, ascending.
    covered: Vec<Range<usize>>,
}

impl Scanner {
    pub(super) fn new(detector: Detector, assume: Assume) -> Scanner {
        let judge = detector.rules.judge();
        Scanner { detector, assume, judge, text: Vec::new(), starts: Vec::new(), covered: Vec::new() }
    }

    /// Judges the complete lines of a block and moves the cursor past them.
    ///
    /// `block` begins at `cursor.head` and holds everything read since. Decisions of one record come in the
    /// order of its numbers. Any bytes are valid. A block of [`BLOCK_NEED`](super::BLOCK_NEED) bytes always
    /// moves the cursor.
    pub fn scan(&mut self, block: &[u8], cursor: &mut Cursor, end: End, on: &mut impl FnMut(Decision<'_>)) -> Scanned {
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
        scanned.lines += memchr::memchr_iter(b'\n', &block[fresh..limit]).count() as u64;
        scanned.lines += u64::from(limit > fresh && block[limit - 1] != b'\n');
        self.scan_lines(Lines { block: &block[..limit], floor }, cursor, base, fresh, end, on, &mut scanned);
        if block.len() - limit > LINE_LIMIT {
            scanned.truncated_lines += 1;
            cursor.in_long_line = true;
            cursor.open = vec![OpenRecord { head: base + limit as u64, ..OpenRecord::default() }];
            self.scan_long_line(block, cursor, base, limit, end, on);
        }
        scanned
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
        self.covered.clear();
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut cursor.open) {
            if open.head < base + lines.floor as u64 {
                continue;
            }
            let record = lines.record(lines.at((open.head - base) as usize));
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
        }
        if limit > fresh {
            let wrapped = *cursor.in_container.get_or_insert_with(|| is_container(&lines.block[fresh..]));
            let mut parts = if wrapped { partial_lines(&lines, fresh) } else { Vec::new() }.into_iter().peekable();
            for number in numbers(lines.block, fresh) {
                while let Some(part) = parts.next_if(|part| *part < number.start) {
                    self.visit(&lines, part..part, base, fresh, end, on, &mut still_open, scanned);
                }
                self.visit(&lines, number, base, fresh, end, on, &mut still_open, scanned);
            }
            for part in parts {
                self.visit(&lines, part..part, base, fresh, end, on, &mut still_open, scanned);
            }
        }
        if end == End::Input {
            still_open.clear();
        } else if limit > fresh {
            for line in lines.last_of_streams() {
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
        scanned: &mut Scanned,
    ) {
        if !self.covered.is_empty() {
            // A record that is joined over other streams' lines reaches ahead; one that is done is forgotten.
            if self.covered.iter().any(|span| span.contains(&number.start)) {
                return;
            }
        }
        let is_number = !number.is_empty();
        let rules = &self.detector.rules;
        if is_number {
            let code = code_at(lines.block, &number);
            let entry = self.detector.catalog.get(code);
            if let Outlook::Nothing(rule) = self.judge.outlook(rules, lines.block, &number, entry) {
                if entry.is_some() {
                    on(Decision::Rejected(rule));
                }
                return;
            }
        }
        let line = lines.containing(number.start);
        if line.is_long() {
            scanned.truncated_lines += 1;
            let mut open = OpenRecord { head: base + line.span.start as u64, ..OpenRecord::default() };
            for number in numbers(&lines.block[..line.span.end], line.span.start) {
                self.judge_in_window(lines.block, &line.span, number, base, &mut open, on);
            }
            self.covered.push(line.span);
            return;
        }
        let floor = self.floor_of(&line);
        let record = lines.record(lines.head(line, floor));
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
        let Scanner { detector, judge, text, starts, assume, .. } = self;
        let rules = &detector.rules;
        let contiguous = record.lines.len() == 1 || record.head().stream == 0;
        starts.clear();
        let text: &[u8] = if contiguous {
            let first = record.text(0).start;
            starts.extend((0..record.lines.len()).map(|line| record.text(line).start - first));
            &block[first..record.lines[record.lines.len() - 1].text.end]
        } else {
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
        judge.begin_record(*assume == Assume::Twilio, rules);
        for number in numbers(text, 0) {
            let code = code_at(text, &number);
            if open.counted.contains(&code) {
                continue;
            }
            let index = starts.partition_point(|start| *start <= number.start) - 1;
            // The logical line: partial lines and the one that ends them.
            let whole = |line: &Line| !line.partial;
            let last = record.lines[index..].iter().position(whole).map(|more| index + more);
            if last.is_none() && !closing {
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
            let outlook = judge.outlook(rules, &text[starts[first]..known], &in_line, entry);
            if let Outlook::Nothing(rule) = outlook {
                let place = record.text(index).start + (number.start - starts[index]);
                let is_new = if first == last { place >= visited } else { line_end > fresh };
                if entry.is_some() && is_new {
                    on(Decision::Rejected(rule));
                }
                continue;
            }
            let accepts = |rule: Option<usize>| rule.is_some_and(|rule| rules.all()[rule].verdict == Verdict::Accept);
            let mut decided = judge.decide(rules, text, known, number.clone(), entry);
            if !accepts(decided) && closing && known < text.len() {
                let at_end = judge.decide(rules, text, text.len(), number.clone(), entry);
                decided = at_end;
            }
            match decided {
                Some(rule) if accepts(decided) => {
                    open.counted.push(code);
                    let line = &record.lines[index];
                    on(Decision::Accepted(Match {
                        code,
                        rule,
                        offset: base + line.span.start as u64,
                        line_start: line.span.start,
                        head: &block[record.head().span.clone()],
                        text,
                        escaped: record.head().dress == Dress::Docker,
                        number,
                    }));
                }
                _ if closing && (entry.is_some() || outlook == Outlook::Possible) => on(Decision::Rejected(decided)),
                _ => {}
            }
        }
    }

    /// Scans what a block holds of an overlong line; where the line after it begins, once its end is seen.
    fn scan_long_line(
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
    fn judge_in_window(
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
        self.judge.begin_record(self.assume == Assume::Twilio, rules);
        match self.judge.outlook(rules, text, &number, entry) {
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
                on(Decision::Accepted(Match {
                    code,
                    rule,
                    offset,
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

    /// Remembers the lines of a judged record.
    fn cover(&mut self, record: &Record) {
        let start = record.head().span.start;
        // What lies wholly before a plain record, or well before a wrapped one, is not met again.
        if record.head().stream == 0 {
            self.covered.clear();
            self.covered.push(start..record.end());
        } else {
            self.covered.retain(|span| span.end + super::RECORD_SPAN > start);
            self.covered.extend(record.lines.iter().map(|line| line.span.clone()));
        }
    }

    /// How far back the record of `line` may reach: not into a plain record that was judged.
    fn floor_of(&self, line: &Line) -> usize {
        if line.stream != 0 {
            return 0;
        }
        self.covered.iter().map(|span| span.end).filter(|end| *end <= line.span.start).max().unwrap_or(0)
    }
}

/// The code that five digits spell; the caller's range holds digits, the first of them not zero.
fn code_at(text: &[u8], number: &Range<usize>) -> Code {
    let value = text[number.clone()].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Code::new(value).expect("five digits without a leading zero")
}

/// Whether the first line that begins here was written by a container runtime.
fn is_container(block: &[u8]) -> bool {
    let end = memchr(b'\n', block).unwrap_or(block.len());
    let line = &block[..end.min(LINE_LIMIT)];
    let wrapped = unwrap(line);
    matches!(wrapped.dress, Dress::Cri | Dress::Docker)
}

/// Where the partial lines of a container's log begin, ascending.
fn partial_lines(lines: &Lines<'_>, fresh: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut start = fresh;
    while start < lines.block.len() {
        let line = lines.at(start);
        if line.partial {
            found.push(start);
        }
        start = line.span.end;
    }
    found
}
