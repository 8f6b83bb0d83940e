//! `why`: which rule decided about each number of a record, and what it went by.

use std::io::{IsTerminal, Read, Write};
use std::ops::Range;
use std::process::ExitCode;

use anyhow::bail;
use jiff::Zoned;
use serde_json::{Value, json};

use super::Format;
use crate::detect::{Assume, Detector, Rule, Verdict, record_time};
use crate::output::escape;
use crate::record::Code;

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One record; without it, or as `-`, standard input is the record
    line: Option<String>,
    /// How to print it: `table` for people, or `json`
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Explain it as in a source of which the configuration says that generic codes are Twilio's
    #[arg(long, value_enum, default_value_t = Assume::Nothing)]
    assume: Assume,
}

/// A number of the record, and what was decided about it.
struct Decided<'a> {
    place: Range<usize>,
    code: Code,
    rule: Option<&'a Rule>,
}

impl Decided<'_> {
    fn is_accepted(&self) -> bool {
        self.rule.is_some_and(|rule| rule.verdict == Verdict::Accept)
    }
}

/// Prints the record with every number in it, and the rule that decided about each; exit code 1 where none is a code.
///
/// # Errors
/// Those of the standard streams, and a format that there is not.
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
    let decisions = detector.scanner(arguments.assume).decisions(&record);
    let decided: Vec<Decided<'_>> = decisions
        .into_iter()
        .map(|(place, code, rule)| Decided { place, code, rule: rule.map(|rule| &detector.rules().all()[rule]) })
        .collect();
    let mut out = anstream::stdout().lock();
    match arguments.format {
        Format::Table => print(&record, &decided, detector, &mut out)?,
        Format::Json => writeln!(out, "{}", object(&record, &decided, detector))?,
        Format::Ndjson | Format::Csv => bail!("`why` prints `--format table` or `--format json`"),
    }
    Ok(if decided.iter().any(Decided::is_accepted) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Each line of the record with a caret under every number, and below it what was decided.
fn print(record: &[u8], decided: &[Decided<'_>], detector: &Detector, out: &mut impl Write) -> anyhow::Result<()> {
    if decided.is_empty() {
        writeln!(out, "no number of five digits stands here")?;
        return Ok(());
    }
    let mut start = 0;
    for line in record.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let here: Vec<_> = decided.iter().filter(|number| (start..end).contains(&number.place.start)).collect();
        writeln!(out, "{}", escape(String::from_utf8_lossy(line).trim_end()))?;
        if !here.is_empty() {
            let mut carets = String::new();
            for number in &here {
                let before = escape(&String::from_utf8_lossy(&record[start..number.place.start]));
                let column = before.chars().count();
                carets.push_str(&" ".repeat(column - carets.chars().count().min(column)));
                carets.push_str("^^^^^");
            }
            writeln!(out, "{carets}")?;
        }
        for number in here {
            let Decided { place, code, rule } = number;
            let Some(rule) = rule else {
                let known = if detector.catalog().get(*code).is_some() { "catalogued" } else { "not catalogued" };
                writeln!(out, "  {code} rejected: no rule matches ({known})")?;
                continue;
            };
            let verdict = if number.is_accepted() { "accepted" } else { "rejected" };
            writeln!(out, "  {code} {verdict} by {}: {}", escape(&rule.id), escape(&rule.description))?;
            for (name, place) in detector.rules().evidence_of(rule, record, place) {
                writeln!(out, "        {}: {}", escape(name), escape(&String::from_utf8_lossy(&record[place])))?;
            }
            let lacks = detector.rules().lacks_of(rule);
            if !lacks.is_empty() {
                writeln!(out, "        nowhere: {}", escape(&lacks.join(", ")))?;
            }
        }
        start = end;
    }
    if let Some(time) = record_time(record, &Zoned::now()) {
        let zone = if time.assumed_local { " (the record names no zone: taken as local)" } else { "" };
        writeln!(out, "time {}{zone}", time.at)?;
    }
    Ok(())
}

fn object(record: &[u8], decided: &[Decided<'_>], detector: &Detector) -> Value {
    let text = |place: Range<usize>| String::from_utf8_lossy(&record[place]).into_owned();
    let number = |number: &Decided<'_>| {
        let Decided { place, code, rule } = number;
        let line = record[..place.start].split(|byte| *byte == b'\n');
        let (lines, column) =
            line.fold((0, 0), |(lines, _), line| (lines + 1, String::from_utf8_lossy(line).chars().count() + 1));
        let evidence = rule.map_or(Vec::new(), |rule| detector.rules().evidence_of(rule, record, place));
        json!({
            "number": code,
            "offset": place.start,
            "line": lines,
            "column": column,
            "catalogued": detector.catalog().get(*code).is_some(),
            "verdict": if number.is_accepted() { "accepted" } else { "rejected" },
            "rule": rule.map(|rule| &rule.id),
            "description": rule.map(|rule| &rule.description),
            "evidence": evidence
                .into_iter()
                .map(|(name, place)| json!({ "name": name, "offset": place.start, "text": text(place) }))
                .collect::<Vec<_>>(),
            "lacks": rule.map_or(Vec::new(), |rule| detector.rules().lacks_of(rule)),
        })
    };
    let time = record_time(record, &Zoned::now());
    json!({
        "record": String::from_utf8_lossy(record),
        "time": time.map(|time| time.at),
        "time_zone_assumed": time.map(|time| time.assumed_local),
        "numbers": decided.iter().map(number).collect::<Vec<_>>(),
    })
}
