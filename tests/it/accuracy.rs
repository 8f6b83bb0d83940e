//! Recall and precision on labelled records, form by form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use twdiag::catalog::Catalog;
use twdiag::detect::{Assume, Cursor, Decision, Detector, End, Rules, Scanner};

/// One record of `tests/data/corpus/records.jsonl`.
#[derive(Deserialize)]
struct Labelled {
    text: String,
    codes: BTreeSet<u32>,
    form: String,
}

/// What became of the labels of one form.
#[derive(Default)]
struct Score {
    records: usize,
    labels: usize,
    found: usize,
    wrong: usize,
}

fn codes(scanner: &mut Scanner, text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    scanner.scan(text.as_bytes(), &mut Cursor::default(), End::Input, &mut |decision| {
        if let Decision::Accepted(matched) = decision {
            found.push(matched.code.get());
        }
    });
    found
}

#[test]
fn finds_what_is_reported_and_nothing_else() {
    let detector = Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded()));
    let mut scanner = detector.scanner(Assume::Nothing);
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut mistakes = String::new();
    for line in std::fs::read_to_string("tests/data/corpus/records.jsonl").unwrap().lines() {
        let record: Labelled = serde_json::from_str(line).unwrap();
        let found = codes(&mut scanner, &record.text);
        let score = scores.entry(record.form.clone()).or_default();
        score.records += 1;
        score.labels += record.codes.len();
        let once: BTreeSet<u32> = found.iter().copied().collect();
        let right = once.intersection(&record.codes).count();
        score.found += right;
        score.wrong += found.len() - right;
        if right != record.codes.len() || found.len() != right {
            mistakes += &format!("--- {}: {:?} for {:?}\n{}\n", record.form, found, record.codes, record.text);
        }
    }
    let total = |field: fn(&Score) -> usize| scores.values().map(field).sum::<usize>() as f64;
    let recall = total(|score| score.found) / total(|score| score.labels);
    let precision = total(|score| score.found) / (total(|score| score.found) + total(|score| score.wrong));
    assert!(recall >= 0.995 && precision >= 0.995, "{mistakes}recall {recall:.4}, precision {precision:.4}");
}
