//! The alerts and the runbook: what they say is the catalogue's, and what they do is tested.

use std::fmt::Write as _;
use std::fs::read_to_string;
use std::process::Command;

use twdiag::catalog::{Catalog, Category, Entry};

use crate::kept::{assert_current, filled};
use crate::prometheus::installed;

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const RUNBOOK: &str = "docs/runbook.md";

/// What marks the end of what is written from the catalogue.
const END: &str = "end of the catalogue";

fn alerts() -> Vec<String> {
    let rules = read_to_string(ALERTS).unwrap();
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// A chain of conditions on `$code` in the language of Prometheus' templates.
fn template(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries.iter().filter(|entry| entry.category != Category::Call) {
        let word = if text.is_empty() { "if" } else { "else if" };
        writeln!(text, "{{{{- {word} eq $code \"{}\" }}}}\n{}", entry.code, entry.name).unwrap();
        if !entry.explanation.is_empty() {
            writeln!(text, "{}", entry.explanation).unwrap();
        }
        for solution in &entry.solutions {
            writeln!(text, "- {solution}").unwrap();
        }
    }
    text + "{{- end }}"
}

/// The section of one category.
fn section(entries: &[Entry], category: &str) -> String {
    let mut text = String::new();
    for entry in entries.iter().filter(|entry| entry.category.name() == category) {
        let Entry { code, name, explanation, causes, solutions, docs, .. } = entry;
        writeln!(text, "\n**[{code}]({docs}) {name}**").unwrap();
        if !explanation.is_empty() {
            writeln!(text, "\n{explanation}").unwrap();
        }
        for (word, texts) in [("Cause", causes), ("Solution", solutions)] {
            let lines: String = texts.iter().map(|text| format!("- {word}: {text}\n")).collect();
            if !lines.is_empty() {
                write!(text, "{}{lines}", if word == "Cause" || causes.is_empty() { "\n" } else { "" }).unwrap();
            }
        }
    }
    text + "\n"
}

#[test]
fn alerts_and_runbook_say_what_the_catalogue_says() {
    let catalog = Catalog::embedded();
    let kept = read_to_string(ALERTS).unwrap();
    assert_current(ALERTS, &filled(&kept, "/* catalogue:", END, |_| template(catalog.entries())));
    let kept = read_to_string(RUNBOOK).unwrap();
    let made = filled(&kept, "<!-- catalogue:", END, |category| section(catalog.entries(), category));
    assert_current(RUNBOOK, &made);
    for entry in catalog.entries() {
        assert_eq!(made.matches(&format!("\n**[{}](", entry.code)).count(), 1, "{}", entry.code);
    }
}

#[test]
fn each_alert_and_each_category_has_its_section_and_each_alert_its_test() {
    let (rules, runbook) = (read_to_string(ALERTS).unwrap(), read_to_string(RUNBOOK).unwrap());
    let tests = read_to_string("deploy/prometheus/tests.yml").unwrap();
    assert_eq!(alerts().len(), 15);
    for alert in alerts() {
        let link = format!("github.com/twdiag/twdiag/blob/main/{RUNBOOK}#{}\n", alert.to_lowercase());
        assert_eq!(rules.matches(&link).count(), 1, "{alert} links to its section");
        assert_eq!(runbook.matches(&format!("\n## {alert}\n")).count(), 1, "{alert} has a section");
        let story = format!("- name: {alert} ");
        let told: String = tests.split("\n\n").filter(|test| test.contains(&story)).collect();
        let fires = format!("alertname=\"{alert}\"");
        let (_, after) = told.split_once(&fires).unwrap_or_else(|| panic!("a test sees {alert} fire"));
        assert!(after.contains("exp_samples: []"), "a test sees {alert} resolve");
    }
    for category in Category::ALL {
        assert_eq!(runbook.matches(&format!("\n### {category}\n")).count(), 1, "{category} has a section");
    }
}

#[test]
fn rules_and_alerts_do_what_their_tests_say() {
    if !installed("promtool") {
        return;
    }
    for arguments in [
        &["check", "config", "deploy/prometheus/prometheus.yml"][..],
        &["check", "rules", "deploy/prometheus/rules.yml", ALERTS],
        &["test", "rules", "deploy/prometheus/tests.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
