//! Output for people.

use std::fmt::Write as _;

use anstyle::Style;
use comfy_table::{ContentArrangement, Table, presets};

use super::{MatchLine, escape, style};
use crate::catalog::{Catalog, Category, Entry};
use crate::record::Code;
use crate::tally::{Label, Series};

/// How much of a record is shown, in characters.
const SHOWN: usize = 400;

/// One match; `first` says that its code was not explained yet.
pub(super) fn sighting(line: &MatchLine<'_>, first: bool) -> String {
    let (strong, dim) = (style(line.category), Style::new().dimmed());
    let name = if line.name.is_empty() { "not in the catalogue" } else { line.name };
    let time = line.time.unwrap_or(line.seen);
    let text: String =
        escape(line.text.lines().find(|text| text.contains(&line.code.to_string())).unwrap_or(&line.text))
            .chars()
            .take(SHOWN)
            .collect();
    let code = format!("{strong}{}{strong:#}", line.code);
    let text = text.trim().replacen(&line.code.to_string(), &code, 1);
    let mut out = String::new();
    let mut put = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    put(format!("{code} {strong}{}{strong:#} {name}  {dim}{time:.0} {}{dim:#}", line.category, escape(line.path)));
    put(format!("  {text}"));
    if first {
        if !line.explanation.is_empty() {
            put(format!("  {dim}│{dim:#} {}", line.explanation));
        }
        for (title, items) in [("cause", line.causes), ("try", line.solutions)] {
            for item in items {
                put(format!("  {dim}│ {title:>5}{dim:#}  {item}"));
            }
        }
        put(format!("  {dim}│{dim:#} {}", line.docs));
    }
    out
}

/// What the catalogue says about one code, in full.
pub fn explain(entry: &Entry) -> String {
    let strong = style(entry.category);
    let mut out = format!("{strong}{} {}{strong:#}\n", entry.code, entry.name);
    let mut put = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    put(format!("category: {}   {} / {}", entry.category, entry.family, entry.group));
    if !entry.explanation.is_empty() {
        put(format!("\n{}", entry.explanation));
    }
    for (title, items) in [("Causes", &entry.causes), ("Solutions", &entry.solutions)] {
        if !items.is_empty() {
            put(format!("\n{title}:"));
            for item in items {
                put(format!("  • {item}"));
            }
        }
    }
    put(format!("\n{}", entry.docs));
    out
}

/// Counts by code, the most frequent first, and by category.
pub fn table(counts: &[(Series, u64)], catalog: &Catalog) -> String {
    if counts.is_empty() {
        return "no Twilio errors\n".to_owned();
    }
    let mut sorted = counts.to_vec();
    sorted.sort_by_key(|(series, count)| (std::cmp::Reverse(*count), *series));
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["count", "code", "category", "name"]);
    for (series, count) in sorted {
        let (code, name) = match series.code {
            Label::Code(code) => (code.to_string(), name_of(code, catalog)),
            Label::Other => ("other".to_owned(), "further uncatalogued codes".to_owned()),
        };
        table.add_row([count.to_string(), code, series.category.to_string(), name]);
    }
    let mut out = format!("{table}\n\n");
    for category in Category::ALL {
        let sum: u64 = counts.iter().filter(|(series, _)| series.category == category).map(|(_, count)| count).sum();
        if sum > 0 {
            writeln!(out, "{category}: {sum}").expect("a string takes all");
        }
    }
    out
}

fn name_of(code: Code, catalog: &Catalog) -> String {
    catalog.get(code).map_or_else(|| "not in the catalogue".to_owned(), |entry| entry.name.clone())
}
