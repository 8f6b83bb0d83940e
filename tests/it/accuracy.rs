//! Recall and precision on labelled records, form by form; `docs/accuracy.md` is their table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use regex::{Captures, Regex};
use serde::Deserialize;
use twdiag::catalog::Catalog;
use twdiag::detect::{Assume, Cursor, Decision, Detector, End, Rules, Scanner};

use crate::kept::assert_current;

/// Labelled records.
struct Set {
    name: &'static str,
    path: &'static str,
    /// The least that they are judged with.
    recall: f64,
    precision: f64,
}

/// Those that the rules were written with, those that were written before anyone had seen what the rules do with them, and
/// of these the sentences of which no two are alike, and what only a title or a header above it tells.
const SETS: [Set; 4] = [
    Set { name: "The corpus", path: "tests/data/corpus/records.jsonl", recall: 0.995, precision: 0.995 },
    Set { name: "Held out", path: "tests/data/held-out.jsonl", recall: 0.995, precision: 0.995 },
    Set { name: "In their own words", path: "tests/data/sentences.jsonl", recall: 0.95, precision: 0.995 },
    Set { name: "Lists and tables", path: "tests/data/lists.jsonl", recall: 0.85, precision: 0.945 },
];

/// One labelled record.
#[derive(Deserialize)]
struct Labelled {
    text: String,
    codes: BTreeSet<u32>,
    form: String,
}

/// What became of the labels of one form, or of all.
#[derive(Clone, Copy, Default)]
struct Score {
    records: usize,
    labels: usize,
    found: usize,
    wrong: usize,
}

impl Score {
    fn add(&mut self, other: Score) {
        self.records += other.records;
        self.labels += other.labels;
        self.found += other.found;
        self.wrong += other.wrong;
    }

    fn recall(self) -> f64 {
        self.found as f64 / self.labels as f64
    }

    fn precision(self) -> f64 {
        self.found as f64 / (self.found + self.wrong) as f64
    }
}

pub(crate) fn scanner(assume: Assume) -> Scanner {
    Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded())).scanner(assume)
}

/// The codes that a text on its own reports, a code once for each record in it.
pub(crate) fn codes(scanner: &mut Scanner, text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    scanner.scan(text.as_bytes(), &mut Cursor::default(), End::Input, &mut |decision| {
        if let Decision::Accepted(matched) = decision {
            found.push(matched.code.get());
        }
    });
    found
}

fn records(path: &str) -> Vec<Labelled> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The score of each form, and the records that were judged wrongly.
fn evaluate(scanner: &mut Scanner, records: impl IntoIterator<Item = Labelled>) -> (BTreeMap<String, Score>, String) {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut mistakes = String::new();
    for record in records {
        let found = codes(scanner, &record.text);
        let once: BTreeSet<u32> = found.iter().copied().collect();
        let right = once.intersection(&record.codes).count();
        let wrong = found.len() - right;
        let score = Score { records: 1, labels: record.codes.len(), found: right, wrong };
        if right != record.codes.len() || wrong != 0 {
            writeln!(mistakes, "--- {}: {found:?} for {:?}\n{}", record.form, record.codes, record.text).unwrap();
        }
        scores.entry(record.form).or_default().add(score);
    }
    (scores, mistakes)
}

#[test]
fn finds_what_is_reported_and_nothing_else() {
    let mut scanner = scanner(Assume::Nothing);
    let mut summary =
        String::from("| records | labels | found | wrong | recall | precision |\n|---|--:|--:|--:|--:|--:|--:|\n");
    summary.insert_str(0, "| set ");
    let mut tables = String::new();
    let mut failures = String::new();
    for Set { name, path, recall: enough, precision: precise } in SETS {
        let (scores, mistakes) = evaluate(&mut scanner, records(path));
        let mut total = Score::default();
        writeln!(tables, "\n## {name}\n\n| form | records | labels | found | wrong |\n|---|--:|--:|--:|--:|").unwrap();
        for (form, score) in &scores {
            let Score { records, labels, found, wrong } = score;
            writeln!(tables, "| {form} | {records} | {labels} | {found} | {wrong} |").unwrap();
            total.add(*score);
        }
        let Score { records, labels, found, wrong } = total;
        let (recall, precision) = (total.recall(), total.precision());
        writeln!(
            summary,
            "| [{name}](../{path}) | {records} | {labels} | {found} | {wrong} | {recall:.4} | {precision:.4} |"
        )
        .unwrap();
        println!("{name}: recall {recall:.4}, precision {precision:.4}\n{mistakes}");
        if recall < enough || precision < precise {
            writeln!(failures, "{name}: recall {recall:.4}, precision {precision:.4}\n{mistakes}").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
    let prose = std::fs::read_to_string("tests/data/accuracy.md").unwrap();
    assert_current("docs/accuracy.md", &prose.replace("{summary}\n", &summary).replace("{tables}\n", &tables));
}

/// The record with a catalogued code in place of every number of five digits that is no label, the same for the same
/// number; `None` where it has none.
fn disguised(mut record: Labelled, catalogued: &[u32]) -> Option<Labelled> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9]+").unwrap());
    let mut codes = catalogued.iter().cycle().skip(record.text.len() % catalogued.len());
    let mut disguises: BTreeMap<String, u32> = BTreeMap::new();
    let disguise = |number: &Captures<'_>| {
        let number = &number[0];
        let value: u32 = if number.len() == 5 && !number.starts_with('0') { number.parse().unwrap() } else { 0 };
        if value == 0 || record.codes.contains(&value) {
            return number.to_owned();
        }
        let code = || codes.by_ref().copied().find(|code| !record.codes.contains(code)).unwrap();
        disguises.entry(number.to_owned()).or_insert_with(code).to_string()
    };
    record.text = NUMBER.replace_all(&record.text, disguise).into_owned();
    (!disguises.is_empty()).then_some(record)
}

/// Asserts that no more than so much recall and precision is lost on any set when its records are changed; a change that
/// does not fit leaves one out.
fn hold(lost: f64, imprecise: f64, change: impl Fn(Labelled) -> Option<Labelled>) {
    let mut scanner = scanner(Assume::Nothing);
    for Set { name, path, recall: enough, precision: precise } in SETS {
        let (scores, mistakes) = evaluate(&mut scanner, records(path).into_iter().filter_map(&change));
        let mut total = Score::default();
        scores.into_values().for_each(|score| total.add(score));
        let (recall, precision) = (total.recall(), total.precision());
        assert!(total.records > 100, "{name}");
        assert!(
            recall >= enough - lost && precision >= precise - imprecise,
            "{name}: recall {recall:.4}, precision {precision:.4}\n{mistakes}"
        );
    }
}

#[test]
fn no_number_is_a_code_for_what_it_spells() {
    let catalogued: Vec<u32> = Catalog::embedded().entries().iter().map(|entry| entry.code.get()).collect();
    hold(0.0, 0.0, |record| disguised(record, &catalogued));
}

/// A line as a shipper of logs puts it into an object.
fn shipped(mut record: Labelled) -> Option<Labelled> {
    record.text = serde_json::json!({ "level": "error", "msg": record.text }).to_string();
    Some(record)
}

#[test]
fn an_object_around_a_record_hides_nothing() {
    hold(0.005, 0.0, shipped);
    hold(0.005, 0.0, |record| shipped(shipped(record)?));
}

#[test]
fn what_a_url_escapes_is_found() {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    hold(0.025, 0.01, |mut record| {
        let is_line = !record.text.contains(['\n', '\u{1b}']);
        record.text = format!("POST /log?line={}", record.text.bytes().map(encode).collect::<String>());
        is_line.then_some(record)
    });
}
