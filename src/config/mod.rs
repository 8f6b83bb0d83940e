//! The configuration, in two types: what was written, with the place of each value, and what runs.
//!
//! What was written is a file with the command line laid over it ([`Given`]). [`Given::build`] checks all of it, says
//! everything that is wrong at once, and gives a [`Config`], which takes itself apart: each part of the program takes
//! its piece and none keeps the whole. A reload does the same again from the same arguments.

mod values;
mod variables;
mod written;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::detect::{Detector, Rules, RulesError};
use crate::diagnose;
use crate::logging;
use crate::problem::{Problem, Problems};
use crate::tail::{Files, Input, Plan, Source};

pub use values::{Listen, Output, Time};
use written::Texts;
pub use written::{Source as WrittenSource, Written};

/// What was written, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The values.
    pub written: Written,
    texts: Texts,
    /// The file, where there is one.
    file: Option<PathBuf>,
}

/// What runs. Its fields are the pieces that the parts of the program take.
#[derive(Debug)]
pub struct Config {
    /// The catalogue and the rules.
    pub detector: Detector,
    /// What is followed, and how.
    pub plan: Plan,
    /// How the page is served.
    pub page: Page,
    /// How matches are printed.
    pub output: Output,
    /// Whether findings are printed too.
    pub findings: bool,
    /// What is logged, and how.
    pub log: (logging::Level, logging::Format),
    /// What does not keep it from running and should be known.
    pub warnings: Vec<Problem>,
}

/// How the page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where.
    pub listen: Listen,
    /// The file that says how to serve over TLS and to whom.
    pub web_config: Option<PathBuf>,
    /// Whether `POST /-/reload` reads the configuration again.
    pub enable_reload: bool,
    /// How long it is served after the end of standard input.
    pub linger: std::time::Duration,
}

impl Config {
    /// Logs what should be known.
    pub fn warn(&self) {
        for problem in &self.warnings {
            let (line, column) = problem.position();
            tracing::warn!(file = problem.path, line, column, "{}", problem.message);
        }
    }

    /// Whether standard input is all there is to read.
    pub fn reads_only_stdin(&self) -> bool {
        self.plan.sources.iter().all(|source| source.input == Input::Stdin)
    }
}

impl Given {
    /// What a file says; without one, the defaults.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn read(file: Option<&Path>) -> Result<Given, Problems> {
        let Some(path) = file else { return Ok(Given::default()) };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let mut texts = Texts::default();
            texts.say("--config");
            let place = texts.say(&shown);
            Problems(vec![texts.problem(place, format!("cannot read `{shown}`: {error}"), None)])
        })?;
        let (written, texts) = written::parse(&shown, &text, &|name| std::env::var(name).ok())?;
        Ok(Given { written, texts, file: Some(path.to_owned()) })
    }

    /// A value from the command line, with its place among what was typed. What has no option of its own has `""`.
    pub fn typed<T>(&mut self, option: &str, shown: &str, value: T) -> toml::Spanned<T> {
        if !option.is_empty() {
            self.texts.say(option);
        }
        toml::Spanned::new(self.texts.say(shown), value)
    }

    /// Checks everything and makes of it what runs.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn build(self) -> Result<Config, Problems> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let detector = self.detector(&mut problems, &mut warnings);
        let mut sources = Vec::new();
        for source in &self.written.source {
            let name = source.name.get_ref();
            let (stdin, paths): (Vec<_>, Vec<_>) =
                source.paths.iter().map(|path| path.get_ref().clone()).partition(|path| path == "-");
            let files = Input::Files(Files { paths, exclude: Vec::new() });
            let inputs =
                stdin.first().map(|_| Input::Stdin).into_iter().chain((files != Input::default()).then_some(files));
            sources.extend(inputs.map(|input| Source { start_at: source.start_at, ..Source::new(name, input) }));
        }
        let written = self.written;
        match detector {
            Some(detector) if problems.is_empty() => Ok(Config {
                detector,
                plan: Plan {
                    state: written.state.map(toml::Spanned::into_inner),
                    announce: written.announce.0,
                    uncatalogued: written.uncatalogued,
                    drain: written.drain.0,
                    ..Plan::new(sources)
                },
                page: Page {
                    listen: written.listen,
                    web_config: written.web_config.map(toml::Spanned::into_inner),
                    enable_reload: written.enable_reload,
                    linger: written.linger.0,
                },
                output: written.output,
                findings: written.findings,
                log: (written.log_level, written.log_format),
                warnings,
            }),
            _ => Err(Problems(problems)),
        }
    }

    /// The embedded catalogue and rules with the files laid over them; nothing where one of those is wrong.
    fn detector(&self, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) -> Option<Detector> {
        let mut catalog = Catalog::embedded();
        for path in &self.written.catalog {
            let Some((shown, text)) = self.read_named(path, problems) else { continue };
            match catalog.layer(&shown, &text) {
                Ok(layered) => warnings.extend(layered.conflicts.into_iter().map(|conflict| {
                    let message =
                        format!("code {} has another {} here: this file's wins", conflict.code, conflict.field);
                    self.texts.problem(path.span(), message, None)
                })),
                Err(wrong) => problems.extend(wrong.0),
            }
        }
        let files: Vec<_> = self.written.rules.iter().filter_map(|path| self.read_named(path, problems)).collect();
        let rules = match Rules::layered(&files) {
            Ok(rules) => Some(rules),
            Err(RulesError::Problems(wrong)) => {
                problems.extend(wrong.0);
                None
            }
            Err(error @ RulesError::TooLarge(_)) => {
                let place = self.written.rules.last().map_or(0..0, toml::Spanned::span);
                problems.push(self.texts.problem(place, error.to_string(), None));
                None
            }
        };
        let findings = match diagnose::Rules::layered(&files) {
            Ok(findings) => Some(findings),
            // What is wrong with a file as TOML both readers say.
            Err(wrong) => {
                let new: Vec<Problem> = wrong.0.into_iter().filter(|problem| !problems.contains(problem)).collect();
                problems.extend(new);
                None
            }
        };
        Some(Detector::new(Arc::new(catalog), Arc::new(rules?)).diagnosing(Arc::new(findings?)))
    }

    /// A file that the configuration names, by its path and text.
    fn read_named(&self, path: &toml::Spanned<PathBuf>, problems: &mut Vec<Problem>) -> Option<(String, String)> {
        // What a file names stands beside it.
        let file = self.file.as_ref().filter(|_| !self.texts.is_command_line(&path.span()));
        let resolved = file.and_then(|file| file.parent()).map_or(path.get_ref().clone(), |at| at.join(path.get_ref()));
        let shown = resolved.display().to_string();
        match std::fs::read_to_string(&resolved) {
            Ok(text) => Some((shown, text)),
            Err(error) => {
                problems.push(self.texts.problem(path.span(), format!("cannot read `{shown}`: {error}"), None));
                None
            }
        }
    }
}
