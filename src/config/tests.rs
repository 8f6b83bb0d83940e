//! The shipped configurations hold what they document, and a printed one says the same again.

use std::collections::BTreeSet;

use schemars::schema_for;

use super::*;

#[path = "../../tests/it/kept.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod kept;

const DOCUMENTED: &str = include_str!("../../config/twdiag.toml");

/// Reads a text with nothing in the environment.
fn given(text: &str) -> Given {
    let Parsed { written, texts, problems, is_toml } = written::parse("twdiag.toml", text, &|_| None);
    Given { written, texts, file: None, problems, is_broken: !is_toml }
}

/// The documented configuration with what is commented out taken in.
fn complete() -> String {
    let is_key = |line: &str| {
        line.strip_prefix("# ").is_some_and(|rest| {
            let key = rest.split_once(" = ").map_or("", |(key, _)| key);
            (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
                || rest == "[categories]"
        })
    };
    let lines = DOCUMENTED.lines().map(|line| if is_key(line) { line.trim_start_matches("# ") } else { line });
    lines.collect::<Vec<_>>().join("\n").replace("labels = []", "labels = [\"env\"]")
}

fn keys(schema: &serde_json::Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

fn documented(table: &toml::Table) -> BTreeSet<String> {
    table.keys().cloned().collect()
}

#[test]
fn every_key_is_documented() {
    let schema = serde_json::to_value(schema_for!(Written)).unwrap();
    let all: toml::Table = complete().parse().unwrap();
    assert_eq!(documented(&all), keys(&schema));
    assert_eq!(documented(all["source"][0].as_table().unwrap()), keys(&schema["$defs"]["Source"]));
    assert_eq!(documented(all["sandbox"].as_table().unwrap()), keys(&schema["$defs"]["Sandbox"]));
    // Each has words of its own above it.
    let lines: Vec<&str> = DOCUMENTED.lines().collect();
    for (at, line) in lines.iter().enumerate().skip(1) {
        if line.split_once(" = ").is_some_and(|(key, _)| !key.trim_start_matches("# ").contains(' ')) {
            let above = lines[at - 1];
            assert!(above.starts_with("# ") || above == "[sandbox]", "{line} has no words");
        }
    }
}

#[test]
fn every_documented_value_is_what_holds_without_it() {
    let shown: toml::Table = DOCUMENTED.parse().unwrap();
    let real = toml::Table::try_from(Written::default()).unwrap();
    for (key, value) in shown.iter().filter(|(key, _)| *key != "source" && *key != "sandbox") {
        assert_eq!(Some(value), real.get(key), "{key}");
    }
    assert!(given(DOCUMENTED).written.sandbox.read.is_empty());
    let source = WrittenSource::of("voice", Spanned::new(0..0, "-".to_owned()));
    let real = toml::Table::try_from(source).unwrap();
    let shown = shown["source"][0].as_table().unwrap();
    for (key, value) in shown.iter().filter(|(key, _)| *key != "name" && *key != "paths") {
        assert_eq!(Some(value), real.get(key), "{key}");
    }
    // What is commented out has no value by itself.
    let real = toml::Table::try_from(Written::default()).unwrap();
    let all: toml::Table = complete().parse().unwrap();
    let shown: toml::Table = DOCUMENTED.parse().unwrap();
    for key in all.keys().filter(|key| !shown.contains_key(*key)) {
        assert!(!real.contains_key(key), "{key}");
    }
}

#[test]
fn what_is_commented_out_can_be_used() {
    let mut given = given(&complete());
    given.written.state = None;
    let config = given.build().unwrap();
    let code = crate::record::Code::new(31005).unwrap();
    assert_eq!(config.detector.catalog().category(code), crate::catalog::Category::Media);
    assert_eq!(config.plan.labels.of["voice"], ["prod"]);
}

#[test]
fn the_schema_is_current() {
    let mut schema = serde_json::to_value(schema_for!(Written)).unwrap();
    schema["title"] = "twdiag".into();
    schema["$id"] = "twdiag.schema.json".into();
    kept::assert_current("config/twdiag.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

#[test]
fn what_is_printed_says_the_same_again() {
    let shipped = ["twdiag", "smallest", "sidecar", "many-sources"];
    for text in shipped.map(|name| std::fs::read_to_string(format!("config/{name}.toml")).unwrap()) {
        let printed = given(&text).print().unwrap();
        let again = given(&printed).print().unwrap();
        assert_eq!(printed, again);
        assert_eq!(given(&printed).build().unwrap().plan, given(&again).build().unwrap().plan);
    }
    let dollar = given("[[source]]\nname = \"a$${b}\"\npaths = [\"/x$${y\"]");
    assert_eq!(dollar.written.source[0].name.get_ref(), "a${b}");
    let printed = given(&dollar.clone().print().unwrap());
    assert_eq!(printed.written.source[0].name.get_ref(), "a${b}");
    assert_eq!(printed.written.source[0].paths.get_ref()[0].get_ref(), "/x${y");
}

#[test]
fn a_variable_may_stand_for_any_value() {
    let lookup = |name: &str| match name {
        "ON" => Some("true".to_owned()),
        "MANY" => Some("7".to_owned()),
        _ => None,
    };
    let text =
        "enable_reload = \"${ON}\"\nuncatalogued = \"${MANY}\"\nlisten = \"${LISTEN:-none}\"\ndrain = \"${MANY}s\"";
    let Parsed { written, .. } = written::parse("x", text, &lookup);
    assert!(written.enable_reload);
    assert_eq!((written.uncatalogued, written.listen), (7, Listen::None));
    assert_eq!(written.drain.to_string(), "7s");
}
