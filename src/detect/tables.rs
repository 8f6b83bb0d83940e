//! Tables: what the header of a column says of the numbers below it.
//!
//! A row says of its numbers only where they stand. So a number that is a cell, or begins one, is judged as if its
//! column's name, a colon and the cell were what was written: `| twilio_code | ms |` makes a code of the first number
//! below it and a duration of the second.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::numbers::numbers;

/// A row longer than this is no table's, in bytes: a look at all of it for each of its numbers would cost too much.
const WIDEST: usize = 4 << 10;

/// What stands around one number in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The name of its column, in the record.
    pub(super) column: Range<usize>,
    /// Where the text of the cell ends, in the record.
    pub(super) end: usize,
}

impl Cell {
    /// Writes what the column says of the number, `column: cell`, and tells where the number stands in that.
    pub(super) fn say(&self, text: &[u8], number: &Range<usize>, said: &mut Vec<u8>) -> Range<usize> {
        said.clear();
        said.extend_from_slice(&text[self.column.clone()]);
        said.extend_from_slice(b": ");
        let start = said.len();
        said.extend_from_slice(&text[number.start..self.end]);
        start..start + number.len()
    }
}

/// The table in a record whose numbers are looked at one after the other.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The row of the last number.
    last: Option<Row>,
}

/// A row of a table, and the header found for it.
#[derive(Debug)]
struct Row {
    line: Range<usize>,
    form: Form,
    header: Option<Header>,
}

/// What stands at the top of a table, in the record.
#[derive(Clone, Debug)]
struct Header {
    names: Range<usize>,
    /// Dashes below the names, which tell how wide each column is.
    ruler: Option<Range<usize>>,
}

/// How the cells of a row are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// By bars, plain or drawn.
    Bars,
    Tabs,
    /// By two blanks or more, and by where they stand.
    Blanks,
}

/// Whether a number may begin a cell of a table's row, as far as a look beside it tells.
pub(super) fn may_be_cell(text: &[u8], number: &Range<usize>) -> bool {
    begins_cell(&text[..number.start]) && ends_cell(&text[number.end..])
}

/// Whether a cell may begin behind a text.
pub(super) fn begins_cell(before: &[u8]) -> bool {
    match before {
        [.., before, b' '] => *before == b' ' || is_border(*before),
        [.., b't', b'd', b'>'] => true,
        [.., before] => is_border(*before),
        [] => true,
    }
}

/// Whether a number may be a cell, or its first word, before a text.
pub(super) fn ends_cell(after: &[u8]) -> bool {
    matches!(after.first(), None | Some(b' ' | b'\t' | b'|' | b'\n' | b'\r' | b'<'))
}

/// Whether a byte ends what may stand in front of a cell.
fn is_border(byte: u8) -> bool {
    matches!(byte, b'|' | b'\t' | b'\n') || is_drawn_end(byte)
}

/// Whether a byte is the last of a bar that is drawn: │ ┃ ┆ ║.
fn is_drawn_end(byte: u8) -> bool {
    matches!(byte, 0x82 | 0x83 | 0x86 | 0x91)
}

impl Table {
    /// Forgets the last record.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// The cell of a number of the record `text`; `None` where it is in no row below a header.
    ///
    /// Numbers are to be asked for in their order: then a table is gone through once.
    pub(super) fn cell(&mut self, text: &[u8], number: &Range<usize>) -> Option<Cell> {
        if !may_be_cell(text, number) {
            return None;
        }
        if text[number.end..].starts_with(b"<") {
            return in_html(text, number);
        }
        let near = number.start.saturating_sub(WIDEST)..text.len().min(number.start + WIDEST);
        let within = line_at(&text[near.clone()], number.start - near.start);
        let row = near.start + within.start..near.start + within.end;
        if row.start == near.start || row.len() > WIDEST {
            return None;
        }
        let form = Form::of(&text[row.clone()]);
        if self.last.as_ref().is_none_or(|last| last.line != row) {
            let header = header(text, &row, form, self.last.as_ref());
            self.last = Some(Row { line: row.clone(), form, header });
        }
        let header = self.last.as_ref()?.header.as_ref()?;
        let (column, cell) = match form {
            Form::Blanks => aligned(text, &row, number, header)?,
            Form::Bars | Form::Tabs => {
                let cells = form.cells(text, &row);
                let index = cells.iter().position(|cell| cell.contains(&number.start))?;
                (form.cells(text, &header.names).get(index)?.clone(), cells[index].clone())
            }
        };
        let begins = text[cell.start..number.start].iter().all(|byte| *byte == b' ');
        let column = trim(text, column);
        let is_name = text[column.clone()].iter().any(u8::is_ascii_alphabetic) || !text[column.clone()].is_ascii();
        (begins && is_name).then_some(Cell { column, end: trim(text, number.start..cell.end).end })
    }
}

/// The cell of a table in HTML, by the names in its first row.
fn in_html(text: &[u8], number: &Range<usize>) -> Option<Cell> {
    let row = memmem::rfind(&text[..number.start], b"<tr")?;
    let index = memmem::find_iter(&text[row..number.start], b"<td").count().checked_sub(1)?;
    let name = memmem::find_iter(&text[..row], b"<th").filter(|at| !text[at + 3..].starts_with(b"ead")).nth(index)?;
    let start = name + memchr(b'>', &text[name..row])? + 1;
    let column = start..start + memchr(b'<', &text[start..row])?;
    Some(Cell { column: trim(text, column), end: number.end })
}

/// The header of the table that a row stands in.
fn header(text: &[u8], row: &Range<usize>, form: Form, known: Option<&Row>) -> Option<Header> {
    let width = form.width(&text[row.clone()]);
    let (mut at, mut names, mut ruler) = (row.start, row.clone(), None);
    if width < 2 {
        return None;
    }
    while at > 0 {
        let above = line_at(text, at - 1);
        if let Some(known) = known
            && known.line == above
            && known.form == form
        {
            return known.header.clone();
        }
        if ruler.is_some() {
            return Some(Header { names: above, ruler });
        }
        let line = &text[above.clone()];
        at = above.start;
        if is_ruler(line) {
            ruler = Some(above).filter(|ruler| form == Form::Blanks && fields(text, ruler, 1).len() > 1);
            continue;
        }
        let above_width = if Form::of(line) == form { form.width(line) } else { 0 };
        if above_width != width && (form != Form::Blanks || above_width < 2) {
            break;
        }
        names = above;
    }
    // Without a ruler two words in a row are a name and its value.
    let is_header = names != *row
        && (form != Form::Blanks || width > 2)
        && form.cells(text, &names).into_iter().all(|cell| is_word(&text[trim(text, cell)]));
    is_header.then_some(Header { names, ruler: None })
}

/// Whether what stands at the top of a column may be its name: rows have times, amounts and codes.
fn is_word(cell: &[u8]) -> bool {
    !cell.first().is_some_and(u8::is_ascii_digit) && numbers(cell, 0).next().is_none()
}

/// The name of a column that is told by its place, and the cell below it that a number stands in.
fn aligned(
    text: &[u8],
    row: &Range<usize>,
    number: &Range<usize>,
    header: &Header,
) -> Option<(Range<usize>, Range<usize>)> {
    let place = |line: &Range<usize>, at: usize| characters(&text[line.start..at]);
    let own = place(row, number.start)..place(row, number.end);
    let overlaps = |line: &Range<usize>, cell: &Range<usize>| {
        place(line, cell.start) < own.end && own.start < place(line, cell.end)
    };
    let names = &header.names;
    let Some(ruler) = &header.ruler else {
        let name = fields(text, names, 2).into_iter().find(|name| overlaps(names, name))?;
        let cell = fields(text, row, 2).into_iter().find(|field| field.contains(&number.start))?;
        return Some((name, cell));
    };
    let dashes = fields(text, ruler, 1).into_iter().find(|dashes| overlaps(ruler, dashes))?;
    let below = |line: &Range<usize>, at: usize| byte_at(text, line, place(ruler, at));
    let cell = below(row, dashes.start).min(number.start)..below(row, dashes.end).max(number.end);
    Some((below(names, dashes.start)..below(names, dashes.end), cell))
}

impl Form {
    fn of(line: &[u8]) -> Form {
        if bars(line, 0).next().is_some() {
            Form::Bars
        } else if line.contains(&b'\t') {
            Form::Tabs
        } else {
            Form::Blanks
        }
    }

    /// How many cells a row has.
    fn width(self, line: &[u8]) -> usize {
        self.cells(line, &(0..line.len())).len()
    }

    /// The cells of a row.
    fn cells(self, text: &[u8], line: &Range<usize>) -> Vec<Range<usize>> {
        let borders: Vec<Range<usize>> = match self {
            Form::Blanks => return fields(text, line, 2),
            Form::Tabs => {
                memchr_iter(b'\t', &text[line.clone()]).map(|at| line.start + at..line.start + at + 1).collect()
            }
            Form::Bars => bars(&text[line.clone()], line.start).collect(),
        };
        let starts = std::iter::once(line.start).chain(borders.iter().map(|border| border.end));
        let ends = borders.iter().map(|border| border.start).chain([line.end]);
        starts.zip(ends).map(|(start, end)| start..end).collect()
    }
}

/// Where a line has bars or corners between its cells, counted from `from`.
fn bars(line: &[u8], from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = line.get(at..).filter(|rest| !rest.is_empty())?;
            let length = match rest {
                // Confluence's headers have two.
                [b'|', b'|', ..] => 2,
                [b'|', ..] => 1,
                // │ ┃ ┆, what stands in their place in a ruler, and ║.
                [0xe2, 0x94, 0x82 | 0x83 | 0x86 | 0x8c..=0xbf, ..] | [0xe2, 0x95, 0x91 | 0xad..=0xb0, ..] => 3,
                _ => {
                    at += 1;
                    continue;
                }
            };
            let bar = from + at..from + at + length;
            at += length;
            return Some(bar);
        }
    })
}

/// What so many blanks or more set apart in a line.
fn fields(text: &[u8], line: &Range<usize>, apart: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = line.start;
    for word in text[line.clone()].split(|byte| *byte == b' ') {
        let end = at + word.len();
        if !word.is_empty() {
            match found.last_mut() {
                Some(last) if at - last.end < apart => last.end = end,
                _ => found.push(at..end),
            }
        }
        at = end + 1;
    }
    found
}

/// Whether a line stands below `before` in one table, in columns that blanks set apart: three at least, each of them
/// beginning or ending where one does above.
pub(super) fn are_aligned(before: &[u8], line: &[u8]) -> bool {
    let places = |line: &[u8]| -> Vec<Range<usize>> {
        let place = |at: usize| characters(&line[..at]);
        fields(line, &(0..line.len()), 2).into_iter().map(|field| place(field.start)..place(field.end)).collect()
    };
    let (above, own) = (places(before), places(line));
    let is_below = |field: &Range<usize>| above.iter().any(|name| name.start == field.start || name.end == field.end);
    own.len() > 2 && above.len() > 2 && own.iter().skip(1).all(is_below)
}

/// Whether a line names columns, one of which is a code's or an error's.
pub(super) fn is_header(line: &[u8]) -> bool {
    let names = fields(line, &(0..line.len()), 2);
    let is_code = |name: &Range<usize>| {
        let name = line[name.clone()].to_ascii_lowercase();
        name.ends_with(b"code") || name.ends_with(b"error")
    };
    names.len() > 2 && !line.iter().any(|byte| byte.is_ascii_digit() || *byte == b'=') && names.iter().any(is_code)
}

/// A line of a table without names: `+----+`, `|:---|---:|`, `---- ------`, `├───┼───┤`.
pub(super) fn is_ruler(line: &[u8]) -> bool {
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'=' | b':' | b'|' | b' ' | 0xe2 | 0x80..=0xbf);
    let is_dash = |byte: &u8| matches!(byte, b'-' | b'=' | 0x80..=0xbf);
    line.iter().all(is_part) && line.iter().filter(|byte| is_dash(byte)).count() > 2
}

/// A cell without the blanks, dashes and emphasis around it.
fn trim(text: &[u8], cell: Range<usize>) -> Range<usize> {
    let is_edge = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'-' | b'*' | b'`' | b':' | 0xe2 | 0x80 | 0x94);
    let start = text[cell.clone()].iter().position(|byte| !is_edge(byte)).map_or(cell.end, |at| cell.start + at);
    let end = text[start..cell.end].iter().rposition(|byte| !is_edge(byte)).map_or(start, |at| start + at + 1);
    start..end
}

/// The line that holds a place, without its end.
fn line_at(text: &[u8], at: usize) -> Range<usize> {
    let start = memrchr(b'\n', &text[..at]).map_or(0, |at| at + 1);
    let end = memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length);
    start..end
}

/// How many characters a text has.
pub(super) fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// Where in a line so many characters have passed.
fn byte_at(text: &[u8], line: &Range<usize>, passed: usize) -> usize {
    let starts = line.clone().filter(|at| text[*at] & 0xc0 != 0x80);
    starts.chain([line.end]).nth(passed).unwrap_or(line.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header says of each number of a table.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut table = Table::default();
        let found: Vec<String> = numbers(text.as_bytes(), 0)
            .map(|number| match table.cell(text.as_bytes(), &number) {
                Some(cell) => {
                    let mut said = Vec::new();
                    cell.say(text.as_bytes(), &number, &mut said);
                    String::from_utf8(said).unwrap()
                }
                None => "-".to_owned(),
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn reads_bars() {
        check(
            "| id    | twilio_code |\n+-------+-------------+\n| 31001 |       53404 |\n| 31002 | 31486 Busy |",
            &["id: 31001", "twilio_code: 53404", "id: 31002", "twilio_code: 31486 Busy"],
        );
        check("| who | *Code* |\n|:---|---:|\n| An | 31486 |\nport 31005", &["Code: 31486", "-"]);
        check(" id | code \n----+-------\n  1 | 31486\n(1 row)", &["code: 31486"]);
        check("||Who||Code||\n|An|53001|plug|\n", &["-"]);
        check("||Who||Code||\n|An|53001|\n|Bo|53000|\n", &["Code: 53001", "Code: 53000"]);
        check(
            "x\n┌──────┬──────┐\n│ code │ ms   │\n├──────┼──────┤\n│31105 │20105 │\n└──────┴──────┘",
            &["code: 31105", "ms: 20105"],
        );
        check("   ┌─twilio_error─┬─────c─┐\n1. │        31603 │ 20101 │", &["twilio_error: 31603", "c: 20101"]);
        check("| carrier Twilio |\n| ref      31426 |", &["-"]);
        check("| a | 31486 |\n| b | 31480 |", &["-", "-"]);
    }

    #[test]
    fn reads_html() {
        let table = "<thead><tr><th>who</th><th class=\"n\">code</th></tr></thead>";
        check(&format!("{table}<tr><td>31001</td><td>31009</td></tr>"), &["who: 31001", "code: 31009"]);
        check("<tr><td>31001</td></tr><Code>31009</Code>", &["-", "-"]);
    }

    #[test]
    fn reads_what_is_aligned() {
        check(
            "NAME   TWILIO-CODE   AGE\na-7f   31201         3m\nb      <none>        31005",
            &["TWILIO-CODE: 31201", "AGE: 31005"],
        );
        check("ID     TWILIO_CODE EXT\n------ ----------- -----\n   884       31006    12", &["TWILIO_CODE: 31006"]);
        check("     agent   code   n\n0    nadia  31401  14\n1   hösei   31402  15", &["code: 31401", "code: 31402"]);
        check("vendor     twilio\nport       31005", &["-"]);
        check("a   31005   b\nc   31009   d", &["-", "-"]);
        check("Twilio errors\n-------------\nagents    31005", &["-"]);
        check("ts\tcode\tms\n1\t53405\t20101", &["code: 53405", "ms: 20101"]);
    }
}
