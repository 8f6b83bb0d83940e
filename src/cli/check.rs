//! `check`: whether everything that is configured can be used, and every rule and finding decides its examples.

use std::io::Write;
use std::process::ExitCode;

use super::follow;
use crate::config::{self, Config, Given};
use crate::detect::{Assume, Detector, Rule};
use crate::diagnose;
use crate::http::WebConfig;
use crate::output::escape;
use crate::problem::Problem;

/// Examples that a rule needs: one shows what is meant, the second that not only its words are.
const EXAMPLES: usize = 2;

/// How many times further the rules may look back from a number for one of them before `check` warns of it.
const COSTLY: f64 = 1.5;

/// What that is measured on: lines of the kind that logs mostly hold, whose numbers are no codes.
const SAMPLE: [&str; 4] = [
    "2026-01-01T00:00:00.123Z INFO voice-gw[31005]: request served method=POST path=/voice status=200 bytes=53405 ms=20104 trace=4bf92f3577b34da6a3ce929d0e0e4736 span=00f067aa0ba902b7 agent=\"Mozilla/5.0 (X11; Linux x86_64)\"",
    "Jan  1 00:00:00 box9 sshd[31005]: Accepted publickey for deploy from 10.0.0.1 port 53405 ssh2: ED25519 SHA256:1b40eab0b4718839cadb33a644cda08f and so on",
    "10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET /orders/31005 HTTP/1.1\" 200 53405 \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:138.0) Gecko/20100101 Firefox/138.0\"",
    "{\"level\":\"info\",\"time\":\"2026-01-01T00:00:00Z\",\"pid\":31005,\"msg\":\"order stored\",\"order\":53405,\"elapsed\":20104,\"host\":\"box9\",\"service\":\"orders\",\"tags\":[\"a\",\"b\"]}",
];

/// What to say of it, and what would be followed.
#[derive(Debug, clap::Args)]
#[group(id = "check")]
pub struct Arguments {
    /// Print the configuration as it is in effect, every key with its value
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    pub(super) follow: follow::Arguments,
}

/// Looks at what the configuration names, and runs every rule's examples; or prints what is in effect.
///
/// # Errors
/// A web configuration that cannot be used, rules too large to compile, and those of the standard streams.
pub fn run(config: Config, printed: Option<Given>) -> anyhow::Result<ExitCode> {
    config::warn(&config.absent);
    if let Some(file) = &config.page.web_config {
        WebConfig::open(file)?;
    }
    if let Some(given) = printed {
        write!(anstream::stdout(), "{}", given.print()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    examples(&config.detector)
}

/// Runs every example; exit code 1 where one fails. What only costs time is a warning.
fn examples(detector: &Detector) -> anyhow::Result<ExitCode> {
    let failures = failures(detector);
    let mut err = anstream::stderr();
    for failure in &failures {
        writeln!(err, "twdiag: {}", escape(failure))?;
    }
    for warning in warnings(detector)? {
        writeln!(err, "twdiag: warning: {}", escape(&warning))?;
    }
    let (rules, findings) = (detector.rules().all().len(), detector.findings().all().len());
    let codes = detector.catalog().entries().len();
    let count = failures.len();
    writeln!(anstream::stdout(), "{rules} rules, {findings} findings, {codes} codes, {count} failures")?;
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What the examples show to be wrong with the rules and findings.
fn failures(detector: &Detector) -> Vec<String> {
    let mut scanner = detector.scanner(Assume::Nothing);
    let mut failures = Vec::new();
    let rules = detector.rules().all();
    for (index, rule) in rules.iter().enumerate() {
        let Rule { id, path, .. } = rule;
        let mut decided_by = |text: &str| -> Vec<(u32, Option<usize>)> {
            let decisions = scanner.decisions(text.as_bytes());
            decisions.into_iter().map(|(_, code, rule)| (code.get(), rule)).collect()
        };
        let mut fail = |what: &str, text: &str, by: &[(u32, Option<usize>)]| {
            let by = by
                .iter()
                .map(|(code, rule)| format!("{code} by {}", rule.map_or("none", |rule| rules[rule].id.as_str())));
            let by = by.collect::<Vec<_>>().join(", ");
            failures.push(format!("{path}: rule `{id}` {what} `{text}` (decided: {by})"));
        };
        let mut decides = 0;
        for text in &rule.examples {
            let by = decided_by(text);
            if by.iter().any(|(_, rule)| *rule == Some(index)) {
                decides += 1;
            } else {
                fail("does not decide its example", text, &by);
            }
        }
        for text in &rule.near_misses {
            let by = decided_by(text);
            if by.iter().any(|(_, rule)| *rule == Some(index)) {
                fail("decides its near miss", text, &by);
            }
        }
        if decides == 0 {
            failures
                .push(format!("{path}: rule `{id}` never decides: a rule before it does, or its patterns do not fit"));
        }
        if rule.examples.len() < EXAMPLES {
            failures
                .push(format!("{path}: rule `{id}` has {} of {EXAMPLES} examples: add another", rule.examples.len()));
        }
    }
    failures.extend(diagnose::failures(detector.findings(), detector.catalog()).iter().map(Problem::to_string));
    failures
}

/// A warning for each rule for whose sake every number costs much more.
fn warnings(detector: &Detector) -> anyhow::Result<Vec<String>> {
    let rules = detector.rules();
    let costly = rules.all().iter().zip(rules.costs(&SAMPLE)?).filter(|(_, factor)| *factor >= COSTLY);
    let warning = |(Rule { id, path, .. }, factor): (&Rule, f64)| {
        format!(
            "{path}: rule `{id}` makes the rules look back {factor:.1} times as far from every number: end its `before` in a literal, as in `code=`, so that it is left at the first other byte"
        )
    };
    Ok(costly.map(warning).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::Catalog;
    use crate::detect::Rules;

    fn detector(rules: &str) -> Detector {
        let rules = Rules::layered(&[("mine.toml".to_owned(), rules.to_owned())]).unwrap();
        Detector::new(Arc::new(Catalog::embedded()), Arc::new(rules))
    }

    #[track_caller]
    fn check(rules: &str, expected: &[&str]) {
        let failures = failures(&detector(rules));
        let named: Vec<&str> = failures.iter().map(String::as_str).collect();
        assert_eq!(named.len(), expected.len(), "{named:#?}");
        for (failure, expected) in named.iter().zip(expected) {
            assert!(failure.contains(expected), "{failure}");
        }
    }

    #[test]
    fn every_rule_decides_its_examples_and_no_near_miss() {
        check("", &[]);
    }

    #[test]
    fn names_what_is_wrong_with_a_rule() {
        let rule = |before: &str, examples: &str, near_misses: &str| {
            format!(
                "[[rule]]\nid = \"mine\"\ndescription = \"x\"\nreject = \"any\"\nbefore = '{before}'\nexamples = [{examples}]\nnear_misses = [{near_misses}]\n"
            )
        };
        check(&rule("acme=", "'acme=31005', 'acme=31009'", "'b=31005'"), &[]);
        check(&rule("acme=", "'acme=31005'", "'b=31005'"), &["1 of 2 examples"]);
        check(&rule("acme=", "'acme=31005', 'b=31009'", "'b=31005'"), &["does not decide its example `b=31009`"]);
        check(&rule("acme=", "'acme=31005', 'acme=31009'", "'acme=31005'"), &["decides its near miss"]);
        check(
            &rule("acmee=", "'acme=31005', 'acme=31009'", "'b=31005'"),
            &["does not decide", "does not decide", "never decides"],
        );
    }

    #[test]
    fn warns_of_a_rule_by_its_factor() {
        let rule = |id: &str, before: &str| {
            format!(
                "[[rule]]\nid = \"{id}\"\ndescription = \"x\"\nreject = \"any\"\nbefore = '{before}'\nexamples = ['a 31005']\nnear_misses = ['b']\n"
            )
        };
        let warned = warnings(&detector(&(rule("far", "x[^x]{1,200}") + &rule("near", "acme=")))).unwrap();
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].contains("rule `far` makes the rules look back"), "{warned:?}");
        let anywhere = rule("any", "").replace("before = ''", "after = ';'").replace("reject", "accept");
        assert!(warnings(&detector(&anywhere)).unwrap()[0].contains("rule `any`"));
        assert_eq!(warnings(&detector("")).unwrap(), [""; 0], "ours cost little");
    }
}
