//! The demo's day: minute by minute through the follower and the alerts as shipped, and once for real.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use twdiag::metrics;
use twdiag::reload::Outcome;

use crate::prometheus::{get, installed};
use crate::rig::{Rig, append};

/// When the rig's clock starts, in seconds since 1970.
const START: i64 = 1_790_000_000;

/// The scenes, in minutes since the day's start, as `deploy/demo/run` has them.
const EXPIRY: usize = 3 * 60;
const OUTAGE: usize = 8 * 60;
const DEPLOY: usize = 13 * 60;

/// When each alert fires, from the first minute to the last. A count of ten minutes holds until nine after a scene.
const ALERTS: &[(&str, usize, usize)] = &[
    ("TwilioAuthFailuresBeginning", EXPIRY + 1, EXPIRY + 69),
    ("TwilioAuthFailuresBurning", EXPIRY + 9, EXPIRY + 68),
    ("TwilioCodeNeverSeen", EXPIRY + 1, EXPIRY + 10),
    ("TwilioMediaFailureShare", OUTAGE + 2, OUTAGE + 68),
    ("TwilioMediaFailures", OUTAGE + 7, OUTAGE + 63),
    ("TwilioCodeNeverSeen", OUTAGE + 1, OUTAGE + 10),
    ("TwilioAuthFailuresBeginning", DEPLOY + 1, DEPLOY + 69),
    ("TwilioAuthFailuresBurning", DEPLOY + 4, DEPLOY + 66),
    ("TwilioCodeNeverSeen", DEPLOY + 1, DEPLOY + 10),
    ("TwilioCodeNewAfterStart", DEPLOY + 1, DEPLOY + 24),
];

/// The scene that each finding holds in: it begins within ten minutes, and ends with its window.
const FINDINGS: &[(&str, usize)] = &[("tokens-expire", EXPIRY), ("ice-turn", OUTAGE), ("wrong-credentials", DEPLOY)];

/// The day's lines; those of a minute bear its time.
fn day() -> Option<Vec<String>> {
    if !installed("python3") {
        return None;
    }
    let output = Command::new("deploy/demo/run").args(["day", &START.to_string()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// What the page says at each minute of the day, by series.
fn play(lines: &[String]) -> BTreeMap<String, Vec<f64>> {
    let mut rig = Rig::new("voice.log");
    append(&rig.path("voice.log"), "");
    rig.start();
    let mut pages: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let minute_of = |line: &String| {
        let time: jiff::Timestamp = line.split(' ').next().unwrap().parse().unwrap();
        usize::try_from((time.as_second() - START) / 60).unwrap()
    };
    let read = Outcome { is_successful: true, last_success: jiff::Timestamp::UNIX_EPOCH };
    let mut rest = lines;
    for minute in 0..=18 * 60 {
        let page = metrics::render(rig.scrape(), read).unwrap();
        for sample in page.lines().filter(|line| line.starts_with("tw")) {
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let values = pages.entry(series.to_owned()).or_default();
            values.resize(minute, f64::NAN);
            values.push(value.parse().unwrap());
        }
        let (now, later) = rest.split_at(rest.iter().take_while(|line| minute_of(line) <= minute).count());
        rest = later;
        append(&rig.path("voice.log"), &now.iter().map(|line| format!("{line}\n")).collect::<String>());
        rig.clock.by(Duration::from_secs(60));
        rig.wake();
    }
    pages
}

/// A test for promtool: these pages, and which alerts fire in each minute.
fn story(pages: &BTreeMap<String, Vec<f64>>) -> String {
    let rules = format!("{}/deploy/prometheus", env!("CARGO_MANIFEST_DIR"));
    let mut story = format!(
        "rule_files: [{rules}/rules.yml, {rules}/alerts.yml]\nevaluation_interval: 1m\n\
         group_eval_order: [twilio-errors, twilio, twdiag]\ntests:\n- interval: 1m\n  input_series:\n"
    );
    let mut add = |series: &str, values: &str| {
        writeln!(story, "  - {{series: '{series}', values: '{values}'}}").unwrap();
    };
    for (series, values) in pages {
        let series = match series.split_once('{') {
            Some((name, labels)) => format!("{name}{{job=\"twdiag\",instance=\"a\",{labels}"),
            None => format!("{series}{{job=\"twdiag\",instance=\"a\"}}"),
        };
        let value = |value: &f64| if value.is_nan() { "_".to_owned() } else { value.to_string() };
        // Promtool holds ten thousand samples at most: what stays at zero all day is left out.
        if values.iter().any(|value| *value != 0.0) && !series.starts_with("twilio_error_info") {
            add(&series, &values.iter().map(value).collect::<Vec<_>>().join(" "));
        }
    }
    let minutes = 18 * 60;
    add("up{job=\"twdiag\",instance=\"a\"}", &format!("1x{minutes}"));
    add("up{job=\"voice-backend\",instance=\"x\"}", &format!("1x{minutes}"));
    let started = format!("0x{} {}x{}", DEPLOY - 1, DEPLOY * 60, minutes - DEPLOY);
    add("process_start_time_seconds{job=\"voice-backend\",instance=\"x\"}", &started);
    story += "  promql_expr_test:\n";
    for minute in 0..=minutes {
        let firing: BTreeMap<&str, ()> = ALERTS
            .iter()
            .filter(|(_, first, last)| (*first..=*last).contains(&minute))
            .map(|(alert, ..)| (*alert, ()))
            .collect();
        let samples: Vec<String> =
            firing.keys().map(|alert| format!("{{labels: '{{alertname=\"{alert}\"}}', value: 1}}")).collect();
        let expression = "group by (alertname) (ALERTS{alertstate=\"firing\"})";
        let samples = samples.join(", ");
        writeln!(story, "  - {{eval_time: {minute}m, expr: '{expression}', exp_samples: [{samples}]}}").unwrap();
    }
    story
}

#[test]
fn each_scene_raises_its_finding_and_its_alerts_and_none_else() {
    let Some(lines) = day() else { return };
    if !installed("promtool") {
        return;
    }
    let pages = play(&lines);
    let mut held = Vec::new();
    for (series, values) in &pages {
        let Some((_, finding)) = series.split_once("twdiag_finding_active{finding=\"") else { continue };
        let holds = |minute: &usize| values[*minute] == 1.0;
        let (Some(first), Some(last)) = ((0..values.len()).find(holds), (0..values.len()).rev().find(holds)) else {
            continue;
        };
        assert!((first..=last).all(|minute| values[minute] == 1.0), "{finding} holds without a break");
        held.push((finding.trim_end_matches("\"}"), first, last));
    }
    held.sort_by_key(|(_, first, _)| *first);
    assert_eq!(held.len(), FINDINGS.len(), "{held:?}");
    for ((finding, first, last), (expected, scene)) in held.into_iter().zip(FINDINGS) {
        assert_eq!(finding, *expected);
        assert!((scene + 1..=scene + 10).contains(&first), "{finding} begins at {first}");
        assert!((scene + 55..=scene + 75).contains(&last), "{finding} ends at {last}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("day.yml");
    std::fs::write(&path, story(&pages)).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", said.lines().take(60).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_demo_runs() {
    let Some(lines) = day() else { return };
    if !installed("prometheus") {
        return;
    }
    let reported = lines.iter().filter(|line| !line.contains(" bridged ") && line.contains(" (")).count();
    let mut demo = Command::new("deploy/demo/run")
        .args(["--speed", "7200", "--twdiag", env!("CARGO_BIN_EXE_twdiag")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut address = |what: &str| {
        let line = said.find(|line| line.starts_with(what)).unwrap();
        line.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned()
    };
    let (twdiag, prometheus) = (address("the counts"), address("the alerts"));
    assert!(get(&twdiag, "/metrics").unwrap().contains("twilio_errors_total"));
    let query = format!("/api/v1/query?query=sum(twilio_errors_total)=={reported}");
    let start = Instant::now();
    while !get(&prometheus, &query).unwrap().contains("\"value\"") {
        assert!(start.elapsed() < Duration::from_secs(120), "the day's {reported} errors");
    }
    let rules = get(&prometheus, "/api/v1/rules").unwrap();
    assert!(rules.contains("TwilioAuthFailuresBeginning") && !rules.contains("\"health\":\"err\""), "{rules}");
    let stopped = Command::new("kill").arg(demo.id().to_string()).status().unwrap();
    assert!(stopped.success() && demo.wait().unwrap().success());
    assert!(get(&twdiag, "/metrics").is_none() && get(&prometheus, "/-/ready").is_none(), "nothing is left running");
}

#[test]
fn the_compose_file_mounts_what_is_there() {
    let compose: serde_json::Value =
        serde_saphyr::from_str(&std::fs::read_to_string("deploy/demo/compose.yml").unwrap()).unwrap();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["backend", "grafana", "prometheus", "twdiag"]);
    let volumes = services.values().filter_map(|service| service["volumes"].as_array()).flatten();
    let mut mounted = 0;
    for volume in volumes.map(|volume| volume.as_str().unwrap()).filter(|volume| volume.starts_with('.')) {
        let path = std::path::Path::new("deploy/demo").join(volume.split(':').next().unwrap());
        assert!(path.exists(), "{volume}");
        mounted += 1;
    }
    assert_eq!(mounted, 4);
}
