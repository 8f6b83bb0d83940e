//! Files of the repository that are made from other files or from what the program prints.

use std::path::Path;

/// Holds a kept file to what it is made from; `TWDIAG_UPDATE=1 cargo test` writes it.
#[track_caller]
pub(crate) fn assert_current(path: &str, made: &str) {
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept != made && std::env::var_os("TWDIAG_UPDATE").is_some() {
        std::fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        return std::fs::write(path, made).unwrap();
    }
    assert!(kept == made, "{path} is out of date: TWDIAG_UPDATE=1 cargo test");
}

/// The text with what stands between each line that holds `begin` and the next that holds `end` made anew.
///
/// `make` gets what stands after `begin` in its line, without the marks of the comment; the lines it makes are indented
/// as that line is.
pub(crate) fn filled(text: &str, begin: &str, end: &str, make: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        filled += line;
        filled.push('\n');
        let Some((before, argument)) = line.split_once(begin) else { continue };
        let indent: String = before.chars().take_while(|character| *character == ' ').collect();
        for made in make(argument.trim_end_matches(['>', '-']).trim()).lines() {
            filled += &if made.is_empty() { "\n".to_owned() } else { format!("{indent}{made}\n") };
        }
        let end = lines.find(|line| line.contains(end)).expect("what begins ends");
        filled += end;
        filled.push('\n');
    }
    filled
}
