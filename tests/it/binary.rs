//! The built program as a user runs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{LOG, Serving, run, stderr, stdout, twdiag};

pub(crate) fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string("examples/voice-backend.expected.json").unwrap()).unwrap()
}

#[test]
fn prints_a_match_as_one_object() {
    let line = b"ERROR Twilio call failed: ConnectionError (31005): A connection error occurred\n";
    let output = run(&["--output", "json", "--listen", "none"], line);
    assert!(output.status.success());
    let printed = stdout(&output);
    assert_eq!(printed.lines().count(), 1);
    let object: Value = serde_json::from_str(&printed).unwrap();
    let mut rest = printed.as_str();
    for key in [
        "time",
        "seen",
        "source",
        "path",
        "offset",
        "line",
        "code",
        "category",
        "group",
        "family",
        "name",
        "rule",
        "explanation",
        "causes",
        "solutions",
        "docs",
        "call_sid",
        "text",
    ] {
        let (_, after) =
            rest.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in its place: {printed}"));
        rest = after;
    }
    assert_eq!(object["code"], 31005);
    assert_eq!(object["category"], "signaling");
    assert_eq!(object["source"], "stdin");
}

#[test]
fn prints_nothing_for_decoys() {
    let output =
        run(&["--output", "json", "--listen", "none"], b"listening on 10.0.0.1:31005 pid=20104 took 53405ms\n");
    assert!(output.status.success());
    assert_eq!(stdout(&output), "");
}

#[test]
fn counts_the_example_exactly_from_every_kind_of_input() {
    let log = std::fs::read(LOG).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let gz = directory.path().join("packed");
    let mut encoder = flate2::write::GzEncoder::new(std::fs::File::create(&gz).unwrap(), flate2::Compression::fast());
    encoder.write_all(&log).unwrap();
    encoder.finish().unwrap();
    let zst = directory.path().join("packed-too");
    std::fs::write(&zst, zstd::encode_all(log.as_slice(), 1).unwrap()).unwrap();
    for path in [LOG, "-", gz.to_str().unwrap(), zst.to_str().unwrap()] {
        let output = run(&["scan", path, "--format", "json"], &log);
        assert!(output.status.success(), "{path}: {}", stderr(&output));
        let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(found["categories"], expected()["categories"], "{path}");
        let codes: BTreeMap<String, u64> = found["codes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|code| (code["code"].to_string(), code["count"].as_u64().unwrap()))
            .collect();
        let expected: BTreeMap<String, u64> = serde_json::from_value(expected()["codes"].clone()).unwrap();
        assert_eq!(codes, expected, "{path}");
    }
}

#[test]
fn serves_the_example_exactly() {
    let serving = Serving::start(&[LOG, "--start-at", "beginning"]);
    let expected: BTreeMap<String, u64> = serde_json::from_value(expected()["categories"].clone()).unwrap();
    assert_eq!(serving.wait_for(expected.values().sum()), expected);
    assert!(serving.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(serving.get("/readyz").starts_with("HTTP/1.1 200"));
}

#[test]
fn the_page_satisfies_promtool() {
    let serving = Serving::start(&[LOG, "--start-at", "beginning"]);
    serving.wait_for(1);
    let answer = serving.get("/metrics");
    let (_, page) = answer.split_once("\r\n\r\n").unwrap();
    let lost = format!("twdiag_lost_bytes_total{{source=\"{LOG}\"}} 0\n");
    for sample in [lost.as_str(), "twdiag_state_resets_total 0\n"] {
        assert!(page.contains(sample), "{sample}{page}");
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool is needed: {error}");
            return println!("skipped: promtool (Debian's package prometheus) is not installed");
        }
    };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn follows_through_rename_and_truncation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let line = "ConnectionError (31005): a\n";
    std::fs::write(&path, line).unwrap();
    let serving = Serving::start(&[path.to_str().unwrap(), "--start-at", "beginning"]);
    let signaling = |errors| serving.wait_for(errors)["signaling"];
    assert_eq!(signaling(1), 1);
    let append = |path: &Path, text: &str| {
        std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    append(&path, "ConnectionError (310");
    append(&path, "05): b\n");
    assert_eq!(signaling(2), 2);
    let rotated = directory.path().join("app.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    append(&rotated, line);
    append(&path, line);
    assert_eq!(signaling(4), 4);
    std::fs::write(&path, "").unwrap();
    // The same bytes again look like none were cut, unless that was seen before they come.
    let is_seen = |line: &str| line.starts_with("twdiag_rotations_total{kind=\"truncate\"") && line.ends_with(" 1");
    let start = std::time::Instant::now();
    while !serving.get("/metrics").lines().any(is_seen) {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "the truncation is seen");
    }
    append(&path, line);
    assert_eq!(signaling(5), 5);
}

#[test]
fn a_rotated_file_in_a_followed_directory_is_not_counted_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let line = "ConnectionError (31005): a\n";
    std::fs::write(&path, line.repeat(3)).unwrap();
    let serving = Serving::start(&[directory.path().to_str().unwrap(), "--start-at", "beginning"]);
    assert_eq!(serving.wait_for(3)["signaling"], 3);
    for rotation in 0..3u64 {
        let rotated = directory.path().join(format!("app.log.{rotation}"));
        std::fs::rename(&path, &rotated).unwrap();
        std::fs::write(&path, line).unwrap();
        assert_eq!(serving.wait_for(4 + rotation)["signaling"], 4 + rotation);
        // The rotated file is found as a path of its own, and followed.
        let files = format!("twdiag_source_files{{source=\"{}\"}} {}", directory.path().display(), rotation + 2);
        let start = Instant::now();
        while !serving.get("/metrics").contains(&files) {
            assert!(start.elapsed() < Duration::from_secs(20), "{files}");
        }
        assert_eq!(serving.categories()["signaling"], 4 + rotation);
    }
}

#[test]
fn a_standard_output_that_nobody_reads_holds_up_nothing() {
    // Some 700 bytes are printed for each line: more than the buffer and the pipe hold.
    const LINES: u64 = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    std::fs::write(&path, "ConnectionError (31005): x\n".repeat(LINES as usize)).unwrap();
    let mut command = twdiag(&[path.to_str().unwrap(), "--start-at", "beginning", "--output", "json"]);
    let serving = Serving::spawn(command.stdout(Stdio::piped()));
    assert_eq!(serving.wait_for(LINES)["signaling"], LINES);
}

#[test]
fn an_untouched_category_reads_zero() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(&[directory.path().join("later.log").to_str().unwrap()]);
    let categories = serving.categories();
    assert_eq!(categories.len(), 10);
    assert!(categories.values().all(|count| *count == 0));
}

#[test]
fn explains_a_code_in_full_and_names_near_ones() {
    let output = run(&["explain", "53405"], b"");
    let shown = stdout(&output);
    assert_eq!(shown.lines().filter(|line| line.starts_with("  • ")).count(), 5, "{shown}");
    let output = run(&["explain", "35405"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("35405 is not in the catalogue; near it: 53405 (Media connection failed)"));
}

#[test]
fn says_why() {
    let output = run(&["why", "ConnectionError (31005): pid=20104"], b"");
    let shown = stdout(&output);
    assert!(shown.contains("                 ^^^^^       ^^^^^"), "{shown}");
    assert!(shown.contains("31005 accepted by common-class") && shown.contains("20104 rejected"), "{shown}");
    assert!(run(&["check"], b"").status.success());
}

#[test]
fn says_what_is_wrong_and_where() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("mine.toml");
    std::fs::write(&rules, "[[rule]]\nid = \"x\"\ndescripton = \"y\"\n").unwrap();
    let output = run(&["check", "--rules", rules.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    let shown = stderr(&output);
    assert!(shown.contains("mine.toml:3:1") && shown.contains("did you mean `description`?"), "{shown}");
    let output = run(&["scan", LOG, "nowhere/*.log"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nowhere/*.log: no such file, and no file matches it as a glob"));
    assert!(stdout(&output).contains("20104"), "the rest is scanned");
    assert_eq!(run(&["--output", "loud"], b"").status.code(), Some(2));
    assert_eq!(run(&["scan", "-"], b"nothing here\n").status.code(), Some(1));
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(&address) && stderr(&output).contains("--listen"), "{}", stderr(&output));
}
