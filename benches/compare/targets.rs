//! What is promised, what was measured, and what stands in the way where that is not enough.

use std::fmt::Write as _;

/// Every target with its figure.
#[derive(Debug, Default)]
pub(crate) struct Targets(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    target: String,
    measured: String,
    /// By which share of the target it is missed; `None` where it is met or cannot be measured.
    missed: Option<f64>,
}

/// What profiles say of targets that are missed, by how the target begins.
const OBSTACLES: [(&str, &str); 0] = [];

impl Targets {
    /// A figure that must not be larger than its limit.
    pub(crate) fn at_most(&mut self, what: &str, limit: f64, measured: f64) {
        self.add(what, format!("at most {limit}"), measured, (measured > limit).then(|| measured / limit - 1.0));
    }

    /// A figure that must not be smaller than its limit.
    pub(crate) fn at_least(&mut self, what: &str, limit: f64, measured: f64) {
        self.add(what, format!("at least {limit}"), measured, (measured < limit).then(|| 1.0 - measured / limit));
    }

    /// What cannot be measured here.
    pub(crate) fn missing(&mut self, what: &str, target: &str, part: &str) {
        let measured = format!("{part} is missing");
        self.0.push(Row { what: what.to_owned(), target: target.to_owned(), measured, missed: None });
    }

    fn add(&mut self, what: &str, target: String, measured: f64, missed: Option<f64>) {
        let shown = if measured < 10.0 { format!("{measured:.2}") } else { format!("{measured:.0}") };
        println!("{what}: {shown}, {target}");
        self.0.push(Row { what: what.to_owned(), target, measured: shown, missed });
    }

    /// As Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table =
            "## Targets\n\n| what | target | measured | misses by | what stands in the way |\n|---|---|---|---|---|\n"
                .to_owned();
        for Row { what, target, measured, missed } in &self.0 {
            let by = missed.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share));
            let obstacle = OBSTACLES.iter().find(|(begin, _)| missed.is_some() && what.starts_with(begin));
            let obstacle = obstacle.map_or("", |(_, obstacle)| obstacle);
            writeln!(table, "| {what} | {target} | {measured} | {by} | {obstacle} |").expect("to a string");
        }
        table
    }
}
