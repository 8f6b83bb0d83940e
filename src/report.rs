//! The report of a scan: one HTML file to look at or to mail, with the numbers of `scan --format json`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::catalog::{Catalog, Category};
use crate::diagnose::{Finding, History};
use crate::output::{Row, escape};
use crate::page::{self, Explained, affected, categories, clock, count, grouped, size};

/// What a scan found.
#[derive(Debug)]
pub struct Scan<'a> {
    /// When it was made.
    pub at: Timestamp,
    /// What was read, in the order in which it was named.
    pub files: &'a [File],
    /// Bytes and lines of all files, and records that report an error.
    pub read: [u64; 3],
    /// The codes.
    pub rows: &'a [Row],
    /// Distinct calls by category.
    pub calls: &'a BTreeMap<Category, u64>,
    /// What the errors mean together.
    pub findings: &'a [Finding],
    /// Reports over time; `None` where no record says when it was.
    pub timeline: Option<&'a History>,
    /// Reports that are not in the timeline.
    pub undated: u64,
    /// What the codes mean.
    pub catalog: &'a Catalog,
}

/// One file that was read.
#[derive(Debug)]
pub struct File {
    /// As it was named.
    pub path: String,
    /// Bytes read, uncompressed.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
    /// Why it could not be read to its end.
    pub error: Option<String>,
}

/// The page.
pub fn render(scan: &Scan<'_>) -> String {
    let sum =
        |category| -> u64 { scan.rows.iter().filter(|row| row.series.category == category).map(|row| row.count).sum() };
    let total: u64 = scan.rows.iter().map(|row| row.count).sum();
    let [bytes, lines, records] = scan.read;
    let main = html! {
        h1 {
            @match scan.findings.len() {
                0 if total == 0 => "No Twilio errors",
                0 => { (count(total, "error")) ", and no pattern that twdiag knows" },
                1 => "One thing was wrong",
                findings => { (findings) " things were wrong" },
            }
        }
        p .lead {
            (count(total, "error")) " in " (count(records, "record")) " of " (count(scan.files.len() as u64, "file")) ", "
            (count(lines, "line")) ", " (size(bytes)) ". Scanned at "
            time datetime=(scan.at) { (clock(scan.at)) " UTC" } "."
        }
        section aria-labelledby="findings" {
            h2 #findings { "What was wrong" }
            @if scan.findings.is_empty() { p .faint { "None of the patterns that twdiag looks for held." } }
            @for (place, finding) in scan.findings.iter().enumerate() {
                (page::finding(finding, &format!("finding-{place}"), None))
            }
        }
        section aria-labelledby="timeline" {
            h2 #timeline { "Errors by category" }
            (timeline(scan, &sum))
        }
        section aria-labelledby="codes" {
            h2 #codes { "Codes" }
            (page::explained(&codes(scan), scan.catalog))
        }
        section aria-labelledby="files" {
            h2 #files { "Files" }
            (files(scan.files))
        }
        footer { p { "Made by twdiag " (env!("CARGO_PKG_VERSION")) ". Secrets, phone numbers and addresses are taken out of the records." } }
    };
    page::file("Twilio errors", &main)
}

fn timeline(scan: &Scan<'_>, sum: &dyn Fn(Category) -> u64) -> Markup {
    let counts = |category| scan.timeline.and_then(|timeline| timeline.categories.get(&category));
    let peak = categories().filter_map(counts).flatten().copied().max().unwrap_or(0);
    html! {
        div .scroll role="group" aria-labelledby="timeline" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Category" }
                    th scope="col" { "Over the time of the records" }
                    th .n scope="col" { "Errors" }
                    th .n scope="col" { "Calls affected" }
                } }
                tbody {
                    @for category in categories() {
                        tr .none[sum(category) == 0] data-category=(category) {
                            th scope="row" { (category) }
                            td .chart .long {
                                @if let Some(counts) = counts(category) {
                                    (page::bars(counts, peak, &format!("{category}: {} over time", count(sum(category), "error"))))
                                }
                            }
                            td .n data-errors=(sum(category)) { (grouped(sum(category))) }
                            @let calls = scan.calls.get(&category).copied().unwrap_or(0);
                            td .n data-calls=(calls) { (affected(calls, sum(category))) }
                        }
                    }
                }
            }
        }
        @if let Some(timeline) = scan.timeline {
            @let steps = timeline.categories.values().map(Vec::len).max().unwrap_or(0);
            @let end = SignedDuration::from_secs(timeline.step_seconds * steps as i64);
            p .axis {
                "From " (clock(timeline.start)) " to " (clock(timeline.start.saturating_add(end).unwrap_or(timeline.start)))
                " UTC, " (count(timeline.step_seconds.unsigned_abs() / 60, "minute")) " a bar; all charts have one scale."
            }
        }
        @if scan.undated > 0 {
            p .faint { (count(scan.undated, "error")) " of records that do not say when they were: not in the charts, nor in what was wrong." }
        }
    }
}

fn codes(scan: &Scan<'_>) -> Vec<Explained> {
    let mut rows: Vec<&Row> = scan.rows.iter().collect();
    rows.sort_by_key(|row| (Reverse(row.count), row.series));
    let columns = |row: &Row| {
        let mut columns = vec![(if row.count == 1 { "error" } else { "errors" }, grouped(row.count))];
        columns.extend(row.last.map(|last| ("last", clock(last))));
        columns
    };
    rows.into_iter().map(|row| Explained { series: row.series, count: row.count, columns: columns(row) }).collect()
}

fn files(files: &[File]) -> Markup {
    html! {
        div .scroll role="group" aria-labelledby="files" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "File" }
                    th .n scope="col" { "Lines" }
                    th .n scope="col" { "Size" }
                } }
                tbody {
                    @for file in files {
                        tr {
                            th scope="row" {
                                (escape(&file.path))
                                @if let Some(error) = &file.error { br; span .bad { "not read to its end: " (escape(error)) } }
                            }
                            td .n { (grouped(file.lines)) }
                            td .n { (size(file.bytes)) }
                        }
                    }
                }
            }
        }
    }
}
