//! What must hold for any bytes: the fuzz targets call these, and `cargo test` replays their corpora with them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Zoned;
use twdiag::catalog::Catalog;
use twdiag::detect::{Assume, Cursor, Decision, Detector, End, Rules, Scanned, Scanner, record_time};
use twdiag::redact::redact;

/// Patterns of rules that are put in front of the embedded ones.
const PATTERNS: [&str; 8] =
    ["", "code", "{is}", "(?:{failure}){is}", "[^x]{0,40}x", "(?s).{0,80}", r"\b(?:a|ab|abc)\d?", "{gap}\\["];

/// How many different rules there are: each is compiled once, which takes longer than all else.
const CHOICES: u8 = 32;

/// Rules made of the bits of a byte; 0 are the embedded ones alone.
fn rules(choice: u8) -> Rules {
    if choice == 0 {
        return Rules::embedded();
    }
    let pattern = PATTERNS[choice as usize % PATTERNS.len()];
    let verdict = if choice & 8 == 0 { "accept" } else { "reject" };
    let scope = if choice & 16 == 0 { "any" } else { "catalogued" };
    let has = if choice & 1 == 0 { "has = ['twilio']" } else { "lacks = ['vendor']" };
    let after = if choice & 2 == 0 { "" } else { "after = '[^a-z]|$'" };
    let rule = format!(
        "[[rule]]\nid = 'mine'\ndescription = 'x'\n{verdict} = '{scope}'\nbefore = '{pattern}'\n{after}\n{has}\nexamples = ['a']\nnear_misses = ['b']\n"
    );
    Rules::layered(&[("mine.toml".to_owned(), rule)]).expect("the patterns are sound")
}

/// Does this with a scanner for these rules.
fn with_scanner(choice: u8, mut on: impl FnMut(&mut Scanner)) {
    thread_local! {
        static SCANNERS: RefCell<BTreeMap<u8, Scanner>> = const { RefCell::new(BTreeMap::new()) };
    }
    SCANNERS.with_borrow_mut(|scanners| {
        let choice = choice % CHOICES;
        on(scanners.entry(choice).or_insert_with(|| {
            Detector::new(Arc::new(Catalog::embedded()), Arc::new(rules(choice))).scanner(Assume::Nothing)
        }));
    });
}

/// Everything that a scan says, sorted, when the input is read in pieces of these sizes.
fn scan(scanner: &mut Scanner, input: &[u8], sizes: &[u8]) -> (Vec<(u64, u32, Option<usize>)>, Scanned) {
    let (mut cursor, mut total, mut said) = (Cursor::default(), Scanned::default(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    let mut read = 0;
    loop {
        read = sizes.next().map_or(input.len(), |size| (read + usize::from(*size).max(1)).min(input.len()));
        let end = if read == input.len() { End::Input } else { End::More };
        let scanned = scanner.scan(&input[cursor.head as usize..read], &mut cursor, end, &mut |decision| {
            said.push(match decision {
                Decision::Accepted(matched) => {
                    assert!(matched.text.get(matched.number.clone()).is_some_and(|number| number.len() == 5));
                    matched.call_sid();
                    redact(matched.text);
                    (matched.offset, matched.code.get(), Some(matched.rule))
                }
                Decision::Rejected(rule) => (u64::MAX, 0, rule),
            });
        });
        total.lines += scanned.lines;
        total.truncated_lines += scanned.truncated_lines;
        assert!(cursor.head <= cursor.offset && cursor.offset as usize <= read);
        if end == End::Input {
            said.sort_unstable();
            return (said, total);
        }
    }
}

/// Rules, sizes of chunks, and a text: any chunking says the same.
pub(crate) fn scanner(data: &[u8]) {
    let [choice, count, rest @ ..] = data else { return };
    let Some((sizes, input)) = rest.split_at_checked(usize::from(*count) % 8) else { return };
    with_scanner(*choice, |scanner| {
        let whole = scan(scanner, input, &[]);
        assert_eq!(scan(scanner, input, sizes), whole);
    });
}

/// The same for lines in containers' wrapping: the first byte of each line chooses it.
pub(crate) fn joining(data: &[u8]) {
    const DRESSES: [(&str, &str); 8] = [
        ("", ""),
        ("a-1  | ", ""),
        ("2026-01-01T00:00:00.1Z stdout F ", ""),
        ("2026-01-01T00:00:00.1Z stdout P ", ""),
        ("2026-01-01T00:00:00.1Z stderr F ", ""),
        (r#"{"log":""#, r#"\n","stream":"stdout","time":"x"}"#),
        (r#"{"log":""#, r#"","stream":"stdout","time":"x"}"#),
        ("Jan  1 00:00:00 web1 app[1]: ", ""),
    ];
    let [size, rest @ ..] = data else { return };
    let mut input = Vec::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let [dress, text @ ..] = line else { continue };
        let (before, after) = DRESSES[usize::from(*dress) % DRESSES.len()];
        input.extend_from_slice(before.as_bytes());
        input.extend_from_slice(text);
        input.extend_from_slice(after.as_bytes());
        input.push(b'\n');
    }
    with_scanner(0, |scanner| {
        let whole = scan(scanner, &input, &[]);
        assert_eq!(scan(scanner, &input, &[*size]), whole);
    });
}

/// A time is found or not; it never lies outside of what a timestamp can say.
pub(crate) fn time(data: &[u8]) {
    let now: Zoned = "2026-02-01T12:00:00+02:00[+02:00]".parse().expect("a constant");
    if let Some(time) = record_time(data, &now) {
        time.at.to_string();
    }
}

/// What is redacted is text, stays as it is when redacted again, and holds no secret of these forms.
pub(crate) fn redaction(data: &[u8]) {
    let once = redact(data).into_owned();
    assert_eq!(redact(once.as_bytes()), once);
    for word in once.split(|c: char| !c.is_ascii_alphanumeric()) {
        let is_hex = word.len() == 32 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(!is_hex, "{once}");
    }
}

/// A catalogue of any format is read or refused with its place.
pub(crate) fn catalog(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut catalog = Catalog::embedded();
    match catalog.layer("fuzz", text) {
        Ok(_) => assert!(catalog.entries().len() >= 54),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}
