//! Twilio's full dictionary, `twilio-error-codes.json`: one object for each code, its texts in Markdown.

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use super::{Category, Described, Entry, File};
use crate::problem::Problems;

#[derive(Deserialize)]
struct Written {
    code: i64,
    message: Option<String>,
    secondary_message: Option<String>,
    description: Option<String>,
    causes: Option<String>,
    solutions: Option<String>,
    product: Option<String>,
    log_type: Option<String>,
    docs: Option<String>,
}

/// Reads the dictionary. The product is the family and the log type the group.
pub(super) fn read(file: &File<'_>, value: &Value) -> Result<Vec<Described>, Problems> {
    let mut problems = Vec::new();
    let mut described = Vec::new();
    // The parser keeps no places: an object is found again by its code, behind the one before it.
    let mut passed = 0;
    let mut place = |number: i64| {
        let digits = number.to_string();
        let (_, rest) = file.text.split_at(passed);
        let is_field = |at: &usize| {
            let before = rest.get(..*at).and_then(|before| before.trim_end().strip_suffix(':'));
            before.is_some_and(|before| before.trim_end().ends_with(r#""code""#))
        };
        let Some(at) = memmem::find_iter(rest.as_bytes(), digits.as_bytes()).find(is_field) else { return 0..1 };
        let span = passed + at..passed + at + digits.len();
        passed = span.end;
        span
    };
    for (index, object) in value.as_array().into_iter().flatten().enumerate() {
        let written = match Written::deserialize(object) {
            Ok(written) => written,
            Err(error) => {
                let span = object.get("code").and_then(Value::as_i64).map_or(0..1, &mut place);
                let message = format!("object {}: {error}", index + 1);
                problems.push(file.problem(span, message, "take the file as Twilio publishes it"));
                continue;
            }
        };
        let text = |field: Option<String>| field.unwrap_or_default().trim().to_owned();
        let span = place(written.code);
        match file.code(written.code, span.clone()) {
            Err(problem) => problems.push(problem),
            Ok(code) => described.push(Described {
                category: None,
                span,
                entry: Entry {
                    code,
                    category: Category::General,
                    family: written.product.filter(|name| !name.is_empty()).unwrap_or_else(|| "Twilio".to_owned()),
                    group: written.log_type.filter(|name| !name.is_empty()).unwrap_or_else(|| "General".to_owned()),
                    name: text(written.message.filter(|name| !name.is_empty()).or(written.secondary_message)),
                    explanation: text(written.description),
                    causes: items(&text(written.causes)),
                    solutions: items(&text(written.solutions)),
                    docs: written.docs.filter(|docs| !docs.is_empty()).unwrap_or_else(|| code.docs()),
                },
            }),
        }
    }
    if problems.is_empty() { Ok(described) } else { Err(Problems(problems)) }
}

/// The bullets of a Markdown text, or else its paragraphs.
fn items(markdown: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut ended = true;
    for line in markdown.lines() {
        let text = line.trim();
        let bullet = ["- ", "* ", "• ", "+ "].iter().find_map(|mark| text.strip_prefix(mark));
        match (bullet, items.last_mut()) {
            _ if text.is_empty() => ended = true,
            (Some(text), _) => {
                items.push(text.to_owned());
                ended = false;
            }
            (None, Some(last)) if !ended => {
                last.push(' ');
                last.push_str(text);
            }
            (None, _) => {
                items.push(text.to_owned());
                ended = false;
            }
        }
    }
    items
}
