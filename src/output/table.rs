//! The summary: counts by code and by category.

use std::cmp::Reverse;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::pretty::{width, wrap};
use crate::catalog::{Catalog, Category};
use crate::tally::{Label, Series};

/// How often a code was reported, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was reported.
    pub series: Series,
    /// How often.
    pub count: u64,
    /// The earliest time that a record gave.
    pub first: Option<Timestamp>,
    /// The latest time.
    pub last: Option<Timestamp>,
}

/// The codes, the most frequent first, and their sums by category.
pub fn table(rows: &[Row], catalog: &Catalog) -> String {
    if rows.is_empty() {
        return "no Twilio errors\n".to_owned();
    }
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| (Reverse(row.count), row.series));
    let times: Vec<Timestamp> = sorted.iter().flat_map(|row| [row.first, row.last]).flatten().collect();
    let day = |time: &Timestamp| time.to_zoned(TimeZone::UTC).date();
    let one_day = times.first().map(day).filter(|first| times.iter().all(|time| day(time) == *first));
    let shown = |time: Option<Timestamp>| {
        time.map_or_else(
            || "-".to_owned(),
            |time| time.strftime(if one_day.is_some() { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string(),
        )
    };
    // While following, only the last report is known.
    let (with_first, with_last) =
        (sorted.iter().any(|row| row.first.is_some()), sorted.iter().any(|row| row.last.is_some()));

    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width());
    let mut header = vec!["count", "code", "category", "name"];
    header.extend(with_first.then_some("first"));
    header.extend(with_last.then_some("last"));
    table.set_header(header);
    for row in &sorted {
        let (code, name) = match row.series.code {
            Label::Code(code) => {
                let name = catalog.get(code).map_or("not in the catalogue", |entry| &entry.name);
                (code.to_string(), super::escape(name))
            }
            Label::Other => ("other".to_owned(), "further uncatalogued codes".to_owned()),
        };
        let mut cells = vec![row.count.to_string(), code, row.series.category.to_string(), name];
        cells.extend(with_first.then(|| shown(row.first)));
        cells.extend(with_last.then(|| shown(row.last)));
        table.add_row(cells);
    }
    if let Some(count) = table.column_mut(0) {
        count.set_cell_alignment(CellAlignment::Right);
    }

    let sum = |category| sorted.iter().filter(|row| row.series.category == category).map(|row| row.count).sum::<u64>();
    let sums: Vec<String> = Category::ALL
        .into_iter()
        .map(|category| (category, sum(category)))
        .filter(|(_, sum)| *sum > 0)
        .map(|(category, sum)| format!("{category}\u{a0}{sum}"))
        .collect();
    let total: u64 = sorted.iter().map(|row| row.count).sum();
    let mut out: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    out.push('\n');
    for line in wrap(&format!("total\u{a0}{total}: {}", sums.join(", ")), usize::from(width()).saturating_sub(1)) {
        out.push_str(&format!(" {line}\n").replace('\u{a0}', " "));
    }
    if let Some(day) = one_day {
        out.push_str(&format!(" times of {day}, UTC\n"));
    } else if with_last {
        out.push_str(" times are month-day hour:minute, UTC\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Code;

    fn row(code: u32, count: u64, first: &str, last: &str) -> Row {
        let code = Code::new(code).unwrap();
        let category = Catalog::embedded().category(code);
        let series = Series { category, code: Label::Code(code) };
        Row { series, count, first: first.parse().ok(), last: last.parse().ok() }
    }

    #[test]
    fn fits_eighty_columns() {
        let catalog = Catalog::embedded();
        let rows: Vec<Row> = catalog
            .entries()
            .iter()
            .zip(1..)
            .map(|(entry, n)| row(entry.code.get(), n * 1_000_000, "2026-11-21T10:00:00Z", "2026-11-22T11:22:33Z"))
            .collect();
        let shown = table(&rows, &catalog);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("times are month-day"), "{shown}");
    }

    #[test]
    fn says_that_there_is_nothing() {
        assert_eq!(table(&[], &Catalog::embedded()), "no Twilio errors\n");
    }

    #[test]
    fn is_as_it_was() {
        let rows = [
            row(31005, 12, "2026-11-22T10:00:00Z", "2026-11-22T11:22:33Z"),
            row(53405, 3, "2026-11-22T10:10:00Z", "2026-11-22T10:10:00Z"),
            row(64999, 12, "", ""),
        ];
        assert_eq!(table(&rows, &Catalog::embedded()), include_str!("../../tests/data/output/summary.txt"));
    }
}
