//! Gathers the lines of one record out of a block, on demand: only records that hold a number are ever gathered.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memrchr};

use super::RECORD_SPAN;
use super::joining::{Above, above, begins, continues, header};
use super::wrapping::{Dress, trim_end, unwrap};

/// Lines of other streams that may stand between two lines of one record.
const INTERLEAVED: usize = 32;

/// So many rows a table has at most that only blanks set apart.
const ROWS: usize = 64;

/// The complete lines of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    /// The block up to the end of its last complete line.
    pub(super) block: &'a [u8],
    /// Where the first line begins; what stands before belongs to a line that began earlier.
    pub(super) floor: usize,
    /// A line longer than this is not judged as a whole, in bytes.
    pub(super) limit: usize,
}

/// One physical line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its place in the block, with its end.
    pub(super) span: Range<usize>,
    /// Its text without wrapping, in the block.
    pub(super) text: Range<usize>,
    /// The stream it belongs to; 0 for a line without wrapping.
    pub(super) stream: u64,
    /// The stream's next line goes on with it.
    pub(super) partial: bool,
    /// What stands around the text.
    pub(super) dress: Dress,
    /// Whether it is too long to be judged as a whole.
    pub(super) is_long: bool,
}

/// The lines of one record, as far as the block holds them.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Never empty, ascending.
    pub(super) lines: Vec<Line>,
    /// Whether its end was seen.
    pub(super) closed: bool,
}

/// What follows a line in its stream.
enum Next {
    Line(Line),
    /// Nothing that could continue it.
    Nothing,
    /// The block ends before that is known.
    Unknown,
}

/// Whether a bare line right behind one with a prefix may be its continuation: had a log daemon written it, it
/// would have a prefix too.
fn trails(before: &Line, line: &Line) -> bool {
    before.dress == Dress::Prefix && line.dress == Dress::Plain
}

impl Record {
    /// The first line.
    pub(super) fn head(&self) -> &Line {
        &self.lines[0]
    }

    /// Where the text of each line begins in the block. The first line keeps a prefix that names its origin.
    pub(super) fn text(&self, line: usize) -> Range<usize> {
        let Line { span, text, dress, .. } = &self.lines[line];
        if line == 0 && *dress == Dress::Prefix { span.start..text.end } else { text.clone() }
    }

    /// Where the last line ends.
    pub(super) fn end(&self) -> usize {
        self.lines[self.lines.len() - 1].span.end
    }
}

/// Where in a piece of a log a record begins before which none is open: a scan of what stands before it and one of
/// what begins there say together what one scan says. The first such place; `None` where the piece has none.
///
/// The piece may begin anywhere, even inside a line.
pub(crate) fn first_cut(piece: &[u8], limit: usize) -> Option<usize> {
    let floor = memchr(b'\n', piece)? + 1;
    let lines = Lines { block: piece, floor, limit };
    let mut before = lines.at(floor);
    // Lines of one stream in a row: past as many as may interleave, no other stream's record goes on.
    let mut alone = 0;
    while before.span.end < piece.len() {
        let line = lines.at(before.span.end);
        if piece[line.span.end - 1] != b'\n' {
            break;
        }
        alone = if line.stream == before.stream { alone + 1 } else { 0 };
        let is_clear = if line.stream == 0 { alone > 0 } else { alone > INTERLEAVED };
        // Behind a blank line, or one that a runtime has cut, it matters what stands further above.
        let text = |line: &Line| &piece[line.text.clone()];
        let is_known = || {
            !before.text.is_empty()
                && matches!(lines.whole(&before), Cow::Borrowed(_))
                && above(text(&before), text(&line)) == Above::Other
        };
        if is_clear && !before.is_long && !line.is_long && is_known() && !lines.joins(&before, &line) {
            return Some(line.span.start);
        }
        before = line;
    }
    None
}

impl<'a> Lines<'a> {
    /// The line that begins at `start`.
    pub(super) fn at(&self, start: usize) -> Line {
        let end = memchr(b'\n', &self.block[start..]).map_or(self.block.len(), |length| start + length + 1);
        let bytes = &self.block[start..end];
        if bytes.len() > self.limit {
            let text = start..start + trim_end(bytes).len();
            return Line { span: start..end, text, stream: 0, partial: false, dress: Dress::Plain, is_long: true };
        }
        let unwrapped = unwrap(bytes);
        Line {
            span: start..end,
            text: start + unwrapped.text.start..start + unwrapped.text.end,
            stream: unwrapped.stream,
            partial: unwrapped.partial,
            dress: unwrapped.dress,
            is_long: false,
        }
    }

    /// The line that holds the byte at `position`.
    pub(super) fn containing(&self, position: usize) -> Line {
        let start = memrchr(b'\n', &self.block[self.floor..position]).map_or(self.floor, |at| self.floor + at + 1);
        self.at(start)
    }

    /// The same where `known` is the line of an earlier position: a line with many numbers is looked for once.
    pub(super) fn containing_again<'k>(&self, known: &'k mut Line, position: usize) -> &'k Line {
        if !known.span.contains(&position) {
            *known = self.containing(position);
        }
        known
    }

    /// The last line, unless there is none.
    pub(super) fn last(&self) -> Option<Line> {
        if self.block.len() > self.floor { Some(self.containing(self.block.len() - 1)) } else { None }
    }

    /// The last line of each stream whose record may still grow.
    pub(super) fn last_of_streams(&self) -> Vec<Line> {
        let mut found: Vec<Line> = Vec::new();
        let mut next = self.last();
        for _ in 0..=INTERLEAVED {
            let Some(line) = next else { break };
            // A plain line ends every plain record before it, and is followed by no line that was passed.
            if line.stream == 0 && !found.is_empty() {
                break;
            }
            next = if line.stream != 0 && line.span.start > self.floor {
                Some(self.containing(line.span.start - 1))
            } else {
                None
            };
            if found.iter().all(|other| other.stream != line.stream) {
                found.push(line);
            }
        }
        found
    }

    /// The first line of the record that `line` belongs to, looking back to `floor` at most.
    pub(super) fn head(&self, line: Line, floor: usize) -> Line {
        let mut head = line.clone();
        while !self.begins(&head)
            && let Some(before) = self.previous(&head, floor)
            && self.joins(&before, &head)
        {
            head = before;
        }
        // A record that outgrows its span is cut there, counted from its head.
        while line.span.start - head.span.start >= RECORD_SPAN {
            let mut last = head.clone();
            while last.span.start - head.span.start < RECORD_SPAN {
                match self.next(&last) {
                    Next::Line(next) => last = next,
                    Next::Nothing | Next::Unknown => return last,
                }
            }
            head = last;
        }
        head
    }

    /// The record that begins with `head`; `lines` is memory to keep its lines in.
    pub(super) fn record(&self, head: Line, mut lines: Vec<Line>) -> Record {
        let start = head.span.start;
        lines.clear();
        lines.push(head);
        let closed = loop {
            let last = &lines[lines.len() - 1];
            match self.next(last) {
                Next::Line(line) if self.joins(last, &line) && line.span.start - start < RECORD_SPAN => {
                    lines.push(line)
                }
                Next::Line(_) | Next::Nothing => break true,
                Next::Unknown => break false,
            }
        };
        Record { lines, closed }
    }

    /// Whether a line begins a record whatever stands before it: a plain one that goes on with no runtime's part.
    pub(super) fn begins(&self, line: &Line) -> bool {
        let text = &self.block[line.text.clone()];
        line.stream == 0 && !line.is_long && begins(text) && !self.may_be_body(line)
    }

    fn joins(&self, before: &Line, line: &Line) -> bool {
        let text = &self.block[line.text.clone()];
        !before.is_long
            && !line.is_long
            && (before.partial
                || continues(&self.whole(before), text)
                || self.is_body(before, line)
                || self.is_below_title(before, line))
    }

    /// Whether a title stands above a line, and nothing but other lines below that title between them.
    fn is_below_title(&self, before: &Line, line: &Line) -> bool {
        let text = |line: &Line| &self.block[line.text.clone()];
        let (mut upper, mut lower) = (before.clone(), line.clone());
        for _ in 0..ROWS {
            match above(text(&upper), text(&lower)) {
                Above::Title => return true,
                Above::Other => return false,
                Above::Row => {}
            }
            let Some(further) = self.previous(&upper, self.floor) else { return false };
            lower = std::mem::replace(&mut upper, further);
        }
        false
    }

    /// Whether a line is an object that HTTP's headers and a blank line stand above.
    fn is_body(&self, blank: &Line, line: &Line) -> bool {
        self.may_be_body(line)
            && blank.stream == line.stream
            && blank.text.is_empty()
            && self.previous(blank, self.floor).is_some_and(|above| header(&self.block[above.text]).is_some())
    }

    /// Whether a line is an object, behind a blank line if it is a plain one.
    fn may_be_body(&self, line: &Line) -> bool {
        let before = &self.block[..line.span.start];
        self.block[line.text.clone()].starts_with(b"{")
            && (line.stream != 0 || before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n"))
    }

    /// The text of the program's line that ends with `line`: a container runtime may have cut it into parts.
    fn whole(&self, line: &Line) -> Cow<'a, [u8]> {
        let text = |line: &Line| &self.block[line.text.clone()];
        let part = |after: &Line| {
            let is_near = |before: &Line| line.span.start - before.span.start < RECORD_SPAN;
            let before = self.previous(after, self.floor)?;
            (before.partial && !before.is_long && is_near(&before)).then_some(before)
        };
        let first = if matches!(line.dress, Dress::Cri | Dress::Docker) { part(line) } else { None };
        let Some(first) = first else { return Cow::Borrowed(text(line)) };
        let mut parts = vec![line.clone(), first];
        while let Some(before) = part(&parts[parts.len() - 1]) {
            parts.push(before);
        }
        Cow::Owned(parts.iter().rev().flat_map(text).copied().collect())
    }

    /// The line of the same stream before `line`.
    fn previous(&self, line: &Line, floor: usize) -> Option<Line> {
        let mut start = line.span.start;
        for _ in 0..=INTERLEAVED {
            if start <= floor.max(self.floor) {
                return None;
            }
            let before = self.containing(start - 1);
            if before.stream == line.stream || (start == line.span.start && trails(&before, line)) {
                return Some(before);
            }
            if line.stream == 0 || before.stream == 0 {
                return None;
            }
            start = before.span.start;
        }
        None
    }

    /// The line of the same stream after `line`.
    fn next(&self, line: &Line) -> Next {
        let mut start = line.span.end;
        for _ in 0..=INTERLEAVED {
            if start >= self.block.len() {
                return Next::Unknown;
            }
            let after = self.at(start);
            if after.stream == line.stream || (start == line.span.end && trails(line, &after)) {
                return Next::Line(after);
            }
            if line.stream == 0 || after.stream == 0 {
                return Next::Nothing;
            }
            start = after.span.end;
        }
        Next::Nothing
    }
}
