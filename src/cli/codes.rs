//! `explain` and `codes`: what the catalogue says.

use std::io::Write;
use std::process::ExitCode;

use super::Format;
use crate::catalog::{Catalog, Entry};
use crate::output;
use crate::record::Code;

/// Which codes to explain.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    /// The codes
    #[arg(required = true, value_name = "CODE", value_parser = clap::value_parser!(u32).range(10_000..=99_999))]
    codes: Vec<u32>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How to list the catalogue.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Explains codes; exit code 1 where the catalogue lacks one.
///
/// # Errors
/// Those of standard output.
pub fn explain(arguments: &ExplainArguments, catalog: &Catalog) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    let mut exit = ExitCode::SUCCESS;
    for code in arguments.codes.iter().filter_map(|code| Code::new(*code)) {
        match catalog.get(code) {
            Some(entry) => found.push(entry),
            None => {
                exit = ExitCode::from(1);
                let near: Vec<String> =
                    catalog.nearest(code, 3).iter().map(|entry| format!("{} ({})", entry.code, entry.name)).collect();
                let near = if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) };
                writeln!(anstream::stderr(), "twdiag: {code} is not in the catalogue{near}; see {}", code.docs())?;
            }
        }
    }
    if arguments.format == Format::Table {
        let texts: Vec<String> = found.into_iter().map(output::explain).collect();
        write!(anstream::stdout(), "{}", texts.join("\n"))?;
    } else {
        print(&found, arguments.format)?;
    }
    Ok(exit)
}

/// Lists the catalogue.
///
/// # Errors
/// Those of standard output.
pub fn run(arguments: &Arguments, catalog: &Catalog) -> anyhow::Result<ExitCode> {
    let entries: Vec<&Entry> = catalog.entries().iter().collect();
    print(&entries, arguments.format)?;
    Ok(ExitCode::SUCCESS)
}

fn print(entries: &[&Entry], format: Format) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match format {
        Format::Table => {
            for entry in entries {
                writeln!(out, "{}  {:<12}  {}", entry.code, entry.category, output::escape(&entry.name))?;
            }
        }
        Format::Json => writeln!(out, "{}", output::escape_json(&serde_json::to_string_pretty(entries)?))?,
        Format::Ndjson => {
            for entry in entries {
                writeln!(out, "{}", output::escape_json(&serde_json::to_string(entry)?))?;
            }
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record([
                "code",
                "category",
                "family",
                "group",
                "name",
                "explanation",
                "causes",
                "solutions",
                "docs",
            ])?;
            for entry in entries {
                let code = entry.code.to_string();
                let (causes, solutions) = (entry.causes.join("; "), entry.solutions.join("; "));
                let texts =
                    [&entry.family, &entry.group, &entry.name, &entry.explanation, &causes, &solutions, &entry.docs];
                let cells = texts.into_iter().map(|text| output::cell(text));
                csv.write_record([code, entry.category.to_string()].into_iter().chain(cells))?;
            }
            csv.flush()?;
        }
    }
    Ok(())
}
