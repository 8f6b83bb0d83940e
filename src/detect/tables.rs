//! Tables: what the header of a column says of the numbers below it.
//!
//! A row says of its numbers only where they stand. So a number that is a cell, or begins one, is judged as if a
//! field with its column's name were what was written, `"twilio_code": 31005`: the header `| twilio_code | ms |` makes a
//! code of the first number below it and a duration of the second.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::numbers::numbers;

/// A line longer than this is no table's, in bytes, nor is HTML's header further from the beginning or from its row.
const WIDEST: usize = 2 << 10;

/// What stands around one number in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The name of its column, in the record.
    pub(super) column: Range<usize>,
    /// Where the text of the cell ends, in the record.
    pub(super) end: usize,
}

impl Cell {
    /// Writes what the column says of the number, `"column": cell`, and tells where the number stands in that.
    pub(super) fn say(&self, text: &[u8], number: &Range<usize>, said: &mut Vec<u8>) -> Range<usize> {
        said.clear();
        said.push(b'"');
        said.extend_from_slice(&text[self.column.clone()]);
        said.extend_from_slice(b"\": ");
        let start = said.len();
        said.extend_from_slice(&text[number.start..self.end]);
        start..start + number.len()
    }
}

/// Whether the name of a column speaks of codes or errors, in the languages that the rules know.
pub(super) fn speaks_of_code(name: &[u8]) -> bool {
    const WORDS: [&str; 18] = [
        "code",
        "codigo",
        "codice",
        "kod",
        "cód",
        "kód",
        "error",
        "erreur",
        "errno",
        "fehler",
        "fejl",
        "virhe",
        "код",
        "ошиб",
        "コード",
        "エラー",
        "代码",
        "错误",
    ];
    const OTHERS: [&str; 7] = ["encode", "decode", "zip", "post", "area", "barcode", "exit"];
    let name = name.to_ascii_lowercase();
    let holds = |word: &&str| memmem::find(&name, word.as_bytes()).is_some();
    let is_short = name.split(|byte| !byte.is_ascii_alphanumeric()).any(|word| word == b"err");
    (is_short || WORDS.iter().any(holds)) && !OTHERS.iter().any(holds)
}

/// The table in a record whose numbers are looked at one after the other.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The row of the last number.
    last: Option<Row>,
}

/// A row of a table.
#[derive(Debug)]
struct Row {
    line: Range<usize>,
    form: Form,
    header: Option<Header>,
    /// Its cells, each with the name of its column.
    cells: Vec<(Range<usize>, Range<usize>)>,
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
        if self.last.as_ref().is_none_or(|last| last.line != row) {
            let form = Form::of(&text[row.clone()]);
            let header = header(text, &row, form, self.last.as_ref());
            let cells = header.as_ref().map(|header| form.columns(text, &row, header)).unwrap_or_default();
            self.last = Some(Row { line: row, form, header, cells });
        }
        let cells = &self.last.as_ref()?.cells;
        let (cell, column) = cells.get(cells.partition_point(|(cell, _)| cell.end <= number.start))?;
        let begins = cell.start <= number.start && text[cell.start..number.start].iter().all(|byte| *byte == b' ');
        let column = trim(text, column.clone());
        let name = &text[column.clone()];
        // "Values" is no column's name: there each row has its own in front.
        let is_name = (name.iter().any(u8::is_ascii_alphabetic) || !name.is_ascii())
            && !name.eq_ignore_ascii_case(b"value")
            && !name.eq_ignore_ascii_case(b"values");
        (begins && is_name).then(|| Cell { column, end: trim(text, number.start..cell.end.max(number.end)).end })
    }
}

/// The cell of a table in HTML, by the names in its first row.
fn in_html(text: &[u8], number: &Range<usize>) -> Option<Cell> {
    let near = number.start.saturating_sub(WIDEST);
    let row = near + memmem::rfind(&text[near..number.start], b"<tr")?;
    let index = memmem::find_iter(&text[row..number.start], b"<td").count().checked_sub(1)?;
    let top = &text[..row.min(WIDEST)];
    let name = memmem::find_iter(top, b"<th").filter(|at| !top[at + 3..].starts_with(b"ead")).nth(index)?;
    let start = name + memchr(b'>', &top[name..])? + 1;
    let column = start..start + memchr(b'<', &top[start..])?;
    Some(Cell { column: trim(text, column), end: number.end })
}

/// The header of the table that a row stands in.
fn header(text: &[u8], row: &Range<usize>, form: Form, known: Option<&Row>) -> Option<Header> {
    let width = form.width(&text[row.clone()]);
    let (mut at, mut names, mut ruler) = (row.start, row.clone(), None);
    if width < 2 {
        return None;
    }
    // Whether a ruler stands below what stands at the top so far, and above it.
    let (mut is_ruled, mut is_below_ruler) = (false, false);
    while at > 0 {
        let above = line_at(text, at - 1);
        if let Some(known) = known
            && known.line == above
            && known.form == form
        {
            return known.header.clone();
        }
        if above.len() > WIDEST {
            return None;
        }
        if ruler.is_some() {
            return Some(Header { names: above, ruler });
        }
        let line = &text[above.clone()];
        at = above.start;
        if is_ruler(line) {
            ruler = Some(above).filter(|ruler| form == Form::Blanks && fields(text, ruler, 1).len() > 1);
            is_below_ruler = true;
            continue;
        }
        let above_width = if Form::of(line) == form { form.width(line) } else { 0 };
        if above_width != width && (form != Form::Blanks || above_width < 2) {
            break;
        }
        names = above;
        is_ruled = std::mem::take(&mut is_below_ruler) && form == Form::Bars;
    }
    // Without a ruler two words in a row are a name and its value.
    let mut cells = form.cells(text, &names).into_iter();
    let is_header = names != *row
        && (form != Form::Blanks || width > 2)
        && (is_ruled || cells.all(|cell| is_name(text[cell].trim_ascii())));
    is_header.then_some(Header { names, ruler: None })
}

/// Whether what stands at the top of a column may be its name: rows have times, amounts, codes, and names with values.
fn is_name(cell: &[u8]) -> bool {
    !cell.first().is_some_and(u8::is_ascii_digit) && !cell.ends_with(b":") && numbers(cell, 0).next().is_none()
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

    /// The cells of a row that stand in a column, ascending, each with the column's name.
    fn columns(self, text: &[u8], row: &Range<usize>, header: &Header) -> Vec<(Range<usize>, Range<usize>)> {
        let Header { names, ruler } = header;
        let (cells, names_of) = (self.cells(text, row), self.cells(text, names));
        if self != Form::Blanks {
            return cells.into_iter().zip(names_of).collect();
        }
        let (in_row, in_names) = (Places::of(text, row), Places::of(text, names));
        let Some(ruler) = ruler else {
            let is_below = |name: &Range<usize>, cell: &Range<usize>| {
                in_names.before(name.start) == in_row.before(cell.start)
                    || in_names.before(name.end) == in_row.before(cell.end)
            };
            let name_of = |cell: &Range<usize>| names_of.iter().find(|name| is_below(name, cell)).cloned();
            return cells.into_iter().filter_map(|cell| name_of(&cell).map(|name| (cell, name))).collect();
        };
        let in_ruler = Places::of(text, ruler);
        let column = |dashes: Range<usize>| {
            let (from, to) = (in_ruler.before(dashes.start), in_ruler.before(dashes.end));
            (in_row.at(from)..in_row.at(to), in_names.at(from)..in_names.at(to))
        };
        fields(text, ruler, 1).into_iter().map(column).collect()
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

/// Whether a line stands below `before` in one table, in columns that blanks set apart: two at least, each of them
/// beginning or ending where one does above.
pub(super) fn are_aligned(before: &[u8], line: &[u8]) -> bool {
    if before.len().max(line.len()) > WIDEST {
        return false;
    }
    let places = |line: &[u8]| -> Vec<(usize, usize)> {
        let all = 0..line.len();
        let places = Places::of(line, &all);
        fields(line, &all, 2).into_iter().map(|field| (places.before(field.start), places.before(field.end))).collect()
    };
    let (above, own) = (places(before), places(line));
    let starts = |place: usize| above.binary_search_by_key(&place, |field| field.0).is_ok();
    let ends = |place: usize| above.binary_search_by_key(&place, |field| field.1).is_ok();
    own.len() > 1 && above.len() > 1 && own.iter().skip(1).all(|(start, end)| starts(*start) || ends(*end))
}

/// Whether a line names columns, one of which is a code's or an error's: three at least, in capitals if one is a level.
pub(super) fn is_header(line: &[u8]) -> bool {
    if line.len() > WIDEST || line.iter().any(|byte| byte.is_ascii_digit() || matches!(byte, b'=' | b':')) {
        return false;
    }
    let names = fields(line, &(0..line.len()), 2);
    let is_level = |name: &Range<usize>| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(&line[name.clone()]));
    names.len() > 2
        && names.iter().any(|name| speaks_of_code(&line[name.clone()]))
        && (!line.iter().any(u8::is_ascii_lowercase) || !names.iter().any(is_level))
}

/// Whether a ruler sets the names of columns off: `---- ------`.
pub(super) fn rules_off(ruler: &[u8], names: &[u8]) -> bool {
    let is_name = |byte: &u8| !byte.is_ascii_digit() && !matches!(byte, b'=' | b':');
    let words = |line: &[u8]| fields(line, &(0..line.len()), 1).len();
    if ruler.len().max(names.len()) > WIDEST || !names.iter().all(is_name) {
        return false;
    }
    let columns = words(ruler);
    columns > 1 && words(names) >= columns
}

/// The levels that a log may pad as tables do their cells.
const LEVELS: [&[u8]; 8] = [b"error", b"err", b"warning", b"warn", b"info", b"debug", b"critical", b"fatal"];

/// A line of a table without names: `+----+`, `|:---|---:|`, `---- ------`, `├───┼───┤`.
pub(super) fn is_ruler(line: &[u8]) -> bool {
    let mut rest = line.trim_ascii();
    let mut dashes = 0;
    while let Some(byte) = rest.first() {
        let length = match rest {
            [b'-' | b'=', b'-' | b'=', ..] => {
                let run = rest.iter().take_while(|byte| matches!(byte, b'-' | b'=')).count();
                dashes += run;
                run
            }
            // What is drawn: U+2500 to U+257F.
            [0xe2, 0x94 | 0x95, 0x80..=0xbf, ..] => {
                dashes += 1;
                3
            }
            _ if matches!(byte, b'+' | b':' | b'|' | b' ') => 1,
            _ => return false,
        };
        rest = &rest[length..];
    }
    dashes > 2
}

/// A cell without the blanks, lines and emphasis around it.
fn trim(text: &[u8], cell: Range<usize>) -> Range<usize> {
    let is_edge = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'-' | b'*' | b'`' | b':');
    // ─ and —
    let is_line = |bytes: &[u8]| matches!(bytes, [0xe2, 0x94 | 0x80, 0x80 | 0x94]);
    let mut rest = &text[cell.clone()];
    let (mut start, mut end) = (cell.start, cell.end);
    loop {
        let (front, back) = (rest.get(..3).is_some_and(is_line), rest.len() > 2 && is_line(&rest[rest.len() - 3..]));
        match (rest.first().is_some_and(is_edge), rest.last().is_some_and(is_edge)) {
            (true, _) => start += 1,
            (_, true) => end -= 1,
            _ if front => start += 3,
            _ if back => end -= 3,
            _ => return start..end,
        }
        rest = &text[start..end];
    }
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

/// Where the characters of a line begin.
struct Places(Vec<usize>);

impl Places {
    fn of(text: &[u8], line: &Range<usize>) -> Places {
        Places(line.clone().filter(|at| text[*at] & 0xc0 != 0x80).chain([line.end]).collect())
    }

    /// How many characters stand before a place.
    fn before(&self, place: usize) -> usize {
        self.0.partition_point(|start| *start < place)
    }

    /// Where in the line so many characters have passed, or its end.
    fn at(&self, passed: usize) -> usize {
        self.0[passed.min(self.0.len() - 1)]
    }
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
                    String::from_utf8(said).unwrap().replace('"', "")
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
        check("+---+-------+\n| a | 31486 |\n| b | 31480 |", &["-", "-"]);
        check("| 24h | code р |\n|---|---|\n| 10 | 31005 |", &["code р: 31005"]);
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
