//! What twdiag says that the errors mean.

use crate::program::{run, stderr, stdout};

const MINE: &str = r#"
[[finding]]
id = "our-gateway"
title = "Our gateway drops calls"
meaning = "It does so when it is full."
steps = ["Start another one."]
codes = [31005, "media"]
count = 2
window = "5m"
examples = [
    { events = [{ at = "0s", code = 31005 }, { at = "2m", code = 53405 }], active = true },
    { events = [{ at = "0s", code = 31005 }, { at = "7m", code = 53405 }], active = false },
]
"#;

#[test]
fn users_add_findings_and_check_runs_their_examples() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&["check", "--rules", path.to_str().unwrap()], b"")
    };
    let output = check(MINE);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("17 findings"), "{}", stdout(&output));
    let output = check(&MINE.replace("7m", "3m"));
    assert_eq!(output.status.code(), Some(1));
    for told in ["mine.toml:12:5", "finding `our-gateway` holds after its example"] {
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
    let output = check(&MINE.replace("count", "cuont"));
    assert_eq!(output.status.code(), Some(2));
    for told in ["mine.toml:8:1", "did you mean `count`?"] {
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
}
