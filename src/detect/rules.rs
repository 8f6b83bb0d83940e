//! The detection rules: their file format, how they are compiled, and how they decide about a number.
//!
//! A file of rules is data (`rules/detect.toml` is the one compiled in). The rules are one ordered list; the
//! first that matches decides. A rule looks at what stands right before the number, right after it, and at
//! what else the record holds.
//!
//! All `before` patterns are one automaton that runs backwards from the number and stops as soon as none of
//! them can match: a number in the wrong place costs a few steps, whatever the number of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memrchr};
use regex::bytes::Regex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use serde::Deserialize;
use toml::Spanned;

use crate::catalog::Entry;
use crate::problem::{Problem, Problems, suggestion};

/// How far before a number its context reaches, in bytes.
const REACH: usize = 256;

/// How far after a number, and before it, the catalogue's name of the code may begin, in bytes.
const NAME_GAP: usize = 40;

/// The evidence that `assume = "twilio"` on a source stands for.
const ASSUMED: &str = "twilio";

/// The detection rules in their order, compiled.
#[derive(Debug)]
pub struct Rules {
    all: Vec<Rule>,
    evidence: Vec<Evidence>,
    /// The rules that a catalogued number is held against.
    catalogued: Automaton,
    /// The rules that any number is held against.
    any: Automaton,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name in `why`, in matches and in metrics.
    pub id: String,
    /// What it stands for and why it decides so.
    pub description: String,
    /// What it decides.
    pub verdict: Verdict,
    /// Whether it also speaks about numbers that the catalogue lacks.
    pub any: bool,
    /// Records in which it decides about a number.
    pub examples: Vec<String>,
    /// Records in which it does not, though they look alike.
    pub near_misses: Vec<String>,
    /// The file it stands in.
    pub path: Arc<str>,
    after: Option<Regex>,
    name: Option<Side>,
    has: Vec<usize>,
    lacks: Vec<usize>,
}

/// What a rule decides about a number that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The number is a reported error code.
    Accept,
    /// The number is something else.
    Reject,
}

/// On which side of the number the catalogue's own name of the code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Before,
    After,
}

/// Something that a record holds or lacks.
#[derive(Debug)]
struct Evidence {
    name: String,
    pattern: Regex,
}

/// Several `before` patterns, run backwards from a number.
#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    /// The rule of each pattern.
    rules: Vec<u16>,
    /// Rules that say nothing about what stands before.
    anywhere: Vec<u16>,
}

/// A file of rules that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// What is wrong in the files, with its places.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The rules are sound one by one and too large together.
    #[error("the rules are too large to compile: {0}")]
    TooLarge(String),
}

/// A file of rules as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    part: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    evidence: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    rule: Vec<Spanned<RuleText>>,
}

/// One rule as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: Spanned<String>,
    description: String,
    accept: Option<Scope>,
    reject: Option<Scope>,
    before: Option<Spanned<String>>,
    after: Option<Spanned<String>>,
    name: Option<Side>,
    #[serde(default)]
    has: Vec<Spanned<String>>,
    #[serde(default)]
    lacks: Vec<Spanned<String>>,
    examples: Spanned<Vec<String>>,
    near_misses: Spanned<Vec<String>>,
}

/// Which numbers a rule speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Catalogued,
    Any,
}

impl Rules {
    /// The rules compiled into the binary.
    pub fn embedded() -> Rules {
        Rules::layered(&[]).unwrap_or_else(|error| panic!("the embedded rules are tested: {error}"))
    }

    /// The users' rules, in order, in front of the embedded ones. Each is a path, to name in messages, and its text.
    ///
    /// # Errors
    /// Every problem of every file, with its place.
    pub fn layered(files: &[(String, String)]) -> Result<Rules, RulesError> {
        let mut sources: Vec<(Arc<str>, Arc<str>)> =
            files.iter().map(|(path, text)| (path.as_str().into(), text.as_str().into())).collect();
        sources.push(("rules/detect.toml".into(), include_str!("../../rules/detect.toml").into()));
        Builder::default().build(&sources)
    }

    /// Every rule, in the order in which they are tried.
    pub fn all(&self) -> &[Rule] {
        &self.all
    }

    /// The memory that one thread needs to run the rules.
    pub(crate) fn judge(&self) -> Judge {
        Judge {
            catalogued: self.catalogued.dfa.create_cache(),
            any: self.any.dfa.create_cache(),
            found: Vec::new(),
            known: vec![Known::default(); self.evidence.len()],
        }
    }
}

/// What one thread needs to run the rules: lazily built automata and what is known of the record at hand.
#[derive(Debug)]
pub(crate) struct Judge {
    catalogued: Cache,
    any: Cache,
    /// Rules whose `before` matches, ascending.
    found: Vec<u16>,
    /// What is known of each evidence in the record at hand.
    known: Vec<Known>,
}

/// How much of a record has been searched for one piece of evidence.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Not within the record's first bytes, this many.
    absent: usize,
    /// Within the record's first bytes, this many; 0 where that is not known.
    present: usize,
}

/// What can be said of a number from its surroundings alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// No rule that accepts can match at this place; the rule that rejects it whatever the record holds, if any.
    Nothing(Option<usize>),
    /// Rules that reject may match, or rules that the text before the line's start could still complete.
    Unclear,
    /// A rule that accepts matches at this place, if the record holds what it asks for.
    Possible,
}

impl Judge {
    /// Forgets what was known of the last record.
    pub(crate) fn begin_record(&mut self, assume_twilio: bool, rules: &Rules) {
        for (known, evidence) in self.known.iter_mut().zip(&rules.evidence) {
            let assumed = assume_twilio && evidence.name == ASSUMED;
            *known = Known { absent: 0, present: usize::from(assumed) };
        }
    }

    /// Looks at a number's line alone. What stands before `start` in it is its wrapping, which may have to be
    /// looked through.
    pub(crate) fn outlook(
        &mut self,
        rules: &Rules,
        line: &[u8],
        start: usize,
        number: &Range<usize>,
        entry: Option<&Entry>,
    ) -> Outlook {
        let (automaton, died) = self.run(rules, line, number.start, entry.is_some());
        let died = died.is_some_and(|at| at >= start);
        let surroundings = Surroundings::of(line, number, entry);
        let accepts = |rule: &u16| {
            let rule = &rules.all[*rule as usize];
            rule.verdict == Verdict::Accept && rule.fits(&surroundings)
        };
        if self.found.iter().any(accepts) || automaton.anywhere.iter().any(accepts) {
            return Outlook::Possible;
        }
        if !died || !self.found.is_empty() {
            return Outlook::Unclear;
        }
        let mut rejects = automaton.anywhere.iter().map(|rule| *rule as usize);
        match rejects.find(|&rule| rules.all[rule].fits(&surroundings)) {
            Some(rule) if !rules.all[rule].has.is_empty() || !rules.all[rule].lacks.is_empty() => Outlook::Unclear,
            rule => Outlook::Nothing(rule),
        }
    }

    /// The first rule that matches a number of the record `text`, of which the first `length` bytes are known.
    pub(crate) fn decide(
        &mut self,
        rules: &Rules,
        text: &[u8],
        length: usize,
        number: Range<usize>,
        entry: Option<&Entry>,
    ) -> Option<usize> {
        let text = &text[..length];
        let (automaton, _) = self.run(rules, text, number.start, entry.is_some());
        let mut found = std::mem::take(&mut self.found);
        found.extend_from_slice(&automaton.anywhere);
        found.sort_unstable();
        let surroundings = Surroundings::of(text, &number, entry);
        let decided = found.iter().map(|rule| *rule as usize).find(|&index| {
            let rule = &rules.all[index];
            rule.fits(&surroundings)
                && rule.has.iter().all(|&evidence| self.holds(rules, evidence, text))
                && !rule.lacks.iter().any(|&evidence| self.holds(rules, evidence, text))
        });
        self.found = found;
        decided
    }

    /// Collects into `found` the rules whose `before` ends at `at`; the automaton that did, and where it died.
    fn run<'r>(
        &mut self,
        rules: &'r Rules,
        text: &[u8],
        at: usize,
        catalogued: bool,
    ) -> (&'r Automaton, Option<usize>) {
        let (automaton, cache) =
            if catalogued { (&rules.catalogued, &mut self.catalogued) } else { (&rules.any, &mut self.any) };
        self.found.clear();
        let died = automaton.run(cache, text, at, &mut self.found);
        self.found.sort_unstable();
        self.found.dedup();
        (automaton, died)
    }

    fn holds(&mut self, rules: &Rules, evidence: usize, text: &[u8]) -> bool {
        let known = &mut self.known[evidence];
        if known.present != 0 && known.present <= text.len() {
            return true;
        }
        if text.len() <= known.absent {
            return false;
        }
        let held = rules.evidence[evidence].pattern.is_match(text);
        if held {
            known.present = text.len()
        } else {
            known.absent = text.len()
        }
        held
    }
}

impl Automaton {
    /// Runs backwards from `at`, collecting the rules that match; where it died, so that nothing before that
    /// place could add to them, or `None` where it came to the text's start.
    ///
    /// An automaton whose lazily built states outgrow their memory starts over; past its limit the number is
    /// decided as if nothing matched, which the limit in [`Builder::automaton`] is large enough to rule out.
    fn run(&self, cache: &mut Cache, text: &[u8], at: usize, found: &mut Vec<u16>) -> Option<usize> {
        let low = at.saturating_sub(REACH);
        // Backwards, the byte after the number's start is what assertions at the pattern's end look at.
        let start = start::Config::new().anchored(Anchored::Yes).look_behind(text.get(at).copied());
        let Ok(mut state) = self.dfa.start_state(cache, &start) else { return Some(at) };
        let collect = |cache: &Cache, state, found: &mut Vec<u16>| {
            for i in 0..self.dfa.match_len(cache, state) {
                found.push(self.rules[self.dfa.match_pattern(cache, state, i).as_usize()]);
            }
        };
        for (before, &byte) in text[low..at].iter().enumerate().rev() {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return Some(low + before) };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    collect(cache, state, found);
                } else if state.is_dead() || state.is_quit() {
                    return Some(low + before);
                }
            }
        }
        let last = match low.checked_sub(1) {
            Some(before) => self.dfa.next_state(cache, state, text[before]),
            None => self.dfa.next_eoi_state(cache, state),
        };
        if let Ok(state) = last
            && state.is_match()
        {
            collect(cache, state, found);
        }
        if low > 0 { Some(low) } else { None }
    }
}

/// What stands beside a number on its line.
struct Surroundings<'a> {
    before: &'a [u8],
    after: &'a [u8],
    entry: Option<&'a Entry>,
}

impl<'a> Surroundings<'a> {
    fn of(text: &'a [u8], number: &Range<usize>, entry: Option<&'a Entry>) -> Surroundings<'a> {
        let after = &text[number.end..(number.end + REACH).min(text.len())];
        let after = &after[..memchr(b'\n', after).unwrap_or(after.len())];
        let before = &text[number.start.saturating_sub(REACH)..number.start];
        let before = &before[memrchr(b'\n', before).map_or(0, |at| at + 1)..];
        Surroundings { before, after, entry }
    }
}

impl Rule {
    /// Whether what stands beside the number is what the rule asks for, its `before` aside.
    fn fits(&self, surroundings: &Surroundings<'_>) -> bool {
        let after = match &self.after {
            Some(after) => after.is_match(surroundings.after),
            None => is_bounded(surroundings.after),
        };
        let named = match (self.name, surroundings.entry) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Side::After), Some(entry)) => named_after(surroundings.after, entry),
            (Some(Side::Before), Some(entry)) => named_before(surroundings.before, entry),
        };
        after && named
    }

    /// Names of the evidence that must be there, and of the one that must not.
    pub fn evidence<'a>(&'a self, rules: &'a Rules) -> (Vec<&'a str>, Vec<&'a str>) {
        let names = |list: &[usize]| list.iter().map(|&i| rules.evidence[i].name.as_str()).collect();
        (names(&self.has), names(&self.lacks))
    }
}

impl Rules {
    /// Where a rule's evidence stands in a record: the name of each and its first place.
    pub fn evidence_in(&self, rule: &Rule, text: &[u8]) -> Vec<(&str, Range<usize>)> {
        rule.has
            .iter()
            .filter_map(|&i| Some((self.evidence[i].name.as_str(), self.evidence[i].pattern.find(text)?.range())))
            .collect()
    }
}

/// Whether a number ends where it seems to: not as a part of a word, a larger number, a range, a path or a share.
fn is_bounded(after: &[u8]) -> bool {
    let next = |n: usize| after.get(n).copied().unwrap_or(b'\n');
    match next(0) {
        b'.' | b':' | b',' | b'/' => !next(1).is_ascii_digit(),
        b'-' => !next(1).is_ascii_alphanumeric(),
        b'%' => next(1).is_ascii_hexdigit() && next(2).is_ascii_hexdigit(),
        byte => !(byte.is_ascii_alphanumeric() || byte == b'_'),
    }
}

/// Whether the catalogue's name of the code begins soon after the number.
fn named_after(after: &[u8], entry: &Entry) -> bool {
    let name = entry.name.trim_end_matches('.').as_bytes();
    !name.is_empty() && after.windows(name.len()).take(NAME_GAP).any(|text| text.eq_ignore_ascii_case(name))
}

/// Whether the catalogue's name of the code ends shortly before the number.
fn named_before(before: &[u8], entry: &Entry) -> bool {
    let name = entry.name.trim_end_matches('.').as_bytes();
    !name.is_empty() && before.windows(name.len()).rev().take(NAME_GAP).any(|text| text.eq_ignore_ascii_case(name))
}

/// Compiles files of rules and collects what is wrong with them.
#[derive(Default)]
struct Builder {
    problems: Vec<Problem>,
    parts: BTreeMap<String, String>,
    evidence: Vec<Evidence>,
    all: Vec<Rule>,
    /// Each rule's `before`, with its parts filled in.
    befores: Vec<Option<String>>,
}

impl Builder {
    fn build(mut self, sources: &[(Arc<str>, Arc<str>)]) -> Result<Rules, RulesError> {
        let mut files = Vec::new();
        for (path, text) in sources {
            match toml::from_str::<File>(text) {
                Ok(file) => files.push((path, text, file)),
                Err(error) => self.problems.push(Problem::toml(path, text, &error)),
            }
        }
        // The embedded definitions come first, so that a user's replace them.
        for (path, text, file) in files.iter().rev() {
            let mut parts: Vec<_> = file.part.iter().collect();
            parts.sort_by_key(|(_, pattern)| pattern.span().start);
            for (name, pattern) in parts {
                let filled = self.fill(path, text, pattern);
                self.parts.insert(name.clone(), filled);
            }
        }
        for (path, text, file) in files.iter().rev() {
            for (name, pattern) in &file.evidence {
                let filled = self.fill(path, text, pattern);
                if let Some(pattern) = self.regex(path, text, pattern.span(), &filled) {
                    self.evidence.retain(|evidence| evidence.name != *name);
                    self.evidence.push(Evidence { name: name.clone(), pattern });
                }
            }
        }
        let mut ids = BTreeSet::new();
        for (path, text, file) in files {
            for rule in file.rule {
                let id = rule.get_ref().id.clone();
                if !ids.insert(id.get_ref().clone()) {
                    let message = format!("two rules are called `{}`", id.get_ref());
                    self.report(path, text, id.span(), message, "give each rule an id of its own");
                }
                self.rule(path, text, rule);
            }
        }
        if !self.problems.is_empty() {
            return Err(Problems(self.problems).into());
        }
        let catalogued = self.automaton(|_| true)?;
        let any = self.automaton(|rule| rule.any)?;
        Ok(Rules { all: self.all, evidence: self.evidence, catalogued, any })
    }

    fn rule(&mut self, path: &Arc<str>, text: &Arc<str>, rule: Spanned<RuleText>) {
        let rule = rule.into_inner();
        let (verdict, scope) = match (rule.accept, rule.reject) {
            (Some(scope), None) => (Verdict::Accept, scope),
            (None, Some(scope)) => (Verdict::Reject, scope),
            _ => {
                let message = format!("rule `{}` must say either `accept` or `reject`", rule.id.get_ref());
                let help = "write `accept = \"catalogued\"`, or \"any\" where the context is Twilio's alone";
                return self.report(path, text, rule.id.span(), message, help);
            }
        };
        if rule.before.is_none() && rule.after.is_none() && rule.name.is_none() {
            let message = format!("rule `{}` says nothing about what stands beside the number", rule.id.get_ref());
            return self.report(path, text, rule.id.span(), message, "add `before`, `after` or `name`");
        }
        for (list, what) in [(&rule.examples, "examples"), (&rule.near_misses, "near_misses")] {
            if list.get_ref().is_empty() {
                let message = format!("rule `{}` has no {what}", rule.id.get_ref());
                self.report(path, text, list.span(), message, "examples are the rule's tests: give some both ways");
            }
        }
        let before = rule.before.as_ref().map(|pattern| (pattern.span(), self.fill(path, text, pattern)));
        if let Some((span, before)) = &before {
            // The automaton reports no place, so each pattern is tried alone first.
            self.regex(path, text, span.clone(), before);
        }
        let after = rule.after.as_ref().and_then(|pattern| {
            let filled = format!("^(?:{})", self.fill(path, text, pattern));
            self.regex(path, text, pattern.span(), &filled)
        });
        let has = self.named(path, text, &rule.has);
        let lacks = self.named(path, text, &rule.lacks);
        self.befores.push(before.map(|(_, before)| before));
        self.all.push(Rule {
            id: rule.id.into_inner(),
            description: rule.description.trim().to_owned(),
            verdict,
            any: scope == Scope::Any,
            examples: rule.examples.into_inner(),
            near_misses: rule.near_misses.into_inner(),
            path: Arc::clone(path),
            after,
            name: rule.name,
            has,
            lacks,
        });
    }

    /// The evidence with these names.
    fn named(&mut self, path: &Arc<str>, text: &Arc<str>, names: &[Spanned<String>]) -> Vec<usize> {
        let mut found = Vec::new();
        for name in names {
            match self.evidence.iter().position(|evidence| evidence.name == *name.get_ref()) {
                Some(index) => found.push(index),
                None => {
                    let known = self.evidence.iter().map(|evidence| evidence.name.as_str());
                    let help = match suggestion(name.get_ref(), known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "define it under [evidence]".to_owned(),
                    };
                    let message = format!("no evidence is called `{}`", name.get_ref());
                    self.report(path, text, name.span(), message, &help);
                }
            }
        }
        found
    }

    /// The pattern with each `{part}` replaced by what it stands for.
    fn fill(&mut self, path: &Arc<str>, text: &Arc<str>, pattern: &Spanned<String>) -> String {
        let mut filled = String::new();
        let mut rest = pattern.get_ref().as_str();
        while let Some((before, tail)) = rest.split_once('{') {
            filled.push_str(before);
            match tail.split_once('}') {
                Some((name, tail))
                    if name.starts_with(|c: char| c.is_ascii_lowercase()) && !before.ends_with("\\x") =>
                {
                    match self.parts.get(name) {
                        Some(part) => {
                            filled.push_str("(?:");
                            filled.push_str(part);
                            filled.push(')');
                        }
                        None => {
                            let known = self.parts.keys().map(String::as_str);
                            let help = match suggestion(name, known) {
                                Some(near) => format!("did you mean `{{{near}}}`?"),
                                None => "define it under [part], above where it is used".to_owned(),
                            };
                            self.report(path, text, pattern.span(), format!("no part is called `{name}`"), &help);
                        }
                    }
                    rest = tail;
                }
                _ => {
                    filled.push('{');
                    rest = tail;
                }
            }
        }
        filled.push_str(rest);
        filled
    }

    fn regex(&mut self, path: &Arc<str>, text: &Arc<str>, span: Range<usize>, pattern: &str) -> Option<Regex> {
        match regex::bytes::RegexBuilder::new(pattern).unicode(false).case_insensitive(true).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                let help = "patterns have the syntax of https://docs.rs/regex, over bytes, ignoring case";
                self.report(path, text, span, format!("the pattern cannot be used: {reason}"), help);
                None
            }
        }
    }

    fn automaton(&self, wanted: impl Fn(&Rule) -> bool) -> Result<Automaton, RulesError> {
        let (mut patterns, mut rules, mut anywhere) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (rule, before)) in self.all.iter().zip(&self.befores).enumerate() {
            match before {
                _ if !wanted(rule) => {}
                Some(before) => {
                    patterns.push(before.as_str());
                    rules.push(index as u16);
                }
                None => anywhere.push(index as u16),
            }
        }
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false).case_insensitive(true))
            .thompson(thompson::Config::new().utf8(false).reverse(true))
            .configure(DFA::config().match_kind(MatchKind::All).cache_capacity(8 << 20))
            .build_many(&patterns)
            .map_err(|error| RulesError::TooLarge(error.to_string()))?;
        Ok(Automaton { dfa, rules, anywhere })
    }

    fn report(&mut self, path: &Arc<str>, text: &Arc<str>, span: Range<usize>, message: String, help: &str) {
        self.problems.push(Problem {
            path: path.to_string(),
            text: Arc::clone(text),
            span,
            message,
            help: Some(help.to_owned()),
        });
    }
}
