//! The log: events on standard error, text on a terminal and JSON otherwise.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::output::{self, Events, escape};

/// What is logged of the libraries beneath, unless they are named: their news is of no use to an operator.
const LIBRARIES: LevelFilter = LevelFilter::WARN;

/// The levels by name.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// How events are written.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `text` on a terminal, `json` otherwise
    #[default]
    Auto,
    /// For people
    Text,
    /// One object a line
    Json,
}

/// What is logged: a level, and others for modules, `info,twdiag::tail=debug`.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    text: String,
    targets: Targets,
}

impl Default for Level {
    fn default() -> Level {
        Level { text: "info".to_owned(), targets: targets(LevelFilter::INFO) }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Level, String> {
        let mut all = targets(LevelFilter::INFO);
        for part in text.split(',').map(str::trim) {
            let (module, level) = part.split_once('=').map_or((None, part), |(module, level)| (Some(module), level));
            let Some((_, level)) = LEVELS.iter().find(|(name, _)| *name == level) else {
                return Err(format!(
                    "`{part}` is no level: give off, error, warn, info, debug or trace, or MODULE=LEVEL"
                ));
            };
            all = all.with_target(module.unwrap_or("twdiag"), *level);
        }
        Ok(Level { text: text.to_owned(), targets: all })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(LIBRARIES).with_target("twdiag", level)
}

/// Changes what is logged while it is.
#[derive(Clone, Debug)]
pub struct Log(reload::Handle<Targets, Registry>);

impl Log {
    /// Begins to log. Once for a process.
    ///
    /// # Errors
    /// Something else of the process logs already.
    pub fn start(level: &Level, format: Format) -> Result<Log, tracing_subscriber::util::TryInitError> {
        let is_terminal = std::io::stderr().is_terminal();
        let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        let json = || {
            let lines = tracing_subscriber::fmt::layer().with_writer(|| Events(std::io::stderr()));
            lines.json().flatten_event(true).boxed()
        };
        let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
            Format::Json => json(),
            Format::Auto if !is_terminal => json(),
            Format::Auto | Format::Text => tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(color)
                .with_target(false)
                .fmt_fields(fields())
                .boxed(),
        };
        let (targets, handle) = reload::Layer::new(level.targets.clone());
        tracing_subscriber::registry().with(lines.with_filter(targets)).try_init()?;
        Ok(Log(handle))
    }

    /// Logs at another level from now on.
    pub fn change(&self, level: &Level) {
        if let Err(error) = self.0.reload(level.targets.clone()) {
            tracing::error!(%error, "the level of the log cannot be changed");
        }
    }
}

/// Writes an object into the log, whatever its format.
///
/// # Errors
/// Those of standard error.
pub fn object(object: serde_json::Value) -> std::io::Result<()> {
    let mut line = Vec::new();
    output::json_line(&object, &mut line);
    std::io::stderr().write_all(&line)
}

/// Fields as text in which nothing can move a terminal's cursor or begin a line.
fn fields() -> impl for<'writer> format::FormatFields<'writer> + Send + Sync + 'static {
    format::debug_fn(|writer, field, value| {
        let shown = escape(&format!("{value:?}"));
        if field.name() == "message" { writer.write_str(&shown) } else { write!(writer, "{field}={shown}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_for_all_of_twdiag_and_by_module() {
        let level: Level = "warn,twdiag::tail=debug,hyper=info".parse().unwrap();
        let logs = |target, at| level.targets.would_enable(target, &at);
        assert!(logs("twdiag::tail::file", tracing::Level::DEBUG));
        assert!(!logs("twdiag::http", tracing::Level::INFO));
        assert!(logs("hyper", tracing::Level::INFO));
        assert!(!logs("rustls", tracing::Level::INFO));
        assert!("loud".parse::<Level>().is_err());
        assert!("".parse::<Level>().is_err());
        assert!("tail=".parse::<Level>().is_err());
    }
}
