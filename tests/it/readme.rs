//! What the README tells people to type and to write.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{run, stderr};

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string("README.md").unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in text.lines() {
        match (open.take(), line.strip_prefix("```")) {
            (None, fence) => open = fence.map(|language| (language, Vec::new())),
            (Some((of, lines)), Some("")) if of == language => blocks.push(lines.join("\n")),
            (Some(_), Some("")) => {}
            (Some((of, mut lines)), _) => {
                lines.push(line);
                open = Some((of, lines));
            }
        }
    }
    assert!(!blocks.is_empty(), "the README has a block of {language}");
    blocks
}

/// Runs a line as a user in a checkout would; one that serves is asked to end once it says where.
fn check(line: &str, directory: &Path) {
    let mut command = Command::new("sh");
    let path = format!("{}:{}", directory.join("bin").display(), std::env::var("PATH").unwrap());
    command.args(["-c", line]).current_dir(directory).env("PATH", path).env_remove("TWDIAG_UPDATE");
    let mut child =
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for part in BufReader::new(child.stderr.take().unwrap()).lines() {
        let part = part.unwrap();
        if part.contains("http://") {
            // Its whole pipe: a `tail -f` before it ends with it.
            let group = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
            rustix::process::kill_process_group(group, rustix::process::Signal::TERM).unwrap();
        }
        said += &(part + "\n");
    }
    let status = child.wait().unwrap();
    // A shell that was asked to end says so with the signal.
    let is_asked = std::os::unix::process::ExitStatusExt::signal(&status) == Some(15) && said.contains("http://");
    assert!(status.success() || is_asked, "{line}: {status}\n{said}");
}

#[test]
fn every_command_runs() {
    let directory = tempfile::tempdir().unwrap();
    let here = std::env::current_dir().unwrap();
    for name in ["examples", "config", "deploy", "rules"].into_iter().filter(|name| Path::new(name).exists()) {
        std::os::unix::fs::symlink(here.join(name), directory.path().join(name)).unwrap();
    }
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_twdiag"), bin.join("twdiag")).unwrap();
    let lines: Vec<String> = blocks("sh").iter().flat_map(|block| block.lines()).map(str::to_owned).collect();
    let (built, installed): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.contains("cargo "));
    // The checks run these two as they are written.
    assert_eq!(built, ["tail -n +1 -f examples/voice-backend.log | cargo run --release", "cargo test"]);
    for line in installed {
        check(&line, directory.path());
    }
}

#[test]
fn the_rule_passes_its_own_examples() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("mine.toml");
    let rule = blocks("toml").into_iter().find(|block| block.contains("[[rule]]")).unwrap();
    fs::write(&rules, rule).unwrap();
    let output = run(&["check", "--rules", rules.to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn the_commands_are_those_that_there_are() {
    let help = String::from_utf8(run(&["--help"], b"").stdout).unwrap();
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let listed = blocks("").join("\n");
    for line in rest.lines().take_while(|line| !line.is_empty()) {
        let Some(name) = line.split_whitespace().next().filter(|name| *name != "help") else { continue };
        if line.starts_with("  ") && !line.starts_with("   ") {
            assert!(listed.contains(&format!(" {name}")), "the README lists {name}");
        }
    }
}
