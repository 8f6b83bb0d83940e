//! The command line.

pub mod check;
pub mod codes;
pub mod doctor;
pub mod follow;
pub mod healthcheck;
pub mod man;
pub mod scan;
pub mod state;
pub mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use toml::Spanned;

use crate::config::Given;
use crate::logging::{self, Log};
use crate::output::escape;

/// Finds, explains and counts the Twilio error codes that logs report.
#[derive(Debug, Parser)]
#[command(version)]
#[group(id = "twdiag")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    follow: follow::Arguments,
    #[command(flatten)]
    global: Global,
}

/// What every command takes, before or after its name.
#[derive(Clone, Debug, Args)]
#[group(id = "global")]
pub struct Global {
    /// Read a configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lay a catalogue over the embedded one (repeatable; later files win)
    #[arg(long, global = true, value_name = "FILE")]
    catalog: Vec<PathBuf>,
    /// Put rules of detection and diagnosis in front of the embedded ones (repeatable)
    #[arg(long, global = true, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Give a code another category, as in `31005=media` (repeatable)
    #[arg(long, global = true, value_name = "CODE=CATEGORY", value_parser = pair)]
    category: Vec<(String, String)>,
    /// What to log: a level, and others by module, as in `info,twdiag::tail=debug` [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<logging::Level>,
    /// How to log [default: text on a terminal, json otherwise]
    #[arg(long, global = true, value_enum)]
    log_format: Option<logging::Format>,
}

impl Global {
    /// What the configuration file says, with these options over it.
    fn given(&self) -> Given {
        let mut given = Given::read(self.config.as_deref());
        for file in &self.catalog {
            let file = given.typed("--catalog", &file.display().to_string(), file.clone());
            given.written.catalog.push(file);
        }
        for file in &self.rules {
            let file = given.typed("--rules", &file.display().to_string(), file.clone());
            given.written.rules.push(file);
        }
        for (code, category) in &self.category {
            // One word, as it was typed, of which each half has its place.
            let (shown, length) = (format!("{code}={category}"), escape(code).len());
            let whole = given.typed("--category", &shown, ()).span();
            let code = Spanned::new(whole.start..whole.start + length, code.clone());
            let category = Spanned::new(whole.start + length + 1..whole.end, category.clone());
            given.written.categories.insert(code, category);
        }
        if let Some(level) = &self.log_level {
            given.written.log_level = level.clone();
        }
        if let Some(format) = self.log_format {
            given.written.log_format = format;
        }
        given
    }
}

/// A name and a value.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`: write NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
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
    /// Validate the configuration, catalogues and rules, and run every rule's examples
    Check(check::Arguments),
    /// Look for what would make twdiag miss something, and name the mend
    Doctor(doctor::Arguments),
    /// Ask the running daemon whether it lives
    Healthcheck(healthcheck::Arguments),
    /// Change what is kept over a restart
    State(state::Arguments),
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

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// What cannot be used of it; a request for help is one too.
    pub fn read() -> Result<Arguments, clap::Error> {
        let matches = Arguments::command().try_get_matches()?;
        match misplaced(&matches) {
            Some(error) => Err(error),
            None => Arguments::from_arg_matches(&matches),
        }
    }
}

/// What belongs to following and stands before a command's name.
fn misplaced(matches: &ArgMatches) -> Option<clap::Error> {
    let command = matches.subcommand_name()?;
    let options = follow::Arguments::augment_args(clap::Command::new("follow"));
    let typed =
        |argument: &&clap::Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
    let wrong = options.get_arguments().find(typed)?;
    let wrong = wrong.get_long().map_or("a PATH".to_owned(), |long| format!("`--{long}`"));
    let message = format!(
        "{wrong} before `{command}` is of no use: options of a command stand behind its name, and a file of that name \
         is followed as `./{command}`"
    );
    Some(Arguments::command().error(ErrorKind::ArgumentConflict, message))
}

/// Runs what the arguments ask for.
///
/// # Errors
/// What cannot be used: the message says where and what to do.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let command = match arguments.command {
        None => return follow::run(&arguments.follow, &arguments.global),
        // Asked every few seconds: no rules are compiled for it.
        Some(Command::Healthcheck(healthcheck)) => {
            return healthcheck::run(&healthcheck, &Given::read(arguments.global.config.as_deref()));
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Arguments::command(), "twdiag", &mut std::io::stdout());
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Man) => {
            man::render(&Arguments::command(), &mut std::io::stdout())?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(command) => command,
    };
    let mut given = arguments.global.given();
    let mut printed = None;
    if let Command::Check(check) = &command {
        given = check.follow.over(given);
        printed = check.print.then(|| given.clone());
    }
    let config = given.build()?;
    Log::start(&config.log.0, config.log.1)?;
    config.warn();
    let detector = config.detector.clone();
    match command {
        Command::Doctor(doctor) => doctor::run(&doctor, config),
        Command::State(state) => state::run(&state, config.plan.state),
        Command::Scan(scan) => scan::run(&scan, &detector),
        Command::Explain(explain) => codes::explain(&explain, detector.catalog()),
        Command::Codes(codes) => codes::run(&codes, detector.catalog()),
        Command::Why(why) => why::run(&why, &detector),
        Command::Check(_) | Command::Healthcheck(_) | Command::Completions { .. } | Command::Man => {
            check::run(config, printed)
        }
    }
}
