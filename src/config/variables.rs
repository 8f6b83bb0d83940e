//! `${VAR}` and `${VAR:-default}` in the strings of a configuration, put in after it was parsed.
//!
//! So no variable can be more than the value it stands in, and every place is one of the file as it was written.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where variables are looked up; empty ones count as unset, as the shell's `:-` has it.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts the variables into every string of the table.
///
/// What cannot be put in is passed to `wrong`: its place in `text`, what is wrong and what to do.
pub(super) fn expand(
    table: &mut DeTable<'_>,
    text: &str,
    lookup: Lookup<'_>,
    wrong: &mut dyn FnMut(Range<usize>, String, String),
) {
    for (_, value) in table.iter_mut() {
        expand_value(value, text, lookup, wrong);
    }
}

fn expand_value(
    value: &mut Spanned<DeValue<'_>>,
    text: &str,
    lookup: Lookup<'_>,
    wrong: &mut dyn FnMut(Range<usize>, String, String),
) {
    let span = value.span();
    match value.get_mut() {
        DeValue::Table(table) => expand(table, text, lookup, wrong),
        DeValue::Array(array) => array.iter_mut().for_each(|value| expand_value(value, text, lookup, wrong)),
        DeValue::String(string) if string.contains("${") => {
            let mut wrong_here = |variable: &str, message: String, help: String| {
                // As it was written: escapes may have moved it within the value.
                let at = text.get(span.clone()).and_then(|written| written.find(variable));
                wrong(at.map_or(span.clone(), |at| span.start + at..span.start + at + variable.len()), message, help);
            };
            *string = put_in(string, lookup, &mut wrong_here).into();
        }
        _ => {}
    }
}

/// The text with its variables put in; `$${` stands for `${`.
fn put_in(text: &str, lookup: Lookup<'_>, wrong: &mut dyn FnMut(&str, String, String)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let (opening, inside) = from.split_at(2);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str(opening);
            rest = inside;
            continue;
        }
        out.push_str(before);
        let Some((inner, after)) = inside.split_once('}') else {
            wrong(
                from,
                "`${` is not closed".to_owned(),
                "write `${NAME}` or `${NAME:-default}`, and `$${` for the two characters".to_owned(),
            );
            return out;
        };
        let (variable, _) = from.split_at(from.len() - after.len());
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !name.is_empty()
                && !name.starts_with(|first: char| first.is_ascii_digit())
        };
        if !is_name(name) {
            wrong(
                variable,
                format!("`{name}` is no name of a variable"),
                "write `${NAME}` or `${NAME:-default}`".to_owned(),
            );
        } else {
            match (lookup(name).filter(|value| !value.is_empty()), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => {
                    let help = format!("set it in twdiag's environment, or give a default: `${{{name}:-default}}`");
                    wrong(variable, format!("the variable {name} is not set"), help);
                }
            }
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, problems: &[&str]) {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "LOOP" => Some("${A}".to_owned()),
            _ => None,
        };
        let mut wrong = Vec::new();
        let out = put_in(text, &lookup, &mut |variable, _, _| wrong.push(variable.to_owned()));
        assert_eq!((out.as_str(), wrong), (expected, problems.iter().map(|p| (*p).to_owned()).collect()), "{text}");
    }

    #[test]
    fn puts_in_what_is_set_or_the_default() {
        check("x${A}y${A}", "x1y1", &[]);
        check("${B:-2}", "2", &[]);
        check("${A:-2}", "1", &[]);
        check("${EMPTY:-2}", "2", &[]);
        check("${B:-}", "", &[]);
        check("$A $ {A}", "$A $ {A}", &[]);
        check("$${A} ${A}", "${A} 1", &[]);
        check("${LOOP}", "${A}", &[]);
        check("a${B}c${EMPTY}", "ac", &["${B}", "${EMPTY}"]);
        check("a${B", "a", &["${B"]);
        check("${}", "", &["${}"]);
        check("${1A}", "", &["${1A}"]);
    }
}
