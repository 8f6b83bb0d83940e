//! The default command: what to follow, as the command line has it, laid over the configuration file.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory;

use super::{Global, pair};
use crate::app::{self, Port};
use crate::config::{Given, Listen, Number, Output, Size, Time, WrittenSource};
use crate::detect::{Assume, Encoding};
use crate::logging::Log;
use crate::output::escape;
use crate::tail::StartAt;

/// What to follow, and how to report it.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "follow")]
pub struct Arguments {
    /// Files, directories (their files) and globs to follow; `-` or nothing for standard input
    #[arg(value_name = "PATH|GLOB|-")]
    paths: Vec<String>,
    /// How to print matches [default: pretty on a terminal, json otherwise]
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Print what the errors mean together as objects of their own; every object then has a "type"
    #[arg(long)]
    findings: bool,
    /// Where to serve the page, or `none` [default: 127.0.0.1:9853]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Leave out what this glob matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Where to begin in files that are there at the start [default: end]
    #[arg(long, value_enum)]
    start_at: Option<StartAt>,
    /// What generic codes are [default: nothing]
    #[arg(long, value_enum)]
    assume: Option<Assume>,
    /// How bytes become text [default: auto]
    #[arg(long, value_enum)]
    encoding: Option<Encoding>,
    /// How long a line is judged as a whole, 16KiB to 16MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = Size::of_line)]
    line_limit: Option<Size>,
    /// Do not count and print this code (repeatable)
    #[arg(long, value_name = "CODE")]
    ignore: Vec<Number>,
    /// A label for every source's counts, as in `env=prod` (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// A directory that keeps offsets and counts over restarts
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// A file that says how to serve over TLS and to whom
    #[arg(long, value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// Let `POST /-/reload` read the configuration again
    #[arg(long)]
    enable_reload: bool,
    /// Let nothing be read outside of this directory, where the kernel has Landlock (repeatable)
    #[arg(long, value_name = "DIR")]
    sandbox_read: Vec<PathBuf>,
    /// Read the configuration again when its files change
    #[arg(long)]
    watch_config: bool,
    /// How long a series that was born late is shown at 0 at most [default: 1m]
    #[arg(long, value_name = "TIME")]
    announce: Option<Time>,
    /// Distinct uncatalogued codes that get series of their own [default: 100]
    #[arg(long, value_name = "N")]
    uncatalogued: Option<usize>,
    /// How long reading may take after the request to stop [default: 10s]
    #[arg(long, value_name = "TIME")]
    drain: Option<Time>,
    /// How long to serve the page after the end of standard input [default: 0s]
    #[arg(long, value_name = "TIME")]
    linger: Option<Time>,
}

/// Follows until standard input ends or a signal comes.
///
/// # Errors
/// A configuration that cannot be used, a taken port, no input, and those of standard output.
pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let given = global.given();
    // Whether a file that cannot be used names a source is not known: what is wrong with it is said.
    let has_source = !given.written.source.is_empty() || !arguments.paths.is_empty() || !given.problems().is_empty();
    if !has_source && io::stdin().is_terminal() {
        super::Arguments::command().print_help()?;
        return Ok(ExitCode::from(2));
    }
    if !has_source && is_null(&io::stdin()) {
        anyhow::bail!("standard input is /dev/null: give a PATH to follow, or a [[source]] in the configuration");
    }
    let config = arguments.over(given).build()?;
    let log = Log::start(&config.log.0, config.log.1)?;
    config.warn();
    let may_move = global.config.is_none() && arguments.listen.is_none() && config.reads_only_stdin();
    let (arguments, global) = (arguments.clone(), global.clone());
    let again = Arc::new(move || arguments.over(global.given()).build());
    app::run(config, if may_move { Port::NextFree } else { Port::Fixed }, log, again)
}

impl Arguments {
    /// Lays what was typed over what the file says; where nothing is named, standard input is the source.
    pub(super) fn over(&self, mut given: Given) -> Given {
        for path in &self.paths {
            let (name, path) = (if path == "-" { "stdin" } else { path }, given.typed("", path, path.clone()));
            let is_known = |source: &WrittenSource| {
                source.name.get_ref() == &escape(name)
                    && source.paths.get_ref().iter().any(|known| known.get_ref() == path.get_ref())
            };
            if !given.written.source.iter().any(is_known) {
                given.written.source.push(WrittenSource::of(&escape(name), path));
            }
        }
        if given.written.source.is_empty() {
            let path = given.typed("", "-", "-".to_owned());
            given.written.source.push(WrittenSource::of("stdin", path));
        }
        let shown = |path: &PathBuf| path.display().to_string();
        if let Some(directory) = &self.state {
            given.written.state = Some(given.typed("--state", &shown(directory), directory.clone()));
        }
        if let Some(file) = &self.web_config {
            given.written.web_config = Some(given.typed("--web-config", &shown(file), file.clone()));
        }
        for directory in &self.sandbox_read {
            let directory = given.typed("--sandbox-read", &shown(directory), directory.clone());
            given.written.sandbox.read.push(directory);
        }
        for (name, value) in &self.label {
            let name = given.typed("--label", name, name.clone());
            if !given.written.labels.iter().any(|known| known.get_ref() == name.get_ref()) {
                given.written.labels.push(name.clone());
            }
            for source in &mut given.written.source {
                source.labels.insert(name.clone(), value.clone());
            }
        }
        for glob in &self.exclude {
            let glob = given.typed("--exclude", glob, glob.clone());
            given.written.source.iter_mut().for_each(|source| source.exclude.push(glob.clone()));
        }
        let written = &mut given.written;
        for source in &mut written.source {
            set(&mut source.start_at, self.start_at);
            set(&mut source.assume, self.assume);
            set(&mut source.encoding, self.encoding);
            set(&mut source.line_limit, self.line_limit);
            source.ignore.extend(&self.ignore);
        }
        set(&mut written.output, self.output);
        set(&mut written.listen, self.listen);
        set(&mut written.announce, self.announce);
        set(&mut written.uncatalogued, self.uncatalogued);
        set(&mut written.drain, self.drain);
        set(&mut written.linger, self.linger);
        written.findings |= self.findings;
        written.enable_reload |= self.enable_reload;
        written.watch_config |= self.watch_config;
        given
    }
}

fn set<T>(value: &mut T, typed: Option<T>) {
    if let Some(typed) = typed {
        *value = typed;
    }
}

/// Whether standard input is `/dev/null`.
fn is_null(stdin: &io::Stdin) -> bool {
    let status = |fd| rustix::fs::fstat(fd).ok().map(|status| status.st_rdev);
    let null = std::fs::File::open("/dev/null").ok();
    let null = null.as_ref().and_then(|null| rustix::fs::fstat(null).ok()).map(|status| status.st_rdev);
    null.is_some() && status(stdin) == null
}
