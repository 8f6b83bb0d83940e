//! Findings, codes and records, as every page shows them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::catalog::{Catalog, Category};
use crate::diagnose::{Excerpt, Finding};
use crate::output::{escape, escape_lines};
use crate::tally::{Label, Series};

/// A code that a page explains: its columns stand before its name.
#[derive(Debug)]
pub struct Explained {
    /// The code and its category.
    pub series: Series,
    /// How often it was reported in all.
    pub count: u64,
    /// What each column says: its name and its figure.
    pub columns: Vec<(&'static str, String)>,
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// How many calls errors affected; errors whose records name no call may have affected any number.
pub fn affected(calls: u64, errors: u64) -> String {
    if calls == 0 && errors > 0 { "not named".to_owned() } else { grouped(calls) }
}

/// A number of bytes, in a unit that is easily read.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..units.len() - 1).find(|unit| bytes < 1024 << (10 * unit)).unwrap_or(units.len() - 1);
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{:.1} {}", bytes as f64 / (1 << (10 * unit)) as f64, units[unit])
    }
}

/// A time in UTC, to the minute.
pub fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()
}

/// How long ago a time is, with the time itself at hand.
pub fn when(at: Timestamp, now: Timestamp) -> Markup {
    let seconds = now.duration_since(at).as_secs();
    let ago = match seconds {
        ..60 => "less than a minute ago".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    };
    html! { time datetime=(at) title=(format!("{} UTC", clock(at))) { (ago) } }
}

/// A finding: what is wrong, what to do first, and on request everything else. `now` where it is about the present.
pub fn finding(finding: &Finding, key: &str, now: Option<Timestamp>) -> Markup {
    let first = finding.steps.first().map_or("", String::as_str);
    html! {
        article .finding .active[finding.active] data-finding=(finding.id) {
            h3 { (prose(&finding.title)) }
            p .figures {
                @match (now, finding.end) {
                    (Some(now), None) => { "since " (when(finding.start, now)) }
                    (Some(now), Some(end)) => { "ended " (when(end, now)) }
                    (None, Some(end)) => { (clock(finding.start)) " to " (clock(end)) " UTC" }
                    (None, None) => { (clock(finding.start)) " UTC to the end of the log" }
                }
                " · " (count(finding.count, "error"))
                @if finding.calls > 0 { " · " (count(finding.calls, "call")) " affected" }
            }
            p { (prose(&finding.meaning)) }
            p .step { strong { "First: " } (prose(first)) }
            details id=(format!("{key}-{}", finding.id)) {
                summary id=(format!("{key}-{}-more", finding.id)) { "What next, and what speaks for it" }
                @if finding.steps.len() > 1 {
                    ol start="2" { @for step in &finding.steps[1..] { li { (prose(step)) } } }
                }
                p {
                    "Codes: "
                    @for (place, code) in finding.codes.iter().enumerate() {
                        @if place > 0 { ", " }
                        (code.code) " (" (grouped(code.count)) ")"
                    }
                    ". Sources: "
                    @for (place, source) in finding.sources.iter().enumerate() {
                        @if place > 0 { ", " }
                        (source.source) " (" (grouped(source.count)) ")"
                    }
                    "."
                }
                @if let Some(first) = &finding.first { p { "The first record:" } (record(first)) }
                @if let Some(last) = &finding.last { @if finding.count > 1 { p { "The last:" } (record(last)) } }
            }
        }
    }
}

/// A text in which what stands between backticks is code.
fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // One that is not closed is none.
    let is_code = |place: usize| place % 2 == 1 && place + 1 < parts.len();
    html! {
        @for (place, part) in parts.iter().enumerate() {
            @if is_code(place) { code { (part) } } @else { @if place % 2 == 1 { "`" } (part) }
        }
    }
}

/// A record, redacted.
pub fn record(excerpt: &Excerpt) -> Markup {
    html! {
        figure .record {
            figcaption {
                strong { (excerpt.code) } " " (excerpt.category) " · " (clock(excerpt.at)) " UTC · " (escape(&excerpt.source))
                @if *excerpt.path != *excerpt.source { " · " (escape(&excerpt.path)) }
            }
            pre { (escape_lines(excerpt.text())) }
        }
    }
}

/// Codes with their explanations, causes and solutions to unfold.
pub fn explained(codes: &[Explained], catalog: &Catalog) -> Markup {
    html! {
        @for Explained { series, count, columns } in codes {
            @let (label, entry) = match series.code {
                Label::Code(code) => (code.to_string(), catalog.get(code)),
                Label::Other => ("other".to_owned(), None),
            };
            @let key = format!("code-{}-{label}", series.category);
            details .code id=(key) data-code=(label) data-count=(count) {
                summary id=(format!("{key}-more")) {
                    span .number { (label) }
                    span .name { (entry.map_or("not in the catalogue", |entry| &entry.name)) " " span .tag { (series.category) } }
                    @for (name, figure) in columns { span .figure { (figure) " " span .unit { (name) } } }
                }
                div .text {
                    @if let Some(entry) = entry {
                        @if !entry.explanation.is_empty() { p { (prose(&entry.explanation)) } }
                        @for (title, items) in [("Causes", &entry.causes), ("Solutions", &entry.solutions)] {
                            @if !items.is_empty() {
                                h3 { (title) }
                                ul { @for item in items { li { (prose(item)) } } }
                            }
                        }
                        @if is_web(&entry.docs) { p { a href=(entry.docs) rel="noreferrer" { "Twilio's page about " (label) } } }
                    } @else if let Label::Code(code) = series.code {
                        p { a href=(code.docs()) rel="noreferrer" { "Twilio's page about " (label) } }
                    } @else {
                        p { "Further codes of this kind, counted together." }
                    }
                }
            }
        }
    }
}

/// Whether an address may be followed: a layered catalogue is somebody's file.
fn is_web(address: &str) -> bool {
    address.starts_with("https://") || address.starts_with("http://")
}

/// A count with its word.
pub fn count(count: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// The categories in the order in which a page shows them: authorization against media first.
pub fn categories() -> impl Iterator<Item = Category> {
    let first = [Category::Auth, Category::Media];
    first.into_iter().chain(Category::ALL.into_iter().filter(move |category| !first.contains(category)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easily_read() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped(0), grouped(999)), ("0".into(), "999".into()));
        assert_eq!((size(1023), size(1024), size(5 << 30)), ("1023 B".into(), "1.0 KiB".into(), "5.0 GiB".into()));
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        let shown = |text| prose(text).into_string();
        assert_eq!(shown("set `ttl` to <5>, `x`"), "set <code>ttl</code> to &lt;5&gt;, <code>x</code>");
        assert_eq!(
            (shown("plain"), shown("a ` b"), shown("`a` ` b")),
            ("plain".into(), "a ` b".into(), "<code>a</code> ` b".into())
        );
    }

    #[test]
    fn only_the_web_is_linked() {
        assert!(is_web("https://www.twilio.com/docs"));
        assert!(!is_web("javascript:alert(1)"));
    }
}
