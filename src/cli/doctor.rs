//! `doctor`: what would make twdiag miss something here, and the mend.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Listen};
use crate::doctor::{self, Host, Observation, Setup, Verdict};
use crate::http::WebConfig;
use crate::output::{escape, escape_json};
use crate::tail::Source;

/// What would be run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What would be followed besides what the configuration names: files, directories (their files) and globs
    #[arg(value_name = "PATH|GLOB")]
    paths: Vec<String>,
    /// Where the page would be served
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// The state directory
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Look for /etc and /proc below this directory, as where a pod sees its node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// How to print what was seen
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How observations are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// An array of objects
    Json,
}

/// Prints every check; 1 where something needs doing.
///
/// # Errors
/// Those of standard output.
pub fn run(arguments: &Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let source = |path: &String| Source::path(path);
    let listen = match arguments.listen.unwrap_or(config.page.listen) {
        Listen::At(address) => Some(address),
        Listen::None => None,
    };
    let web = config.page.web_config.as_deref().map(WebConfig::open).transpose()?;
    let setup = Setup {
        sources: config.plan.sources.into_iter().chain(arguments.paths.iter().map(source)).collect(),
        state: arguments.state.clone().or(config.plan.state),
        listen,
        is_guarded: web.is_some_and(|web| web.is_protected()),
    };
    let seen = doctor::examine(&setup, &Host::below(&arguments.root));
    let mut out = anstream::stdout().lock();
    match arguments.format {
        Format::Json => writeln!(out, "{}", escape_json(&serde_json::to_string_pretty(&seen)?))?,
        Format::Table => seen.iter().try_for_each(|observation| write!(out, "{}", block(observation)))?,
    }
    let healthy = seen.iter().all(|observation| observation.verdict != Verdict::Mend);
    Ok(ExitCode::from(u8::from(!healthy)))
}

/// One observation for people: a line, and below it what to do.
fn block(observation: &Observation) -> String {
    let Observation { check, verdict, about, saw, mend } = observation;
    let (colour, word) = match verdict {
        Verdict::Fine => (anstyle::AnsiColor::Green, "ok"),
        Verdict::Note => (anstyle::AnsiColor::Yellow, "note"),
        Verdict::Mend => (anstyle::AnsiColor::Red, "mend"),
    };
    let style = anstyle::Style::new().fg_color(Some(colour.into()));
    let mut out = format!("{style}{word:<5}{style:#}{:<20} ", check.name());
    if !about.is_empty() {
        out.push_str(&format!("{}: ", escape(about)));
    }
    out.push_str(&format!("{}\n", escape(saw)));
    if !mend.is_empty() {
        out.push_str(&format!("{:25} to do: {}\n", "", escape(mend)));
    }
    out
}
