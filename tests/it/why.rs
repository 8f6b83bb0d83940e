//! What `why` and `check` say of rules, from outside.

use crate::program::{run, stdout};

#[test]
fn why_names_the_rule_and_what_it_went_by_for_every_number() {
    let record = "2026-01-01 10:00:00 twilio call failed: listening on 10.0.0.1:31005, error code 20003 in job 31009";
    let output = run(&["why", "--format", "json", record], b"");
    assert_eq!(output.status.code(), Some(0));
    let said: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(said["record"], record);
    assert_eq!(
        (said["time"].as_str().unwrap(), said["time_zone_assumed"].as_bool()),
        ("2026-01-01T10:00:00Z", Some(true))
    );
    let numbers = said["numbers"].as_array().unwrap();
    let row = |number: &serde_json::Value| {
        let text = |key: &str| number[key].as_str().unwrap_or("none").to_owned();
        (number["number"].as_u64().unwrap(), text("verdict"), text("rule"))
    };
    let rows: Vec<_> = numbers.iter().map(row).collect();
    assert_eq!(
        rows,
        [
            (31005, "rejected".to_owned(), "port".to_owned()),
            (20003, "accepted".to_owned(), "twilio-sentence".to_owned()),
            (31009, "rejected".to_owned(), "entity".to_owned()),
        ]
    );
    for number in numbers {
        assert!(!number["description"].as_str().unwrap().is_empty());
        let evidence = number["evidence"].as_array().unwrap();
        assert!(!evidence.is_empty(), "{number}");
        for piece in evidence {
            let (offset, text) = (piece["offset"].as_u64().unwrap() as usize, piece["text"].as_str().unwrap());
            assert_eq!(record.get(offset..offset + text.len()), Some(text));
        }
        let offset = number["offset"].as_u64().unwrap() as usize;
        assert_eq!((number["line"].as_u64(), number["column"].as_u64()), (Some(1), Some(offset as u64 + 1)));
    }
}

#[test]
fn why_puts_a_caret_under_every_number() {
    let text = stdout(&run(&["why", "ConnectionError (31005) on port 20104"], b""));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "                 ^^^^^          ^^^^^");
    assert!(lines[2].starts_with("  31005 accepted by common-class: "), "{text}");
    assert!(text.contains("  20104 rejected by port: "), "{text}");
}

#[test]
fn why_names_the_column_of_a_number() {
    let table = "mysql> select\n| id    | twilio_code | ms    |\n+-------+-------------+-------+\n| 31001 |       53404 | 31009 |\n";
    let output = run(&["why", table], b"");
    let text = stdout(&output);
    for said in ["31001 rejected by count", "column: id\n", "53404 accepted by twilio-field", "column: twilio_code\n"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(text.contains("31009 rejected"), "{text}");
    let shipped = serde_json::json!({ "msg": table }).to_string();
    assert!(stdout(&run(&["why", &shipped], b"")).contains("column: twilio_code\n"), "{text}");
}

#[test]
fn assuming_twilio_takes_generic_codes_that_the_catalogue_lacks() {
    let record = "level=error code=30007";
    let code = |arguments: &[&str]| run(arguments, b"").status.code();
    assert_eq!(code(&["why", record]), Some(1));
    assert_eq!(code(&["why", "--assume", "twilio", record]), Some(0));
    assert_eq!(code(&["why", "--assume", "twilio", "zoom code=30007"]), Some(1), "another vendor's stays its own");
}

#[test]
fn check_runs_the_examples_of_a_users_rules() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let check = |rule: &str| {
        std::fs::write(&path, rule).unwrap();
        let output = run(&["--rules", path.to_str().unwrap(), "check"], b"");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let rule = "[[rule]]\nid = \"acme\"\ndescription = \"ours\"\naccept = \"any\"\nbefore = 'acme-rc '\nexamples = ['acme-rc 30007', 'acme-rc 31005']\nnear_misses = ['rc 30007']\n";
    assert_eq!(check(rule), (Some(0), String::new()));
    let (code, said) = check(&rule.replace("acme-rc '\n", "acme-rd '\n"));
    assert_eq!(code, Some(1));
    assert!(said.contains("rule `acme` never decides"), "{said}");
}
