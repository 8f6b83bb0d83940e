//! The status page and its API, in a real browser and against their description.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

use crate::program::{Serving, twdiag};
use crate::prometheus::installed;

/// A day of a voice backend that ends now: little noise, expired tokens in the morning, and no media since a while.
fn day(now: Timestamp) -> String {
    let mut lines = Vec::new();
    let mut call = 0_u32;
    let mut report = |lines: &mut Vec<(i64, String)>, age: i64, code: u32, what: &str| {
        call += 1;
        let at = now - SignedDuration::from_secs(age);
        let sid = format!("CA{:032x}", u128::from(call) * 0x9e37_79b9_7f4a_7c15);
        lines.push((
            age,
            format!(
                "{at:.3} ERROR voice-backend call={sid} from=+15005550{:03} Twilio error {code}: {what}\n",
                call % 1000
            ),
        ));
    };
    for n in 0..400_i64 {
        let age = n * 216 + (n * 7919) % 150;
        let (code, what) = [
            (31486, "Busy Here"),
            (31005, "ConnectionError: A connection error occurred"),
            (31009, "TransportError"),
            (31603, "Decline"),
            (31404, "Not Found"),
            (31486, "Busy Here"),
            (53001, "SignalingConnectionDisconnected"),
        ][n as usize % 7];
        // Only calls that end fall into the last hour: what is wrong then stands out.
        if age > 4000 || matches!(code, 31486 | 31603) {
            report(&mut lines, age, code, what);
        }
    }
    for n in 0..260_i64 {
        report(
            &mut lines,
            30_000 + (n * n) % 5400,
            20104,
            "AccessTokenExpired: the token of sip:agent@callio.example expired",
        );
    }
    for n in 0..140_i64 {
        report(
            &mut lines,
            n * 15 + (n % 3),
            53405,
            "MediaConnectionError: Raised by the Client or Server whenever a media connection fails",
        );
    }
    lines.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// A program that has read such a day, and its log.
fn serving(directory: &Path) -> (Serving, String) {
    let log = directory.join("voice.log");
    std::fs::write(&log, day(Timestamp::now())).unwrap();
    let log = log.to_str().unwrap().to_owned();
    // By its bare name: what a person sees is no place of one machine.
    let mut program = twdiag(&["voice.log", "--start-at", "beginning", "--output", "none"]);
    let serving = Serving::spawn(program.current_dir(directory));
    serving.wait_for(700);
    (serving, log)
}

/// Runs a script of `tests/browser/`; `None` where node is not there.
fn node(script: &str, arguments: &[&str]) -> Option<String> {
    /// The packages as the lock file has them, once for all tests.
    static INSTALLED: LazyLock<()> = LazyLock::new(|| {
        let kept = std::fs::read("tests/browser/node_modules/.package-lock.json").unwrap_or_default();
        let lock = std::fs::read_to_string("tests/browser/package-lock.json").unwrap();
        let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap_or_default();
        let versions = |of: &serde_json::Value| -> Vec<(String, serde_json::Value)> {
            let packages = of["packages"].as_object().into_iter().flatten();
            packages
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, of)| (name.clone(), of["version"].clone()))
                .collect()
        };
        if versions(&kept) != versions(&lock) {
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir("tests/browser");
            let output = npm.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    if !(installed("node") && installed("npm")) {
        return None;
    }
    LazyLock::force(&INSTALLED);
    let mut command = Command::new("node");
    let output = command.arg(format!("tests/browser/{script}")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Some(said)
}

/// `TWDIAG_UPDATE=1` also makes the pictures of the README.
#[test]
fn a_person_sees_what_is_wrong_in_a_browser() {
    if !installed("chromium") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("profile");
    std::fs::create_dir(&profile).unwrap();
    let (serving, log) = serving(directory.path());
    let mut arguments = vec![serving.address.as_str(), &log, profile.to_str().unwrap()];
    if std::env::var_os("TWDIAG_UPDATE").is_some() {
        arguments.push("docs/images");
    }
    if let Some(said) = node("page.mjs", &arguments) {
        assert!(said.contains("the verdict: One thing is wrong"), "{said}");
    }
}

#[test]
fn the_api_is_as_it_is_described() {
    let directory = tempfile::tempdir().unwrap();
    let (serving, _) = serving(directory.path());
    if let Some(said) = node("api.mjs", &[&serving.address, "src/http/openapi.json"]) {
        assert!(said.contains("5 answers"), "{said}");
    }
}

#[test]
fn the_page_can_run_and_fetch_nothing_else() {
    let serving = Serving::start(&["/nowhere/app.log"]);
    let answer = serving.get("/");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
    assert_eq!((body.matches("<script").count(), body.matches("<style").count()), (1, 1));
    for outside in [" src=", "@import", "url(", "<link", " style="] {
        assert!(!body.contains(outside), "{outside}");
    }
    // Who has read nothing does not say that all is well.
    for said in ["Nothing wrong was seen so far", "no file was found for /nowhere/app.log yet", "waits for a file"] {
        assert!(body.contains(said), "{said}: {body}");
    }
    assert!(serving.get("/nothing").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_stream_waits_for_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("calls");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let serving = Serving::start(&[fifo.to_str().unwrap()]);
    // It has looked.
    serving.get("/metrics");
    let page = serving.get("/");
    assert!(page.contains("up to date") && !page.contains("waits for a file"), "{page}");
    assert!(!page.contains("no file was found"), "{page}");
}

#[test]
fn looking_at_the_page_is_no_scrape() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    std::fs::write(&log, "").unwrap();
    let serving = Serving::start(&[log.to_str().unwrap()]);
    // What is written from here on is new to it: it has looked.
    serving.get("/metrics");
    crate::rig::append(&log, "ERROR Twilio request failed: https://www.twilio.com/docs/errors/64999\n");
    // The page comes to show the record, again and again; a scrape must still see the new code at 0 first.
    let start = std::time::Instant::now();
    while !serving.get("/api/v1/records").contains("64999") {
        assert!(start.elapsed().as_secs() < 60, "{}", serving.get("/api/v1/records"));
    }
    serving.get("/");
    let line = |page: &str| {
        page.lines()
            .find(|line| line.contains("code=\"64999\"") && line.starts_with("twilio_errors"))
            .map(str::to_owned)
    };
    assert!(line(&serving.get("/metrics")).unwrap().ends_with(" 0"));
    let page = serving.get("/metrics");
    assert!(line(&page).unwrap().ends_with(" 1"), "{page}");
}

#[test]
fn errors_that_name_no_call_are_not_said_to_have_affected_none() {
    let directory = tempfile::tempdir().unwrap();
    let (log, report) = (directory.path().join("app.log"), directory.path().join("report.html"));
    let call = format!("ERROR call CA{} failed: ConnectionError (53405)\n", "0".repeat(32));
    std::fs::write(&log, format!("ERROR AccessTokenExpired (20104): expired\n{call}")).unwrap();
    let log = log.to_str().unwrap();
    let serving = Serving::start(&["--start-at", "beginning", log]);
    serving.wait_for(2);
    crate::program::run(&["scan", "--report", report.to_str().unwrap(), log], b"");
    for page in [serving.get("/"), std::fs::read_to_string(&report).unwrap()] {
        let row = |category: &str| {
            let row = page.split(&format!("data-category=\"{category}\"")).nth(1).unwrap().split("</tr>").next();
            row.unwrap().rsplit("</td>").nth(1).unwrap().rsplit('>').next().unwrap().to_owned()
        };
        assert_eq!((row("auth"), row("media"), row("limit")), ("not named".into(), "1".into(), "0".into()), "{page}");
    }
}

/// The number after each `attribute="` of a page that follows `key="name"`.
fn figure(page: &str, key: &str, name: &str, attribute: &str) -> u64 {
    let rest = page.split(&format!("{key}=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("{key} {name}"));
    let rest = rest.split(&format!("{attribute}=\"")).nth(1).unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn a_report_has_the_numbers_of_the_json() {
    let directory = tempfile::tempdir().unwrap();
    let hostile = "ERROR Twilio Error 53405 <img src=x onerror=alert(1)></pre>\n";
    let path = directory.path().join("voice <b>&.log");
    std::fs::write(&path, day(Timestamp::from_second(1_763_000_000).unwrap()) + hostile).unwrap();
    let report = directory.path().join("report.html");
    let arguments = ["scan", "--format", "json", "--report", report.to_str().unwrap(), path.to_str().unwrap()];
    let output = crate::program::run(&arguments, b"");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let page = std::fs::read_to_string(&report).unwrap();
    for (category, count) in json["categories"].as_object().unwrap() {
        assert_eq!(figure(&page, "data-category", category, "data-errors"), count.as_u64().unwrap(), "{category}");
        assert_eq!(figure(&page, "data-category", category, "data-calls"), json["calls"][category].as_u64().unwrap());
    }
    let codes = json["codes"].as_array().unwrap();
    assert_eq!(page.matches(" data-code=").count(), codes.len());
    for code in codes {
        assert_eq!(
            figure(&page, "data-code", &code["code"].to_string(), "data-count"),
            code["count"].as_u64().unwrap()
        );
    }
    let findings: Vec<&str> =
        json["findings"].as_array().unwrap().iter().map(|of| of["id"].as_str().unwrap()).collect();
    let shown: Vec<&str> = page.split("data-finding=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(shown, findings);
    assert_eq!(findings, ["tokens-expire", "ice-turn"], "{}", json["findings"]);
    if installed("chromium") {
        let profile = directory.path().join("profile");
        std::fs::create_dir(&profile).unwrap();
        let picture = if std::env::var_os("TWDIAG_UPDATE").is_some() { "docs/images/report.png" } else { "" };
        node("report.mjs", &[report.to_str().unwrap(), profile.to_str().unwrap(), picture]);
    }
    // It opens without a network, runs nothing, and shows the name of a file as text.
    assert!(page.contains("Content-Security-Policy") && !page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("voice &lt;b&gt;&amp;.log") && page.contains("1 error of records that do not say"), "{page}");
}
