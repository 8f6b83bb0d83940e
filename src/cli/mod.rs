//! The command line.

pub mod codes;
pub mod doctor;
pub mod follow;
pub mod healthcheck;
pub mod scan;
pub mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::catalog::Catalog;
use crate::detect::{Detector, Rules};
use crate::diagnose;

/// Finds, explains and counts the Twilio error codes that logs report.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
#[group(id = "global")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    follow: follow::Arguments,
    /// Lay a catalogue over the embedded one (repeatable; later files win)
    #[arg(long, global = true, value_name = "FILE")]
    catalog: Vec<PathBuf>,
    /// Put rules of detection and diagnosis in front of the embedded ones (repeatable)
    #[arg(long, global = true, value_name = "FILE")]
    rules: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read files once and print a summary
    Scan(scan::Arguments),
    /// Explain error codes
    Explain(codes::ExplainArguments),
    /// List the catalogue
    Codes(codes::Arguments),
    /// Show which rule decided about each number of a line
    Why(why::Arguments),
    /// Validate catalogues and rules, and run every rule's examples
    Check,
    /// Look for what would make twdiag miss something, and name the mend
    Doctor(doctor::Arguments),
    /// Ask the running daemon whether it lives
    Healthcheck(healthcheck::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values
    Csv,
}

/// Runs what the arguments ask for.
///
/// # Errors
/// What cannot be used: the message says where and what to do.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(Command::Healthcheck(healthcheck)) = &arguments.command {
        // Asked every few seconds: no rules are compiled for it.
        return healthcheck::run(healthcheck);
    }
    let detector = detector(&arguments.catalog, &arguments.rules)?;
    match arguments.command {
        Some(Command::Healthcheck(healthcheck)) => healthcheck::run(&healthcheck),
        None => follow::run(&arguments.follow, &detector),
        Some(Command::Scan(scan)) => scan::run(&scan, &detector),
        Some(Command::Explain(explain)) => codes::explain(&explain, detector.catalog()),
        Some(Command::Codes(codes)) => codes::run(&codes, detector.catalog()),
        Some(Command::Why(why)) => why::run(&why, &detector),
        Some(Command::Doctor(doctor)) => doctor::run(&doctor),
        Some(Command::Check) => why::check(&detector),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Arguments::command(), "twdiag", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man) => {
            clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn detector(catalogs: &[PathBuf], rules: &[PathBuf]) -> anyhow::Result<Detector> {
    let read = |path: &PathBuf| -> anyhow::Result<(String, String)> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    let mut catalog = Catalog::embedded();
    for path in catalogs {
        let (path, text) = read(path)?;
        for conflict in catalog.layer(&path, &text)?.conflicts {
            tracing::warn!(code = conflict.code.get(), field = conflict.field, file = path, "this file's text wins");
        }
    }
    let rules = rules.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let detector = Detector::new(Arc::new(catalog), Arc::new(Rules::layered(&rules)?));
    // Without files of rules the embedded ones are in place.
    Ok(if rules.is_empty() { detector } else { detector.diagnosing(Arc::new(diagnose::Rules::layered(&rules)?)) })
}
