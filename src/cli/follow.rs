//! The default command: follow, report, serve.
use crate::detect::Detector;
use std::process::ExitCode;
/// What to follow.
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// Follows.
///
/// # Errors
/// None yet.
pub fn run(_: &Arguments, _: &Detector) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
