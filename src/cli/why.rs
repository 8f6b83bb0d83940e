//! `why` and `check`: the rules explain themselves.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::bail;

use crate::detect::{Assume, Detector, Verdict};
use crate::diagnose;
use crate::output::escape;
use crate::problem::Problem;

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One record; without it, or as `-`, standard input is the record
    line: Option<String>,
}

/// Prints each line of the record with a caret under every number in it, and the rule that decided about each.
///
/// # Errors
/// Those of the standard streams.
pub fn run(arguments: &Arguments, detector: &Detector) -> anyhow::Result<ExitCode> {
    let record = match arguments.line.as_deref() {
        Some(line) if line != "-" => line.as_bytes().to_vec(),
        _ if std::io::stdin().is_terminal() => bail!("give a record to explain, or pipe one in"),
        _ => {
            let mut record = Vec::new();
            std::io::stdin().read_to_end(&mut record)?;
            record
        }
    };
    let mut out = anstream::stdout().lock();
    let decisions = detector.scanner(Assume::Nothing).decisions(&record);
    if decisions.is_empty() {
        writeln!(out, "no number of five digits stands here")?;
        return Ok(ExitCode::from(1));
    }
    let mut accepted = false;
    let mut start = 0;
    for line in record.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let here: Vec<_> = decisions.iter().filter(|(number, ..)| (start..end).contains(&number.start)).collect();
        writeln!(out, "{}", escape(String::from_utf8_lossy(line).trim_end()))?;
        if !here.is_empty() {
            let mut carets = String::new();
            for (number, ..) in &here {
                let before = escape(&String::from_utf8_lossy(&record[start..number.start]));
                let column = before.chars().count();
                carets.push_str(&" ".repeat(column - carets.chars().count().min(column)));
                carets.push_str("^^^^^");
            }
            writeln!(out, "{carets}")?;
        }
        for (_, code, rule) in here {
            let Some(rule) = rule.map(|rule| &detector.rules().all()[rule]) else {
                let known = if detector.catalog().get(*code).is_some() { "catalogued" } else { "not catalogued" };
                writeln!(out, "  {code} rejected: no rule matches ({known})")?;
                continue;
            };
            accepted |= rule.verdict == Verdict::Accept;
            let verdict = if rule.verdict == Verdict::Accept { "accepted" } else { "rejected" };
            writeln!(out, "  {code} {verdict} by {}: {}", escape(&rule.id), escape(&rule.description))?;
            for (name, place) in detector.rules().evidence_in(rule, &record) {
                writeln!(out, "        evidence {name}: {}", escape(&String::from_utf8_lossy(&record[place])))?;
            }
        }
        start = end;
    }
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs every rule's examples; exit code 1 where one fails.
///
/// # Errors
/// Those of the standard streams.
pub fn check(detector: &Detector) -> anyhow::Result<ExitCode> {
    let failures = failures(detector);
    for failure in &failures {
        writeln!(anstream::stderr(), "twdiag: {}", escape(failure))?;
    }
    let (rules, findings) = (detector.rules().all().len(), detector.findings().all().len());
    let codes = detector.catalog().entries().len();
    let count = failures.len();
    writeln!(anstream::stdout(), "{rules} rules, {findings} findings, {codes} codes, {count} failures")?;
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What the rules' examples show to be wrong with them.
fn failures(detector: &Detector) -> Vec<String> {
    let mut scanner = detector.scanner(Assume::Nothing);
    let mut failures = Vec::new();
    for (index, rule) in detector.rules().all().iter().enumerate() {
        let cases =
            rule.examples.iter().map(|text| (text, true)).chain(rule.near_misses.iter().map(|text| (text, false)));
        for (text, expected) in cases {
            let decisions = scanner.decisions(text.as_bytes());
            if decisions.iter().any(|(_, _, rule)| *rule == Some(index)) != expected {
                let by = decisions.iter().map(|(_, code, rule)| {
                    format!("{code} by {}", rule.map_or("none", |rule| detector.rules().all()[rule].id.as_str()))
                });
                let (path, decided) = (&rule.path, by.collect::<Vec<_>>().join(", "));
                let what = if expected { "does not decide its example" } else { "decides its near miss" };
                failures.push(format!("{path}: rule `{}` {what} `{text}` (decided: {decided})", rule.id));
            }
        }
    }
    failures.extend(diagnose::failures(detector.findings(), detector.catalog()).iter().map(Problem::to_string));
    failures
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::Catalog;
    use crate::detect::Rules;

    #[test]
    fn every_rule_decides_its_examples_and_no_near_miss() {
        let detector = Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded()));
        let failures = failures(&detector);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}
