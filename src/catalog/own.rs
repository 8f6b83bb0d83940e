//! twdiag's own format: TOML with one `[[code]]` table for each code.

use serde::Deserialize;
use toml::Spanned;

use super::{Category, Described, Entry, File};
use crate::problem::{Problem, Problems, suggestion};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Codes {
    code: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    code: Spanned<i64>,
    category: Option<Spanned<String>>,
    #[serde(default)]
    family: String,
    #[serde(default)]
    group: String,
    name: String,
    #[serde(default)]
    explanation: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    solutions: Vec<String>,
    docs: Option<String>,
}

/// Reads a file of this format.
pub(super) fn read(file: &File<'_>) -> Result<Vec<Described>, Problems> {
    let codes: Codes =
        toml::from_str(&file.text).map_err(|error| Problems(vec![Problem::toml(file.path, &file.text, &error)]))?;
    let mut problems = Vec::new();
    let mut described = Vec::new();
    for written in codes.code {
        let category = written.category.as_ref().and_then(|name| match name.get_ref().parse() {
            Ok(category) => Some(category),
            Err(()) => {
                let names = Category::ALL.map(Category::name);
                let help = match suggestion(name.get_ref(), names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the categories are {}", names.join(", ")),
                };
                problems.push(file.problem(name.span(), format!("no category is called `{}`", name.get_ref()), &help));
                None
            }
        });
        match file.code(*written.code.get_ref(), written.code.span()) {
            Err(problem) => problems.push(problem),
            Ok(code) => described.push(Described {
                category,
                span: written.code.span(),
                entry: Entry {
                    code,
                    category: Category::General,
                    family: written.family,
                    group: written.group,
                    name: written.name,
                    explanation: written.explanation,
                    causes: written.causes,
                    solutions: written.solutions,
                    docs: written.docs.unwrap_or_else(|| code.docs()),
                },
            }),
        }
    }
    if problems.is_empty() { Ok(described) } else { Err(Problems(problems)) }
}
