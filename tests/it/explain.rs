//! `explain` and `codes`.

use serde_json::Value;

use crate::program::{run, stderr, stdout};

#[test]
fn explains_several_and_says_what_it_lacks() {
    let output = run(&["explain", "31005", "64999", "53405"], b"");
    assert_eq!(output.status.code(), Some(1));
    let shown = stdout(&output);
    assert!(shown.contains("31005 Connection error") && shown.contains("53405 Media connection failed"), "{shown}");
    assert!(stderr(&output).contains("64999 is not in the catalogue"), "{}", stderr(&output));
    assert!(stderr(&output).contains("https://www.twilio.com/docs/errors/64999"), "{}", stderr(&output));
    assert_eq!(run(&["explain", "7"], b"").status.code(), Some(2));
}

#[test]
fn every_format_holds_every_code() {
    let json: Vec<Value> = serde_json::from_str(&stdout(&run(&["codes", "--format", "json"], b""))).unwrap();
    assert_eq!(json.len(), 54);
    let ndjson = stdout(&run(&["codes", "--format", "ndjson"], b""));
    let ndjson: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ndjson, json);
    let shown = stdout(&run(&["codes", "--format", "csv"], b""));
    let rows: Vec<_> = csv::Reader::from_reader(shown.as_bytes()).into_records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 54);
    for (row, entry) in rows.iter().zip(&json) {
        assert_eq!((row[0].parse().ok(), row[4].into()), (entry["code"].as_u64(), entry["name"].clone()));
    }
    assert_eq!(stdout(&run(&["codes"], b"")).lines().count(), 54);
}
