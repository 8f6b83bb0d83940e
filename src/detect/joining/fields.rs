//! Rows of one table, and fields of one dump.

use memchr::{memchr, memmem};

use super::super::tables::{are_aligned, characters, is_header, is_ruler};
use super::heads::{is_head, level};

/// Whether a line is a row or a field of what the line before it belongs to, `None` where it is neither.
pub(super) fn follows(before: &[u8], line: &[u8]) -> Option<bool> {
    let end = before.trim_ascii_end();
    if is_ruler(line) {
        // A ruler closes a table above another.
        return Some(is_mark_of_table(line) && !(is_ruler(before) && is_mark_of_table(before)));
    }
    if is_row(line) {
        let is_log = is_head(line[1..].trim_ascii_start()) && !is_row(before) && !is_ruler(before);
        return Some(!is_log);
    }
    if line.starts_with(b"|") {
        return Some(false);
    }
    if is_ruler(before) && !is_head(line) {
        return Some(is_mark_of_table(before) && memchr(b' ', before).is_some());
    }
    if !is_head(before) && (are_aligned(before, line) || is_header(line)) {
        return Some(true);
    }
    // A row of Twilio's debugger: what stands above it is no row, or one like it.
    if is_alert(line) {
        return Some(!is_head(before) || is_alert(before));
    }
    // What redis-cli and MySQL's shell number.
    if let Some(index) = numbered(line) {
        return Some(if index == 1 { !is_head(before) } else { numbered(before) == Some(index - 1) });
    }
    // The next of a list in YAML.
    if line.starts_with(b"- ") {
        return Some(before.starts_with(b"  ") && yaml_key(before.trim_ascii_start()).is_some());
    }
    // A code below the name of its field.
    if is_number(line) {
        return Some(true);
    }
    // What a chat quotes below a title with an emblem or in bold.
    if line.starts_with(b">") {
        return Some(matches!(before.first(), Some(b'>' | b':' | b'*')));
    }
    // What TAP says of a failed test; a log may mark every entry so.
    if line.starts_with(b"# ") {
        return Some(before.starts_with(b"not ok ") || (before.starts_with(b"# ") && !is_head(&line[2..])));
    }
    // logcat's `long` format: what was said stands below the time and the tag.
    if before.starts_with(b"[ ") {
        return Some(end.ends_with(b" ]"));
    }
    // A request, and what was answered.
    if STATUS.iter().any(|status| line.starts_with(status)) {
        return Some(METHODS.iter().any(|method| before.starts_with(method)));
    }
    if let Some(name) = header(line) {
        return Some(match header(before) {
            Some(above) => above != name,
            None => STATUS.iter().any(|status| before.starts_with(status)),
        });
    }
    if let Some(key) = assigned_key(line) {
        return Some(is_section(end) || assigned_key(before).is_some_and(|above| above != key));
    }
    if let Some(led) = led_key(line) {
        return Some(led_key(before).is_some_and(|above| above.is_beside(&led)));
    }
    let key = yaml_key(line)?;
    Some(match yaml_key(before) {
        Some(above) => above != key,
        // A YAML document, and MySQL's rows with their keys to the right.
        None => before.starts_with(b"--- ") || (before[0] == b' ' && memchr(b':', before) == Some(key.len())),
    })
}

/// How a table begins that a blank line sets off from its title.
pub(super) fn opens_table(line: &[u8]) -> bool {
    is_row(line) && !is_head(line[1..].trim_ascii_start())
        || is_ruler(line) && line.starts_with(b"+")
        || is_header(line)
}

/// Whether what rules a table off is more than the dashes that end a text: it has columns.
fn is_mark_of_table(ruler: &[u8]) -> bool {
    ruler.trim_ascii().iter().any(|byte| matches!(byte, b'|' | b'+' | b' ' | 0xe2))
}

/// A row of a table between bars: `| 31486 | Busy |`.
fn is_row(line: &[u8]) -> bool {
    line.starts_with(b"|") && line.trim_ascii_end().ends_with(b"|") && line.len() > 2
}

/// A line that is nothing but a number of five digits, quoted or not.
fn is_number(line: &[u8]) -> bool {
    let word = line.trim_ascii_end();
    let word = word.strip_prefix(b"`").and_then(|word| word.strip_suffix(b"`")).unwrap_or(word);
    word.len() == 5 && word.iter().all(u8::is_ascii_digit)
}

/// A row of Twilio's debugger: `ERROR    31205   JWT token expired`.
pub(super) fn is_alert(line: &[u8]) -> bool {
    const LEVELS: [&[u8]; 4] = [b"ERROR ", b"Error ", b"WARNING ", b"Warning "];
    let Some(rest) = LEVELS.iter().find_map(|level| line.strip_prefix(*level)) else { return false };
    let row = rest.trim_ascii_start();
    let digits = row.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 5 && row[digits..].starts_with(b"  ")
}

/// The number of a line that begins with it and a bracket: `2) "twilio"`.
fn numbered(line: &[u8]) -> Option<u32> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = line.get(..digits).filter(|_| line[digits..].starts_with(b") ") && digits < 4)?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// How an answer begins in a dump of HTTP or SIP.
const STATUS: [&[u8]; 2] = [b"HTTP/", b"SIP/"];

/// How a request begins there.
const METHODS: [&[u8]; 4] = [b"GET ", b"POST ", b"PUT ", b"DELETE "];

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

/// A line whose key dots or blanks lead from to its value, as in a report: `key ...... value`, `key     value`,
/// `key     : value`.
struct Led<'a> {
    key: &'a [u8],
    leader: u8,
    /// How long the leader is.
    length: usize,
    /// Where the value begins in the line, in characters.
    place: usize,
    /// Whether it is one word.
    is_word: bool,
}

impl Led<'_> {
    /// Whether the next line is of the same report.
    fn is_beside(&self, next: &Led<'_>) -> bool {
        let is_leader = match self.leader {
            // Ellipses are short.
            b'.' => self.length.max(next.length) > 4,
            // Logs that pad their loggers' names say sentences.
            b' ' => self.is_word || next.is_word,
            _ => true,
        };
        self.key != next.key && self.leader == next.leader && self.place == next.place && is_leader
    }
}

fn led_key(line: &[u8]) -> Option<Led<'_>> {
    let is_letter = |byte: u8| is_word(byte) || byte >= 0x80;
    let led = |key: &'_ [u8], leader: u8, length: usize| {
        let value = line[key.len() + length..].trim_ascii();
        let is_word = !value.contains(&b' ');
        (!value.is_empty()).then_some(Led {
            key: line[..key.len()].trim_ascii_end(),
            leader,
            length,
            place: characters(key) + length,
            is_word,
        })
    };
    let words = line.iter().take_while(|byte| is_letter(**byte) || **byte == b' ').count();
    let (key, rest) = line.split_at(words);
    let dots = rest.iter().take_while(|byte| **byte == b'.').count();
    if key.ends_with(b" ") && key.len() > 1 && dots > 2 && rest.get(dots) == Some(&b' ') {
        return led(key, b'.', dots);
    }
    if key.ends_with(b" ") && rest.starts_with(b": ") {
        return led(key, b':', 1);
    }
    let word = line.iter().take_while(|byte| is_letter(**byte) || **byte == b'.').count();
    let (key, rest) = line.split_at(word);
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let is_led = key.first().is_some_and(u8::is_ascii_alphabetic) && !key.ends_with(b".") && blanks > 1;
    if is_led { led(key, b' ', blanks) } else { None }
}

/// The key of `key: value` at the start of a line, as in YAML, or as Twilio names its parameters, `ErrorCode: 31005`; a
/// word that is a level is none.
fn yaml_key(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr(b':', line)?;
    let key = &line[..colon];
    let is_small = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let is_key = !key.is_empty() && (key.iter().all(is_small) || is_parameter(key));
    let ends = matches!(line.get(colon + 1), None | Some(b' '));
    if is_key && ends && level(line).is_none() { Some(key) } else { None }
}

/// Whether a name is written as those of Twilio's parameters that no logger has: `ErrorCode`, of two words or more.
fn is_parameter(name: &[u8]) -> bool {
    let words = name.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    words > 1
        && name[0].is_ascii_uppercase()
        && name.is_ascii()
        && name.iter().all(u8::is_ascii_alphabetic)
        && name.windows(2).all(|pair| !(pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase()))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
