//! What a scan says, in one piece and in many.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;
use crate::detect::Rules;
use crate::detect::joining::{Above, above, continues, header};
use crate::detect::{LINE_LIMIT, first_cut};
use crate::redact::redact;

static RULES: LazyLock<(Rules, Vec<Option<regex::bytes::Regex>>)> = LazyLock::new(|| {
    let rules = Rules::embedded();
    let patterns = rules.slow_patterns();
    (rules, patterns)
});

thread_local! {
    static SCANNER: std::cell::RefCell<Scanner> = std::cell::RefCell::new(
        Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded())).scanner(Assume::Nothing),
    );
}

/// Everything that a scan says, with offsets instead of borrowed text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Accepted { offset: u64, code: u32, rule: usize },
    Rejected(Option<usize>),
}

/// Scans `input` as a follower would that reads it in pieces of these sizes.
fn scan_in_pieces(input: &[u8], sizes: &[usize]) -> (Vec<Said>, Scanned) {
    SCANNER.with_borrow_mut(|scanner| scan_in_pieces_by(scanner, Encoding::Utf8, input, sizes))
}

fn scan_in_pieces_by(scanner: &mut Scanner, encoding: Encoding, input: &[u8], sizes: &[usize]) -> (Vec<Said>, Scanned) {
    scan_reads(scanner, encoding, input, reads(input.len(), sizes))
}

/// How much was read each time by a reader of pieces of these sizes, in turn; the last time all of it.
fn reads(length: usize, sizes: &[usize]) -> impl Iterator<Item = usize> {
    let ends = sizes.iter().cycle().scan(0usize, |read, size| {
        *read = read.saturating_add(*size);
        Some(*read)
    });
    ends.take_while(move |read| *read < length).chain([length])
}

fn scan_reads(
    scanner: &mut Scanner,
    encoding: Encoding,
    input: &[u8],
    reads: impl Iterator<Item = usize>,
) -> (Vec<Said>, Scanned) {
    let mut cursor = Cursor::default();
    let mut total = Scanned::default();
    let mut said = Vec::new();
    let mut on = |decision: Decision<'_>| {
        said.push(match decision {
            Decision::Accepted(m) => Said::Accepted { offset: m.offset, code: m.code.get(), rule: m.rule },
            Decision::Rejected(rule) => Said::Rejected(rule),
        });
    };
    let mut reads = reads.peekable();
    while let Some(read) = reads.next() {
        let end = if reads.peek().is_none() { End::Input } else { End::More };
        let scanned = scanner.scan_as(encoding, &input[cursor.head as usize..read], &mut cursor, end, &mut on);
        total.lines += scanned.lines;
        total.truncated_lines += scanned.truncated_lines;
        assert!(cursor.head <= cursor.offset && cursor.offset as usize <= read);
    }
    assert_eq!(cursor.offset as usize, input.len());
    said.sort();
    (said, total)
}

#[track_caller]
fn check(input: &str, expected: &[(u64, u32)]) {
    let (said, _) = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
    let accepted: Vec<_> = said
        .iter()
        .filter_map(|said| match said {
            Said::Accepted { offset, code, .. } => Some((*offset, *code)),
            Said::Rejected(_) => None,
        })
        .collect();
    assert_eq!(accepted, expected, "{input}");
    for size in [1, 7, 64] {
        assert_eq!(scan_in_pieces(input.as_bytes(), &[size]).0, said, "in pieces of {size}: {input}");
    }
}

#[test]
fn counts_a_code_once_for_each_record() {
    check("ConnectionError (31005): a\nConnectionError (31005): a\n", &[(0, 31005), (27, 31005)]);
    check("ConnectionError (31005): a\n    at b (31005)\n    ConnectionError (31005): c\n", &[(0, 31005)]);
    check("two: ConnectionError (31005), then BusyHere (31486)", &[(0, 31005), (0, 31486)]);
}

#[test]
fn counts_a_code_once_that_headers_and_body_hold() {
    let answer = "HTTP/1.1 403 Forbidden\nServer: x\nX-Twilio-Error-Code: 20403\n\n{\n  \"code\": 20403\n}\n";
    check(answer, &[(33, 20403)]);
    check(&answer.replace("{\n  \"code\": 20403\n}", "{\"code\": 20403}"), &[(33, 20403)]);
    check("twilio code 20403\n\n{\"code\": 20403}\n", &[(0, 20403), (19, 20403)]);
}

#[test]
fn counts_a_code_once_for_each_table_and_quotation() {
    let header = "twilio errors\nNAME   CODE    AGE\n";
    check(&format!("{header}a      31005   3m\nb      31005   9m\n"), &[(33, 31005)]);
    check("twilio errors\nCA1    31005   3m\nCA2    31005   9m\n", &[]);
    check("web-1  ERROR  Twilio error 31005\nweb-2  ERROR  Twilio error 31005\n", &[(0, 31005), (33, 31005)]);
    check("ID  TWILIO_CODE\n--- -----------\nCA1       31005\nCA2       31005\n", &[(32, 31005)]);
    check(":siren: *Twilio errors*\n> error 31005\n> error 31005\n", &[(24, 31005)]);
    check("> Twilio error 31005\n> Twilio error 31005\n", &[(0, 31005), (21, 31005)]);
    let wrapped = "Invoke-RestMethod : {\"code\":21608,\"message\":\"The number +4420\n79460018 is not\nverified\",\"more_info\":\"https://www.twilio.com/docs/er\nrors/21608\",\"status\":400}\nAt C:\\x\n";
    check(wrapped, &[(0, 21608)]);
}

#[test]
fn looks_no_further_back_in_a_list_than_it_must() {
    let users = |number: usize| format!("{}", 40_000 + number % 50_000);
    let list = (0..20_000).map(users).collect::<Vec<_>>().join(", ");
    check_whole(&format!("twilio queued for users {list}"));
    check_whole(&format!("twilio error 31005, {list}"));
}

/// Scans a text in one piece.
fn check_whole(text: &str) {
    assert_eq!(scan_in_pieces(text.as_bytes(), &[usize::MAX]).1.lines, 1);
}

#[test]
fn sees_through_colours_and_escaped_characters() {
    check("twilio \u{1b}[36mcode\u{1b}[0m=\u{1b}[33m21211\u{1b}[0m", &[(0, 21211)]);
    check("\u{1b}[31mzoom\u{1b}[0m: error code 31005 for twilio", &[]);
    check("twilio call failed: \u{1b}[33m31005\u{1b}[0mms", &[]);
    check(r#"{"m":"Twilio devolvi\u00f3 el c\u00f3digo 21211","n":"\u30a8"}"#, &[(0, 21211)]);
    check(r"body={\x22twilio\x22:{\x22code\x22:21211}}", &[(0, 21211)]);
    check(r"body={\x22twilio\x22:{\x22code\x22:\x2221211\x22}}", &[(0, 21211)]);
    // The sixteen bytes before the number are the same, and only what stands before them tells.
    let line = |before: &str| format!("2026-01-02T10:00:00Z {before}K\":{{\"intValue\":\"21999\"}}}}\n");
    let (other, coloured) = (line("zz "), line("{\"key\":\"twilio.error.code\",\"value\u{1b}[1"));
    let at = other.len() as u64;
    check(&format!("{other}{coloured}2026-01-02T10:00:01Z end\n"), &[(at, 21999)]);
}

#[test]
fn takes_evidence_from_every_line_of_a_record() {
    let object = "device failed {\n  code: 30003,\n  moreInfo: 'https://www.twilio.com/docs/errors/30003'\n}\n";
    check(object, &[(31, 30003)]);
    check("device failed {\n  code: 30003,\n}\nmoreInfo: 1\n", &[]);
}

#[test]
fn joins_what_a_container_split() {
    let line = |stream: &str, tag: &str, text: &str| format!("2025-03-25T04:11:07.611268411Z {stream} {tag} {text}\n");
    let cut = line("stdout", "P", "{\"twilio\":{\"co") + &line("stdout", "F", "de\":20403}}");
    check(&cut, &[(55, 20403)]);
    let cut = line("stdout", "P", "{\"twilio\":{\"code\":204") + &line("stdout", "F", "03}}");
    check(&cut, &[(0, 20403)]);
    let mixed = line("stdout", "P", "twilio code 204") + &line("stderr", "F", "x") + &line("stdout", "F", "03");
    check(&mixed, &[(0, 20403)]);
    let docker = r#"{"log":"twilio code 204","stream":"stdout","time":"x"}"#.to_owned()
        + "\n"
        + r#"{"log":"03\n","stream":"stdout","time":"x"}"#;
    check(&docker, &[(0, 20403)]);
}

#[test]
fn keeps_streams_apart() {
    let input = "a-1  | RestException {\nb-1  | ok\na-1  |   code: 20403,\nb-1  |   code: 30003,\na-1  | }\n";
    check(input, &[(33, 20403)]);
}

#[test]
fn a_bare_line_belongs_to_one_record_whatever_stands_between() {
    let input = "a-1  | Error {\nb-1  |   at twilio (x.js:31005:1)\na-1  | Error {\n  code: 20403,\n\tat com.twilio.x(C.java:31005)\nnext\n";
    check(input, &[(64, 20403)]);
    for read in 1..input.len() {
        assert_eq!(
            scan_in_pieces(input.as_bytes(), &[read, input.len()]),
            scan_in_pieces(input.as_bytes(), &[usize::MAX])
        );
    }
}

#[test]
fn joins_bare_lines_to_the_prefixed_one_before() {
    check(
        "2026-01-01T00:00:00Z web1 dialer: failed {\n  code: 31008,\n  name: 'CallCancelledError' }\n",
        &[(43, 31008)],
    );
    check("a-1  | Error {\nb-1  | x\n  code: 31008, name: 'CallCancelledError'\n", &[(24, 31008)]);
}

#[test]
fn judges_overlong_lines_piece_by_piece() {
    let filler = "x".repeat(LINE_LIMIT);
    let input = format!(
        "ConnectionError (31005): a {filler} ConnectionError (31005): BusyHere (31486): b {filler}\nnext BusyHere (31486)\n"
    );
    let (whole, scanned) = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
    assert_eq!(scanned, Scanned { lines: 2, truncated_lines: 1 });
    let codes: Vec<_> = whole.iter().filter(|said| matches!(said, Said::Accepted { .. })).collect();
    assert_eq!(codes.len(), 3, "{codes:?}");
    for size in [100_000, 1_000_003] {
        assert_eq!(scan_in_pieces(input.as_bytes(), &[size]), (whole.clone(), scanned), "{size}");
    }
}

#[test]
fn an_overlong_line_that_ends_a_block_counts_once() {
    let input = "ConnectionError (31005): a ".repeat(LINE_LIMIT / 20) + "\nnext\n";
    let whole = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
    assert!(matches!(whole.0[..], [Said::Accepted { offset: 0, code: 31005, .. }]), "{}", whole.0.len());
    assert_eq!(scan_in_pieces(input.as_bytes(), &[LINE_LIMIT, input.len() - LINE_LIMIT - 5, 5]), whole);
}

#[test]
fn an_overlong_line_ends_the_record_before_it() {
    let record = "device failed {\n  code: 30003,\n  by: 'Twilio'\n}\n";
    let input = record.to_owned() + &"x".repeat(2 * LINE_LIMIT) + "\n";
    let (whole, scanned) = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
    assert_eq!(scanned, Scanned { lines: 5, truncated_lines: 1 });
    assert!(matches!(whole[..], [Said::Accepted { offset: 16, code: 30003, .. }]), "{whole:?}");
    for sizes in [[record.len(), 300_000], [1_000_003, 500_000]] {
        assert_eq!(scan_in_pieces(input.as_bytes(), &sizes), (whole.clone(), scanned), "{sizes:?}");
    }
}

/// A scanner with another line limit, and with everything else as it is.
fn limited(line_limit: usize) -> Scanner {
    let detector = SCANNER.with_borrow(|scanner| scanner.detector.clone());
    detector.scanner_for(Reading { line_limit, ..Reading::default() })
}

/// What a text says in UTF-16 is what it says in UTF-8, where as much of it was read each time.
#[track_caller]
fn check_utf16(text: &str, sizes: &[usize], scanner: &mut Scanner) {
    let orders = [(Encoding::Utf16Le, u16::to_le_bytes as fn(u16) -> [u8; 2]), (Encoding::Utf16Be, u16::to_be_bytes)];
    for (encoding, order) in orders {
        let stored: Vec<u8> = text.encode_utf16().flat_map(order).collect();
        let reads: Vec<usize> = reads(stored.len(), sizes).collect();
        // Where each character begins in both; what was read of a character is not read of it in UTF-8.
        let mut places = vec![(0, 0)];
        for character in text.chars() {
            let (stored, plain) = places[places.len() - 1];
            places.push((stored + 2 * character.len_utf16(), plain + character.len_utf8()));
        }
        let plain_of = |read: &usize| places[places.partition_point(|(stored, _)| stored <= read) - 1].1;
        let plain_reads = reads.iter().map(plain_of).collect::<Vec<_>>();
        let (mut expected, scanned) = scan_reads(scanner, Encoding::Utf8, text.as_bytes(), plain_reads.into_iter());
        for said in &mut expected {
            if let Said::Accepted { offset, .. } = said {
                let at = places.binary_search_by_key(&(*offset as usize), |(_, plain)| *plain).unwrap();
                *offset = places[at].0 as u64;
            }
        }
        expected.sort();
        assert_eq!(scan_reads(scanner, encoding, &stored, reads.into_iter()), (expected, scanned), "{encoding:?}");
    }
}

#[test]
fn utf16_is_judged_in_overlong_lines_too() {
    let filler = "é😀x€".repeat(3000);
    let text = format!(
        "half 31005\nConnectionError (31005): a {filler} ConnectionError (31005): BusyHere (31486): b {filler}\nnext BusyHere (31486)\n"
    );
    for size in [16_001, 40_000, usize::MAX] {
        check_utf16(&text, &[size], &mut limited(16 << 10));
    }
}

#[test]
fn half_a_unit_at_the_end_says_nothing() {
    let text = "ConnectionError (31005): a";
    let stored: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).chain([b'3']).collect();
    let mut scanner = limited(LINE_LIMIT);
    let (said, scanned) = scan_in_pieces_by(&mut scanner, Encoding::Utf16Le, &stored, &[7]);
    assert!(matches!(said[..], [Said::Accepted { offset: 0, code: 31005, .. }]), "{said:?}");
    assert_eq!(scanned.lines, 1);
}

#[test]
fn decides_what_is_open_when_nothing_comes() {
    let input = b"device failed {\n  code: 30003,\n";
    let mut cursor = Cursor::default();
    let mut rejected = 0;
    SCANNER.with_borrow_mut(|scanner| {
        let mut on = |decision: Decision<'_>| match decision {
            Decision::Accepted(matched) => panic!("accepted {matched:?}"),
            Decision::Rejected(_) => rejected += 1,
        };
        scanner.scan(input, &mut cursor, End::More, &mut on);
        scanner.scan(input, &mut cursor, End::Pause, &mut on);
        scanner.scan(input, &mut cursor, End::Pause, &mut on);
        scanner.scan(&[input.as_slice(), b"  moreInfo: 1\nnext\n"].concat(), &mut cursor, End::More, &mut on);
    });
    assert_eq!(rejected, 1, "once, when nothing came");
    assert_eq!(cursor.offset, 50);
}

/// Lines that begin, continue, wrap and decoy.
const PIECES: [&str; 63] = [
    "ConnectionError (31005): a\n",
    "2026-01-01T00:00:00Z ERROR twilio call failed {\n",
    "  code: 20403,\n",
    "  status: 403, pid: 31005\n",
    "  moreInfo: 'https://www.twilio.com/docs/errors/20403'\n",
    "}\n",
    "listening on 10.0.0.1:31005 pid=20104 took 53405ms\n",
    "Twilio::REST::RestError: [HTTP 401] 20101 : Unable\n",
    "Invalid access token\n",
    "https://www.twilio.com/docs/errors/20101\n",
    "\n",
    "\r\n",
    "a-1  | Error {\n",
    "a-1  |   code: 20151,\n",
    "b-1  |   at twilio (x.js:31005:1)\n",
    "2025-03-25T04:11:07.611268411Z stdout P {\"twilio\":{\"code\":204\n",
    "2025-03-25T04:11:07.611268411Z stdout F 03}}\n",
    "2025-03-25T04:11:07.611268411Z stderr F ErrorCode=31486\n",
    "{\"log\":\"twilio code 204\",\"stream\":\"stdout\",\"time\":\"x\"}\n",
    "{\"log\":\"03\\n\",\"stream\":\"stdout\",\"time\":\"x\"}\n",
    "\tat com.twilio.x(C.java:31005)\n",
    "Caused by: code=53405\n",
    "error code 31486 on call\n",
    "error code 31486 on zoom call\n",
    "half 31005",
    " %2230007%22 error_code%22%3A%2230007%22&CallSid=1",
    "2025-03-25T04:11:07.611268411Z stdout P Twilio::REST::RestError: [HTTP 401] 20101 : Un\n",
    "2025-03-25T04:11:07.611268411Z stdout F able\n",
    "2025-03-25T04:11:07.611268411Z stdout F https://www.twilio.com/docs/errors/20101 20101\n",
    "2025-03-25T04:11:07.611268411Z stdout F Invalid: twilio code 20101\n",
    "{\"code\":\n",
    "31005, \"twilio\"\n",
    "\0\u{1b}[31m31005\u{1b}[0m",
    "level=error code=31005 zoom=1\n",
    "2026-01-01T00:00:00Z web1 dialer: CallCancelledError {\n",
    "  code: 31008,\n",
    "twilio \\u001b[31mcode\\u001b[0m=\\u001b[33m21211\\u001b[0m ms\n",
    "twilio c\\u00f3digo 21211\u{1b}[0m\n",
    "{\\x22twilio\\x22:{\\x22code\\x22:21211}} ",
    "\u{1b}[36mzoom\u{1b}[0m error ",
    "HTTP/1.1 400 Bad Request\nX-Twilio-Error-Code: 20403\n",
    "\n",
    "{\n",
    "{\"code\": 20403, \"more_info\": \"https://www.twilio.com/\n",
    "[crash.twilio]\ncode = 31009\n",
    "#0 dial (31005) twilio\n",
    "2026-01-01 10:00:00 ERROR [x] no route to 31005\nError: no route to 31005\n",
    "01-01 10:00:00.123 E/Voice(31005):   code: 31008,\n",
    "error%3D31005%2520ms twilio%3A%2520error%252031009",
    "| twilio_code | ms |\n",
    "+-------------+----+\n",
    "| 31009 | 20104 |\n",
    "a-1  | │ twilio code │ 31005 │\n",
    "a-1  | │       31486 │ 20101 │\n",
    "NAME   TWILIO-CODE   AGE\n------ ------------- ---\n",
    "web-1  31009         20104\n",
    "<tr><th>twilio error</th><th>ms</th></tr>\n",
    "<tr><td>31005</td><td>20104</td></tr>",
    " and 31009, then 20104; 31005\n",
    "{\"m\":\"twilio\\n| code | ms |\\n| 31009 | 20104 |\\n\"}\n",
    ":siren: *Twilio*\n",
    "> error 31005, then 53405\n",
    "Twilio error 31005 (was 20104) and 53405, 30007 on a\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_chunking_says_the_same(
        pieces in prop::collection::vec(0..PIECES.len(), 0..40),
        sizes in prop::collection::vec(1usize..200, 1..8),
    ) {
        let input: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let whole = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(scan_in_pieces(input.as_bytes(), &sizes), whole);
    }

    #[test]
    fn utf16_says_what_utf8_says(
        pieces in prop::collection::vec(0..PIECES.len() + 3, 0..40),
        sizes in prop::collection::vec(1usize..200, 1..8),
    ) {
        let odd = ["😀 ", "é\n", "\u{a3c}\u{10a}\u{fffd}"];
        let text: String =
            pieces.into_iter().map(|piece| PIECES.get(piece).unwrap_or(&odd[piece % odd.len()])).copied().collect();
        check_utf16(&text, &sizes, &mut limited(LINE_LIMIT));
    }

    #[test]
    fn any_units_are_valid(
        units in prop::collection::vec(prop_oneof![any::<u16>(), Just(0xd83d), Just(0xde00), Just(0xa), Just(0x33), Just(0x30)], 0..300),
        odd in any::<bool>(),
        sizes in prop::collection::vec(1usize..200, 1..8),
    ) {
        let mut stored: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        stored.extend(odd.then_some(b'3'));
        let mut scanner = limited(LINE_LIMIT);
        let whole = scan_in_pieces_by(&mut scanner, Encoding::Utf16Be, &stored, &[usize::MAX]);
        prop_assert_eq!(scan_in_pieces_by(&mut scanner, Encoding::Utf16Be, &stored, &sizes), whole);
    }

    #[test]
    fn another_encoding_than_before_is_valid(
        input in prop::collection::vec(prop_oneof![Just(0), Just(b'\n'), Just(b'3'), Just(b'1')], 0..300),
        encodings in prop::collection::vec(
            prop::sample::select(vec![Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be]), 1..5),
        size in 1usize..100,
    ) {
        let (mut scanner, mut cursor, mut read) = (limited(LINE_LIMIT), Cursor::default(), 0);
        for encoding in encodings.into_iter().cycle().take(10) {
            let before = cursor.offset;
            read = (read + size).min(input.len());
            scanner.scan_as(encoding, &input[cursor.head as usize..read], &mut cursor, End::More, &mut |_| {});
            prop_assert!(cursor.head <= cursor.offset && before <= cursor.offset && cursor.offset <= read as u64);
        }
    }

    #[test]
    fn parts_say_what_the_whole_says(
        pieces in prop::collection::vec((0..PIECES.len(), 1usize..40), 1..30),
        places in prop::collection::vec(0usize..4000, 1..5),
    ) {
        let input: String = pieces.into_iter().map(|(piece, times)| PIECES[piece].repeat(times)).collect();
        let input = input.as_bytes();
        let whole = scan_in_pieces(input, &[usize::MAX]);
        let mut cuts: Vec<usize> = places.into_iter().filter_map(|at| Some(at + first_cut(input.get(at..)?, LINE_LIMIT)?)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let (mut said, mut total) = (Vec::new(), Scanned::default());
        for part in cuts.windows(2) {
            let (of_part, scanned) = scan_in_pieces(&input[part[0]..part[1]], &[usize::MAX]);
            total.lines += scanned.lines;
            total.truncated_lines += scanned.truncated_lines;
            said.extend(of_part.into_iter().map(|said| match said {
                Said::Accepted { offset, code, rule } => Said::Accepted { offset: offset + part[0] as u64, code, rule },
                rejected => rejected,
            }));
        }
        said.sort();
        prop_assert_eq!((said, total), whole);
    }

    #[test]
    fn any_bytes_are_valid(
        input in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'3'), Just(b'1'), Just(b'0')], 0..600),
        sizes in prop::collection::vec(1usize..200, 1..8),
    ) {
        prop_assert_eq!(scan_in_pieces(&input, &sizes), scan_in_pieces(&input, &[usize::MAX]));
    }

    #[test]
    fn any_rows_and_rulers_are_valid(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "\n", "\n", "|", "| ", " |", "  ", "   ", "-", "---", "--- ", "+---+", "│", "┌──", "─", "—", "\t", "<tr>", "<th>", "<td>",
                "</td>", "31005", "20104", "31005 ", "code", "CODE  ", "twilio", "é", "> ", ":x: ", "\\n", "\u{1b}[1m", "1) \"",
                "ERROR  ", ", ", " and ", "- k: ", "key  ", ": ",
            ]),
            0..80,
        ),
        sizes in prop::collection::vec(1usize..60, 1..8),
    ) {
        let input = parts.concat();
        let whole = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(scan_in_pieces(input.as_bytes(), &sizes), whole.clone());
        let accepted: Vec<_> = whole.0.into_iter().filter(|said| matches!(said, Said::Accepted { .. })).collect();
        prop_assert_eq!(accepted, reference(input.as_bytes()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_smaller_line_limit_is_held_in_any_chunking(
        pieces in prop::collection::vec((0..PIECES.len(), 1usize..30), 0..12),
        sizes in prop::collection::vec(1usize..2000, 1..8),
    ) {
        let input: String = pieces
            .into_iter()
            .map(|(piece, times)| PIECES[piece].trim_end_matches('\n').repeat(1 + times * times) + "\n")
            .collect();
        let mut scanner = limited(16 << 10);
        let mut said = |sizes: &[usize]| {
            let (said, scanned) = scan_in_pieces_by(&mut scanner, Encoding::Utf8, input.as_bytes(), sizes);
            let mut counts = std::collections::BTreeMap::new();
            said.into_iter().for_each(|said| *counts.entry(said).or_insert(0) += 1);
            (counts, scanned)
        };
        let whole = said(&[usize::MAX]);
        prop_assert_eq!(said(&sizes), whole);
    }
}

/// Secrets as records hold them, and what of each must not be shown.
const SECRETS: [(&str, &str); 8] = [
    ("key 0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("AC0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0a1b2c3d4e5f60718293a4b5c6d7"),
    ("password: hunter2hunter2", "hunter2hunter2"),
    ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJTSyJ9.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    ("dial +1 (415) 555-0169", "415) 555-0169"),
    ("sip:alice.miller@example.com", "alice.miller"),
    ("nadia.miller@callio.example", "nadia.miller"),
];

/// Reports of codes that stand among them.
const REPORTS: [&str; 4] = [
    "TransportError (31009): ",
    "BusyHere (31486): ",
    "MediaConnectionError (53405): ",
    "AccessTokenExpired (20104): ",
];

/// Scans an input that was read in pieces of these sizes: what is shown of its records holds no secret, nor eight bytes
/// of one.
#[track_caller]
fn check_secrets(scanner: &mut Scanner, input: &str, sizes: &[usize]) {
    let mut cursor = Cursor::default();
    let mut shown = Vec::new();
    let mut reads = reads(input.len(), sizes).peekable();
    while let Some(read) = reads.next() {
        let end = if reads.peek().is_none() { End::Input } else { End::More };
        scanner.scan(&input.as_bytes()[cursor.head as usize..read], &mut cursor, end, &mut |decision| {
            if let Decision::Accepted(matched) = decision {
                shown.push(redact(matched.text).into_owned());
            }
        });
    }
    assert!(!shown.is_empty());
    for (_, secret) in SECRETS {
        for part in secret.as_bytes().windows(8).map(String::from_utf8_lossy) {
            let left = shown.iter().find(|text| text.contains(&*part));
            assert!(left.is_none(), "{part} in {left:?}");
        }
    }
}

#[test]
fn a_window_that_ends_with_what_was_read_shows_no_secret() {
    let before = "x ".repeat(8 << 10) + "BusyHere (31486";
    let input = format!("{before}): {}", "key 0a1b2c3d4e5f60718293a4b5c6d7e8f9 ".repeat(400));
    for near in 0..80 {
        check_secrets(&mut limited(16 << 10), &input, &[before.len() + (4 << 10) - 40 + near, usize::MAX]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_secret_survives_in_any_chunking(
        pieces in prop::collection::vec((0..SECRETS.len(), 0usize..6), 500..1200),
        reports in prop::collection::vec((0usize..1200, prop::sample::select(REPORTS.to_vec())), 1..9),
        rows in prop::sample::select(vec![7, 90, usize::MAX, usize::MAX]),
        sizes in prop::collection::vec(1usize..6000, 1..8),
        line_limit in prop::sample::select(vec![16 << 10, LINE_LIMIT]),
    ) {
        let mut input = String::new();
        for (at, (piece, filler)) in pieces.into_iter().enumerate() {
            let reported = reports.iter().filter(|(place, _)| *place == at).map(|(_, report)| *report);
            let end = if (at + 1).is_multiple_of(rows) { "\n" } else { " " };
            input += &format!("{}{} {}{end}", "x ".repeat(filler), SECRETS[piece].0, reported.collect::<String>());
        }
        input += "ConnectionError (31005)\n";
        check_secrets(&mut limited(line_limit), &input, &sizes);
    }
}

/// What a scan accepts, by reading line after line and trying rule after rule.
fn reference(input: &[u8]) -> Vec<Said> {
    let (catalog, (rules, patterns)) = (Catalog::embedded(), &*RULES);
    let lines = Lines { block: input, floor: 0, limit: LINE_LIMIT };
    let mut all: Vec<Line> = Vec::new();
    while let Some(start) = all.last().map_or(Some(0), |line| Some(line.span.end)).filter(|start| *start < input.len())
    {
        all.push(lines.at(start));
    }
    // The record of each line is the one of the line that it continues.
    let mut records: Vec<Record> = Vec::new();
    let mut record_of: Vec<usize> = Vec::new();
    // What the program printed, up to the end of each line.
    let mut wholes: Vec<Vec<u8>> = Vec::new();
    // The line before it in the stream of each.
    let mut lines_before: Vec<Option<usize>> = Vec::new();
    for (index, line) in all.iter().enumerate() {
        let continued = (0..index).rev().take(33).find_map(|before| {
            let trails = before + 1 == index && all[before].dress == Dress::Prefix && line.dress == Dress::Plain;
            if all[before].stream == line.stream || trails {
                Some(Some(before))
            } else if all[before].stream == 0 || line.stream == 0 {
                Some(None)
            } else {
                None
            }
        });
        let continued = continued.flatten();
        lines_before.push(continued);
        let text = &input[line.text.clone()];
        // An object below HTTP's headers and a blank line.
        let is_body = |before: usize| {
            let is_blank = all[before].text.is_empty() && all[before].stream == line.stream;
            let above = lines_before[before].map(|above| &input[all[above].text.clone()]);
            text.starts_with(b"{") && is_blank && above.and_then(header).is_some()
        };
        // A row below a header, or a quoted line below a title.
        let is_below_title = |before: usize| {
            let text = |line: usize| &input[all[line].text.clone()];
            let (mut upper, mut lower) = (before, index);
            for _ in 0..64 {
                match above(text(upper), text(lower)) {
                    Above::Title => return true,
                    Above::Other => return false,
                    Above::Row => {}
                }
                let Some(further) = lines_before[upper] else { return false };
                (upper, lower) = (further, upper);
            }
            false
        };
        let cut = continued.filter(|before| all[*before].partial);
        wholes.push(cut.map_or(Vec::new(), |before| wholes[before].clone()));
        wholes[index].extend_from_slice(text);
        let joins = |before: &usize| {
            cut.is_some() || continues(&wholes[*before], text) || is_body(*before) || is_below_title(*before)
        };
        match continued.filter(joins) {
            Some(before) => {
                record_of.push(record_of[before]);
                records[record_of[index]].lines.push(line.clone());
            }
            None => {
                record_of.push(records.len());
                records.push(Record { lines: vec![line.clone()], closed: true });
            }
        }
    }
    let mut said = Vec::new();
    for record in records {
        // Each number's place in the text, and where its line ends there.
        let (mut text, mut places) = (Vec::new(), Vec::new());
        for (index, line) in record.lines.iter().enumerate() {
            places.push((text.len(), line.span.start));
            text.extend_from_slice(&input[record.text(index)]);
            let apart = record.lines.len() > 1 && record.head().stream != 0;
            let last = index + 1 == record.lines.len();
            if !line.partial && (apart || !last) {
                text.push(b'\n');
            }
        }
        let mut counted = BTreeSet::new();
        for whole in [false, true] {
            for number in numbers(&text, 0) {
                let code = code_at(&text, &number);
                let index = places.iter().rposition(|(start, _)| *start <= number.start).unwrap();
                let end = (index..places.len()).find(|line| !record.lines[*line].partial);
                let known = match end.filter(|_| !whole).and_then(|end| places.get(end + 1)) {
                    Some((next, _)) => *next,
                    None => text.len(),
                };
                let decided = rules.decide_slowly(patterns, &catalog, &text[..known], number);
                if let Some(rule) = decided.filter(|rule| rules.all()[*rule].verdict == Verdict::Accept)
                    && counted.insert(code)
                {
                    said.push(Said::Accepted { offset: places[index].1 as u64, code: code.get(), rule });
                }
            }
        }
    }
    said.sort();
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn equals_a_slow_and_obvious_reference(pieces in prop::collection::vec(0..PIECES.len(), 0..20)) {
        let input: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let (said, _) = scan_in_pieces(input.as_bytes(), &[usize::MAX]);
        let accepted: Vec<_> = said.into_iter().filter(|said| matches!(said, Said::Accepted { .. })).collect();
        prop_assert_eq!(accepted, reference(input.as_bytes()));
    }
}
