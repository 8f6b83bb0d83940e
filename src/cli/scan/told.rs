//! What the matches of a scan mean together, and how the terminal shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog::Category;
use crate::diagnose::{Finding, History, Timeline};
use crate::output::{escape, width, wrap};

/// The steps of the timeline in JSON and in a report, at most.
const STEPS: i64 = 96;

/// The steps of the timeline on a terminal, at most.
const MARKS: usize = 48;

/// Eight heights; nothing is a dot.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What the matches mean together.
pub(super) struct Told {
    /// Distinct calls by category.
    pub(super) calls: BTreeMap<Category, u64>,
    /// By their start.
    pub(super) findings: Vec<Finding>,
    /// Reports over time; `None` where no record says when it was.
    pub(super) timeline: Option<History>,
    /// Reports that are not in the timeline.
    pub(super) undated: u64,
}

impl Told {
    pub(super) fn of(seen: &Timeline, sources: usize) -> Told {
        let calls = Category::ALL.into_iter().zip(seen.calls()).collect();
        Told { calls, findings: seen.findings(sources), timeline: seen.history(STEPS), undated: seen.undated() }
    }

    /// The findings and a small timeline, in lines that fit the terminal.
    pub(super) fn summary(&self) -> String {
        // Writing to a string cannot fail.
        let mut out = String::new();
        let room = usize::from(width());
        for finding in &self.findings {
            let errors = if finding.count == 1 { "error" } else { "errors" };
            let calls = match finding.calls {
                0 => String::new(),
                1 => ", 1 call".to_owned(),
                calls => format!(", {calls} calls"),
            };
            let end = finding.end.map_or_else(|| "the end of the log".to_owned(), |end| clock(end, finding.start));
            let when = format!("{} to {end}", finding.start.strftime("%Y-%m-%d %H:%M"));
            let step = finding.steps.first().map_or("", String::as_str);
            let text = format!("{} {errors}{calls}, {when} UTC. First: {step}", finding.count);
            out.push('\n');
            let title = format!("{} ({})", escape(&finding.title), finding.id);
            for line in wrap(&title, room.saturating_sub(2)) {
                writeln!(out, " {line}").expect("a string takes all");
            }
            for line in wrap(&escape(&text), room.saturating_sub(5)) {
                writeln!(out, "    {line}").expect("a string takes all");
            }
        }
        if let Some(timeline) = &self.timeline {
            out.push_str(&chart(timeline));
        }
        out
    }
}

/// The time of day, with the date where it is another day.
fn clock(time: Timestamp, since: Timestamp) -> String {
    let day = |time: Timestamp| time.to_zoned(TimeZone::UTC).date();
    time.strftime(if day(time) == day(since) { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string()
}

/// One line of bars for each category that has any.
fn chart(timeline: &History) -> String {
    let steps = timeline.categories.values().map(Vec::len).max().unwrap_or(0);
    let joined = steps.div_ceil(MARKS).max(1);
    let totals = timeline.totals();
    let bars: Vec<(Category, u64, Vec<u64>)> = totals
        .into_iter()
        .map(|(category, total)| {
            let counts = &timeline.categories[&category];
            (category, total, counts.chunks(joined).map(|counts| counts.iter().sum()).collect())
        })
        .collect();
    let peak = bars.iter().flat_map(|(.., counts)| counts).copied().max().unwrap_or(0).max(1);
    let mark = |count: u64| match count {
        0 => '·',
        // The highest of the eight at the peak, the lowest from one on.
        count => BARS[usize::try_from((count * 8).div_ceil(peak)).unwrap_or(8).clamp(1, 8) - 1],
    };
    let mut out = String::from("\n");
    for (category, total, counts) in bars {
        let bars: String = counts.into_iter().map(mark).collect();
        writeln!(out, " {category:<12} {bars} {total:>7}").expect("a string takes all");
    }
    let step = timeline.step_seconds * joined as i64;
    let start = timeline.start.strftime("%Y-%m-%d %H:%M");
    writeln!(out, " {:<12} each mark {}, from {start} UTC", "", span(step)).expect("a string takes all");
    out
}

/// A length of time in the largest unit that divides it.
fn span(seconds: i64) -> String {
    let minutes = seconds / 60;
    match minutes {
        minutes if minutes % 1440 == 0 => format!("{} d", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_from_one_to_the_peak() {
        let mut categories: BTreeMap<Category, Vec<u64>> = BTreeMap::new();
        categories.insert(Category::Media, (0..96).map(|n| u64::from(n % 2 == 0) * n / 2).collect());
        categories.insert(Category::Auth, vec![0; 96]);
        let timeline = History { start: Timestamp::UNIX_EPOCH, step_seconds: 900, categories };
        let shown = chart(&timeline);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with(" media        ·▁▁"), "{shown}");
        assert!(lines[1].ends_with("█    1128"), "{shown}");
        assert!(lines[2].ends_with("each mark 30 min, from 1970-01-01 00:00 UTC"), "{shown}");
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }
}
