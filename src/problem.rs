//! What is wrong in a file that a user wrote: where, the line itself, and what to do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::output::escape;

/// One thing that is wrong in a configuration, catalogue or rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user named it.
    pub path: String,
    /// The file's whole text.
    pub text: Arc<str>,
    /// The bytes of `text` that are wrong; a span past the end stands for the end.
    pub span: Range<usize>,
    /// What is wrong, with the offending value; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything that is wrong in the files of one start; never empty. Displays as one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&reports.join("\n\n"))
    }
}

impl Problem {
    /// What TOML's parser says of a file, with a suggestion for a misspelt key.
    pub fn toml(path: &str, text: &Arc<str>, error: &toml::de::Error) -> Problem {
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        let mut quoted = error.message().split('`').skip(1).step_by(2);
        let help = match quoted.next() {
            Some(word) if message.starts_with("unknown") => {
                suggestion(word, quoted).map(|near| format!("did you mean `{near}`?"))
            }
            _ if message.starts_with("missing field") => Some("it has no value by itself: give it one".to_owned()),
            _ if message.ends_with("expected a sequence") => Some("write a list, in brackets".to_owned()),
            _ => None,
        };
        let span = error.span().unwrap_or(text.len()..text.len());
        Problem { path: path.to_owned(), text: Arc::clone(text), span, message, help }
    }
}

impl Problem {
    /// The line and the column, in characters, both counted from one.
    pub fn position(&self) -> (usize, usize) {
        let before = self.text.split_at(character(&self.text, self.span.start)).0;
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A parser counts bytes: what it says may lie inside a character.
        let start = character(&self.text, self.span.start);
        let span = start..character(&self.text, self.span.end).max(start);
        let snippet = Snippet::source(&*self.text)
            .line_start(1)
            .path(escape(&self.path))
            .annotation(AnnotationKind::Primary.span(span));
        let mut group = Group::with_title(Level::ERROR.primary_title(escape(&self.message))).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(escape(help)));
        }
        f.write_str(&Renderer::plain().render(&[group]))
    }
}

/// Where the character begins that holds the byte at `index`; the end of the text for what lies past it.
fn character(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// The one of `known` that a misspelt word most likely meant.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 2).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of insertions, deletions and substitutions between two words.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_place_the_line_and_what_to_do() {
        let text: Arc<str> = "listen = \"x\"\nlissen = 1\n".into();
        let problem = Problem {
            path: "twdiag.toml".into(),
            span: 13..19,
            text,
            message: "unknown key `lissen`".into(),
            help: Some("did you mean `listen`?".into()),
        };
        let shown = problem.to_string();
        assert!(shown.contains("twdiag.toml:2:1"), "{shown}");
        assert!(shown.contains("lissen = 1"), "{shown}");
        assert!(shown.contains("^^^^^^"), "{shown}");
        assert!(shown.contains("did you mean `listen`?"), "{shown}");
    }

    #[test]
    fn shows_a_place_inside_a_character() {
        let problem = |span| Problem { path: "x".into(), span, text: "a = ƪ".into(), message: "m".into(), help: None };
        for start in 0..9 {
            for end in 0..9 {
                let problem = problem(start..end);
                assert!(problem.to_string().contains("x:1:"), "{problem}");
                assert!(problem.position().0 == 1, "{problem}");
            }
        }
    }

    #[test]
    fn suggests_near_words_only() {
        let known = ["listen", "state", "source"];
        assert_eq!(suggestion("lissen", known), Some("listen"));
        assert_eq!(suggestion("wxyz", known), None);
        assert_eq!(suggestion("sorce", known), Some("source"));
    }
}
