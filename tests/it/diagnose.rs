//! What twdiag says that the errors mean.

use std::time::Duration;

use serde_json::Value;

use crate::program::{Serving, run, stderr, stdout};
use crate::rig::{Rig, append};

const MINE: &str = r#"
[[finding]]
id = "our-gateway"
title = "Our gateway drops calls"
meaning = "It does so when it is full."
steps = ["Start another one."]
codes = [31005, "media"]
count = 2
window = "5m"
examples = [
    { events = [{ at = "0s", code = 31005 }, { at = "2m", code = 53405 }], active = true },
    { events = [{ at = "0s", code = 31005 }, { at = "7m", code = 53405 }], active = false },
]
"#;

#[test]
fn users_add_findings_and_check_runs_their_examples() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&["check", "--rules", path.to_str().unwrap()], b"")
    };
    let output = check(MINE);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("17 findings"), "{}", stdout(&output));
    let output = check(&MINE.replace("7m", "3m"));
    assert_eq!(output.status.code(), Some(1));
    for told in ["mine.toml:12:5", "finding `our-gateway` holds after its example"] {
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
    let output = check(&MINE.replace("count", "cuont"));
    assert_eq!(output.status.code(), Some(2));
    for told in ["mine.toml:8:1", "did you mean `count`?"] {
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
}

fn storm(code: u32, from: u32, count: u32) -> String {
    let line = |n: u32| {
        let (second, call) = (n % 60, format!("CA{n:032x}"));
        format!(
            "2026-11-22T10:{:02}:{second:02}Z ERROR Twilio call {call} to sip:bob@example.com failed: Error {code}\n",
            from + n / 12
        )
    };
    (0..count).map(line).collect()
}

#[test]
fn scan_tells_what_the_errors_mean() {
    let log = storm(53405, 5, 40) + &storm(31202, 30, 5) + "ERROR Twilio Error 31202 without a time\n";
    let output = run(&["scan", "--format", "json"], log.as_bytes());
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let findings = found["findings"].as_array().unwrap();
    let ids: Vec<_> = findings.iter().map(|of| (of["id"].as_str().unwrap(), of["count"].as_u64().unwrap())).collect();
    assert_eq!(ids, [("ice-turn", 40), ("wrong-credentials", 5)]);
    assert_eq!(
        (&findings[0]["start"], &findings[0]["end"]),
        (&"2026-11-22T10:05:00Z".into(), &"2026-11-22T10:08:39Z".into())
    );
    assert_eq!((&findings[1]["active"], &findings[1]["end"]), (&true.into(), &Value::Null));
    assert_eq!(
        (&findings[0]["calls"], &found["calls"]["media"], &found["undated"]),
        (&40.into(), &40.into(), &1.into())
    );
    let text = findings[0]["first"]["text"].as_str().unwrap();
    assert!(text.contains("sip:[user]@"), "redacted: {text}");
    let media = found["timeline"]["categories"]["media"].as_array().unwrap();
    assert_eq!(media.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 40);

    let table = run(&["scan"], log.as_bytes());
    for told in [
        "(ice-turn)",
        "40 errors, 40 calls, 2026-11-22 10:05 to 10:08 UTC. First:",
        " media        ",
        "each mark 1 min",
    ] {
        assert!(stdout(&table).contains(told), "{told}: {}", stdout(&table));
    }
    assert!(stdout(&table).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&table));

    let lines = |arguments: &[&str]| -> Vec<Value> {
        let output = run(&[&["scan", "--format", "ndjson"], arguments].concat(), log.as_bytes());
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert!(lines(&[]).iter().all(|object| object["type"].is_null() && object["code"].is_number()));
    let objects = lines(&["--findings"]);
    let kinds: Vec<_> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "match").count(), 46);
    assert_eq!(kinds[46..], ["finding", "finding"]);
    assert_eq!(objects[46]["id"], "ice-turn");
}

#[test]
fn the_same_however_many_threads_read() {
    let directory = tempfile::tempdir().unwrap();
    for (name, log) in [("a", storm(53405, 5, 40)), ("b", storm(31202, 30, 50)), ("c", storm(31503, 6, 30))] {
        std::fs::write(directory.path().join(format!("{name}.log")), log).unwrap();
    }
    let scan = |threads| {
        let arguments = ["scan", "--format", "json", "--threads", threads, directory.path().to_str().unwrap()];
        stdout(&run(&arguments, b""))
    };
    let one = scan("1");
    assert!(one.contains("\"ice-turn\"") && one.contains("\"twilio-trouble\""), "{one}");
    for threads in ["2", "3"] {
        assert_eq!(scan(threads), one, "{threads} threads");
    }
}

#[test]
fn a_gate_fails_on_what_it_names() {
    let log = storm(53405, 5, 3) + &storm(20101, 5, 1);
    let code = |fail_on: &str, log: &str| {
        run(&["scan", "--format", "json", "--fail-on", fail_on], log.as_bytes()).status.code()
    };
    for (fail_on, expected) in [
        ("media", 3),
        ("auth,limit", 3),
        ("limit,server", 0),
        ("media:3", 3),
        ("media:4", 0),
        ("53405", 3),
        ("53405:4,20101:2", 0),
        ("53405:4,20101", 3),
        ("medai", 2),
        ("media:0", 2),
        ("1234", 2),
    ] {
        assert_eq!(code(fail_on, &log), Some(expected), "{fail_on}");
    }
    assert_eq!(code("media", "all is well\n"), Some(0), "finding nothing is what a gate is for");
    let output = run(&["scan", "--fail-on", "medai"], log.as_bytes());
    assert!(stderr(&output).contains("did you mean `media`?"), "{}", stderr(&output));
}

#[test]
fn following_says_what_holds_and_when_it_is_over() {
    let mut rig = Rig::new("app.log");
    rig.start();
    let active =
        |rig: &mut Rig| -> Vec<String> { rig.scrape().seen.active().map(|finding| finding.id.clone()).collect() };
    // A backlog raises nothing: its records are older than any window.
    append(&rig.path("app.log"), &storm(53405, 5, 100).replace("2026-", "2025-"));
    assert_eq!(active(&mut rig), [""; 0]);
    assert!(rig.errors() >= 100);
    // Records without a time happen when they arrive.
    for n in 0..6 {
        append(&rig.path("app.log"), &format!("ERROR Twilio call CA{n:032x} failed: Error 53405\n"));
    }
    assert_eq!(active(&mut rig), ["ice-turn"]);
    let seen = std::sync::Arc::clone(&rig.scrape().seen);
    let finding = seen.active().next().unwrap();
    assert_eq!((finding.count, finding.calls, finding.codes.len()), (6, 6, 1));
    assert_eq!(seen.calls[0][2], 6, "calls within the hour whose errors are of media");
    rig.pass(Duration::from_secs(300));
    assert_eq!(active(&mut rig), ["ice-turn"]);
    // Nobody asks while it ends; what is published says so all the same.
    rig.pass(Duration::from_secs(400));
    let seen = &rig.follower.as_ref().unwrap().published().seen;
    assert_eq!(seen.active().count(), 0);
    assert!(seen.findings[0].id == "ice-turn" && seen.findings[0].end.is_some());
}

#[test]
fn findings_stand_among_the_matches() {
    let log: String = (0..6).map(|n| format!("ERROR Twilio call CA{n:032x} failed: Error 53405\n")).collect();
    let output = run(&["--listen", "none", "--output", "json", "--findings"], log.as_bytes());
    let objects: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "match").count(), 6);
    let finding = objects.iter().find(|object| object["type"] == "finding").unwrap();
    assert_eq!((&finding["id"], &finding["active"]), (&"ice-turn".into(), &true.into()));
    let plain = run(&["--listen", "none", "--output", "json"], log.as_bytes());
    assert!(stdout(&plain).lines().count() == 6 && !stdout(&plain).contains("\"type\""));
    let pretty = run(&["--listen", "none", "--output", "pretty", "--findings"], log.as_bytes());
    assert!(stdout(&pretty).contains("wrong: Media does not connect: ICE or TURN (ice-turn)"), "{}", stdout(&pretty));
}

#[test]
fn metrics_show_every_finding_and_the_calls() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    std::fs::write(&log, "").unwrap();
    let serving = Serving::start(&[log.to_str().unwrap()]);
    let page = serving.get("/metrics");
    assert_eq!(page.matches("\ntwdiag_finding_active{").count(), 16, "{page}");
    assert_eq!(page.matches("} 1\ntwdiag_finding_active").count(), 0);
    assert_eq!(page.matches("\ntwilio_error_calls{").count(), 20);
    for n in 0..6 {
        append(&log, &format!("ERROR Twilio call CA{n:032x} failed: Error 53405\n"));
    }
    assert_eq!(serving.wait_for(6).get("media"), Some(&6));
    let page = serving.get("/metrics");
    assert!(page.contains("twdiag_finding_active{finding=\"ice-turn\"} 1\n"), "{page}");
    assert!(page.contains("twilio_error_calls{category=\"media\",window=\"1h\"} 6\n"), "{page}");
}
