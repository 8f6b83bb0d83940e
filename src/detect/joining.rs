//! Tells which lines continue the record that the line before them belongs to.
//!
//! A line that nothing marks as a continuation begins a record of its own: an application that logs one plain
//! line for each event is the common case, and joining two events would count two errors as one.

use memchr::{memchr, memmem};

use super::plain::colours;

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
        // PHP's dumps open on a line of their own.
        Some(b'(') if line.trim_ascii_end() == b"(" => Some(true),
        // No continuation begins like that, and most heads do.
        Some(b'0'..=b'9' | b'[' | b'{') if is_head(line) => Some(false),
        _ if CONTINUATIONS.iter().any(|start| line.starts_with(start)) => Some(true),
        _ if is_head(line) => Some(false),
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
        None => is_dump_part(line),
        // An object, a list or a sentence is open.
        Some(b'{' | b'[' | b'(' | b',' | b'=' | b':' | b'\\') => true,
        Some(b'>') if end.ends_with(b"->") || end.ends_with(b"=>") => true,
        _ if end.ends_with(b"/errors") || is_cut_by_console(end) => true,
        _ if is_rest_error(before) => true,
        // The rows of a table, and what TAP says of a failed test; a log may mark every entry so.
        _ if is_ruler(line) => memchr(b'|', before).is_some(),
        _ if line.starts_with(b"|") => {
            let is_row = before.starts_with(b"|") && end.ends_with(b"|");
            (is_row || is_ruler(before)) && !is_head(line[1..].trim_ascii_start())
        }
        _ if line.starts_with(b"# ") => {
            before.starts_with(b"not ok ") || (before.starts_with(b"# ") && !is_head(&line[2..]))
        }
        // Yii and others print an exception's code on a line of its own.
        _ if line.starts_with(b"Code: ") => memmem::find(before, b"Exception: ").is_some(),
        _ if line.starts_with(b"Traceback (most recent call last)") => is_head(before),
        _ if is_exception(line) => (is_head(before) && before[0] != b'{') || is_traceback_line(before),
        _ if is_class(line) => is_traceback_line(before),
        _ if is_head(before) && repeats(before, line) => true,
        // logcat's `long` format: what was said stands below the time and the tag.
        _ if before.starts_with(b"[ ") => end.ends_with(b" ]"),
        _ if let Some(name) = header(line) => match header(before) {
            Some(above) => above != name,
            None => STATUS.iter().any(|status| before.starts_with(status)),
        },
        _ if let Some(key) = assigned_key(line) => {
            is_section(end) || assigned_key(before).is_some_and(|above| above != key)
        }
        _ if let Some(led) = led_key(line) => led_key(before)
            .is_some_and(|above| above.key != led.key && above.value == led.value && above.dots.max(led.dots) > 4),
        _ => match (yaml_key(before), yaml_key(line)) {
            (Some(above), Some(key)) => above != key,
            // A YAML document, and MySQL's rows with their keys to the right.
            (None, Some(key)) => {
                before.starts_with(b"--- ") || (before[0] == b' ' && memchr(b':', before) == Some(key.len()))
            }
            _ => false,
        },
    }
}

/// A line between the rows of a table: `+----+------+`, `-----+------`.
fn is_ruler(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.len() > 4 && line.iter().all(|byte| matches!(byte, b'-' | b'+')) && memchr(b'+', line).is_some()
}

/// What follows a blank line within one dump.
fn is_dump_part(line: &[u8]) -> bool {
    const PARTS: [&[u8]; 6] =
        [b"Traceback (most recent", b"POST /", b"GET /", b"DELETE /", b"Unable to ", b"More info"];
    PARTS.iter().any(|part| line.starts_with(part))
}

/// Whether what PowerShell prints goes on in the next line, which it begins wherever the console ends.
fn is_cut_by_console(line: &[u8]) -> bool {
    const LINK: &[u8] = b"\"more_info\":\"";
    memmem::rfind(line, LINK).is_some_and(|at| memchr(b'"', &line[at + LINK.len()..]).is_none())
        || line.starts_with(b"Invoke-") && memchr(b'{', line).is_some() && !line.ends_with(b"}")
}

/// The first line of a Ruby `RestError`, `[HTTP 401] 20101 : Unable to create record`: its text and link come
/// on lines of their own.
fn is_rest_error(line: &[u8]) -> bool {
    memmem::find_iter(line, b"[HTTP ").any(|at| {
        line.get(at + 9..at + 11) == Some(b"] ")
            && line.get(at + 11..at + 16).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
            && line.get(at + 16..at + 19) == Some(b" : ")
    })
}

/// A source line of a Python traceback.
fn is_traceback_line(line: &[u8]) -> bool {
    line.starts_with(b"    ") && !line.trim_ascii_start().starts_with(b"at ")
}

/// `twilio.base.exceptions.TwilioRestException: …` and the like: a dotted name that says what it is.
fn is_exception(line: &[u8]) -> bool {
    let name = name_of(line);
    let dotted = name.iter().enumerate().any(|(i, b)| matches!(b, b'.' | b':' | b'\\') && i + 1 < name.len());
    dotted && (memmem::find(name, b"Exception").is_some() || memmem::find(name, b"Error").is_some())
}

/// `voice.TokenRejected: …`: a dotted name whose last part is a class.
fn is_class(line: &[u8]) -> bool {
    let name = name_of(line);
    let name = name.strip_suffix(b":").unwrap_or(name);
    let class = name.rsplit(|b| *b == b'.').next().unwrap_or(name);
    class.len() < name.len() && class.first().is_some_and(u8::is_ascii_uppercase)
}

/// Whether a line is the error that the line before it has logged: `ERROR [dialer] no route` and `Error: no route`.
fn repeats(before: &[u8], line: &[u8]) -> bool {
    let is_error = |class: &&[u8]| class.ends_with(b"Error") || class.ends_with(b"Exception");
    let class = name_of(line).strip_suffix(b":").filter(is_error);
    let Some(text) = class.and_then(|class| line[class.len() + 1..].strip_prefix(b" ")) else { return false };
    let rest = memmem::rfind(before, text).map(|at| &before[at + text.len()..]);
    !text.is_empty() && rest.is_some_and(|rest| rest[colours(rest)..].trim_ascii().is_empty())
}

/// The qualified name that a line begins with, and a colon behind it.
fn name_of(line: &[u8]) -> &[u8] {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'\\')).count();
    &line[..name]
}

/// How an answer begins in a dump of HTTP or SIP.
const STATUS: [&[u8]; 2] = [b"HTTP/", b"SIP/"];

/// The headers of such dumps, or what their names begin with: other names in such a form are a logger's.
const HEADERS: [&[u8]; 21] = [
    b"X-",
    b"Twilio-",
    b"Content-",
    b"Accept",
    b"Access-Control-",
    b"Cache-Control",
    b"Set-Cookie",
    b"Strict-Transport-Security",
    b"Transfer-Encoding",
    b"User-Agent",
    b"WWW-Authenticate",
    b"Retry-After",
    b"Call-ID",
    b"Max-Forwards",
    b"CSeq",
    b"Via",
    b"Date",
    b"Server",
    b"Connection",
    b"To",
    b"From",
];

/// The name of a header of such a dump: `Content-Type: text/plain`.
pub(crate) fn header(line: &[u8]) -> Option<&[u8]> {
    let colon = memmem::find(line, b": ")?;
    let name = &line[..colon];
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let is_known = HEADERS.iter().any(|known| {
        let is_beginning = known.ends_with(b"-") || *known == b"Accept";
        name == *known || is_beginning && name.starts_with(known)
    });
    (is_name && is_known).then_some(name)
}

/// `#0 /srv/app/call.php(12): dial()`, `#1 main (package:app/main.dart:7:1)`: a frame of PHP's and Dart's stacks.
fn is_frame(line: &[u8]) -> bool {
    let digits = line[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_numbered = (1..=3).contains(&digits) && matches!(line.get(1 + digits), Some(b' ' | b'\t'));
    let marks = [b".php(".as_slice(), b"{main}", b"(package:", b"(dart:"];
    is_numbered && marks.iter().any(|mark| memmem::find(line, mark).is_some())
}

/// A section's name in TOML and INI files: `[crash.twilio]`.
fn is_section(line: &[u8]) -> bool {
    line.starts_with(b"[") && line.ends_with(b"]") && line.len() > 3 && !line[1..line.len() - 1].contains(&b' ')
}

/// The key of a line that is nothing but `key = value`, as in TOML: the value is quoted or one word.
fn assigned_key(line: &[u8]) -> Option<&[u8]> {
    let key = line.iter().take_while(|byte| is_word(**byte)).count();
    let value = line[key..].strip_prefix(b" = ")?.trim_ascii_end();
    let is_value = matches!(value.first()?, b'"' | b'\'' | b'[' | b'{') || memchr(b' ', value).is_none();
    (key > 0 && is_value).then_some(&line[..key])
}

/// A line whose key dots lead from to its value, as in a report: `key ...... value`.
struct Led<'a> {
    key: &'a [u8],
    dots: usize,
    /// Where the value begins in the line.
    value: usize,
}

fn led_key(line: &[u8]) -> Option<Led<'_>> {
    let length = line.iter().take_while(|byte| is_word(**byte) || **byte == b' ').count();
    let (key, rest) = line.split_at(length);
    let dots = rest.iter().take_while(|byte| **byte == b'.').count();
    let is_led = key.ends_with(b" ") && length > 1 && dots > 2 && rest.get(dots) == Some(&b' ');
    is_led.then_some(Led { key, dots, value: length + dots })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The key of `key: value` at the start of a line, as in YAML; a word that is a level is none.
fn yaml_key(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr(b':', line)?;
    let key = &line[..colon];
    let is_key = !key.is_empty()
        && key.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        && matches!(line.get(colon + 1), None | Some(b' '));
    if is_key && level(line).is_none() { Some(key) } else { None }
}

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
                (8, Some(b' ' | b'T')) => true,
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

fn is_month(line: &[u8]) -> bool {
    const NAMES: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDecMonTueWedThuFriSatSun";
    line.len() > 6
        && matches!(line[3], b' ' | b',')
        && NAMES.chunks(3).any(|name| line.starts_with(name))
        && line[4..7].iter().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// The level that a line begins with.
fn level(line: &[u8]) -> Option<&[u8]> {
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

/// An indented line that begins a record all the same: React Native's ` ERROR  text`, and a date after one blank.
fn is_indented_head(line: &[u8]) -> bool {
    let text = &line[1..];
    match level(text) {
        Some(word) => word[0].is_ascii_uppercase() && text[word.len()..].starts_with(b"  "),
        None => {
            text.first().is_some_and(u8::is_ascii_digit) && text.get(4) == Some(&b'-') && text.get(7) == Some(&b'-')
        }
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
        check("notes\n| who | Twilio |\n|:--|:--|\n| Amara | 31486 |\nnext", &[0, 1, 4]);
        check("not ok 4 token\n# (in file a)\n# twilio replied: 20101\nok 5\n# done", &[0, 3, 4]);
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
        check("Invoke-RestMethod : {\"code\":1,\"more_info\":\"https://www.twil\nio.com/1\"}\nAt C:\\x", &[0, 2]);
        check("HTTP/1.1 400 Bad Request\nServer: x\nX-Twilio-Error-Code: 1\n\nHTTP/1.1 200 OK", &[0, 4]);
        check(" id | code \n----+-------\n  1 | 31486\n(1 row)", &[0, 3]);
        check("+----+\n| id |\n+----+\n|  1 |\n+----+\n+----+\n| id |", &[0, 5]);
        check("** 1. row **\n  provider: twilio\n http_code: 400\nerror_code: 21610\n  campaign: x\ncode: 1", &[0, 5]);
    }

    #[test]
    fn keeps_events_apart() {
        check("ConnectionError (31005): a\nConnectionError (31005): b", &[0, 1]);
        check("waiting for:\n2026-01-01T00:00:00Z next", &[0, 1]);
        check(" ERROR  [Decline: Decline (31603): Decline (SIP)]\n ERROR  [Decline]", &[0, 1]);
        check("error: a\ninfo: b\nerror: c", &[0, 1, 2]);
        check("| 2026-11-28 | ERROR | a\n| 2026-11-28 | ERROR | b\n# ERROR a\n# ERROR b", &[0, 1, 2, 3]);
        check("{\"a\":1}\n{\"b\":2}", &[0, 1]);
        check("Lead-Router: error 31005\nPay-Worker: error 31005\nTo: 1\nTo: 2", &[0, 1, 2, 3]);
        check("Dialing a ... error 31005\nDialing b ... error 31005\na = b c\nd = e f", &[0, 1, 2, 3]);
        check("#101 failed: 21211\n#102 failed: 21211\n| a | 31005\n| b | 31005", &[0, 1, 2, 3]);
        check("ERROR error 31005 again\nBob: 31005\nError: 31005", &[0, 1, 2]);
        check("E0612 12:00:00.1 7 a.go:1] x,\nI0612 12:00:00.1 7 a.go:1] y", &[0, 1]);
    }
}
