//! A configuration as it was written, in a file and on the command line, with the place of each value.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::values::{self, Listen, Number, Output, Size, Time};
use super::variables::{self, Lookup};
use crate::detect::{Assume, Encoding, LINE_LIMIT};
use crate::input::STDIN;
use crate::logging;
use crate::problem::Problem;
use crate::tail::StartAt;

/// Everything that can be configured, with what holds where nothing was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// Where the page is served: an address with a port, or "none".
    #[cfg_attr(test, schemars(with = "String"))]
    pub listen: Listen,
    /// The directory that keeps offsets and counts over restarts; without it every start is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub state: Option<Spanned<PathBuf>>,
    /// Catalogues to lay over the embedded one; later ones win.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub catalog: Vec<Spanned<PathBuf>>,
    /// Files of rules to put in front of the embedded ones.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub rules: Vec<Spanned<PathBuf>>,
    /// How matches are printed on standard output.
    pub output: Output,
    /// Whether what the errors mean together is printed too.
    pub findings: bool,
    /// What is logged on standard error: a level, and others by module.
    #[cfg_attr(test, schemars(with = "String"))]
    pub log_level: logging::Level,
    /// How it is logged.
    pub log_format: logging::Format,
    /// The file that says how to serve over TLS and to whom, in the format of Prometheus' exporter-toolkit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub web_config: Option<Spanned<PathBuf>>,
    /// Whether `POST /-/reload` reads the configuration again.
    #[serde(deserialize_with = "values::read")]
    pub enable_reload: bool,
    /// Whether a change of the configuration's files does.
    #[serde(deserialize_with = "values::read")]
    pub watch_config: bool,
    /// How long a series that was born late is shown at 0 at most, unless it is scraped before.
    #[cfg_attr(test, schemars(with = "String"))]
    pub announce: Time,
    /// Distinct uncatalogued codes that get series of their own; the rest counts as `other`.
    #[serde(deserialize_with = "values::read")]
    pub uncatalogued: usize,
    /// How long reading may take after the request to stop.
    #[cfg_attr(test, schemars(with = "String"))]
    pub drain: Time,
    /// How long the page is served after the end of standard input.
    #[cfg_attr(test, schemars(with = "String"))]
    pub linger: Time,
    /// The names of labels that sources may carry.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub labels: Vec<Spanned<String>>,
    /// Categories of codes, other than those of the catalogue; for all sources.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    pub categories: BTreeMap<Spanned<String>, Spanned<String>>,
    /// What the process gives up of its rights.
    #[serde(skip_serializing_if = "Sandbox::is_default")]
    pub sandbox: Sandbox,
    /// What is followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
}

impl Default for Written {
    fn default() -> Written {
        Written {
            listen: Listen::At(([127, 0, 0, 1], 9853).into()),
            state: None,
            catalog: Vec::new(),
            rules: Vec::new(),
            output: Output::default(),
            findings: false,
            log_level: logging::Level::default(),
            log_format: logging::Format::default(),
            web_config: None,
            enable_reload: false,
            watch_config: false,
            announce: Time(Duration::from_secs(60)),
            uncatalogued: 100,
            drain: Time(Duration::from_secs(10)),
            linger: Time(Duration::ZERO),
            labels: Vec::new(),
            categories: BTreeMap::new(),
            sandbox: Sandbox::default(),
            source: Vec::new(),
        }
    }
}

impl Written {
    /// Shows every path to a change of it; an empty one names nothing and stays as it is, to be found wrong.
    pub(super) fn for_each_path(&mut self, change: &mut dyn FnMut(&mut PathBuf)) {
        let of_one = self.state.iter_mut().chain(&mut self.web_config);
        let of_many = self.catalog.iter_mut().chain(&mut self.rules).chain(&mut self.sandbox.read);
        let is_named = |path: &&mut Spanned<PathBuf>| !path.get_ref().as_os_str().is_empty();
        of_one.chain(of_many).filter(is_named).for_each(|path| change(path.get_mut()));
        for source in &mut self.source {
            let patterns = source.paths.get_mut().iter_mut().chain(&mut source.exclude);
            for pattern in patterns.filter(|pattern| !["", STDIN].contains(&pattern.get_ref().as_str())) {
                let mut path = PathBuf::from(pattern.get_ref());
                change(&mut path);
                // What was text stays text.
                *pattern.get_mut() = path.to_string_lossy().into_owned();
            }
        }
    }
}

/// What the process gives up of its rights, where the kernel has Landlock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Directories that alone can be read; everything where there is none.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub read: Vec<Spanned<PathBuf>>,
}

impl Sandbox {
    fn is_default(&self) -> bool {
        self.read.is_empty()
    }
}

/// One thing to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The value of the `source` label.
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: Spanned<String>,
    /// Files, directories (their files) and globs; "-" is standard input.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub paths: Spanned<Vec<Spanned<String>>>,
    /// Globs of what is left out of that.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub exclude: Vec<Spanned<String>>,
    /// Where to begin in files that are there when a source of this name is first seen.
    #[serde(default)]
    pub start_at: StartAt,
    /// What generic codes in it are.
    #[serde(default)]
    pub assume: Assume,
    /// How its bytes become text.
    #[serde(default)]
    pub encoding: Encoding,
    /// How long a line is judged as a whole, in bytes of UTF-8: 16KiB to 16MiB.
    #[serde(default = "default_line_limit")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub line_limit: Size,
    /// Values of the labels that `labels` names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    pub labels: BTreeMap<Spanned<String>, String>,
    /// Codes that are not counted and not printed where this source reports them.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<u32>", inner(range(min = 10_000, max = 99_999))))]
    pub ignore: Vec<Number>,
}

impl Source {
    /// A source that is named on the command line, by its place there.
    pub(crate) fn of(name: &str, path: Spanned<String>) -> Source {
        Source {
            name: Spanned::new(path.span(), name.to_owned()),
            paths: Spanned::new(path.span(), vec![path]),
            exclude: Vec::new(),
            start_at: StartAt::default(),
            assume: Assume::default(),
            encoding: Encoding::default(),
            line_limit: default_line_limit(),
            labels: BTreeMap::new(),
            ignore: Vec::new(),
        }
    }
}

fn default_line_limit() -> Size {
    Size(LINE_LIMIT)
}

/// The texts that values were written in, behind one another: a span is a place in one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// The file's path and text, where there is a file. Its places are those of the file.
    file: Option<(String, Arc<str>)>,
    /// The command line, as far as it matters. Its places begin behind the file's.
    command_line: String,
}

impl Texts {
    fn base(&self) -> usize {
        self.file.as_ref().map_or(0, |(_, text)| text.len() + 1)
    }

    /// Adds a word of the command line and gives its place.
    pub(super) fn say(&mut self, word: &str) -> Range<usize> {
        if !self.command_line.is_empty() {
            self.command_line.push(' ');
        }
        let start = self.base() + self.command_line.len();
        self.command_line.push_str(word);
        start..start + word.len()
    }

    /// Whether the place is on the command line.
    pub(super) fn is_command_line(&self, place: &Range<usize>) -> bool {
        place.start >= self.base()
    }

    /// Something that is wrong at a place.
    pub(super) fn problem(&self, place: Range<usize>, message: String, help: Option<String>) -> Problem {
        match &self.file {
            Some((path, text)) if !self.is_command_line(&place) => {
                Problem { path: path.clone(), text: Arc::clone(text), span: place, message, help }
            }
            _ => {
                let span = place.start - self.base()..place.end - self.base();
                let (path, text) = ("command line".to_owned(), self.command_line.as_str().into());
                Problem { path, text, span, message, help }
            }
        }
    }
}

/// A file as far as it can be read.
pub(super) struct Parsed {
    /// What it says, without what is wrong.
    pub(super) written: Written,
    pub(super) texts: Texts,
    /// Everything that is wrong in it.
    pub(super) problems: Vec<Problem>,
    /// Whether it is TOML.
    pub(super) is_toml: bool,
}

/// Reads the text of a file, which `path` names in messages.
pub(super) fn parse(path: &str, text: &str, lookup: Lookup<'_>) -> Parsed {
    let shared: Arc<str> = text.into();
    let (table, errors) = DeTable::parse_recoverable(text);
    let texts = Texts { file: Some((path.to_owned(), Arc::clone(&shared))), command_line: String::new() };
    let (span, mut table) = (table.span(), table.into_inner());
    let mut problems = Vec::new();
    variables::expand(&mut table, text, lookup, &mut |place, message, help| {
        problems.push(texts.problem(place, message, Some(help)));
    });
    // What a variable should have made whole was said where the variable stands.
    let mut taken: Vec<usize> = Vec::new();
    for Problem { span, .. } in &problems {
        taken.push(span.start);
        take_out(&mut table, span);
    }
    // The parser of values stops at the first error: what is wrong is taken out, and the rest is read again.
    let written = loop {
        let root = Spanned::new(span.clone(), table.clone());
        let error = match Written::deserialize(toml::Deserializer::from(root)) {
            Ok(written) => break written,
            Err(error) => error,
        };
        let Some(place) = error.span() else {
            problems.push(Problem::toml(path, &shared, &error));
            break Written::default();
        };
        // What misses because it was wrong and taken out was said already.
        let within = extent(&table, &place, text.len());
        if !error.message().starts_with("missing field") || !taken.iter().any(|at| within.contains(at)) {
            problems.push(Problem::toml(path, &shared, &error));
        }
        taken.push(place.start);
        if !take_out(&mut table, &place) {
            break Written::default();
        }
    };
    // What does not even parse is said alone: the rest would be what came of it.
    let is_toml = errors.is_empty();
    if !is_toml {
        problems = errors.iter().map(|error| Problem::toml(path, &shared, error)).collect();
    }
    Parsed { written, texts, problems, is_toml }
}

/// How far what begins at a table's header reaches: to the next header, or to the end.
fn extent(table: &DeTable<'_>, header: &Range<usize>, end: usize) -> Range<usize> {
    let mut next = end;
    let mut visit = |span: Range<usize>| {
        if span.start > header.start {
            next = next.min(span.start);
        }
    };
    for (_, value) in table.iter() {
        match value.get_ref() {
            DeValue::Table(_) => visit(value.span()),
            DeValue::Array(elements) => {
                elements
                    .iter()
                    .filter(|element| matches!(element.get_ref(), DeValue::Table(_)))
                    .for_each(|element| visit(element.span()));
            }
            _ => {}
        }
    }
    header.start..next
}

/// Removes the smallest entry that holds the place; whether there was one.
fn take_out(table: &mut DeTable<'_>, place: &Range<usize>) -> bool {
    let mut wrong = None;
    for (key, value) in table.iter_mut() {
        if holds(&key.span(), place) {
            wrong = Some(key.clone());
        } else if take_out_of(value, place) {
            return true;
        } else if holds(&value.span(), place) {
            wrong = Some(key.clone());
        }
    }
    wrong.is_some_and(|key| table.remove(&key).is_some())
}

/// The same within a value.
fn take_out_of(value: &mut Spanned<DeValue<'_>>, place: &Range<usize>) -> bool {
    match value.get_mut() {
        // The span of a table is that of its header, where it has one.
        DeValue::Table(table) => take_out(table, place),
        DeValue::Array(array) => {
            if array.iter_mut().any(|element| take_out_of(element, place)) {
                return true;
            }
            let before = array.len();
            let elements = std::mem::replace(array, DeArray::new());
            elements
                .into_iter()
                .filter(|element| !holds(&element.span(), place))
                .for_each(|element| array.push(element));
            array.len() < before
        }
        _ => false,
    }
}

/// Whether the place lies in the span.
pub(super) fn holds(span: &Range<usize>, place: &Range<usize>) -> bool {
    span.start <= place.start && place.end <= span.end
}
