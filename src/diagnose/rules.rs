//! The rules of diagnosis: their file format, and what is wrong in a file of them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use crate::catalog::Category;
use crate::problem::{Problem, Problems, suggestion};
use crate::record::Code;

/// The longest window, and the longest quiet time before one, in minutes: what is kept by the minute is bounded.
pub const LONGEST: i64 = 60;

/// The compiled-in rules, as a layered file with a path to name in messages.
const EMBEDDED: (&str, &str) = ("rules/diagnose.toml", include_str!("../../rules/diagnose.toml"));

/// The findings that are known, the most pressing first.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    all: Vec<Rule>,
}

/// When a finding holds, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name in metrics and in JSON.
    pub id: String,
    /// What is wrong, in one line.
    pub title: String,
    /// What the pattern stands for.
    pub meaning: String,
    /// What to do, the first thing first; never empty.
    pub steps: Vec<String>,
    /// What it is about.
    pub codes: Vec<Term>,
    /// Reports within the window at least.
    pub count: u64,
    /// The length of the window, in minutes, 1 to [`LONGEST`].
    pub window: i64,
    /// Distinct calls within the window at least.
    pub calls: u64,
    /// The sources that must report it.
    pub spread: Spread,
    /// What must come along.
    pub with: Vec<Term>,
    /// What must hardly come along.
    pub without: Vec<Term>,
    /// What must not be reported more often.
    pub against: Vec<Term>,
    /// Whether it begins only while there are more and more reports.
    pub rising: bool,
    /// How long before the window there were hardly any when it begins, in minutes, 0 to [`LONGEST`].
    pub quiet: i64,
    /// Indices of the rules that say it better.
    pub unless: Vec<usize>,
    /// Its tests.
    pub examples: Vec<Example>,
    /// The file it stands in.
    pub path: Arc<str>,
    /// That file's text.
    pub text: Arc<str>,
}

/// A code, or every code of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// One code.
    Code(Code),
    /// A whole category.
    Category(Category),
}

/// How many sources must report what a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// So many, or all where fewer are read.
    AtLeast(usize),
    /// Every one of at least two.
    All,
}

/// A sequence of events, and whether the finding holds after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What is reported, in the order of the file.
    pub events: Vec<Event>,
    /// How many sources are read.
    pub sources: usize,
    /// When the finding is asked for, after the last event.
    pub after: SignedDuration,
    /// Whether it holds then.
    pub active: bool,
    /// Its place in the file.
    pub span: Range<usize>,
}

/// Some reports at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Since the first event.
    pub at: SignedDuration,
    /// What is reported.
    pub code: Code,
    /// How often.
    pub times: u64,
    /// In how many distinct calls.
    pub calls: u64,
    /// By which source.
    pub source: Arc<str>,
}

/// A file of findings as it was written. A file of detection rules may hold them too: what it says there is not
/// looked at here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    finding: Vec<Spanned<FindingText>>,
    #[serde(default, rename = "part")]
    _part: IgnoredAny,
    #[serde(default, rename = "evidence")]
    _evidence: IgnoredAny,
    #[serde(default, rename = "rule")]
    _rule: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindingText {
    id: Spanned<String>,
    title: String,
    meaning: String,
    steps: Spanned<Vec<String>>,
    codes: Spanned<Vec<Spanned<TermText>>>,
    #[serde(default = "one")]
    count: u64,
    window: Spanned<String>,
    #[serde(default)]
    calls: u64,
    #[serde(default)]
    sources: Option<Spanned<SpreadText>>,
    #[serde(default)]
    with: Vec<Spanned<TermText>>,
    #[serde(default)]
    without: Vec<Spanned<TermText>>,
    #[serde(default)]
    against: Vec<Spanned<TermText>>,
    #[serde(default)]
    rising: bool,
    quiet: Option<Spanned<String>>,
    #[serde(default)]
    unless: Vec<Spanned<String>>,
    examples: Spanned<Vec<Spanned<ExampleText>>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TermText {
    Code(u32),
    Category(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SpreadText {
    AtLeast(usize),
    Word(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleText {
    events: Vec<EventText>,
    sources: Option<usize>,
    after: Option<Spanned<String>>,
    active: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventText {
    at: Spanned<String>,
    code: Spanned<u32>,
    #[serde(default = "one")]
    times: u64,
    calls: Option<u64>,
    source: Option<String>,
}

fn one() -> u64 {
    1
}

impl Rules {
    /// The rules compiled into the binary.
    pub fn embedded() -> Arc<Rules> {
        static EMBEDDED: LazyLock<Arc<Rules>> = LazyLock::new(|| {
            let rules = Rules::layered(&[]);
            Arc::new(rules.unwrap_or_else(|error| panic!("the embedded findings are tested: {error}")))
        });
        Arc::clone(&EMBEDDED)
    }

    /// The users' findings in front of the embedded ones, and in the place of those with the same id. Each file is a
    /// path, to name in messages, and its text.
    ///
    /// # Errors
    /// Every problem of every file, with its place.
    pub fn layered(files: &[(String, String)]) -> Result<Rules, Problems> {
        let mut builder = Builder::default();
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        for (path, text) in files.chain([EMBEDDED]) {
            builder.file(path, &text.into());
        }
        builder.finish()
    }

    /// Every rule.
    pub fn all(&self) -> &[Rule] {
        &self.all
    }

    /// Whether a rule speaks of it.
    pub(super) fn watches(&self, code: Code, category: Category) -> bool {
        let speaks = |terms: &[Term]| terms.iter().any(|term| term.holds(code, category));
        self.all.iter().any(|rule| speaks(&rule.codes) || speaks(&rule.with))
    }
}

impl Term {
    /// Whether it stands for this code.
    pub(super) fn holds(self, code: Code, category: Category) -> bool {
        match self {
            Term::Code(of) => of == code,
            Term::Category(of) => of == category,
        }
    }
}

/// Collects findings and what is wrong with them.
#[derive(Default)]
struct Builder {
    problems: Vec<Problem>,
    all: Vec<Rule>,
    /// For each rule, the ids after `unless`, to be looked up once all are known.
    unless: Vec<Vec<(String, Range<usize>)>>,
    path: Arc<str>,
    text: Arc<str>,
}

impl Builder {
    fn file(&mut self, path: &str, text: &Arc<str>) {
        (self.path, self.text) = (path.into(), Arc::clone(text));
        let file = match toml::from_str::<File>(text) {
            Ok(file) => file,
            Err(error) => return self.problems.push(Problem::toml(path, text, &error)),
        };
        let before = self.all.len();
        let mut ids = BTreeSet::new();
        for finding in file.finding {
            let finding = finding.into_inner();
            let (id, span) = (finding.id.get_ref().clone(), finding.id.span());
            if !ids.insert(id.clone()) {
                self.report(span, format!("two findings are called `{id}`"), "give each finding an id of its own");
            } else if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
                self.report(span, format!("`{id}` is no id of a finding"), "use small letters and hyphens");
            } else if self.all[..before].iter().all(|rule| rule.id != id) {
                self.finding(id, finding);
            }
        }
    }

    fn finding(&mut self, id: String, written: FindingText) {
        if written.steps.get_ref().is_empty() {
            let span = written.steps.span();
            self.report(span, format!("finding `{id}` has no steps"), "say what to do first");
        }
        if written.codes.get_ref().is_empty() {
            let span = written.codes.span();
            self.report(span, format!("finding `{id}` is about nothing"), "name codes or categories");
        }
        let outcomes = |active| written.examples.get_ref().iter().any(|example| example.get_ref().active == active);
        if !(outcomes(true) && outcomes(false)) {
            let message = format!("finding `{id}` has no examples of both kinds");
            self.report(written.examples.span(), message, "give some with `active = true`, and some with false");
        }
        let window = self.minutes(&written.window, 1).unwrap_or(1);
        let quiet = written.quiet.as_ref().map_or(Some(0), |quiet| self.minutes(quiet, 1)).unwrap_or(0);
        let spread = match &written.sources {
            None => Spread::AtLeast(1),
            Some(spread) => match spread.get_ref() {
                SpreadText::AtLeast(count) => Spread::AtLeast(*count),
                SpreadText::Word(word) if word == "all" => Spread::All,
                SpreadText::Word(word) => {
                    let message = format!("`{word}` is no number of sources");
                    self.report(spread.span(), message, "give a number, or \"all\"");
                    Spread::All
                }
            },
        };
        let codes = self.terms(written.codes.get_ref());
        let [with, without, against] = [&written.with, &written.without, &written.against].map(|of| self.terms(of));
        let examples = written.examples.into_inner().into_iter().map(|example| self.example(example)).collect();
        self.unless.push(written.unless.into_iter().map(|id| (id.get_ref().clone(), id.span())).collect());
        self.all.push(Rule {
            id,
            title: written.title,
            meaning: written.meaning,
            steps: written.steps.into_inner(),
            codes,
            count: written.count.max(1),
            window,
            calls: written.calls,
            spread,
            with,
            without,
            against,
            rising: written.rising,
            quiet,
            unless: Vec::new(),
            examples,
            path: Arc::clone(&self.path),
            text: Arc::clone(&self.text),
        });
    }

    fn terms(&mut self, written: &[Spanned<TermText>]) -> Vec<Term> {
        let mut terms = Vec::new();
        for term in written {
            match term.get_ref() {
                TermText::Code(number) => {
                    terms.extend(self.code(*number, term.span()).map(Term::Code));
                }
                TermText::Category(name) => match name.parse() {
                    Ok(category) => terms.push(Term::Category(category)),
                    Err(()) => {
                        let near = suggestion(name, Category::ALL.map(Category::name));
                        let help = near.map_or_else(
                            || format!("the categories are {}", Category::ALL.map(Category::name).join(", ")),
                            |near| format!("did you mean `{near}`?"),
                        );
                        self.report(term.span(), format!("no category is called `{name}`"), &help);
                    }
                },
            }
        }
        terms
    }

    fn code(&mut self, number: u32, span: Range<usize>) -> Option<Code> {
        let code = Code::new(number);
        if code.is_none() {
            self.report(span, format!("{number} is no code"), "codes have five digits, 10000 to 99999");
        }
        code
    }

    fn example(&mut self, example: Spanned<ExampleText>) -> Example {
        let span = example.span();
        let example = example.into_inner();
        let after = example.after.and_then(|after| self.duration(&after)).unwrap_or_default();
        let mut events = Vec::new();
        for event in example.events {
            let at = self.duration(&event.at);
            let code = self.code(*event.code.get_ref(), event.code.span());
            if let (Some(at), Some(code)) = (at, code) {
                let calls = event.calls.unwrap_or(event.times).min(event.times);
                let source = event.source.as_deref().unwrap_or("a").into();
                events.push(Event { at, code, times: event.times, calls, source });
            }
        }
        let named: BTreeSet<_> = events.iter().map(|event| Arc::clone(&event.source)).collect();
        let sources = example.sources.unwrap_or(1).max(named.len());
        Example { events, sources, after, active: example.active, span }
    }

    fn minutes(&mut self, written: &Spanned<String>, least: i64) -> Option<i64> {
        let duration = self.duration(written)?;
        let minutes = duration.as_mins();
        if SignedDuration::from_mins(minutes) != duration || !(least..=LONGEST).contains(&minutes) {
            let message = format!("`{}` is not between 1m and 1h in whole minutes", written.get_ref());
            self.report(written.span(), message, "write \"10m\" or \"1h\"");
            return None;
        }
        Some(minutes)
    }

    fn duration(&mut self, written: &Spanned<String>) -> Option<SignedDuration> {
        let duration = written.get_ref().parse().ok();
        if duration.is_none() {
            let message = format!("`{}` is no duration", written.get_ref());
            self.report(written.span(), message, "write \"30s\", \"10m\" or \"1h\"");
        }
        duration
    }

    fn finish(mut self) -> Result<Rules, Problems> {
        for index in 0..self.all.len() {
            for (id, span) in std::mem::take(&mut self.unless[index]) {
                match self.all.iter().position(|rule| rule.id == id) {
                    Some(other) => self.all[index].unless.push(other),
                    None => {
                        (self.path, self.text) = (Arc::clone(&self.all[index].path), Arc::clone(&self.all[index].text));
                        let near = suggestion(&id, self.all.iter().map(|rule| rule.id.as_str()));
                        let help = near.map_or_else(
                            || "name another finding, or leave it out".to_owned(),
                            |near| format!("did you mean `{near}`?"),
                        );
                        self.report(span, format!("no finding is called `{id}`"), &help);
                    }
                }
            }
        }
        if self.problems.is_empty() { Ok(Rules { all: self.all }) } else { Err(Problems(self.problems)) }
    }

    fn report(&mut self, span: Range<usize>, message: String, help: &str) {
        self.problems.push(Problem {
            path: self.path.to_string(),
            text: Arc::clone(&self.text),
            span,
            message,
            help: Some(help.to_owned()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, told: &[&str]) {
        let problems = Rules::layered(&[("mine.toml".into(), text.into())]).unwrap_err().to_string();
        for told in told {
            assert!(problems.contains(told), "{told}: {problems}");
        }
    }

    const MINE: &str = "[[finding]]\nid = \"mine\"\ntitle = \"t\"\nmeaning = \"m\"\nsteps = [\"s\"]\ncodes = [31005]\nwindow = \"5m\"\nexamples = [\n\
        { events = [{ at = \"0s\", code = 31005 }], active = true },\n{ events = [], active = false },\n]\n";

    #[test]
    fn a_file_may_hold_detection_rules_too_and_replace_a_finding() {
        let mine = format!("[part]\nx = \"y\"\n{}", MINE.replace("mine", "dns"));
        let rules = Rules::layered(&[("mine.toml".into(), mine)]).unwrap();
        let dns: Vec<_> = rules.all().iter().filter(|rule| rule.id == "dns").collect();
        assert_eq!((dns.len(), dns[0].window, &*dns[0].path), (1, 5, "mine.toml"));
        assert_eq!(rules.all().len(), Rules::embedded().all().len());
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        check(&MINE.replace("31005]", "\"signalling\"]"), &["mine.toml:6:10", "did you mean `signaling`?"]);
        check(&MINE.replace("[31005]", "[310055]"), &["310055 is no code"]);
        check(&MINE.replace("\"5m\"", "\"2h\""), &["mine.toml:7:10", "between 1m and 1h"]);
        check(&MINE.replace("\"5m\"", "\"soon\""), &["`soon` is no duration"]);
        check(&MINE.replace("count", "x").replace("window", "windw"), &["did you mean `window`?"]);
        check(&format!("{MINE}unless = [\"netwrk\"]\n"), &["did you mean `network`?"]);
        check(&format!("{MINE}sources = \"every\"\n"), &["`every` is no number of sources"]);
        check(&format!("{MINE}{MINE}"), &["two findings are called `mine`"]);
        check(&MINE.replace("\"mine\"", "\"My finding\""), &["use small letters and hyphens"]);
        check(&MINE.replace("active = true", "active = false"), &["no examples of both kinds"]);
        check(&MINE.replace("[\"s\"]", "[]"), &["has no steps"]);
        check("[[finding]\n", &["mine.toml:1"]);
    }
}
