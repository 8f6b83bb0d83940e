//! What libraries and runtimes print of one error over several lines.

use memchr::{memchr, memmem};

use super::super::plain::colours;
use super::heads::is_head;

/// Whether a line belongs to what an error's first lines say, `None` where it is no such line.
pub(super) fn follows(before: &[u8], line: &[u8]) -> Option<bool> {
    if is_rest_error(before) || is_cut_by_console(before.trim_ascii_end()) {
        return Some(true);
    }
    // Yii and others print an exception's code on a line of its own.
    if line.starts_with(b"Code: ") {
        return Some(memmem::find(before, b"Exception: ").is_some());
    }
    if line.starts_with(b"Traceback (most recent call last)") {
        return Some(is_head(before));
    }
    if is_exception(line) {
        return Some((is_head(before) && before[0] != b'{') || is_traceback_line(before));
    }
    if is_class(line) {
        return Some(is_traceback_line(before));
    }
    (is_head(before) && repeats(before, line)).then_some(true)
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

/// The qualified name that a line begins with, and a colon behind it.
fn name_of(line: &[u8]) -> &[u8] {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'\\')).count();
    &line[..name]
}

/// A source line of a Python traceback.
fn is_traceback_line(line: &[u8]) -> bool {
    line.starts_with(b"    ") && !line.trim_ascii_start().starts_with(b"at ")
}

/// Whether a line is the error that the line before it has logged: `ERROR [dialer] no route` and `Error: no route`, or
/// `TwilioError 53405: no route` with its code.
fn repeats(before: &[u8], line: &[u8]) -> bool {
    let name = name_of(line);
    let class = name.strip_suffix(b":").unwrap_or(name);
    if !(class.ends_with(b"Error") || class.ends_with(b"Exception")) {
        return false;
    }
    let code = line[class.len()..].iter().take_while(|byte| matches!(byte, b' ' | b'0'..=b'9')).count();
    let Some(text) = line[class.len() + code..].strip_prefix(b": ") else { return false };
    let rest = memmem::rfind(before, text).map(|at| &before[at + text.len()..]);
    !text.is_empty() && rest.is_some_and(|rest| rest[colours(rest)..].trim_ascii().is_empty())
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

/// `#0 /srv/app/call.php(12): dial()`, `#1 main (package:app/main.dart:7:1)`: a frame of PHP's and Dart's stacks.
pub(super) fn is_frame(line: &[u8]) -> bool {
    let digits = line[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_numbered = (1..=3).contains(&digits) && matches!(line.get(1 + digits), Some(b' ' | b'\t'));
    let marks = [b".php(".as_slice(), b"{main}", b"(package:", b"(dart:"];
    is_numbered && marks.iter().any(|mark| memmem::find(line, mark).is_some())
}

/// What follows a blank line within one dump.
pub(super) fn is_dump_part(line: &[u8]) -> bool {
    const PARTS: [&[u8]; 6] =
        [b"Traceback (most recent", b"POST /", b"GET /", b"DELETE /", b"Unable to ", b"More info"];
    PARTS.iter().any(|part| line.starts_with(part))
}

/// Whether what PowerShell prints goes on in the next line, which it begins wherever the console ends.
pub(super) fn is_cut_by_console(line: &[u8]) -> bool {
    const LINK: &[u8] = b"\"more_info\":\"";
    let path = line.strip_prefix(b"resource ").unwrap_or(line);
    memmem::rfind(line, LINK).is_some_and(|at| memchr(b'"', &line[at + LINK.len()..]).is_none())
        || line.starts_with(b"Invoke-") && memchr(b'{', line).is_some() && !line.ends_with(b"}")
        || path.starts_with(b"/2010-04-01/Accounts/") && memchr(b'"', path).is_none()
}
