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
const OBSTACLES: [(&str, &str); 8] = [
    (
        "scan with one thread",
        "rg maps the file, looks for 54 words and counts lines; here a third of the time goes to the 1 % of lines that report, some 30,000 instructions for each, a tenth to copying the file out of the page cache, as much to the start, and the rest to every number of five digits",
    ),
    ("scan with two threads", "the same, and a start that one core makes alone"),
    (
        "scan with 20 % hits",
        "of the 30,000 instructions a quarter go to the two automata around a report's number, a tenth each to the evidence in its record, to where the record begins and ends, and to what the reports mean together; the rest is spread over times, calls and counts",
    ),
    ("scan of .", "the scan itself, which is slower than the unpacking on the other core"),
    (
        "memory with",
        "8 MiB are pages of the binary; the automata of the rules take 5 MiB, and their compilation left as much free in the heap",
    ),
    (
        "start to first scrape, 10,000 files",
        "each file is opened, read and looked up by its path, a fifth of it in comparing paths",
    ),
    ("start to first scrape", "compiling the rules, 300 million instructions"),
    ("scan with 1,950 codes", "numbers of ordinary lines that the larger catalogue knows, and reading it"),
];

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
