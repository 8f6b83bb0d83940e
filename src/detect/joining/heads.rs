//! How log entries begin.

use memchr::memmem;

/// Whether a line begins as log entries do: with a time, a level, a priority or an object.
pub(crate) fn is_head(line: &[u8]) -> bool {
    match line.first() {
        Some(b'0'..=b'9') => {
            let run = line.iter().take_while(|b| b.is_ascii_digit()).count();
            match (run, line.get(run)) {
                // 2026-01-02, 2026/01/02, 12/22/2025, 01-02, 10:20:30, and epochs with or without a fraction.
                (4, Some(b'-' | b'/')) | (1..=2, Some(b'/' | b'-' | b':')) => true,
                (1..=3, Some(b'.')) => true,
                (10 | 13 | 16 | 19, _) => true,
                (8, Some(b' ' | b'T')) => matches!(&line[..2], b"19" | b"20"),
                _ => false,
            }
        }
        Some(b'[') => line.len() > 1,
        Some(b'{') => line.len() > 1,
        Some(b'<') => line.get(1).is_some_and(u8::is_ascii_digit),
        Some(b'"') => {
            line.get(1).is_some_and(u8::is_ascii_digit) && line.get(5).is_some_and(|b| matches!(b, b'-' | b'/'))
        }
        Some(b'I' | b'W' | b'E' | b'F') if line.get(1).is_some_and(u8::is_ascii_digit) => true,
        Some(b'A'..=b'Z' | b'a'..=b'z') => {
            level(line).is_some()
                || is_month(line)
                || [b"time=".as_slice(), b"ts=", b"t=", b"level=", b"lvl=", b"date=", b"timestamp="]
                    .iter()
                    .any(|key| line.starts_with(key))
        }
        _ => false,
    }
}

/// An indented line that begins a record all the same: React Native's ` ERROR  text`, and a date after one blank that
/// is no cell of a table.
pub(super) fn is_indented_head(line: &[u8]) -> bool {
    let text = &line[1..];
    match level(text) {
        Some(word) => word[0].is_ascii_uppercase() && text[word.len()..].starts_with(b"  "),
        None => {
            let is_date = text.first().is_some_and(u8::is_ascii_digit)
                && text.get(4) == Some(&b'-')
                && text.get(7) == Some(&b'-');
            is_date && memmem::find(text, b" | ").is_none()
        }
    }
}

/// The level that a line begins with.
pub(super) fn level(line: &[u8]) -> Option<&[u8]> {
    const LEVELS: [&[u8]; 14] = [
        b"error",
        b"warning",
        b"warn",
        b"info",
        b"debug",
        b"trace",
        b"fatal",
        b"critical",
        b"notice",
        b"severe",
        b"verbose",
        b"fail",
        b"crit",
        b"log",
    ];
    let word = line.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &line[..word];
    let known = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let ended = matches!(line.get(word.len()), Some(b' ' | b':' | b',' | b'|' | b']' | b'/' | b'\t'));
    // A capitalised `Error: …` is a message, and `log` is too common a word in lower case.
    let shouted = word.iter().all(u8::is_ascii_uppercase);
    let lower = word.iter().all(u8::is_ascii_lowercase) && word != b"log";
    if known && ended && (shouted || lower) { Some(word) } else { None }
}

fn is_month(line: &[u8]) -> bool {
    const NAMES: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDecMonTueWedThuFriSatSun";
    line.len() > 6
        && matches!(line[3], b' ' | b',')
        && NAMES.chunks(3).any(|name| line.starts_with(name))
        && line[4..7].iter().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}
