//! Twilio's full dictionary, `twilio-error-codes.json`: one object for each code, its texts in Markdown.

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
    // The parser keeps no places: the object is found again by its code.
    let place = |number: i64| {
        let at = file.text.find(&format!("{number},")).or_else(|| file.text.find(&number.to_string()));
        at.map_or(0..1, |at| at..at + number.to_string().len())
    };
    for (index, object) in value.as_array().into_iter().flatten().enumerate() {
        let written = match Written::deserialize(object) {
            Ok(written) => written,
            Err(error) => {
                let span = object.get("code").and_then(Value::as_i64).map_or(0..1, place);
                let message = format!("object {}: {error}", index + 1);
                problems.push(file.problem(span, message, "take the file as Twilio publishes it"));
                continue;
            }
        };
        let text = |field: Option<String>| field.unwrap_or_default().trim().to_owned();
        match file.code(written.code, place(written.code)) {
            Err(problem) => problems.push(problem),
            Ok(code) => described.push(Described {
                category: None,
                span: place(written.code),
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
