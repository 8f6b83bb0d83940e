//! The rules' file format, and how its files become one ordered list.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use regex_automata::MatchKind;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::nfa::thompson::{self, BuildError, NFA, State, Transition, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_syntax::hir::{Hir, HirKind, Repetition};
use serde::Deserialize;
use toml::Spanned;

use super::super::plain::is_mark;
use super::super::tables::ends_cell;
use super::automaton::after_number;
use super::judge::may_be_bounded;
use super::{Automaton, Evidence, Rule, RuleSet, Rules, RulesError, Side, Verdict, byte_regex};
use crate::problem::{Problem, Problems, suggestion};

/// How large one pattern may become, in bytes, as the regex crate has it for evidence.
const LARGEST: usize = 10 << 20;

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
    /// What [`crate::diagnose`] reads.
    #[serde(default, rename = "finding")]
    _finding: serde::de::IgnoredAny,
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
    listed: bool,
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

/// Compiles files of rules and collects what is wrong with them.
#[derive(Default)]
pub(super) struct Builder {
    problems: Vec<Problem>,
    parts: BTreeMap<String, (String, Hir)>,
    evidence: Vec<Evidence>,
    all: Vec<Rule>,
    /// What stands beside the number, by rule.
    sides: Vec<Sides>,
}

/// The patterns of one rule, each compiled alone: parsed, those of all rules together would take 15 MB for a moment.
pub(super) struct Sides {
    before: Option<NFA>,
    after: Option<NFA>,
}

impl Sides {
    /// The patterns of a rule that was read before.
    pub(super) fn of(rule: &Rule) -> Sides {
        let side = |pattern: &Option<String>, side| nfa(&parse(pattern.as_ref()?).ok()?, side).ok();
        Sides { before: side(&rule.before, Side::Before), after: side(&rule.after, Side::After) }
    }
}

impl Rules {
    fn of(all: Vec<Rule>, sides: &[Sides], evidence: Vec<Evidence>) -> Result<Rules, RulesError> {
        let before = Automaton::of(sides, Side::Before, |index| all[index].any)?;
        let before_known = Automaton::of(sides, Side::Before, |index| !all[index].any)?;
        let after = Automaton::of(sides, Side::After, |_| true)?;
        let followers = followers(&all, sides)?;
        let those = |wanted: &dyn Fn(&Rule) -> bool| RuleSet::of(all.iter().map(wanted));
        let anywhere = those(&|rule| rule.before.is_none());
        let unfollowed = those(&|rule| rule.after.is_none());
        let any = those(&|rule| rule.any);
        let accept_any = those(&|rule| rule.any && rule.verdict == Verdict::Accept);
        Ok(Rules {
            all,
            evidence,
            before,
            before_known,
            after,
            anywhere,
            unfollowed,
            any,
            accept_any,
            followers,
            idle: Mutex::default(),
        })
    }
}

impl Automaton {
    /// The patterns on one side of the rules that are wanted, to be run away from the number.
    pub(super) fn of<'a>(
        sides: &'a [Sides],
        side: Side,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Automaton, RulesError> {
        let pattern = |(index, sides): (usize, &'a Sides)| {
            let pattern = if side == Side::Before { &sides.before } else { &sides.after };
            Some((index as u16, pattern.as_ref()?))
        };
        let wanted = sides.iter().enumerate().filter(|(index, _)| wanted(*index));
        let (rules, patterns): (Vec<u16>, Vec<&NFA>) = wanted.filter_map(pattern).unzip();
        let too_large = |error: &dyn std::fmt::Display| RulesError::TooLarge(error.to_string());
        let nfa = union(&patterns, side).map_err(|error| too_large(&error))?;
        // All that match where it is run are found: there is no search.
        let dfa = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::All).cache_capacity(8 << 20))
            .build_from_nfa(nfa)
            .map_err(|error| too_large(&error))?;
        Ok(Automaton { dfa, rules })
    }
}

/// By byte: whether a rule may accept an uncatalogued number that this byte follows.
fn followers(all: &[Rule], sides: &[Sides]) -> Result<Box<[bool; 256]>, RulesError> {
    let accepts = |rule: &Rule| rule.any && rule.verdict == Verdict::Accept;
    let bounded = all.iter().any(|rule| accepts(rule) && rule.after.is_none());
    let Automaton { dfa, .. } = Automaton::of(sides, Side::After, |index| accepts(&all[index]))?;
    let mut cache = dfa.create_cache();
    let too_large = |error: &dyn std::fmt::Display| RulesError::TooLarge(error.to_string());
    let start = dfa.start_state(&mut cache, &after_number()).map_err(|error| too_large(&error))?;
    let mut followers = Box::new([false; 256]);
    for byte in 0..=u8::MAX {
        let next = dfa.next_state(&mut cache, start, byte).map_err(|error| too_large(&error))?;
        let accepted = !next.is_dead() || bounded && may_be_bounded(byte);
        // Where a line or a cell ends nothing follows: whatever a pattern makes of that, it may match. A mark may hide
        // anything.
        followers[usize::from(byte)] = accepted || ends_cell(&[byte]) || is_mark(byte);
    }
    Ok(followers)
}

impl Builder {
    pub(super) fn build(mut self, sources: &[(Arc<str>, Arc<str>)]) -> Result<Rules, RulesError> {
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
                if let Some(part) = self.pattern(path, text, pattern) {
                    self.parts.insert(name.clone(), part);
                }
            }
        }
        for (path, text, file) in files.iter().rev() {
            for (name, pattern) in &file.evidence {
                let Some((filled, _)) = self.pattern(path, text, pattern) else { continue };
                let mut compiled = OnceLock::new();
                // What a file changed is compiled here, where what is wrong with it can be said.
                if files.len() > 1 {
                    match byte_regex(&filled) {
                        Ok(regex) => compiled = regex.into(),
                        Err(error) => self.unusable(path, text, pattern, &error),
                    }
                }
                self.evidence.retain(|evidence| evidence.name != *name);
                self.evidence.push(Evidence { name: name.clone(), pattern: filled, compiled });
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
        Rules::of(self.all, &self.sides, self.evidence)
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
        let mut compiled = |pattern: &Option<_>, side| {
            let pattern = pattern.as_ref()?;
            let (filled, parsed) = self.pattern(path, text, pattern)?;
            let compiled = nfa(&parsed, side).map_err(|error| self.unusable(path, text, pattern, &error));
            Some((filled, compiled.ok()?))
        };
        let (before, compiled_before) = compiled(&rule.before, Side::Before).unzip();
        let (after, compiled_after) = compiled(&rule.after, Side::After).unzip();
        self.sides.push(Sides { before: compiled_before, after: compiled_after });
        let has = self.named(path, text, &rule.has);
        let lacks = self.named(path, text, &rule.lacks);
        self.all.push(Rule {
            id: rule.id.into_inner(),
            description: rule.description.trim().to_owned(),
            verdict,
            any: scope == Scope::Any,
            examples: rule.examples.into_inner(),
            near_misses: rule.near_misses.into_inner(),
            path: Arc::clone(path),
            before,
            after,
            name: rule.name,
            listed: rule.listed,
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

    /// A pattern with each `{part}` replaced by what it stands for, as a text and parsed.
    fn pattern(&mut self, path: &Arc<str>, text: &Arc<str>, pattern: &Spanned<String>) -> Option<(String, Hir)> {
        let mut filled = String::new();
        // With a group in place of each part, which is parsed once however often it is used.
        let mut outline = String::new();
        let mut parts = Vec::new();
        let mut rest = pattern.get_ref().as_str();
        while let Some((before, tail)) = rest.split_once('{') {
            let name = tail
                .split_once('}')
                .filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_lowercase()) && !before.ends_with("\\x"));
            for text in [&mut filled, &mut outline] {
                text.push_str(before);
            }
            let Some((name, after)) = name else {
                filled.push('{');
                outline.push('{');
                rest = tail;
                continue;
            };
            let Some((part, parsed)) = self.parts.get(name) else {
                let help = match suggestion(name, self.parts.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => "define it under [part], above where it is used".to_owned(),
                };
                self.report(path, text, pattern.span(), format!("no part is called `{name}`"), &help);
                return None;
            };
            filled.extend(["(?:", part, ")"]);
            outline.push_str(&format!("(?P<part{}>_)", parts.len()));
            parts.push(parsed);
            rest = after;
        }
        filled.push_str(rest);
        outline.push_str(rest);
        // Flags of a pattern reach into the parts in it: those are parsed where they stand.
        let parsed = if parts.is_empty() || sets_flags(pattern.get_ref()) {
            parse(&filled)
        } else {
            parse(&outline).map(|outline| with_parts(outline, &parts))
        };
        let parsed = parsed.map_err(|error| self.unusable(path, text, pattern, &error));
        Some((filled, parsed.ok()?))
    }

    fn unusable<T>(&mut self, path: &Arc<str>, text: &Arc<str>, pattern: &Spanned<T>, error: &dyn std::fmt::Display) {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let help = "patterns have the syntax of https://docs.rs/regex, over bytes, ignoring case";
        self.report(path, text, pattern.span(), format!("the pattern cannot be used: {reason}"), help);
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

/// A pattern over bytes that ignores case.
fn parse(pattern: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    syntax::parse_with(pattern, &syntax::Config::new().unicode(false).utf8(false).case_insensitive(true))
        .map_err(Box::new)
}

/// Whether a pattern switches anything on or off for a part of itself.
fn sets_flags(pattern: &str) -> bool {
    pattern.match_indices("(?").any(|(at, _)| !matches!(pattern.as_bytes().get(at + 2), Some(b':' | b'P' | b'<')))
}

/// A pattern's outline with the parts in the places of their groups; no other group is kept.
fn with_parts(outline: Hir, parts: &[&Hir]) -> Hir {
    if outline.properties().explicit_captures_len() == 0 {
        return outline;
    }
    let all = |hirs: Vec<Hir>| hirs.into_iter().map(|hir| with_parts(hir, parts)).collect();
    match outline.into_kind() {
        HirKind::Capture(capture) => {
            let number = capture.name.as_deref().and_then(|name| name.strip_prefix("part")?.parse().ok());
            match number.and_then(|number: usize| parts.get(number)) {
                Some(part) => Hir::clone(part),
                None => with_parts(*capture.sub, parts),
            }
        }
        HirKind::Repetition(repeated) => {
            let sub = Box::new(with_parts(*repeated.sub, parts));
            Hir::repetition(Repetition { sub, ..repeated })
        }
        HirKind::Concat(hirs) => Hir::concat(all(hirs)),
        HirKind::Alternation(hirs) => Hir::alternation(all(hirs)),
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(look),
    }
}

/// What recognises one pattern, away from the number.
fn nfa(pattern: &Hir, side: Side) -> Result<NFA, Box<BuildError>> {
    let config = thompson::Config::new()
        .utf8(false)
        .reverse(side == Side::Before)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(LARGEST));
    thompson::Compiler::new().configure(config).build_from_hir(pattern).map_err(Box::new)
}

/// What recognises several patterns at once, where it is run.
fn union(nfas: &[&NFA], side: Side) -> Result<NFA, Box<BuildError>> {
    let mut builder = thompson::Builder::new();
    builder.set_utf8(false);
    builder.set_reverse(side == Side::Before);
    let mut starts = Vec::new();
    for nfa in nfas {
        builder.start_pattern()?;
        let start = builder.add_empty()?;
        // The states follow in their order.
        let at = |id: StateID| StateID::new_unchecked(start.as_usize() + 1 + id.as_usize());
        let over = |transition: &Transition| Transition { next: at(transition.next), ..*transition };
        for state in nfa.states() {
            match state {
                State::ByteRange { trans } => builder.add_range(over(trans)),
                State::Sparse(sparse) => builder.add_sparse(sparse.transitions.iter().map(over).collect()),
                State::Dense(dense) => {
                    let transition = |(byte, next)| Transition { start: byte, end: byte, next };
                    let all = (0..=u8::MAX).zip(dense.transitions.iter().copied()).map(transition);
                    builder.add_sparse(all.filter(|all| all.next != StateID::ZERO).map(|all| over(&all)).collect())
                }
                State::Look { look, next } => builder.add_look(at(*next), *look),
                State::Union { alternates } => builder.add_union(alternates.iter().copied().map(at).collect()),
                State::BinaryUnion { alt1, alt2 } => builder.add_union(vec![at(*alt1), at(*alt2)]),
                State::Capture { next, .. } => builder.add_union(vec![at(*next)]),
                State::Fail => builder.add_fail(),
                State::Match { .. } => builder.add_match(),
            }?;
        }
        builder.patch(start, at(nfa.start_anchored()))?;
        builder.finish_pattern(start)?;
        starts.push(start);
    }
    let start = builder.add_union(starts)?;
    Ok(builder.build(start, start)?)
}
