//! What the program is made of: the rules of `deny.toml`, the reasons of `docs/dependencies.md`, and the core's walls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The registry that `cargo metadata` names for every crate that comes from it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// One crate of the dependency graph.
struct Crate {
    name: String,
    version: String,
    license: String,
    source: Option<String>,
    /// What it is built from and with, by id; tests and benches left out.
    needs: Vec<String>,
}

/// The graph for Linux, as Cargo.lock has it, by id, and the id of twdiag itself.
fn graph() -> (BTreeMap<String, Crate>, String) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let shipped = |dependency: &&Value| {
            dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].as_str() != Some("dev"))
        };
        let ids = node["deps"].as_array().unwrap().iter().filter(shipped).map(|dependency| text(&dependency["pkg"]));
        needs.insert(text(&node["id"]), ids.collect());
    }
    let packages = metadata["packages"].as_array().unwrap().iter();
    let crates = packages.filter_map(|package| {
        let id = text(&package["id"]);
        let needs = needs.remove(&id)?;
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let (license, source) = (text(&package["license"]), package["source"].as_str().map(str::to_owned));
        Some((id, Crate { name, version, license, source, needs }))
    });
    (crates.collect(), text(&metadata["resolve"]["root"]))
}

/// What is compiled into the binary, and what compiles it.
fn shipped() -> Vec<Crate> {
    let (mut graph, root) = graph();
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(id) = open.pop() {
        if let Some(part) = graph.remove(&id) {
            open.extend(part.needs.iter().cloned());
            found.push(part);
        }
    }
    assert!(found.len() > 50, "only {} crates were found", found.len());
    found
}

fn rules() -> toml::Table {
    std::fs::read_to_string("deny.toml").unwrap().parse().unwrap()
}

fn words<'a>(table: &'a toml::Value, key: &str) -> BTreeSet<&'a str> {
    table[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn every_licence_is_one_that_we_take() {
    let rules = rules();
    let allowed = words(&rules["licenses"], "allow");
    for part in shipped() {
        let parsed = spdx::Expression::parse_mode(&part.license, spdx::ParseMode::LAX);
        let expression =
            parsed.unwrap_or_else(|error| panic!("{} has the licence {:?}: {error}", part.name, part.license));
        let takes = expression.evaluate(|licence| {
            licence.addition.is_none() && licence.license.id().is_some_and(|id| allowed.contains(id.name))
        });
        assert!(takes, "{} {} is {}: allow it in deny.toml or do without it", part.name, part.version, part.license);
    }
}

#[test]
fn every_crate_comes_from_the_registry() {
    let (graph, root) = graph();
    assert_eq!(graph[&root].source, None);
    for part in graph.values().filter(|part| part.name != "twdiag") {
        assert_eq!(part.source.as_deref(), Some(REGISTRY), "{}", part.name);
    }
}

#[test]
fn no_crate_is_there_twice_or_banned() {
    let rules = rules();
    let entries = |key: &str| -> Vec<(String, String)> {
        let text = |entry: &toml::Value, key: &str| entry[key].as_str().unwrap().to_owned();
        rules["bans"][key]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (text(entry, "crate"), text(entry, "reason")))
            .collect()
    };
    let skipped = entries("skip");
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for part in shipped() {
        versions.entry(part.name).or_default().insert(part.version);
    }
    for (name, _) in entries("deny") {
        assert!(!versions.contains_key(&name), "{name} is banned");
    }
    let is_skipped = |name: &str, version: &str| {
        skipped.iter().any(|(skip, _)| {
            skip.split_once('@').is_some_and(|(of, at)| of == name && version.starts_with(&format!("{at}.")))
        })
    };
    for (name, versions) in &versions {
        let counted: Vec<_> = versions.iter().filter(|version| !is_skipped(name, version)).collect();
        assert!(counted.len() < 2, "{name} is there as {counted:?}: unify them, or skip one in deny.toml and say why");
    }
    for (skip, reason) in &skipped {
        let (name, _) = skip.split_once('@').unwrap();
        assert!(versions.get(name).is_some_and(|versions| versions.len() > 1), "deny.toml skips {skip} for nothing");
        assert!(!reason.is_empty(), "{skip}");
    }
}

#[test]
fn each_direct_dependency_has_its_reason() {
    let manifest: toml::Table = std::fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let page = std::fs::read_to_string("docs/dependencies.md").unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.trim_end_matches('|').split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`').to_owned();
        let reason = cells.next()?;
        assert!(reason.len() > 15, "{name} has no reason");
        Some(name)
    });
    let explained: Vec<String> = rows.collect();
    let mut direct: Vec<String> = Vec::new();
    for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
        direct.extend(manifest.get(table).and_then(toml::Value::as_table).into_iter().flat_map(|t| t.keys().cloned()));
    }
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(explained), sorted(direct), "docs/dependencies.md (left) and Cargo.toml (right) differ");
}

/// Calls `each` with every Rust file below.
fn walk(directory: &Path, each: &mut impl FnMut(PathBuf, String)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            each(path, text);
        }
    }
}

/// What a file says outside comments and its tests, without blanks.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn the_core_knows_no_files_no_runtime_and_no_clock() {
    let core = ["record", "catalog", "detect", "redact", "tally", "diagnose"];
    let foreign = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "std::env",
        "tokio",
        "rustix",
        "notify",
        "axum",
        "Instant::now",
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
        "OffsetDateTime::now",
    ];
    let shell = ["state", "tail", "metrics", "http", "input", "output", "cli", "config", "app", "logging", "signal"];
    let mut seen = BTreeSet::new();
    walk(Path::new("src"), &mut |path, text| {
        let inside = path.strip_prefix("src").unwrap();
        let module = Path::new(inside.iter().next().unwrap()).with_extension("");
        let Some(module) = core.iter().find(|name| Path::new(name) == module) else { return };
        seen.insert(*module);
        let code = code(&text);
        for word in foreign {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
        for module in shell {
            assert!(!code.contains(&format!("crate::{module}::")), "{} names crate::{module}", path.display());
        }
        // A group that is imported from the root would hide a module from the question above.
        assert!(!code.contains("usecrate::{") && !code.contains("usestd::{"), "{}: one `use` a module", path.display());
    });
    let there: BTreeSet<&str> = core
        .into_iter()
        .filter(|name| {
            Path::new("src").join(name).exists() || Path::new("src").join(name).with_extension("rs").exists()
        })
        .collect();
    assert_eq!(seen, there);
    assert!(seen.len() >= 5, "{seen:?}");
}

#[test]
fn no_code_of_ours_is_unsafe() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    walk(Path::new("src"), &mut |path, text| {
        assert!(!code(&text).contains("unsafe{") && !text.contains("allow(unsafe_code"), "{}", path.display());
    });
}
