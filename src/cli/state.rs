//! What is kept over a restart, changed by hand while no twdiag runs on it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::state::{Directory, State, Store, boot};

/// What to do with the state.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forget a source that is followed no more: its counts and its offsets
    Forget {
        /// The value of the `source` label
        name: String,
        /// The state directory [default: the configuration's]
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
}

/// Changes the state; 1 where it holds no such source.
///
/// # Errors
/// A directory that is not there or in use, and those of writing.
pub fn run(arguments: &Arguments, configured: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let Command::Forget { name, state } = &arguments.command;
    let directory = state.clone().or(configured).context("no state directory: give one with --state")?;
    if !directory.is_dir() {
        bail!("{} is no directory: give the state directory with --state", directory.display());
    }
    let (mut store, loaded) = Store::open(Box::new(Directory::open(&directory)?), &boot());
    let State { mut tally, mut sources, mut unannounced, undelivered, mut files, .. } = loaded.state;
    let known: BTreeSet<String> = tally.sources.keys().chain(&sources).map(|source| source.to_string()).collect();
    if !known.contains(name) {
        let known: Vec<String> = known.into_iter().collect();
        tracing::error!(state = %directory.display(), "no source {name}: there are {}", known.join(", "));
        return Ok(ExitCode::from(1));
    }
    tally.sources.retain(|source, _| **source != **name);
    sources.retain(|source| **source != **name);
    unannounced.retain(|(source, _), _| **source != **name);
    files.retain(|file| *file.source != **name);
    let state = State { boot: boot(), clean: true, tally, sources, unannounced, undelivered, files };
    store.commit(&state.cut()).and_then(|()| store.sync()).context("the state cannot be written")?;
    Ok(ExitCode::SUCCESS)
}
