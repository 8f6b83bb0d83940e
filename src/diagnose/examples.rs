//! Runs the examples of the rules.

use std::sync::Arc;

use jiff::Timestamp;

use super::now::Diagnosis;
use super::rules::{Example, Rules};
use super::{Report, minute, start};
use crate::catalog::Catalog;
use crate::problem::Problem;

/// What the examples show to be wrong with their rules.
pub fn failures(rules: &Arc<Rules>, catalog: &Catalog) -> Vec<Problem> {
    let mut failures = Vec::new();
    for (index, rule) in rules.all().iter().enumerate() {
        for example in &rule.examples {
            let found = run(rules, example, catalog);
            if found.contains(&index) != example.active {
                let named: Vec<&str> = found.iter().map(|other| rules.all()[*other].id.as_str()).collect();
                let found = if named.is_empty() { "nothing".to_owned() } else { named.join(", ") };
                let is_not = if example.active { "does not hold" } else { "holds" };
                failures.push(Problem {
                    path: rule.path.to_string(),
                    text: Arc::clone(&rule.text),
                    span: example.span.clone(),
                    message: format!("finding `{}` {is_not} after its example (what does: {found})", rule.id),
                    help: None,
                });
            }
        }
    }
    failures
}

/// The rules that hold at the end of an example, by their indices.
fn run(rules: &Arc<Rules>, example: &Example, catalog: &Catalog) -> Vec<usize> {
    let mut diagnosis = Diagnosis::new(Arc::clone(rules), Timestamp::UNIX_EPOCH);
    let mut events: Vec<_> = example.events.iter().enumerate().collect();
    events.sort_by_key(|(_, event)| event.at);
    let mut now = Timestamp::UNIX_EPOCH;
    for (index, event) in events {
        let at = Timestamp::UNIX_EPOCH.saturating_add(event.at).unwrap_or(now);
        wait(&mut diagnosis, now, at, example.sources);
        now = at;
        for n in 0..event.times {
            let call = format!("{index} {}", n % event.calls.max(1));
            let report = Report {
                at,
                code: event.code,
                category: catalog.category(event.code),
                source: &event.source,
                path: "-",
                place: (index, n),
                call: Some(&call),
                text: b"",
            };
            diagnosis.observe(&report, now);
        }
        diagnosis.advance(now, example.sources);
    }
    let end = now.saturating_add(example.after).unwrap_or(now);
    wait(&mut diagnosis, now, end, example.sources);
    let view = diagnosis.view(end);
    let holds = |id: &str| rules.all().iter().position(|rule| rule.id == id);
    view.active().filter_map(|finding| holds(&finding.id)).collect()
}

/// Lets the minutes pass that lie between, as they would.
fn wait(diagnosis: &mut Diagnosis, from: Timestamp, to: Timestamp, sources: usize) {
    // Past a day nothing is kept.
    for at in minute(from) + 1..=minute(to).min(minute(from) + 2 * 24 * 60) {
        diagnosis.advance(start(at), sources);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_holds_in_its_examples_and_no_other_does() {
        let (rules, catalog) = (Rules::embedded(), Catalog::embedded());
        let failures: Vec<String> = failures(&rules, &catalog).iter().map(Problem::to_string).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        for (index, rule) in rules.all().iter().enumerate() {
            for example in rule.examples.iter().filter(|example| example.active) {
                assert_eq!(run(&rules, example, &catalog), [index], "{}", rule.id);
            }
        }
    }

    #[test]
    fn a_wrong_example_is_shown_with_its_place() {
        let text = include_str!("../../rules/diagnose.toml");
        let at = text.find("active = true").unwrap();
        let (before, after) = text.split_at(at);
        let wrong = format!("{before}{}", after.replacen("true", "false", 1).replacen("false }", "true }", 2));
        let rules = Arc::new(Rules::layered(&[("mine.toml".into(), wrong)]).unwrap());
        let failures = failures(&rules, &Catalog::embedded());
        assert!(!failures.is_empty());
        assert!(failures.iter().all(|failure| failure.to_string().contains("mine.toml:")), "{failures:?}");
    }
}
