//! The embedded catalogue against the tables it was made from.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Deserialize;
use twdiag::catalog::{Catalog, Category};
use twdiag::record::Code;

use crate::program::{run, stdout};

/// What the tables say about one code.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Row {
    category: String,
    family: String,
    group: String,
    name: String,
    explanation: String,
    causes: Vec<String>,
    solutions: Vec<String>,
}

/// Reads the Markdown tables, row by row; a row without a code continues the one before it.
fn tables() -> BTreeMap<u32, Row> {
    let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
    let (mut family, mut group, mut last) = (String::new(), String::new(), 0);
    for line in std::fs::read_to_string("tests/data/catalog/voice-errors-table.md").unwrap().lines() {
        if let Some(title) = line.strip_prefix("# ") {
            family = title.split_once(": ").unwrap().1.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, code, name, explanation, cause, solution, _] = cells[..] else { continue };
        if code.starts_with("__") {
            group = name.trim_matches('_').to_owned();
            continue;
        }
        if let Some(number) = code.get(..5).and_then(|digits| digits.parse().ok()) {
            last = number;
            let (name, explanation) = (name.to_owned(), explanation.to_owned());
            rows.insert(
                last,
                Row { family: family.clone(), group: group.clone(), name, explanation, ..Row::default() },
            );
        } else if !code.is_empty() {
            continue;
        }
        let row = rows.get_mut(&last).unwrap();
        row.causes.extend(cause.strip_prefix("• ").map(str::to_owned));
        row.solutions.extend(solution.strip_prefix("• ").map(str::to_owned));
    }
    for line in std::fs::read_to_string("tests/data/catalog/categories.tsv").unwrap().lines().skip(1) {
        let (code, category) = line.split_once('\t').unwrap();
        rows.get_mut(&code.parse().unwrap()).unwrap().category = category.to_owned();
    }
    rows
}

#[test]
fn holds_every_field_word_for_word() {
    let rows = tables();
    let catalog = Catalog::embedded();
    assert_eq!(rows.len(), 54);
    assert_eq!(catalog.entries().len(), 54);
    for (code, row) in rows {
        let entry = catalog.get(Code::new(code).unwrap()).unwrap();
        let found = Row {
            category: entry.category.to_string(),
            family: entry.family.clone(),
            group: entry.group.clone(),
            name: entry.name.clone(),
            explanation: entry.explanation.clone(),
            causes: entry.causes.clone(),
            solutions: entry.solutions.clone(),
        };
        assert_eq!(found, row, "{code}");
        assert_eq!(entry.docs, format!("https://www.twilio.com/docs/errors/{code}"));
    }
}

#[test]
fn has_an_entry_in_every_category_but_one() {
    let catalog = Catalog::embedded();
    for category in Category::ALL {
        let found = catalog.entries().iter().any(|entry| entry.category == category);
        assert_eq!(found, category != Category::Uncatalogued, "{category}");
    }
}

#[test]
fn lists_every_field_word_for_word() {
    let output = run(&["codes", "--format", "json"], b"");
    let listed: Vec<serde_json::Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let mut rows = tables();
    assert_eq!(listed.len(), rows.len());
    for mut object in listed {
        let fields = object.as_object_mut().unwrap();
        let code = fields.remove("code").unwrap().as_u64().unwrap();
        assert_eq!(fields.remove("docs").unwrap(), format!("https://www.twilio.com/docs/errors/{code}"));
        assert_eq!(fields.len(), 7, "{code}: no further field");
        let found: Row = serde_json::from_value(object).unwrap();
        assert_eq!(Some(found), rows.remove(&(code as u32)), "{code}");
    }
}

#[test]
fn a_file_that_disagrees_is_said_once() {
    let mut file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let object = |code: &u32| format!(r#"{{"code":{code},"message":"Mine","description":"Of mine."}}"#);
    let codes: Vec<u32> = tables().into_keys().collect();
    let objects: Vec<String> = codes.iter().map(object).collect();
    write!(file, "[{}]", objects.join(",\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let output = run(&["codes", "--catalog", path, "--log-format", "text"], b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    let expected = "says another causes, explanation, name, solutions of 20101, 20102, 20103, 20104, 20105 and 49 more, which holds now";
    assert!(said.contains(path) && said.contains(expected), "{said}");
}
