//! What a log line may do to a terminal, a spreadsheet and a pipe: nothing.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{run, stderr, stdout, twdiag};

/// Attempts on whoever looks at the output: each is one record that reports 31005.
const ATTACKS: &[&str] = &[
    "\u{1b}[2J\u{1b}[31mConnectionError (31005): colours",
    "\u{1b}]0;title\u{7} ConnectionError (31005): \u{1b}]52;c;cm0gLXJm\u{1b}\\ title",
    "\u{9b}2J ConnectionError (31005): eight-bit",
    "ConnectionError (31005): \u{202e}live\u{2066}x\u{200b}\u{feff}",
    "ConnectionError (31005): shown\rhidden",
    "ConnectionError (31005): a\0b\u{7f}\u{8}\u{8}",
];

fn attacks() -> Vec<u8> {
    let mut log = ATTACKS.join("\n").into_bytes();
    log.extend_from_slice(b"\nConnectionError (31005): \xff\xfe\x9b broken\n");
    log
}

#[track_caller]
fn check_harmless(shown: &str) {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!shown.contains(harmful), "{shown:?}");
}

#[test]
fn nothing_reaches_a_terminal_unescaped() {
    let follow = ["--listen", "none", "--output"];
    for output in ["pretty", "json"] {
        let ran = run(&[&follow[..], &[output]].concat(), &attacks());
        assert!(ran.status.success());
        let shown = stdout(&ran);
        let each = if output == "json" { "\"code\":31005," } else { " 31005 Connection error" };
        assert_eq!(shown.matches(each).count(), ATTACKS.len() + 1, "{shown}");
        check_harmless(&shown);
    }
    for format in ["table", "json", "ndjson", "csv"] {
        check_harmless(&stdout(&run(&["scan", "-", "--format", format], &attacks())));
    }
}

#[test]
fn a_record_forges_no_line_of_output() {
    let log = b"ERROR ConnectionError (31005): x\n    at {\"code\":53405,\"category\":\"media\"}\n    \"\n";
    let shown = stdout(&run(&["scan", "-", "--format", "ndjson"], log));
    for line in shown.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert!(object["docs"].is_string(), "{line}");
    }
    let output = run(&["scan", "-", "--format", "csv"], log);
    assert!(
        stdout(&output)
            .lines()
            .all(|line| line.starts_with("time,") || line.starts_with(",-,") || line.starts_with(",'-,"))
    );
}

#[test]
fn a_cell_is_no_formula() {
    for start in ["=", "+", "-", "@"] {
        let log = format!("{start}cmd|x ConnectionError (31005): \"quoted\", y\n");
        let shown = stdout(&run(&["scan", "-", "--format", "csv"], log.as_bytes()));
        let mut csv = csv::Reader::from_reader(shown.as_bytes());
        let row = csv.records().next().unwrap_or_else(|| panic!("{shown}")).unwrap();
        assert_eq!(&row[6], format!("'{}", log.trim_end()));
    }
}

#[test]
fn secrets_stay_inside_unless_asked_for() {
    let log = b"ConnectionError (31005): caller alice@example.com\n";
    for (arguments, shown) in [(vec![], false), (vec!["--no-redact"], true)] {
        let output = run(&[&["scan", "-", "--format", "ndjson"], &arguments[..]].concat(), log);
        assert_eq!(stdout(&output).contains("alice@example.com"), shown, "{arguments:?}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let log = "ConnectionError (31005): x\n".repeat(20_000);
    for arguments in [&["--listen", "none", "--output", "json"][..], &["scan", "-", "--format", "ndjson"]] {
        let mut child =
            twdiag(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let log = log.clone();
        let writer = std::thread::spawn(move || stdin.write_all(log.as_bytes()).ok());
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(!stderr(&output).contains("roken pipe") && !stderr(&output).contains("panicked"), "{output:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command: Command = twdiag(&["scan", "examples/voice-backend.log", "--format", "ndjson"]);
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("No space left"), "{output:?}");
}

#[test]
fn is_worth_looking_at() {
    let log = "2026-11-22T10:00:00Z ERROR Twilio call failed: ConnectionError (31005): A connection error occurred\n\
               2026-11-22T10:00:07Z ERROR Twilio call failed: ConnectionError (31005): A connection error occurred\n\
               2026-11-22T10:00:09Z ERROR device offline\n    Caused by: Twilio.MediaErrors (53405): failed\n";
    let shown = stdout(&run(&["--listen", "none", "--output", "pretty"], log.as_bytes()));
    check_golden("pretty.txt", &shown);
    let shown = stdout(&run(&["explain", "53405"], b""));
    check_golden("explain.txt", &shown);
}

/// Compares with a file under `tests/data/output/`; `TWDIAG_BLESS=1` writes it instead.
#[track_caller]
fn check_golden(name: &str, shown: &str) {
    let path = format!("tests/data/output/{name}");
    if std::env::var_os("TWDIAG_BLESS").is_some() {
        std::fs::write(&path, shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap(), "{path}");
}
