//! The scan of one block: numbers first, then the record of each, then its rules.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::{memchr, memrchr};

use super::numbers::numbers;
use super::records::{Line, Lines, Record};
use super::rules::{Judge, Outlook, Verdict};
use super::wrapping::Dress;
use super::{Assume, Cursor, Decision, Detector, End, LINE_LIMIT, OpenRecord, Scanned};
use crate::record::{Code, Match};

/// How much of an overlong line is looked at on each side of a number, in bytes.
const WINDOW: usize = 4 << 10;

/// What stands in the lines that a container runtime left unfinished: CRI's tag, and the end of Docker's text.
static PARTIAL: LazyLock<AhoCorasick> = LazyLock::new(|| {
    // Leftmost-first is what gets the vectorised search.
    let builder = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build([r#"","stream":"std"#, " P "]);
    builder.expect("two short patterns")
});

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
    /// What the record at hand leaves rejected.
    rejected: Vec<Option<usize>>,
    /// Lines that were judged as parts of a record before the scan came to them, ascending.
    covered: Vec<Range<usize>>,
}

impl Scanner {
    pub(super) fn new(detector: Detector, assume: Assume) -> Scanner {
        let judge = detector.rules.judge();
        Scanner {
            detector,
            assume,
            judge,
            text: Vec::new(),
            starts: Vec::new(),
            rejected: Vec::new(),
            covered: Vec::new(),
        }
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

    /// Each number of a record, and the rule that decides about it once the whole record is known.
    pub fn decisions(&mut self, record: &[u8]) -> Vec<(Range<usize>, Code, Option<usize>)> {
        let rules = &self.detector.rules;
        self.judge.begin_record(self.assume == Assume::Twilio, rules);
        let mut decisions = Vec::new();
        for number in numbers(record, 0) {
            let code = code_at(record, &number);
            let entry = self.detector.catalog.get(code);
            let rule = self.judge.decide(rules, record, record.len(), number.clone(), entry);
            decisions.push((number, code, rule));
        }
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
            let mut parts = partial_lines(&lines, fresh).into_iter().peekable();
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
        let Scanner { detector, judge, text, starts, assume, rejected, .. } = self;
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
        let accepts = |rule: Option<usize>| rule.is_some_and(|rule| rules.all()[rule].verdict == Verdict::Accept);
        let mut undecided = Vec::new();
        let mut accept = |number: Range<usize>, index: usize, rule: usize, counted: &mut Vec<Code>| {
            let code = code_at(text, &number);
            counted.push(code);
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
            let outlook = judge.outlook(rules, &text[starts[first]..known], 0, &in_line, entry);
            if let Outlook::Nothing(rule) = outlook {
                let place = record.text(index).start + (number.start - starts[index]);
                let is_new = if first == last { place >= visited } else { line_end > fresh };
                if entry.is_some() && is_new {
                    rejected.push(rule);
                }
                continue;
            }
            let decided = judge.decide(rules, text, known, number.clone(), entry);
            match decided {
                Some(rule) if accepts(decided) => accept(number, index, rule, &mut open.counted),
                _ if closing => undecided.push((number, index, outlook == Outlook::Possible || entry.is_some())),
                _ => {}
            }
        }
        for (number, index, counts) in undecided {
            let code = code_at(text, &number);
            if open.counted.contains(&code) {
                continue;
            }
            let decided = judge.decide(rules, text, text.len(), number.clone(), detector.catalog.get(code));
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

/// The part of a window without the words that its ends cut.
fn whole_words(text: &[u8], number: &Range<usize>, cut_before: bool, cut_after: bool) -> Range<usize> {
    let start = text[..number.start].iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(number.start);
    let end =
        text[number.end..].iter().rposition(|byte| byte.is_ascii_whitespace()).map_or(number.end, |at| number.end + at);
    (if cut_before { start } else { 0 })..(if cut_after { end } else { text.len() })
}

/// The code that five digits spell; the caller's range holds digits, the first of them not zero.
fn code_at(text: &[u8], number: &Range<usize>) -> Code {
    let value = text[number.clone()].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Code::new(value).expect("five digits without a leading zero")
}

/// Where container runtimes left a line unfinished, ascending: what it says may be cut anywhere, even in a number.
fn partial_lines(lines: &Lines<'_>, fresh: usize) -> Vec<usize> {
    let block = &lines.block[fresh..];
    // In Docker's JSON the text of a finished line ends in an escaped newline.
    let mut found: Vec<usize> = PARTIAL
        .find_iter(block)
        .filter(|mark| !block[..mark.start()].ends_with(br"\n"))
        .map(|mark| lines.containing(fresh + mark.start()))
        .filter(|line| line.partial && line.span.start >= fresh)
        .map(|line| line.span.start)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Catalog;
    use crate::detect::Rules;

    thread_local! {
        static SCANNER: std::cell::RefCell<Scanner> = std::cell::RefCell::new(
            Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded())).scanner(Assume::Nothing),
        );
    }

    /// Everything that a scan says, with offsets instead of borrowed text.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Said {
        Accepted { offset: u64, code: u32, rule: usize },
        Rejected(Option<usize>),
    }

    /// Scans `input` as a follower would that reads it in pieces of these sizes.
    fn scan_in_pieces(input: &[u8], sizes: &[usize]) -> (Vec<Said>, Scanned) {
        let mut cursor = Cursor::default();
        let mut total = Scanned::default();
        let mut said = Vec::new();
        let mut on = |decision: Decision<'_>| {
            said.push(match decision {
                Decision::Accepted(m) => Said::Accepted { offset: m.offset, code: m.code.get(), rule: m.rule },
                Decision::Rejected(rule) => Said::Rejected(rule),
            });
        };
        SCANNER.with_borrow_mut(|scanner| {
            let mut read = 0;
            let mut sizes = sizes.iter().cycle();
            loop {
                read = (read + sizes.next().copied().unwrap_or(usize::MAX).max(1)).min(input.len());
                let end = if read == input.len() { End::Input } else { End::More };
                let scanned = scanner.scan(&input[cursor.head as usize..read], &mut cursor, end, &mut on);
                total.lines += scanned.lines;
                total.truncated_lines += scanned.truncated_lines;
                assert!(cursor.head <= cursor.offset && cursor.offset as usize <= read);
                if end == End::Input {
                    break;
                }
            }
        });
        assert_eq!(cursor.offset as usize, input.len());
        said.sort();
        (said, total)
    }

    #[track_caller]
    fn check(input: &str, expected: &[(u64, u32)]) {
        let (said, _) = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
        let accepted: Vec<_> = said
            .iter()
            .filter_map(|said| match said {
                Said::Accepted { offset, code, .. } => Some((*offset, *code)),
                Said::Rejected(_) => None,
            })
            .collect();
        assert_eq!(accepted, expected, "{input}");
        for size in [1, 7, 64] {
            assert_eq!(scan_in_pieces(input.as_bytes(), &[size]).0, said, "in pieces of {size}: {input}");
        }
    }

    #[test]
    fn counts_a_code_once_for_each_record() {
        check("ConnectionError (31005): a\nConnectionError (31005): a\n", &[(0, 31005), (27, 31005)]);
        check("ConnectionError (31005): a\n    at b (31005)\n    ConnectionError (31005): c\n", &[(0, 31005)]);
        check("two: ConnectionError (31005), then BusyHere (31486)", &[(0, 31005), (0, 31486)]);
    }

    #[test]
    fn takes_evidence_from_every_line_of_a_record() {
        let object = "device failed {\n  code: 30003,\n  moreInfo: 'https://www.twilio.com/docs/errors/30003'\n}\n";
        check(object, &[(31, 30003)]);
        check("device failed {\n  code: 30003,\n}\nmoreInfo: 1\n", &[]);
    }

    #[test]
    fn joins_what_a_container_split() {
        let line =
            |stream: &str, tag: &str, text: &str| format!("2025-03-25T04:11:07.611268411Z {stream} {tag} {text}\n");
        let cut = line("stdout", "P", "{\"twilio\":{\"co") + &line("stdout", "F", "de\":20403}}");
        check(&cut, &[(55, 20403)]);
        let cut = line("stdout", "P", "{\"twilio\":{\"code\":204") + &line("stdout", "F", "03}}");
        check(&cut, &[(0, 20403)]);
        let mixed = line("stdout", "P", "twilio code 204") + &line("stderr", "F", "x") + &line("stdout", "F", "03");
        check(&mixed, &[(0, 20403)]);
        let docker = r#"{"log":"twilio code 204","stream":"stdout","time":"x"}"#.to_owned()
            + "\n"
            + r#"{"log":"03\n","stream":"stdout","time":"x"}"#;
        check(&docker, &[(0, 20403)]);
    }

    #[test]
    fn keeps_streams_apart() {
        let input = "a-1  | RestException {\nb-1  | ok\na-1  |   code: 20403,\nb-1  |   code: 30003,\na-1  | }\n";
        check(input, &[(33, 20403)]);
    }

    #[test]
    fn judges_overlong_lines_piece_by_piece() {
        let filler = "x".repeat(LINE_LIMIT);
        let input = format!(
            "ConnectionError (31005): a {filler} ConnectionError (31005): BusyHere (31486): b {filler}\nnext BusyHere (31486)\n"
        );
        let (whole, scanned) = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
        assert_eq!(scanned, Scanned { lines: 2, truncated_lines: 1 });
        let codes: Vec<_> = whole.iter().filter(|said| matches!(said, Said::Accepted { .. })).collect();
        assert_eq!(codes.len(), 3, "{codes:?}");
        for size in [100_000, 1_000_003] {
            assert_eq!(scan_in_pieces(input.as_bytes(), &[size]), (whole.clone(), scanned), "{size}");
        }
    }

    #[test]
    fn decides_what_is_open_when_nothing_comes() {
        let input = b"device failed {\n  code: 30003,\n";
        let mut cursor = Cursor::default();
        let mut rejected = 0;
        SCANNER.with_borrow_mut(|scanner| {
            let mut on = |decision: Decision<'_>| match decision {
                Decision::Accepted(matched) => panic!("accepted {matched:?}"),
                Decision::Rejected(_) => rejected += 1,
            };
            scanner.scan(input, &mut cursor, End::More, &mut on);
            scanner.scan(input, &mut cursor, End::Pause, &mut on);
            scanner.scan(input, &mut cursor, End::Pause, &mut on);
            scanner.scan(&[input.as_slice(), b"  moreInfo: 1\nnext\n"].concat(), &mut cursor, End::More, &mut on);
        });
        assert_eq!(rejected, 1, "once, when nothing came");
        assert_eq!(cursor.offset, 50);
    }

    /// Lines that begin, continue, wrap and decoy.
    const PIECES: [&str; 30] = [
        "ConnectionError (31005): a\n",
        "2026-01-01T00:00:00Z ERROR twilio call failed {\n",
        "  code: 20403,\n",
        "  status: 403, pid: 31005\n",
        "  moreInfo: 'https://www.twilio.com/docs/errors/20403'\n",
        "}\n",
        "listening on 10.0.0.1:31005 pid=20104 took 53405ms\n",
        "Twilio::REST::RestError: [HTTP 401] 20101 : Unable\n",
        "Invalid access token\n",
        "https://www.twilio.com/docs/errors/20101\n",
        "\n",
        "\r\n",
        "a-1  | Error {\n",
        "a-1  |   code: 20151,\n",
        "b-1  |   at twilio (x.js:31005:1)\n",
        "2025-03-25T04:11:07.611268411Z stdout P {\"twilio\":{\"code\":204\n",
        "2025-03-25T04:11:07.611268411Z stdout F 03}}\n",
        "2025-03-25T04:11:07.611268411Z stderr F ErrorCode=31486\n",
        "{\"log\":\"twilio code 204\",\"stream\":\"stdout\",\"time\":\"x\"}\n",
        "{\"log\":\"03\\n\",\"stream\":\"stdout\",\"time\":\"x\"}\n",
        "\tat com.twilio.x(C.java:31005)\n",
        "Caused by: code=53405\n",
        "error code 31486 on call\n",
        "error code 31486 on zoom call\n",
        "half 31005",
        " %2230007%22 error_code%22%3A%2230007%22&CallSid=1",
        "{\"code\":\n",
        "31005, \"twilio\"\n",
        "\0\u{1b}[31m31005\u{1b}[0m",
        "level=error code=31005 zoom=1\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn any_chunking_says_the_same(
            pieces in prop::collection::vec(0..PIECES.len(), 0..40),
            sizes in prop::collection::vec(1usize..200, 1..8),
        ) {
            let input: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let whole = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
            prop_assert_eq!(scan_in_pieces(input.as_bytes(), &sizes), whole);
        }

        #[test]
        fn any_bytes_are_valid(
            input in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'3'), Just(b'1'), Just(b'0')], 0..600),
            sizes in prop::collection::vec(1usize..200, 1..8),
        ) {
            prop_assert_eq!(scan_in_pieces(&input, &sizes), scan_in_pieces(&input, &[usize::MAX]));
        }
    }
}
