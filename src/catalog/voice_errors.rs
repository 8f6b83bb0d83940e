//! The JSON of the npm package `@twilio/voice-errors`: families, groups, and codes in parts.

use serde::Deserialize;
use serde_json::Value;

use super::{Category, Described, Entry, File};
use crate::problem::Problems;

#[derive(Deserialize)]
struct Family {
    code: i64,
    class: String,
    subclasses: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    /// The package leaves a zero out.
    #[serde(default)]
    code: i64,
    class: String,
    errors: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    code: i64,
    description: String,
    #[serde(default)]
    explanation: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    solutions: Vec<String>,
}

/// Reads one family (`errors/*.json`) or a list of them (`dist/errors.json`).
pub(super) fn read(file: &File<'_>, value: &Value) -> Result<Vec<Described>, Problems> {
    let families: Vec<&Value> = value.as_array().map_or_else(|| vec![value], |array| array.iter().collect());
    let mut described = Vec::new();
    for (index, family) in families.into_iter().enumerate() {
        let family = Family::deserialize(family).map_err(|error| refuse(file, index, family, &error.to_string()))?;
        for group in family.subclasses {
            for written in group.errors {
                let number = family.code * 1000 + group.code * 100 + written.code;
                let code = file.code(number, 0..1).map_err(|problem| Problems(vec![problem]))?;
                described.push(Described {
                    category: None,
                    span: 0..1,
                    entry: Entry {
                        code,
                        category: Category::General,
                        family: format!("{} Errors", family.class),
                        group: format!("{} Errors", group.class),
                        name: written.description,
                        explanation: written.explanation,
                        causes: written.causes,
                        solutions: written.solutions,
                        docs: code.docs(),
                    },
                });
            }
        }
    }
    Ok(described)
}

/// The problem of one family, with the group it is in.
fn refuse(file: &File<'_>, index: usize, family: &Value, error: &str) -> Problems {
    let groups = family.get("subclasses").and_then(Value::as_array);
    let group = groups.and_then(|groups| groups.iter().position(|group| Group::deserialize(group).is_err()));
    let place = group.map_or_else(String::new, |group| format!(", subclasses[{group}]"));
    let message = format!("family {}{place}: {error}", index + 1);
    Problems(vec![file.problem(0..1, message, "take the file as @twilio/voice-errors publishes it")])
}
