//! The status page at `/`: what is wrong now, for a person.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::Site;
use crate::catalog::Category;
use crate::diagnose::{History, View};
use crate::page::{self, Explained, affected, categories, count, grouped, size, when};
use crate::tail::Snapshot;
use crate::tally::Errors;

/// Codes that the page lists.
const CODES: usize = 15;

/// Records that the page lists; the API has more.
const RECORDS: usize = 10;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/", get(status))
}

async fn status(State(site): State<Site>) -> impl IntoResponse {
    // Looking at the page is no scrape: what a scrape must see at 0 first is still to be seen.
    let page = render(&site.handle.latest());
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, page::POLICY.as_str())], page)
}

fn render(snapshot: &Snapshot) -> String {
    let active = snapshot.seen.active().count();
    let title = match active {
        0 => "twdiag".to_owned(),
        active => format!("({active}) twdiag"),
    };
    let main = html! {
        (verdict(snapshot, active))
        (findings(snapshot))
        (by_category(snapshot))
        (codes(snapshot))
        (records(snapshot))
        (sources(snapshot))
        (health(snapshot))
    };
    page::live(&title, &main)
}

/// The sentence that a tired person reads.
fn verdict(snapshot: &Snapshot, active: usize) -> Markup {
    let view = &snapshot.seen;
    let lately: u64 = view.hour.totals().iter().filter(|(of, _)| *of != Category::Call).map(|(_, count)| count).sum();
    let ailing = ailments(snapshot);
    html! {
        @match (active, lately) {
            (0, 0) if has_seen_all(snapshot) => h1 .good { "Nothing is wrong" },
            (0, 0) => h1 { "Nothing wrong was seen so far" },
            (0, _) => h1 { "Errors, but no pattern that twdiag knows" },
            (1, _) => h1 .bad { "One thing is wrong" },
            (active, _) => h1 .bad { (active) " things are wrong" },
        }
        p .lead {
            (count(lately, "error")) " in the last hour"
            @if let Some(since) = young(view) { ", of what twdiag read since it began " (when(since, view.at)) }
            "; calls that ended busy, declined or cancelled are not counted. As of "
            time datetime=(view.at) { (view.at.strftime("%Y-%m-%d %H:%M:%S").to_string()) " UTC" } "."
        }
        @if !ailing.is_empty() {
            div .note { strong { "twdiag itself: " } @for (place, what) in ailing.iter().enumerate() { @if place > 0 { "; " } (what) } "." }
        }
    }
}

/// Whether an hour without errors is one: everything that is to be followed was read for so long.
fn has_seen_all(snapshot: &Snapshot) -> bool {
    let view = &snapshot.seen;
    let is_old = view.at.duration_since(view.since) >= SignedDuration::from_hours(1);
    is_old && snapshot.caught_up && unfound(snapshot).next().is_none()
}

/// Sources that no file was ever found for: their paths may be wrong.
fn unfound(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    let is_unread = |source: &str| snapshot.tally.sources.get(source).is_none_or(|tally| tally.read_bytes == 0);
    let waiting = snapshot.gauges.iter().filter(|(_, gauges)| gauges.files == 0 && !gauges.is_stream);
    waiting.map(|(source, _)| &**source).filter(move |source| is_unread(source))
}

/// When the process, or its rules of diagnosis, began, where that is less than the day ago that the page speaks of: only
/// counts are older.
fn young(view: &View) -> Option<Timestamp> {
    (view.at.duration_since(view.since) < SignedDuration::from_hours(24)).then_some(view.since)
}

/// What keeps twdiag from telling the truth.
fn ailments(snapshot: &Snapshot) -> Vec<String> {
    let mut ailing = Vec::new();
    if !snapshot.caught_up {
        ailing.push("still reading what was in the files at the start".to_owned());
    }
    if snapshot.state.failing {
        ailing.push("the state file cannot be written, a crash now would set counts back".to_owned());
    }
    ailing.extend(unfound(snapshot).map(|source| format!("no file was found for {source} yet")));
    for (source, tally) in &snapshot.tally.sources {
        if tally.lost_bytes > 0 {
            ailing.push(format!("{source} lost {} that were never read", size(tally.lost_bytes)));
        }
    }
    ailing
}

fn findings(snapshot: &Snapshot) -> Markup {
    let view = &snapshot.seen;
    let ended: Vec<_> = view.findings.iter().filter(|finding| !finding.active).collect();
    html! {
        section aria-labelledby="findings" {
            h2 #findings { "What is wrong now" }
            @for finding in view.active() { (page::finding(finding, "now", Some(view.at))) }
            @if view.active().next().is_none() {
                p .faint { "None of the " (view.rules.all().len()) " patterns that twdiag looks for holds." }
            }
            @if !ended.is_empty() {
                details #ended {
                    summary #ended-more { (count(ended.len() as u64, "finding")) " of the last day that ended" }
                    @for (place, finding) in ended.iter().enumerate() {
                        (page::finding(finding, &format!("ended-{place}"), Some(view.at)))
                    }
                }
            }
        }
    }
}

fn by_category(snapshot: &Snapshot) -> Markup {
    let view = &snapshot.seen;
    let day = view.calls.last().copied().unwrap_or_default();
    let of = |history: &History, category| history.categories.get(&category).cloned().unwrap_or_default();
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let peak = |history: &History| history.categories.values().flatten().copied().max().unwrap_or(0);
    html! {
        section aria-labelledby="categories" {
            h2 #categories { "Errors by category" }
            div .scroll role="group" aria-labelledby="categories" tabindex="0" #categories-table {
                table {
                    thead { tr {
                        th scope="col" { "Category" }
                        th scope="col" { "Last hour" span .wide { ", by minute" } }
                        th .n scope="col" { "Errors" }
                        th scope="col" { "Last day" span .wide { ", by ten minutes" } }
                        th .n scope="col" { "Errors" }
                        th .n .wide scope="col" { "Calls affected" }
                    } }
                    tbody {
                        @for category in categories() {
                            @let hour = of(&view.hour, category);
                            @let day_counts = of(&view.day, category);
                            @let calls = Category::ALL.iter().position(|of| *of == category).map_or(0, |at| day[at]);
                            tr .none[sum(&day_counts) == 0] data-category=(category) {
                                th scope="row" { (category) }
                                td .chart { (page::bars(&hour, peak(&view.hour), &format!("{category}: {} in the last hour", count(sum(&hour), "error")))) }
                                td .n { (grouped(sum(&hour))) }
                                td .chart { (page::bars(&day_counts, peak(&view.day), &format!("{category}: {} in the last day", count(sum(&day_counts), "error")))) }
                                td .n { (grouped(sum(&day_counts))) }
                                td .n .wide { (affected(calls, sum(&day_counts))) }
                            }
                        }
                    }
                }
            }
            p .axis { "Every chart ends now; all of one column have one scale. Times are those of the records, in UTC." }
        }
    }
}

fn codes(snapshot: &Snapshot) -> Markup {
    let columns = |hour, day| vec![("in the hour", grouped(hour)), ("in the day", grouped(day))];
    let listed = snapshot.seen.top.iter().take(CODES);
    let listed: Vec<Explained> = listed
        .map(|top| Explained { series: top.series, count: top.day, columns: columns(top.hour, top.day) })
        .collect();
    html! {
        section aria-labelledby="codes" {
            h2 #codes { "Codes of the last day" }
            @if listed.is_empty() { p .faint { "None was reported." } }
            (page::explained(&listed, &snapshot.catalog))
        }
    }
}

fn records(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="records" {
            h2 #records { "Last records" }
            @if snapshot.seen.recent.is_empty() { p .faint { "None yet. Secrets, numbers and addresses are taken out of what stands here." } }
            @for excerpt in snapshot.seen.recent.iter().take(RECORDS) { (page::record(excerpt)) }
        }
    }
}

fn sources(snapshot: &Snapshot) -> Markup {
    let now = snapshot.seen.at;
    html! {
        section aria-labelledby="sources" {
            h2 #sources { "Sources" }
            div .scroll role="group" aria-labelledby="sources" tabindex="0" #sources-table {
                table {
                    thead { tr {
                        th scope="col" { "Source" }
                        th scope="col" { "State" }
                        th .n scope="col" { "Errors" }
                        th .n .wide scope="col" { "Files" }
                        th .n .wide scope="col" { "Read" }
                        th scope="col" { "Last error" }
                    } }
                    tbody {
                        @for (source, gauges) in &snapshot.gauges {
                            @let tally = snapshot.tally.sources.get(source);
                            @let errors = tally.map_or(0, |tally| tally.errors.values().map(|errors| errors.total).sum());
                            @let last = tally.and_then(|tally| tally.errors.values().filter_map(|errors: &Errors| errors.last_seen).max());
                            tr data-source=(source) {
                                th scope="row" { (source) }
                                td {
                                    @if gauges.lag_bytes > 0 { (size(gauges.lag_bytes)) " behind" }
                                    @else if gauges.files == 0 && !gauges.is_stream { "waits for a file" }
                                    @else { "up to date" }
                                }
                                td .n { (grouped(errors)) }
                                td .n .wide { (grouped(gauges.files)) }
                                td .n .wide { (size(tally.map_or(0, |tally| tally.read_bytes))) }
                                td { @match last { Some(last) => (when(last, now)), None => "none" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn health(snapshot: &Snapshot) -> Markup {
    let sum =
        |figure: fn(&crate::tally::SourceTally) -> u64| -> u64 { snapshot.tally.sources.values().map(figure).sum() };
    let figures = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("read", size(sum(|tally| tally.read_bytes))),
        ("lines", grouped(sum(|tally| tally.read_lines))),
        ("numbers that were no codes", grouped(snapshot.tally.rejected.values().sum())),
        ("rotations", grouped(sum(|tally| tally.rotations.iter().sum()))),
        ("lost unread", size(sum(|tally| tally.lost_bytes))),
        ("failures to read", grouped(sum(|tally| tally.read_errors))),
        ("state written", grouped(snapshot.state.writes)),
        ("failures to write it", grouped(snapshot.state.write_errors)),
    ];
    html! {
        section aria-labelledby="health" {
            h2 #health { "twdiag itself" }
            dl { @for (name, figure) in figures { div { dt { (name) } dd { (figure) } } } }
        }
        footer {
            p {
                "For machines: " a href="/metrics" { "metrics" } ", "
                a href="/api/v1/openapi.json" { "the API" } "."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::Catalog;
    use crate::diagnose::Rules;
    use crate::tail::{SourceGauges, StateHealth};
    use crate::tally::Tally;

    #[test]
    fn says_that_nothing_is_wrong_only_after_an_hour_of_all() {
        let verdict = |minutes: i64, caught_up, files, is_stream| {
            let mut view = View::empty(Arc::new(Rules::layered(&[]).unwrap()), Timestamp::UNIX_EPOCH);
            view.at += SignedDuration::from_mins(minutes);
            let gauges = [("voice".into(), SourceGauges { files, is_stream, ..SourceGauges::default() })].into();
            let snapshot = Snapshot {
                tally: Tally::default(),
                gauges,
                state: StateHealth::default(),
                caught_up,
                catalog: Arc::new(Catalog::embedded()),
                seen: Arc::new(view),
                labels: Arc::default(),
            };
            super::verdict(&snapshot, 0).into_string()
        };
        let so_far = "Nothing wrong was seen so far";
        assert!(verdict(60, true, 1, false).contains("Nothing is wrong"));
        assert!(verdict(60, true, 0, true).contains("Nothing is wrong"), "a stream has no files");
        assert!(verdict(59, true, 1, false).contains(so_far));
        assert!(verdict(60, false, 1, false).contains(so_far));
        let unfound = verdict(60, true, 0, false);
        assert!(unfound.contains(so_far) && unfound.contains("no file was found for voice"));
    }
}
