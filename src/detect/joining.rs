//! Tells which lines continue the record that the line before them belongs to.
//!
//! A line that nothing marks as a continuation begins a record of its own: an application that logs one plain
//! line for each event is the common case, and joining two events would count two errors as one.

mod errors;
mod fields;
mod heads;

use self::errors::is_frame;
use self::fields::is_alert;
pub(crate) use self::fields::{Above, above, header};
use self::heads::{is_head, is_indented_head};
use super::plain::colours;
use memchr::memchr;

/// Whether `line` belongs to the record of `before`, the line of the same stream right before it.
pub(crate) fn continues(before: &[u8], line: &[u8]) -> bool {
    let line = skip_colours(line);
    continues_by_itself(line).unwrap_or_else(|| follows(skip_colours(before), line))
}

/// Whether `line` begins a record whatever stands before it.
pub(crate) fn begins(line: &[u8]) -> bool {
    continues_by_itself(skip_colours(line)) == Some(false)
}

/// Whether a line continues a record, where its beginning says so.
fn continues_by_itself(line: &[u8]) -> Option<bool> {
    match line.first() {
        None => Some(true),
        Some(b'\t') => Some(true),
        Some(b' ') => Some(!is_indented_head(line)),
        Some(b'\\') if line.starts_with(br"\t") => Some(true),
        Some(b'}' | b']' | b')') => Some(true),
        Some(b'#') if is_frame(line) => Some(true),
        // A form's fields, line by line.
        Some(b'&') if memchr(b'=', line).is_some_and(|at| line[1..at].iter().all(u8::is_ascii_alphanumeric)) => {
            Some(true)
        }
        // PHP's dumps open on a line of their own.
        Some(b'(') if line.trim_ascii_end() == b"(" => Some(true),
        // No continuation begins like that, and most heads do.
        Some(b'0'..=b'9' | b'[' | b'{') if is_head(line) => Some(false),
        _ if CONTINUATIONS.iter().any(|start| line.starts_with(start)) => Some(true),
        _ if is_head(line) && !is_alert(line) => Some(false),
        _ => None,
    }
}

/// How lines begin that only ever continue a record.
const CONTINUATIONS: [&[u8]; 22] = [
    b"at ",
    b"Caused by",
    b"Suppressed: ",
    b"... ",
    b"During handling of the above exception",
    b"The above exception was the direct cause",
    b"--- End of ",
    b"More info",
    b"HTTP Error Your request was",
    b"Twilio returned the following",
    b"https://www.twilio.com/docs/",
    b"http://www.twilio.com/docs/",
    b"www.twilio.com/docs/",
    // The fields of a record, as the OpenTelemetry Collector prints them.
    b"SeverityText: ",
    b"SeverityNumber: ",
    b"Body: Str(",
    b"Attributes:",
    b"Trace ID: ",
    // A point of a message: •
    b"\xe2\x80\xa2 ",
    // The sides of a box: │ ├ └
    b"\xe2\x94\x82",
    b"\xe2\x94\x9c",
    b"\xe2\x94\x94",
];

/// Whether a line without a mark of its own belongs to the record because of what stands before it.
fn follows(before: &[u8], line: &[u8]) -> bool {
    let end = before.trim_ascii_end();
    match end.last() {
        // A blank line ends what was open, but the parts of a traceback or of a dump are set off by blank lines.
        None => errors::is_dump_part(line) || fields::opens_table(line),
        // An object, a list or a sentence is open.
        Some(b'{' | b'[' | b'(' | b',' | b'=' | b':' | b'\\') => true,
        Some(b'>') if end.ends_with(b"->") || end.ends_with(b"=>") => true,
        _ if end.ends_with(b"/errors") => true,
        _ => errors::follows(before, line).or_else(|| fields::follows(before, line)).unwrap_or(false),
    }
}

/// The line without the colour sequences that it begins with.
fn skip_colours(line: &[u8]) -> &[u8] {
    &line[colours(line)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text` that begin a record.
    #[track_caller]
    fn check(text: &str, heads: &[usize]) {
        let lines: Vec<&[u8]> = text.split('\n').map(str::as_bytes).collect();
        let found: Vec<usize> = (0..lines.len()).filter(|i| *i == 0 || !continues(lines[i - 1], lines[*i])).collect();
        assert_eq!(found, heads, "{text}");
    }

    #[test]
    fn joins_stacks_and_dumps() {
        check("Forbidden: Forbidden (31403): x\n    at new Forbidden (a.js:1:2)\n    at b (c.js:3:4)\nnext", &[0, 3]);
        check(
            "Twilio::REST::RestError: [HTTP 401] 20101 : Unable\nInvalid access token\nhttps://www.twilio.com/docs/errors/20101\nTwilio::REST::RestError: [HTTP 401] 20101 : Unable",
            &[0, 3],
        );
        check(
            "2025-03-04 13:40:13 ERROR code=20003\ncom.twilio.exception.ApiException: Authenticate\n\tat a.b(C.java:1)\n\t... 40 more\nCaused by: x\n\tat d",
            &[0],
        );
        check(
            "2026-01-01 x ERROR y\nTraceback (most recent call last):\n  File \"a.py\", line 96, in ring\n    call()\ntwilio.base.exceptions.TwilioRestException: HTTP 401 error\nMore info: x",
            &[0],
        );
        check(
            "x y\nTraceback (most recent call last):\n  File \"a.py\", line 9, in f\n    g()\nvoice.Rejected: 1\nvoice.Rejected: 1",
            &[0, 1, 5],
        );
        check("[21:53:41] twilio dial ->\n{\n  \"code\": 20003,\n}\n{\n  \"code\": 20003,\n}", &[0, 4]);
        check("--- failure e9\nprovider: twilio\ncode: 20403\n--- failure f0\nprovider: twilio", &[0, 3]);
        check(
            "x: {\"code\":\n20003,\"message\":\"Authenticate\",\n\"more_info\":\"https://www.twilio.com/docs/errors\n/20003\",\"status\":401}\nAt C:\\jobs",
            &[0, 4],
        );
        check("\u{1b}[31mError\u{1b}[39m {\n  code: 1\n}", &[0]);
        check("[error] RestException: [HTTP 400] Unable\nCode: 21602\nCode: 21602", &[0, 2]);
        check("*Twilio errors*\n• top code: *31426*\n• silence", &[0]);
        check("notes\n| who | Twilio |\n|:--|:--|\n| Amara | 31486 |\nnext", &[0, 4]);
        check("not ok 4 token\n# (in file a)\n# twilio replied: 20101\nok 5\n# done", &[0, 3, 4]);
        check("2026-01-01 WARN [x] TwilioError 53405: lost\nMediaConnectionError 53405: lost\n    at a", &[0]);
        check("[x] 7 ERROR [Calls] no route\nError: no route\n    at a (b.js:1:2)\nError: no route", &[0, 3]);
        check(
            "Unhandled Exception: E(1, x)\n#0      dial (package:a/call.dart:1:7)\n#1      main (package:a/a.dart:2:1)\n#31005 x",
            &[0, 3],
        );
        check("[call]\nvendor = \"twilio\"\ncode = 21614\nkb = 1\n[call]\ncode = 21614\ncode = 21614", &[0, 4, 6]);
        check("== report\nprovider ....... Twilio\nring time ...... 21 s\n== end", &[0, 1, 3]);
        check("[ 09-09 10:50:12.001 7:7 E/Voice ]\nonFailure: 1\n\n[ 09-09 10:50:12.002 7:7 E/Voice ]", &[0, 3]);
        check(
            "LogRecord #0\nSeverityText: WARN\nBody: Str(x)\nAttributes:\n     -> code: Int(1)\nLogRecord #1",
            &[0, 5],
        );
        check(
            "Invoke-RestMethod : {\"code\":1,\"message\":\"The requested\nresource /2010-04-01/Accounts/AC0/SMS/Mes\nsages.json was not\nAt C:\\x",
            &[0, 3],
        );
        check("Invoke-RestMethod : {\"code\":1,\"more_info\":\"https://www.twil\nio.com/1\"}\nAt C:\\x", &[0, 2]);
        check("HTTP/1.1 400 Bad Request\nServer: x\nX-Twilio-Error-Code: 1\n\nHTTP/1.1 200 OK", &[0, 4]);
        check(" id | code \n----+-------\n  1 | 31486\n(1 row)", &[0, 3]);
        check("+----+\n| id |\n+----+\n|  1 |\n+----+\n+----+\n| id |", &[0, 5]);
        check("** 1. row **\n  provider: twilio\n http_code: 400\nerror_code: 21610\n  campaign: x\ncode: 1", &[0, 5]);
    }

    #[test]
    fn joins_tables_and_lists() {
        check("twilio errors, today\n+------+\n| code |\n+------+\n| 31005 |\n+------+\n2 rows", &[0, 6]);
        check("# Twilio\n\n| code | n |\n|---|---|\n| 31005 | 2 |\nnext", &[0, 5]);
        check("twilio errors\n\nCODE   NAME    COUNT ERROR\n", &[0]);
        check("CALL_ID TWILIO_CODE\n------- -----------\n", &[0]);
        check("Console > Errors\nERROR    31205  JWT expired\nWARNING  11200  Retrieval\nERROR done", &[0, 3]);
        check("h> HGETALL c\n1) \"code\"\n2) \"31005\"\n1) \"x\"\n", &[0]);
        check("rejected:\n- to: a\n  code: 21211\n- to: b\n  code: 21408\n- next", &[0]);
        check("CallSid: CA1\nCallStatus: failed\nErrorCode: 31005\nErrorCode: 31005", &[0, 3]);
        check("order      BB-1\ncarrier    Twilio\nerrorcode  21408\nerrorcode  21408", &[0, 3]);
        check("Anbieter  : Twilio\nErgebnis  : Fehler 31002\nErgebnis  : Fehler 31002", &[0, 2]);
        check("Error code\n31005\nnext", &[0, 2]);
        check("GET https://api.twilio.com/x\nHTTP/1.1 404 Not Found\nServer: x", &[0]);
    }

    #[test]
    fn keeps_events_apart() {
        check("ConnectionError (31005): a\nConnectionError (31005): b", &[0, 1]);
        check("waiting for:\n2026-01-01T00:00:00Z next", &[0, 1]);
        check(" ERROR  [Decline: Decline (31603): Decline (SIP)]\n ERROR  [Decline]", &[0, 1]);
        check("error: a\ninfo: b\nerror: c", &[0, 1, 2]);
        check("| 2026-11-28 | ERROR | a\n| 2026-11-28 | ERROR | b\n# ERROR a\n# ERROR b", &[0, 1, 2, 3]);
        check("{\"a\":1}\n{\"b\":2}", &[0, 1]);
        check(
            "2026-01-02 a  31005  b\n2026-01-02 c  31005  d\nweb  error 31005\nsms  error 31005 again",
            &[0, 1, 2, 3],
        );
        check("dialer   : ERROR   error 31005\nrouter   : ERROR   error 31005", &[0, 1]);
        check("CallService: error 31005\nSmsService: error 31005\n1) error 31005\n2) error 31005", &[0, 1, 2, 3]);
        check("|2026-11-28 10:00:00|a|error 31005|\n|2026-11-28 10:00:01|a|error 31005|", &[0, 1]);
        check("ERROR 31205  dialer: x\nERROR 31205  dialer: x\n& error 31005\n& error 31005", &[0, 1, 2, 3]);
        check("error 31005 a\n- - - - - -\nerror 31005 b\n✓ ✓ ✓ ✓\nerror 31005 c\n=== ===", &[0, 1, 2, 3, 4, 5]);
        check("web-1  ERROR  error 31005\nweb-2  ERROR  error 31005\n> error 31005\n> error 31005", &[0, 1, 2, 3]);
        check("INFO 31201  x\nERROR 31201  x\ndone\n----------\nnext", &[0, 1, 2, 3, 4]);
        check("Lead-Router: error 31005\nPay-Worker: error 31005\nTo: 1\nTo: 2", &[0, 1, 2, 3]);
        check("Dialing a ... error 31005\nDialing b ... error 31005\na = b c\nd = e f", &[0, 1, 2, 3]);
        check("#101 failed: 21211\n#102 failed: 21211\n| a | 31005\n| b | 31005", &[0, 1, 2, 3]);
        check("ERROR error 31005 again\nBob: 31005\nError: 31005", &[0, 1, 2]);
        check("E0612 12:00:00.1 7 a.go:1] x,\nI0612 12:00:00.1 7 a.go:1] y", &[0, 1]);
    }
}
