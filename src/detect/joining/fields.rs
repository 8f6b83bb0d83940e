//! Rows of one table, and fields of one dump.

use memchr::{memchr, memmem};

use super::super::tables::{are_aligned, characters, is_header, is_ruler, rules_off};
use super::errors::is_cut_by_console;
use super::heads::{is_head, level};

/// Whether a line is a row or a field of what the line before it belongs to, `None` where it is neither.
pub(super) fn follows(before: &[u8], line: &[u8]) -> Option<bool> {
    let end = before.trim_ascii_end();
    if is_ruler(line) {
        // A ruler closes a table above another, and dashes alone end a text.
        return Some(has_columns(line) && !(is_ruler(before) && has_columns(before)) || rules_off(line, before));
    }
    if is_row(line) {
        // A log may print each entry between bars.
        return Some(!is_barred_head(line) || is_ruler(before));
    }
    if line.starts_with(b"|") {
        return Some(false);
    }
    // What is said of a table below it.
    if line.starts_with(b"(") && is_row(before) {
        return Some(true);
    }
    if is_header(line) {
        return Some(!is_head(before));
    }
    // A row of Twilio's debugger: what stands above it is no row, or one like it.
    if is_alert(line) {
        return Some(!is_head(before) || is_alert(before));
    }
    // What redis-cli numbers.
    if let Some(index) = numbered(line) {
        return Some(if index == 1 { !is_head(before) } else { numbered(before) == Some(index - 1) });
    }
    // The next of a list in YAML.
    if line.starts_with(b"- ") {
        let value = memmem::find(line, b": ").map_or(&b""[..], |at| &line[at + 2..]);
        return Some(before.starts_with(b"  ") && yaml_key(before.trim_ascii_start()).is_some() && !is_head(value));
    }
    // A code below the name of its field.
    if is_number(line) {
        return Some(true);
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

/// What a line is for one that stands below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Above {
    /// The header of its table, or the title of what a chat quotes.
    Title,
    /// A line of the same table or quotation, if its title stands further above.
    Row,
    Other,
}

/// What `above` is for the line below it: a row that blanks set apart, a quoted line, or a piece of what PowerShell
/// wrapped. All look like entries of a log where no title stands above them.
pub(crate) fn above(above: &[u8], line: &[u8]) -> Above {
    // Most lines of most logs.
    if is_head(line) {
        return Above::Other;
    }
    if line.starts_with(b">") {
        // A title with an emblem or in bold.
        return match above.first() {
            Some(b':' | b'*') => Above::Title,
            Some(b'>') => Above::Row,
            _ => Above::Other,
        };
    }
    // What PowerShell wrapped: the line in between has no mark.
    if above.starts_with(b"Invoke-") {
        return if is_cut_by_console(above.trim_ascii_end()) { Above::Title } else { Above::Other };
    }
    if memchr(b'"', line).is_some()
        && memchr(b'{', line).is_none()
        && memmem::find(line, b"\",\"more_info\":\"").is_some()
    {
        return if is_head(above) { Above::Other } else { Above::Row };
    }
    if is_ruler(line) {
        if rules_off(line, above) { Above::Title } else { Above::Other }
    } else if memmem::find(line, b"  ").is_none() || is_head(above) {
        Above::Other
    } else if is_ruler(above) {
        if has_columns(above) { Above::Other } else { Above::Row }
    } else if !are_aligned(above, line) {
        Above::Other
    } else if is_header(above) {
        Above::Title
    } else {
        Above::Row
    }
}

/// How a table begins that a blank line sets off from its title.
pub(super) fn opens_table(line: &[u8]) -> bool {
    is_row(line) && !is_barred_head(line) || is_ruler(line) && line.starts_with(b"+") || is_header(line)
}

/// Whether a ruler has columns, and is more than the dashes that end a text.
fn has_columns(ruler: &[u8]) -> bool {
    ruler.iter().any(|byte| matches!(byte, b'|' | b'+' | 0xe2))
}

/// Whether a row between bars begins as a log entry does.
fn is_barred_head(row: &[u8]) -> bool {
    is_head(row[1..].trim_ascii_start())
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

/// A row of Twilio's debugger, `ERROR    31205  JWT token expired`: a level, a code and a text, which no logger's name
/// begins.
pub(super) fn is_alert(line: &[u8]) -> bool {
    const LEVELS: [&[u8]; 4] = [b"ERROR  ", b"Error  ", b"WARNING ", b"Warning "];
    let Some(rest) = LEVELS.iter().find_map(|level| line.strip_prefix(*level)) else { return false };
    let row = rest.trim_ascii_start();
    let digits = row.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = row[digits..].trim_ascii_start();
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_text = word.first().is_some_and(u8::is_ascii_uppercase) && !word.ends_with(b":");
    digits == 5 && row[digits..].starts_with(b"  ") && is_text
}

/// The number of a line that begins with it and a bracket: `2) "twilio"`.
fn numbered(line: &[u8]) -> Option<u32> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = line.get(..digits).filter(|_| line[digits..].starts_with(b") \"") && digits < 4)?;
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

/// The key of a line that is nothing but `key = value`, as in TOML and INI files: the value is quoted or one word.
fn assigned_key(line: &[u8]) -> Option<&[u8]> {
    let key = line.iter().take_while(|byte| is_word(**byte)).count();
    let value = line[key..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
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
    /// Whether it begins with a level.
    is_level: bool,
}

impl Led<'_> {
    /// Whether the next line is of the same report.
    fn is_beside(&self, next: &Led<'_>) -> bool {
        let is_leader = match self.leader {
            // Ellipses are short.
            b'.' => self.length.max(next.length) > 4,
            // Logs that pad their loggers' names say sentences, behind a level or none.
            _ => (self.is_word || next.is_word) && !self.is_level && !next.is_level,
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
            is_level: level(value).is_some(),
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

/// Whether a name is one of Twilio's parameters, `ErrorCode`, and no logger's.
fn is_parameter(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 8] = [b"Sid", b"Code", b"Status", b"Url", b"Version", b"Segments", b"Zip", b"Country"];
    name[0].is_ascii_uppercase()
        && name.iter().all(u8::is_ascii_alphabetic)
        && ENDS.iter().any(|end| name.ends_with(end) && name.len() > end.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
