//! `scan` over files of every kind.

use std::io::Write;

use serde_json::Value;

use crate::program::{LOG, run, stderr, stdout};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The matches without what differs from place to place.
fn matches(arguments: &[&str], input: &[u8]) -> Vec<Value> {
    let output = run(&[&["scan", "--format", "ndjson"], arguments].concat(), input);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let placeless = |line: &str| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        for key in ["seen", "source", "path"] {
            object.as_object_mut().unwrap().remove(key).unwrap();
        }
        object
    };
    stdout(&output).lines().map(placeless).collect()
}

#[test]
fn says_the_same_however_the_log_is_stored() {
    let log = std::fs::read(LOG).unwrap();
    let half = log.len() / 2;
    let directory = tempfile::tempdir().unwrap();
    let stored = [
        ("plain.gz", log.clone()),
        ("members.log", [gz(&log[..half]), gz(&log[half..])].concat()),
        ("frames", [zstd::encode_all(&log[..half], 1).unwrap(), zstd::encode_all(&log[half..], 1).unwrap()].concat()),
    ];
    let expected = matches(&[], &log);
    assert!(expected.len() > 50);
    for (name, bytes) in stored {
        assert_eq!(matches(&[], &bytes), expected, "{name} on standard input");
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(matches(&[path.to_str().unwrap()], b""), expected, "{name}");
    }
}

#[test]
fn offset_and_line_are_those_of_the_line_with_the_code() {
    let log = "first\n\nERROR call failed\n    Caused by: ConnectionError (31005): x\nConnectionError (31009): y\n";
    let places: Vec<_> =
        matches(&[], log.as_bytes()).iter().map(|m| (m["code"].as_u64(), m["line"].as_u64())).collect();
    assert_eq!(places, [(Some(31005), Some(4)), (Some(31009), Some(5))]);
    // Across many blocks, too.
    let padding = "nothing to see here\n".repeat(40_000);
    let log = format!("{padding}ConnectionError (31005): x\n{padding}ConnectionError (31005): y");
    let places: Vec<_> =
        matches(&[], log.as_bytes()).iter().map(|m| (m["offset"].as_u64(), m["line"].as_u64())).collect();
    assert_eq!(places, [(Some(800_000), Some(40_001)), (Some(1_600_027), Some(80_002))]);
}

#[test]
fn lines_come_in_the_order_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    for file in 0..20 {
        let lines: String = (0..(20 - file) * 200).map(|n| format!("ConnectionError (31005): {file} {n}\n")).collect();
        std::fs::write(directory.path().join(format!("{file:02}.log")), lines).unwrap();
    }
    let path = directory.path().to_str().unwrap();
    let expected = matches(&[path, "--threads", "1"], b"");
    assert_eq!(expected.len(), 210 * 200);
    for threads in ["2", "7"] {
        assert!(matches(&[path, "--threads", threads], b"") == expected, "{threads} threads");
    }
}

#[test]
fn a_large_file_counts_the_same_in_parts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.log");
    let log = std::fs::read(LOG).unwrap();
    // Of every kind of line, long enough for three parts, and with half a line at its end.
    let mut large = log.repeat((25 << 20) / log.len());
    large.truncate(large.len() - 20);
    std::fs::write(&path, large).unwrap();
    let sums = |threads: &str| {
        let output = run(&["scan", "--format", "json", "--threads", threads, path.to_str().unwrap()], b"");
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()
    };
    let whole = sums("1");
    assert!(whole["records_matched"].as_u64() > Some(10_000), "{whole}");
    assert_eq!(sums("2"), whole);
    assert_eq!(sums("5"), whole);
}

#[test]
fn a_directory_is_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let line = "ConnectionError (31005): x\n";
    std::fs::create_dir_all(root.join("below/.hidden")).unwrap();
    for name in ["a.log", "below/b.log", ".hidden.log", "below/.hidden/c.log"] {
        std::fs::write(root.join(name), line).unwrap();
    }
    std::os::unix::fs::symlink(root, root.join("below/loop")).unwrap();
    let path = root.to_str().unwrap();
    assert_eq!(matches(&[path], b"").len(), 1);
    assert_eq!(matches(&[path, "--recursive"], b"").len(), 2);
    assert_eq!(matches(&[&format!("{path}/*.log")], b"").len(), 1);
}

#[test]
fn goes_on_past_what_it_cannot_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let noise: String = (0..50_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    let mut cut = gz(format!("ConnectionError (31005): x\n{noise}").as_bytes());
    cut.truncate(cut.len() / 2);
    std::fs::write(path("cut"), cut).unwrap();
    std::fs::write(path("whole.log"), "ConnectionError (31009): y\n").unwrap();
    std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
    let arguments =
        ["scan", "--format", "json", &path("none*"), &path("cut"), &path("dangling"), &path("a["), &path("whole.log")];
    let output = run(&arguments, b"");
    assert_eq!(output.status.code(), Some(2));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["categories"]["signaling"], 2, "{found}");
    assert_eq!(found["codes"].as_array().unwrap().len(), 2, "what was read of a cut archive counts: {found}");
    for name in ["none*: no such file", "cut: ", "dangling: No such file", "a[: "] {
        assert!(stderr(&output).contains(name), "{name}: {}", stderr(&output));
    }
}

#[test]
fn the_exit_code_tells() {
    for (log, code) in [("ConnectionError (31005): x", 0), ("took 31005ms\n", 1), ("", 1)] {
        for format in ["table", "json", "ndjson", "csv"] {
            assert_eq!(run(&["scan", "--format", format], log.as_bytes()).status.code(), Some(code), "{log} {format}");
        }
    }
    assert_eq!(run(&["scan", "--threads", "0"], b"").status.code(), Some(2));
}

#[test]
fn sums_are_one_object() {
    let log = "2026-11-22T10:00:00Z ConnectionError (31005): x\n2026-11-22T09:00:00Z ConnectionError (31005): x\n\
               ConnectionError (31009): no time\n";
    let output = run(&["scan", "--format", "json"], log.as_bytes());
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let code = |code: usize| &found["codes"][code];
    assert_eq!((&found["files"], &found["lines"], &found["records_matched"]), (&1.into(), &3.into(), &3.into()));
    assert_eq!(found["bytes"], log.len());
    assert_eq!((&code(0)["first"], &code(0)["last"]), (&"2026-11-22T09:00:00Z".into(), &"2026-11-22T10:00:00Z".into()));
    assert_eq!((&code(1)["first"], &code(1)["last"]), (&Value::Null, &Value::Null));
    assert_eq!(found["categories"].as_object().unwrap().len(), 10);
}

#[test]
fn a_record_with_two_codes_is_one_record() {
    let log = "ERROR ConnectionError (31005): x\n    Caused by: ConnectionError (31009): y\n";
    let found: Value = serde_json::from_str(&stdout(&run(&["scan", "--format", "json"], log.as_bytes()))).unwrap();
    assert_eq!((&found["records_matched"], found["codes"].as_array().unwrap().len()), (&1.into(), 2));
}

#[test]
fn the_table_fits_eighty_columns() {
    let output = run(&["scan", LOG], b"");
    assert!(stdout(&output).lines().all(|line| line.chars().count() <= 80));
    assert_eq!(stdout(&run(&["scan"], b"nothing\n")), "no Twilio errors\n");
}

#[test]
fn writes_a_page_for_node_exporter() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("twdiag.prom");
    std::fs::write(&page, "old").unwrap();
    let output = run(&["scan", LOG, "--textfile", page.to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains(&format!("code=\"31005\",source=\"{LOG}\"}}")), "{text}");
    assert!(!text.contains("process_"), "those are node_exporter's own");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
    let nowhere = directory.path().join("no/such.prom");
    let output = run(&["scan", LOG, "--textfile", nowhere.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot write"), "{}", stderr(&output));
}

#[test]
fn generic_codes_are_what_one_says_they_are() {
    let log = b"level=error code=30007\nlevel=error code=31005\nzoom code=30008\n";
    let codes = |arguments: &[&str]| -> Vec<u64> {
        matches(arguments, log).iter().map(|line| line["code"].as_u64().unwrap()).collect()
    };
    assert_eq!(codes(&["-"]), [31005]);
    assert_eq!(codes(&["--assume", "nothing", "-"]), [31005]);
    assert_eq!(codes(&["--assume", "twilio", "-"]), [30007, 31005]);
    let said = stdout(&run(&["--output", "json", "--listen", "none", "--assume", "twilio"], log));
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_page_lists_codes_that_the_catalogue_lacks_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("twdiag.prom");
    let log = b"Twilio error 30007\nTwilio error 30007\nTwilio error 21610\nTwilio error 31005\n";
    let output = run(&["scan", "--textfile", page.to_str().unwrap()], log);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(&page).unwrap();
    let mut counts: Vec<&str> = text.lines().filter(|line| line.contains("category=\"uncatalogued\"")).collect();
    counts.retain(|line| line.starts_with("twilio_errors_total") || line.starts_with("twilio_error_info"));
    assert_eq!(
        counts,
        [
            "twilio_error_info{category=\"uncatalogued\",code=\"21610\",family=\"\",group=\"\",name=\"\"} 1",
            "twilio_error_info{category=\"uncatalogued\",code=\"30007\",family=\"\",group=\"\",name=\"\"} 1",
            "twilio_error_info{category=\"uncatalogued\",code=\"other\",family=\"\",group=\"\",name=\"\"} 1",
            "twilio_errors_total{category=\"uncatalogued\",code=\"21610\",source=\"stdin\"} 1",
            "twilio_errors_total{category=\"uncatalogued\",code=\"30007\",source=\"stdin\"} 2",
            "twilio_errors_total{category=\"uncatalogued\",code=\"other\",source=\"stdin\"} 0",
        ]
    );
}

#[test]
fn what_holds_for_a_source_can_be_said_of_a_scan() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let long = format!("ERROR Twilio error 31005: lost {}\n", "x".repeat(20_000));
    std::fs::write(at("a.log"), long).unwrap();
    std::fs::write(at("debug.log"), "ERROR Twilio error 53405: no media\n").unwrap();
    let codes = |arguments: &[&str]| {
        let mut all = vec!["scan", "--format", "json"];
        all.extend(arguments);
        let found: Value = serde_json::from_str(&stdout(&run(&all, b"31005: Twilio error 31005\n"))).unwrap();
        let codes = found["codes"].as_array().unwrap().iter().map(|code| code["code"].as_u64().unwrap());
        (found["files"].as_u64().unwrap(), codes.collect::<Vec<_>>())
    };
    let (all, one) = (at(""), at("a.log"));
    assert_eq!(codes(&[&all]), (2, vec![31005, 53405]));
    assert_eq!(codes(&["--ignore", "31005", &all]), (2, vec![53405]));
    assert_eq!(codes(&["--exclude", "*/debug*", &all]), (1, vec![31005]));
    assert_eq!(codes(&["--exclude", "*", "-"]), (1, vec![31005]), "standard input has no name");
    let truncated = |limit: &str| {
        let page = at("page.prom");
        assert!(run(&["scan", "--line-limit", limit, "--textfile", &page, &one], b"").status.success());
        let page = std::fs::read_to_string(&page).unwrap();
        let line = page.lines().find(|line| line.starts_with("twdiag_truncated_lines_total")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!((truncated("16KiB").as_str(), truncated("32KiB").as_str()), ("1", "0"));
}
