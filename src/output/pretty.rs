//! Output for people.

use anstyle::Style;

use super::{MatchLine, escape, style};
use crate::catalog::Entry;
use crate::diagnose::Finding;
use crate::input::STDIN;

/// How much of a line of the record is shown the first time, in characters.
const SHOWN: usize = 300;

/// How much of it is shown in a short line, at least, in characters.
const SHORT: usize = 40;

/// The column of the titles before causes and solutions.
const COLUMN: usize = 10;

/// One match; `first` says that its code was not explained yet.
pub(super) fn sighting(line: &MatchLine<'_>, first: bool) -> String {
    let (strong, bold, dim) = (style(line.category), Style::new().bold(), Style::new().dimmed());
    let number = line.code.to_string();
    let time = line.time.unwrap_or(line.seen).strftime("%Y-%m-%dT%H:%M:%SZ");
    let name = if line.name.is_empty() { "not in the catalogue".into() } else { escape(line.name) };
    // The number may stand in a line of its own, far below the line that says what happened.
    let mut lines = line.text.lines().map(str::trim).filter(|text| !text.is_empty());
    let head = lines.next().unwrap_or_default();
    let telling = std::iter::once(head).chain(lines).find(|text| text.contains(&number)).unwrap_or(head);
    let marked =
        |room| window(&escape(telling), &number, room).replacen(&number, &format!("{strong}{number}{strong:#}"), 1);

    if !first {
        let used = 20 + 1 + number.len() + 1 + name.chars().count() + 2;
        let room = usize::from(width()).saturating_sub(used).max(SHORT);
        return format!("{dim}{time}{dim:#} {strong}{number} {name}{strong:#}  {}\n", marked(room));
    }
    let category = line.category;
    let path = escape(if line.path == STDIN { line.source } else { line.path });
    let mut out = format!(
        "{dim}{time}{dim:#} {strong}{number}{strong:#} {bold}{name}{bold:#} {strong}[{category}]{strong:#} {dim}{path}{dim:#}\n"
    );
    if head != telling {
        out.push_str(&format!("  {dim}{}{dim:#}\n", window(&escape(head), &number, SHOWN / 2)));
    }
    out.push_str(&format!("  {}\n", marked(SHOWN)));
    let mut put = |text: &str| out.push_str(&format!("  {dim}│{dim:#} {text}\n"));
    let room = usize::from(width()).saturating_sub(4);
    for text in wrap(&escape(line.explanation), room) {
        put(&text);
    }
    for (title, items) in [("causes", line.causes), ("solutions", line.solutions)] {
        for (title, text) in list(title, items, room) {
            put(&format!("{dim}{title:COLUMN$}{dim:#}{text}"));
        }
    }
    put(&escape(&line.docs));
    out
}

/// What the catalogue says about one code, in full.
pub fn explain(entry: &Entry) -> String {
    let (strong, bold) = (style(entry.category), Style::new().bold());
    let room = usize::from(width());
    let mut out = format!("{strong}{}{strong:#} {bold}{}{bold:#}\n", entry.code, escape(&entry.name));
    let place: Vec<String> =
        [&entry.family, &entry.group].into_iter().filter(|name| !name.is_empty()).map(|name| escape(name)).collect();
    out.push_str(&format!("{strong}{}{strong:#}  {}\n", entry.category, place.join(" / ")));
    if !entry.explanation.is_empty() {
        out.push('\n');
        for text in wrap(&escape(&entry.explanation), room) {
            out.push_str(&format!("{text}\n"));
        }
    }
    for (title, items) in [("Causes", &entry.causes), ("Solutions", &entry.solutions)] {
        if !items.is_empty() {
            out.push_str(&format!("\n{bold}{title}{bold:#}\n"));
        }
        for item in items {
            for (at, text) in wrap(&escape(item), room.saturating_sub(4)).into_iter().enumerate() {
                out.push_str(&format!("  {} {text}\n", if at == 0 { '•' } else { ' ' }));
            }
        }
    }
    out.push_str(&format!("\n{}\n", escape(&entry.docs)));
    out
}

/// A finding that begins or ends: what it is, and what to do first.
pub(super) fn finding(finding: &Finding, color: bool) -> String {
    let bold = if color { Style::new().bold() } else { Style::new() };
    let what = if finding.active { "wrong" } else { "over" };
    let mut out = format!("{bold}{what}: {}{bold:#} ({})\n", escape(&finding.title), finding.id);
    let steps = finding.steps.first().filter(|_| finding.active);
    for line in steps.iter().flat_map(|step| wrap(&format!("first: {}", escape(step)), usize::from(width()) - 4)) {
        out.push_str(&format!("    {line}\n"));
    }
    out
}

/// Items in lines, the first with their title.
fn list<'a>(title: &'a str, items: &[String], room: usize) -> Vec<(&'a str, String)> {
    let mut lines = Vec::new();
    for item in items {
        for (at, text) in wrap(&escape(item), room.saturating_sub(COLUMN + 2)).into_iter().enumerate() {
            let title = if lines.is_empty() { title } else { "" };
            lines.push((title, format!("{} {text}", if at == 0 { '•' } else { ' ' })));
        }
    }
    lines
}

/// The columns there are, or 80 where standard output is no terminal; never so many that reading tires.
pub(crate) fn width() -> u16 {
    comfy_table::Table::new().width().unwrap_or(80).clamp(60, 110)
}

/// The text in lines of at most `room` characters, broken at spaces; a longer word stands alone.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// At most `room` characters of the text (and the signs of what is left out), `number` among them.
fn window(text: &str, number: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let at = text.split_once(number).map_or(0, |(before, _)| before.chars().count());
    // Two thirds of the room before the number: what failed stands there.
    let start = (at + number.len()).saturating_sub(room * 2 / 3).min(length - room);
    let start = if at + number.len() <= room { 0 } else { start };
    let shown: String = text.chars().skip(start).take(room).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start + room < length { "…" } else { "" };
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_always_in_the_window() {
        for before in [0, 10, 50, 200, 1000] {
            for after in [0, 10, 50, 200] {
                let text = format!("{}31005{}", "é".repeat(before), "y".repeat(after));
                let shown = window(&text, "31005", 60);
                assert!(shown.contains("31005"), "{before} {after}: {shown}");
                assert!(shown.chars().count() <= 62, "{before} {after}: {shown}");
            }
        }
    }

    #[test]
    fn wraps_at_spaces_only() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("https://www.twilio.com/docs a", 5), ["https://www.twilio.com/docs", "a"]);
        assert!(wrap("", 5).is_empty());
    }
}
