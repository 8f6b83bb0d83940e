//! Configurations as files and as options: every bad one has its message, every shipped one can be used.

use std::path::Path;

use crate::kept::assert_current;
use crate::program::{run, stderr, stdout, twdiag};

/// One bad input: a file whose first line says how twdiag is started, with what it answers beside it.
///
/// `tests/data/messages/NAME.toml` (or `.json`) begins with `# twdiag ARGUMENTS`, in which `FILE` is the file itself;
/// `NAME.txt` holds standard error. Adding a case is adding a file; `TWDIAG_UPDATE=1 cargo test` writes its answer.
#[test]
fn every_bad_input_has_its_message() {
    let directory = Path::new("tests/data/messages");
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".txt"))
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let path = directory.join(&name);
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        let command = first.split_once("twdiag ").expect("the first line says how it is started").1;
        let path = path.to_str().unwrap();
        let arguments: Vec<String> =
            command.split(' ').map(|word| word.trim_end_matches("\",").replace("FILE", path)).collect();
        let mut program = twdiag(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        program.env_clear().env("NO_COLOR", "1").stdin(std::process::Stdio::null());
        let output = program.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        assert!(output.stdout.is_empty(), "{name}: {}", stdout(&output));
        let answer = Path::new(path).with_extension("txt");
        assert_current(answer.to_str().unwrap(), &stderr(&output));
    }
}

#[test]
fn every_shipped_configuration_can_be_used() {
    let shipped = std::fs::read_dir("config").unwrap().map(|entry| entry.unwrap().path());
    // What a package installs and a pod mounts.
    let packed = ["debian/twdiag.toml", "kubernetes/sidecar/twdiag.toml", "kubernetes/daemonset/twdiag.toml"];
    for path in shipped.chain(packed.map(|name| Path::new("deploy").join(name))) {
        if path.extension().is_some_and(|extension| extension == "toml") {
            let mut check = twdiag(&["check", "--config", path.to_str().unwrap()]);
            let output = check.env_clear().output().unwrap();
            assert!(output.status.success(), "{}: {}", path.display(), stderr(&output));
        }
    }
}

#[test]
fn what_is_in_effect_is_printed_and_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let print = |path: &str| {
        let output =
            run(&["check", "--print", "--config", path, "--category", "53405=server", "--log-level", "warn"], b"");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let printed = print("config/many-sources.toml");
    assert!(printed.contains("53405 = \"server\"") && printed.contains("31005 = \"media\""), "{printed}");
    let copy = directory.path().join("copy.toml");
    std::fs::write(&copy, &printed).unwrap();
    assert_eq!(print(copy.to_str().unwrap()), printed);
    // What is typed is in effect too.
    let output =
        run(&["check", "--print", "--state", "/s", "--label", "env=prod", "--drain", "2s", "/var/log/voice"], b"");
    let typed: toml::Table = toml::from_str(&stdout(&output)).unwrap();
    let of = |key: &str| typed[key].as_str().unwrap();
    assert_eq!((of("state"), of("drain")), ("/s", "2s"));
    let source = &typed["source"][0];
    assert_eq!(source["paths"][0].as_str(), Some("/var/log/voice"));
    assert_eq!(source["labels"]["env"].as_str(), Some("prod"));
    let output = run(&["check", "--state", "/s", "/s/state.v1.0"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("reaches into the state directory"), "{}", stderr(&output));
}

#[test]
fn options_that_hold_for_all_stand_anywhere() {
    let log = crate::program::LOG;
    for arguments in [
        ["--log-level", "debug", "scan", log],
        ["scan", "--log-level", "debug", log],
        ["scan", log, "--log-level", "debug"],
        ["--category", "31005=media", "scan", log],
        ["--rules", "rules/detect.toml", "scan", log],
    ] {
        let output = run(&arguments, b"");
        // The embedded rules once more in front are refused by their ids, wherever the option stands.
        let expected = if arguments[0] == "--rules" { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {}", stderr(&output));
    }
    let output = run(&["--listen", "none", "scan", log], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`--listen` before `scan` is of no use"), "{}", stderr(&output));
}

#[test]
fn the_manual_page_tells_of_every_command() {
    let page = stdout(&run(&["man"], b""));
    for part in ["TWDIAG SCAN", "fail\\-on", "TWDIAG CHECK", "TWDIAG STATE FORGET", "start\\-at"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("(1)"), "it names no page that is not there: {page}");
}

#[test]
fn a_code_has_the_category_that_it_is_given() {
    let line = b"ERROR ConnectionError (31005): lost\n";
    let output = run(&["--listen", "none", "--output", "json", "--category", "31005=media"], line);
    assert!(stdout(&output).contains("\"category\":\"media\""), "{}", stdout(&output));
    let output = run(&["--listen", "none", "--output", "json", "--ignore", "31005"], line);
    assert!(output.status.success() && stdout(&output).is_empty(), "{}", stdout(&output));
}

#[test]
fn nothing_but_dev_null_to_read_is_an_error() {
    let output = twdiag(&[]).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("standard input is /dev/null"), "{}", stderr(&output));
}

#[test]
fn the_page_lingers_for_one_more_scrape() {
    use std::io::{BufRead, BufReader, Write};
    let mut program =
        twdiag(&["--output", "none", "--listen", "127.0.0.1:0", "--linger", "1h", "--log-format", "json"]);
    program.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = program.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"ERROR ConnectionError (31005): lost\n").unwrap();
    let mut address = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let event: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON, line by line");
        let message = event["message"].as_str().unwrap();
        if let Some((_, rest)) = message.split_once("http://") {
            address = rest.trim_end_matches("/metrics").to_owned();
        }
        if message.contains("is still served") {
            break;
        }
    }
    let serving = crate::program::Serving { child, address };
    assert_eq!(serving.categories()["signaling"], 1);
}
