//! What is printed: one match as JSON or for people, and tables.

mod pretty;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use crate::catalog::{Catalog, Category};
use crate::detect::Rules;
use crate::record::{Code, Sighting};
use crate::redact::redact;

pub use pretty::{explain, table};

/// One match as `--output json` and `scan --format ndjson` print it; the keys stand in this order.
#[derive(Debug, Serialize)]
pub struct MatchLine<'a> {
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
    /// Appends the match as a line of `scan --format csv`.
    pub fn write_csv(&self, out: &mut Vec<u8>) {
        // A cell that a spreadsheet would take for a formula is made text.
        let cell = |text: &str| {
            if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
        };
        let time = self.time.map(|time| time.to_string()).unwrap_or_default();
        let line = self.line.map(|line| line.to_string()).unwrap_or_default();
        let fields = [
            &time,
            &cell(self.path),
            &line,
            &self.code.to_string(),
            self.category.name(),
            self.name,
            &cell(&self.text),
        ];
        csv::Writer::from_writer(out).write_record(fields).expect("a vector takes all");
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

/// Prints matches to one stream.
pub struct Printer<W> {
    mode: Mode,
    out: W,
    /// The codes that were explained already.
    explained: BTreeSet<Code>,
}

impl<W: Write> Printer<W> {
    /// A printer that has explained nothing yet.
    pub fn new(mode: Mode, out: W) -> Printer<W> {
        Printer { mode, out, explained: BTreeSet::new() }
    }

    /// Prints one match.
    ///
    /// # Errors
    /// Those of the stream; a closed one is [`io::ErrorKind::BrokenPipe`].
    pub fn print(&mut self, sighting: &Sighting<'_>, catalog: &Catalog, rules: &Rules, now: &Zoned) -> io::Result<()> {
        match self.mode {
            Mode::None => Ok(()),
            Mode::Json => {
                let line = MatchLine::new(sighting, catalog, rules, now);
                serde_json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")
            }
            Mode::Pretty => {
                let line = MatchLine::new(sighting, catalog, rules, now);
                let first = self.explained.insert(line.code);
                self.out.write_all(pretty::sighting(&line, first).as_bytes())
            }
        }
    }

    /// Hands what was printed to the reader.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The text with everything escaped that could move a terminal's cursor, its colours or the direction of writing.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if hidden {
            // Writing to a string cannot fail.
            write!(escaped, "{}", character.escape_default()).expect("a string takes all");
        } else {
            escaped.push(character);
        }
    }
    escaped
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

    #[test]
    fn escapes_what_moves_a_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\r\n\0\u{202e}c é"), "a\\u{1b}[31mb\\r\\n\\u{0}\\u{202e}c é");
    }
}
