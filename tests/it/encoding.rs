//! Text in UTF-16: however it is stored, read and interrupted, it says what it says in UTF-8.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use twdiag::detect::{Encoding, Reading};
use twdiag::tail::StartAt;

use crate::program::{LOG, run, stderr, stdout};
use crate::rig::{Rig, gzip};

type Order = fn(u16) -> [u8; 2];

/// What turns a unit into bytes, by the name of the encoding.
const ORDERS: [(&str, Order); 2] = [("utf-16le", u16::to_le_bytes), ("utf-16be", u16::to_be_bytes)];

fn stored(text: &str, order: Order) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

/// The example log behind a byte order mark, with a line that says what no ASCII says.
fn log() -> String {
    format!("\u{feff}{}\u{10a}\u{a0a} 😀 ConnectionError (31005): é\n", fs::read_to_string(LOG).unwrap())
}

/// The matches of a run, without what differs from place to place; their offsets as `place` has them.
fn matches(arguments: &[&str], input: &[u8], place: impl Fn(usize) -> usize) -> Vec<Value> {
    let output = run(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let placeless = |line: &str| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        for key in ["seen", "source", "path"] {
            object.as_object_mut().unwrap().remove(key).unwrap();
        }
        object["offset"] = place(object["offset"].as_u64().unwrap() as usize).into();
        object
    };
    stdout(&output).lines().map(placeless).collect()
}

#[test]
fn a_scan_says_the_same_of_utf16() {
    let text = log();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let scan = ["scan", "--format", "ndjson"];
    let of_path = ["scan", "--format", "ndjson", path.to_str().unwrap()];
    // Where a place of the text stands in UTF-16.
    let expected = matches(&scan, text.as_bytes(), |offset| 2 * text.get(..offset).unwrap().encode_utf16().count());
    assert!(expected.len() > 50);
    for (name, order) in ORDERS {
        let bytes = stored(&text, order);
        assert_eq!(matches(&scan, &bytes, |offset| offset), expected, "{name} on standard input");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(matches(&of_path, b"", |offset| offset), expected, "{name}");
        fs::write(&path, zstd::encode_all(&*bytes, 1).unwrap()).unwrap();
        assert_eq!(matches(&of_path, b"", |offset| offset), expected, "{name} in zstd");
        let followed = ["--listen", "none", "--output", "json"];
        let mut without_lines = expected.clone();
        without_lines.iter_mut().for_each(|object| object["line"] = Value::Null);
        assert_eq!(matches(&followed, &bytes, |offset| offset), without_lines, "{name} followed");
    }
}

#[test]
fn what_has_no_mark_is_named() {
    let text = log().split_off('\u{feff}'.len_utf8());
    let counts = |arguments: &[&str], input: &[u8]| {
        let output = run(&[&["scan", "--format", "json"], arguments].concat(), input);
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()["codes"].clone()
    };
    let expected = counts(&[], text.as_bytes());
    for (name, order) in ORDERS {
        let bytes = stored(&text, order);
        assert_eq!(counts(&["--encoding", name], &bytes), expected, "{name}");
        assert_eq!(counts(&[], &bytes), Value::Array(Vec::new()), "{name} without a mark is no text");
    }
}

#[test]
fn a_large_file_is_counted_whole() {
    let line = "2026-01-01T00:00:00Z ERROR twilio ConnectionError (31005): ünder\n";
    let lines = 20 * (1 << 20) / (2 * line.chars().count());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    fs::write(&path, stored(&format!("\u{feff}{}", line.repeat(lines)), u16::to_le_bytes)).unwrap();
    let output = run(&["scan", "--format", "json", "--threads", "4", path.to_str().unwrap()], b"");
    let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((said["codes"][0]["count"].as_u64(), said["lines"].as_u64()), (Some(lines as u64), Some(lines as u64)));
    assert_eq!(said["bytes"].as_u64(), Some(fs::metadata(&path).unwrap().len()));
    assert_eq!(said["records_matched"].as_u64(), Some(lines as u64));
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn following_stops_and_goes_on_anywhere() {
    for (name, order) in ORDERS {
        let mut rig = Rig::new("app.log");
        let records = rig.lines(12);
        let bytes = stored(&format!("\u{feff}{records}"), order);
        rig.start();
        // Pieces that end inside units, each seen by another process.
        for piece in bytes.chunks(bytes.len() / 7 + 1) {
            append(&rig.path("app.log"), piece);
            rig.start();
        }
        assert_eq!(rig.errors(), 12, "{name}");
        assert_eq!(rig.tally().read_bytes, bytes.len() as u64, "{name}");
        // Its rest is read from the archive that it became.
        append(&rig.path("app.log"), &stored(&records, order));
        rig.kill();
        rig.rename("app.log", "app.log.1");
        gzip(&rig.path("app.log.1"), &rig.path("app.log.1.gz"));
        append(&rig.path("app.log"), &stored(&format!("\u{feff}{records}"), order));
        rig.start();
        rig.pass(Duration::from_secs(30));
        assert_eq!(rig.errors(), 36, "{name}");
        assert_eq!(rig.tally().lost_bytes, 0, "{name}");
    }
}

#[test]
fn what_is_named_holds_without_a_mark_and_after_copytruncate() {
    let encodings = [Encoding::Utf16Le, Encoding::Utf16Be];
    for (encoding, (name, order)) in encodings.into_iter().zip(ORDERS) {
        let mut rig = Rig::with("app.log", |plan| {
            plan.sources[0].reading = Reading { encoding, ..Reading::default() };
            plan.sources[0].start_at = StartAt::End;
        });
        let path = rig.path("app.log");
        // A writer in the middle of a unit, when it is first seen.
        let before = stored("ConnectionError (31005): before ConnectionError", order);
        append(&path, &before[..before.len() - 1]);
        rig.start();
        append(&path, &before[before.len() - 1..]);
        append(&path, &stored(&format!("\n{}", rig.lines(3)), order));
        assert_eq!(rig.errors(), 3, "{name}");
        fs::copy(&path, rig.path("app.log.1")).unwrap();
        fs::write(&path, b"").unwrap();
        rig.wake();
        append(&path, &stored(&rig.lines(2), order));
        assert_eq!(rig.errors(), 5, "{name}");
        rig.pass(Duration::from_secs(30));
        assert_eq!(rig.errors(), 5, "{name}");
    }
}

#[test]
fn a_line_is_as_long_as_its_source_says() {
    let directory = tempfile::tempdir().unwrap();
    let (log, page) = (directory.path().join("app.log"), directory.path().join("twdiag.toml"));
    fs::write(&log, format!("ConnectionError (31005): {}\n", "x".repeat(20_000))).unwrap();
    let truncated = |limit: &str| {
        fs::write(
            &page,
            format!(
                "[[source]]\nname = \"voice\"\npaths = [\"app.log\"]\nstart_at = \"beginning\"\nline_limit = \"{limit}\"\n"
            ),
        )
        .unwrap();
        let serving = crate::program::Serving::start(&["--config", page.to_str().unwrap()]);
        assert_eq!(serving.wait_for(1)["signaling"], 1);
        let page = serving.get("/metrics");
        let line = page.lines().find(|line| line.starts_with("twdiag_truncated_lines_total{")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((truncated("16KiB"), truncated("1MiB")), (1, 0));
}
