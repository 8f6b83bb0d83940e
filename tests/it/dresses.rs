//! The same records in every dress and through every door give the same counts.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::{LOG, run, stdout, twdiag};

/// Counts by code, from `scan --format json`.
fn counts(output: &str) -> BTreeMap<u64, u64> {
    let summary: serde_json::Value = serde_json::from_str(output).unwrap();
    let of = |code: &serde_json::Value| (code["code"].as_u64().unwrap(), code["count"].as_u64().unwrap());
    summary["codes"].as_array().unwrap().iter().map(of).collect()
}

fn scan(path: &str, input: &[u8]) -> BTreeMap<u64, u64> {
    counts(&stdout(&run(&["scan", "--format", "json", path], input)))
}

/// Each line as Docker's json-file driver writes it.
fn docker(log: &str) -> String {
    let wrap = |line: &str| {
        let object = serde_json::json!({ "log": line, "stream": "stdout", "time": "2026-01-01T00:00:00.1Z" });
        // The driver's own order of keys.
        let text = serde_json::to_string(&object["log"]).unwrap();
        format!("{{\"log\":{text},\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00.1Z\"}}\n")
    };
    log.split_inclusive('\n').map(wrap).collect()
}

/// Each line as a Kubernetes node keeps it, cut where it is longer than `limit` bytes.
fn cri(log: &str, limit: usize) -> String {
    let mut wrapped = String::new();
    for line in log.lines() {
        let mut rest = line;
        loop {
            let end = (limit.min(rest.len())..=rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap();
            let (part, tail) = rest.split_at(end);
            let tag = if tail.is_empty() { 'F' } else { 'P' };
            wrapped += &format!("2026-01-01T00:00:00.123456789Z stdout {tag} {part}\n");
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
    }
    wrapped
}

#[test]
fn every_door_and_dress_gives_the_same_counts() {
    let log = std::fs::read_to_string(LOG).unwrap();
    let expected = scan(LOG, b"");
    assert!(expected.len() > 10, "{expected:?}");
    assert_eq!(scan("-", log.as_bytes()), expected, "standard input");

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(log.as_bytes()).unwrap();
    for (name, content) in [
        ("log.gz", gz.finish().unwrap()),
        ("log.zst", zstd::encode_all(log.as_bytes(), 1).unwrap()),
        ("docker.log", docker(&log).into_bytes()),
        ("cri.log", cri(&log, usize::MAX).into_bytes()),
        ("cut.log", cri(&log, 61).into_bytes()),
    ] {
        std::fs::write(path(name), content).unwrap();
        assert_eq!(scan(&path(name), b""), expected, "{name}");
    }

    let fifo = path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = twdiag(&["scan", "--format", "json", &fifo]).stdout(Stdio::piped()).spawn().unwrap();
    std::fs::write(&fifo, &log).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(counts(&stdout(&output)), expected, "FIFO");
}

#[test]
fn interleaved_streams_do_not_join() {
    let object = ["RestException [Error]: Authenticate {", "  status: 401,", "  code: 20003,", "}"];
    let other = ["other {", "  pid: 31005,", "  code: 30003,", "}"];
    let mut log = String::new();
    for (mine, theirs) in object.iter().zip(other) {
        log += &format!("2026-01-01T00:00:00.1Z stdout F {mine}\n2026-01-01T00:00:00.1Z stderr F {theirs}\n");
    }
    assert_eq!(scan("-", log.as_bytes()), BTreeMap::from([(20003, 1)]));
}

#[test]
fn a_full_dictionary_makes_codes_catalogued_without_a_rule_change() {
    let log = b"{\"provider\":\"twilio\",\"error_code\":30007}\n";
    let matched = |output: &str| {
        let line: serde_json::Value = serde_json::from_str(output.lines().next().unwrap()).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("category"), text("name"), text("rule"))
    };
    let (category, name, rule) = matched(&stdout(&run(&["scan", "--format", "ndjson", "-"], log)));
    assert_eq!((category.as_str(), name.as_str()), ("uncatalogued", ""));
    let table = stdout(&run(&["scan", "-"], log));
    assert!(table.contains("uncatalogued") && table.contains("30007"), "{table}");

    let mut dictionary = tempfile::NamedTempFile::new().unwrap();
    let entry = serde_json::json!([{
        "code": 30007, "message": "Message filtered", "log_level": "ERROR", "log_type": "APPLICATION",
        "secondary_message": null, "description": "Carrier violation", "causes": "- spam", "solutions": null,
        "product": "Programmable SMS", "docs": "https://www.twilio.com/docs/api/errors/30007",
    }]);
    write!(dictionary, "{entry}").unwrap();
    let path = dictionary.path().to_str().unwrap();
    let (category, name, of) = matched(&stdout(&run(&["scan", "--format", "ndjson", "--catalog", path, "-"], log)));
    assert_ne!(category, "uncatalogued");
    assert_eq!((name.as_str(), of), ("Message filtered", rule));
}
