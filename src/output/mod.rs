//! What is printed: one match as JSON or for people, and tables.

mod events;
mod ordered;
mod pretty;
mod sink;
mod table;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use crate::catalog::{Catalog, Category};
use crate::detect::Rules;
use crate::diagnose::Finding;
use crate::record::{Code, Sighting};
use crate::redact::redact;

pub use events::Events;
pub use ordered::Ordered;
pub use pretty::explain;
pub(crate) use pretty::{width, wrap};
pub use sink::{BUFFER, Drain, Full, Output};
pub use table::{Row, table};

/// The columns of `scan --format csv`.
pub const CSV_HEADER: &str = "time,path,line,code,category,name,text\n";

/// One match as `--output json` and `scan --format ndjson` print it; the keys stand in this order.
#[derive(Debug, Serialize)]
pub struct MatchLine<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    time: Option<Timestamp>,
    seen: Timestamp,
    source: &'a str,
    path: &'a str,
    offset: u64,
    line: Option<u64>,
    code: Code,
    category: Category,
    group: &'a str,
    family: &'a str,
    name: &'a str,
    rule: &'a str,
    explanation: &'a str,
    causes: &'a [String],
    solutions: &'a [String],
    docs: Cow<'a, str>,
    call_sid: Option<&'a str>,
    text: Cow<'a, str>,
}

impl<'a> MatchLine<'a> {
    /// Brings together what was seen and what the catalogue says of it.
    pub fn new(sighting: &Sighting<'a>, catalog: &'a Catalog, rules: &'a Rules, now: &Zoned) -> MatchLine<'a> {
        let matched = sighting.matched;
        let entry = catalog.get(matched.code);
        MatchLine {
            kind: None,
            time: matched.time(now).map(|time| time.at),
            seen: sighting.seen,
            source: sighting.source,
            path: sighting.path,
            offset: matched.offset,
            line: sighting.line,
            code: matched.code,
            category: catalog.category(matched.code),
            group: entry.map_or("", |entry| &entry.group),
            family: entry.map_or("", |entry| &entry.family),
            name: entry.map_or("", |entry| &entry.name),
            rule: &rules.all()[matched.rule].id,
            explanation: entry.map_or("", |entry| &entry.explanation),
            causes: entry.map_or(&[], |entry| &entry.causes),
            solutions: entry.map_or(&[], |entry| &entry.solutions),
            docs: entry.map_or_else(|| matched.code.docs().into(), |entry| entry.docs.as_str().into()),
            call_sid: matched.call_sid(),
            text: redact(matched.text),
        }
    }
}

impl MatchLine<'_> {
    /// The same among objects of other kinds: it says what it is.
    pub fn typed(mut self) -> Self {
        self.kind = Some("match");
        self
    }

    /// The same with the record as it was written, secrets and all.
    pub fn unredacted(mut self, sighting: &Sighting<'_>) -> Self {
        self.text = String::from_utf8_lossy(sighting.matched.text).into_owned().into();
        self
    }

    /// Appends the match as one JSON object and the end of a line.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        json_line(self, out);
    }

    /// Appends the match as a line of `scan --format csv`.
    pub fn write_csv(&self, out: &mut Vec<u8>) {
        let time = self.time.map(|time| time.to_string()).unwrap_or_default();
        let line = self.line.map(|line| line.to_string()).unwrap_or_default();
        let fields = [
            &time,
            &*cell(self.path),
            &line,
            &self.code.to_string(),
            self.category.name(),
            &*cell(self.name),
            &*cell(&self.text),
        ];
        csv::Writer::from_writer(out).write_record(fields).expect("a vector takes all");
    }
}

/// Appends a value as JSON and the end of a line, safe for a terminal.
pub fn json_line(value: &impl Serialize, out: &mut Vec<u8>) {
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Escaping)).expect("a vector takes all");
    out.push(b'\n');
}

/// Appends a finding as an object that says what it is.
pub fn finding_line(finding: &Finding, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        finding: &'a Finding,
    }
    json_line(&Line { kind: "finding", finding }, out);
}

/// The text as a cell of CSV: one that a spreadsheet would take for a formula is made text.
pub fn cell(text: &str) -> String {
    // Some spreadsheets take the wide forms of the signs for the signs.
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    format!("{}{}", if formula { "'" } else { "" }, escape(text))
}

/// Writes JSON in which every character that [`escape`] hides is an escape, so that a terminal may show it.
struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hidden) {
            let (plain, from) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut after = from.chars();
            if let Some(hidden) = after.next() {
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// How matches are printed while following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For people: in colour, explained once for each code.
    Pretty,
    /// One object a line.
    Json,
    /// Not at all.
    None,
}

/// The text with everything escaped that could move a terminal's cursor, its colours or the direction of writing.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            // Writing to a string cannot fail.
            write!(escaped, "{}", character.escape_default()).expect("a string takes all");
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The same of a text that may have several lines.
pub fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// A path in a message, in one line and escaped.
pub fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// JSON with the same characters escaped as JSON escapes them; what lies between its texts stays.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("a string takes all");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Whether a character has no shape of its own but changes what a terminal shows of others.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e01ef}')
}

/// The colour of a category.
fn style(category: Category) -> Style {
    let color = match category {
        Category::Auth | Category::Limit => AnsiColor::Yellow,
        Category::Media => AnsiColor::Magenta,
        Category::Signaling | Category::Registration => AnsiColor::Cyan,
        Category::Server | Category::Request => AnsiColor::Red,
        Category::Call => AnsiColor::Green,
        Category::General | Category::Uncatalogued => AnsiColor::Blue,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(escape(text), shown);
        let mut json = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Escaping)).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(!json.contains(is_hidden), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn escapes_what_moves_a_terminal() {
        check("plain \"é\" 日本 \\", "plain \"é\" 日本 \\");
        check("a\u{1b}[31mb\r\n\0\u{7f}", "a\\u{1b}[31mb\\r\\n\\u{0}\\u{7f}");
        check("\u{9b}2J \u{1b}]0;title\u{7}", "\\u{9b}2J \\u{1b}]0;title\\u{7}");
        check("\u{202e}txt\u{2069}\u{61c}\u{200b}", "\\u{202e}txt\\u{2069}\\u{61c}\\u{200b}");
        check("tag \u{e0041}", "tag \\u{e0041}");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＠SUM(A1)"] {
            assert!(cell(formula).starts_with('\''), "{formula}");
        }
        assert_eq!(cell("a=1"), "a=1");
    }
}
