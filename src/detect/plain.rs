//! Undoes what hides a text from the rules: colours, and characters that JSON, Python, nginx or a URL escape.

use memchr::memchr3;

/// No mark is further from the last byte that it hides than this, in bytes.
pub(super) const HIDDEN: usize = 32;

/// A sequence that sets a colour has no more parameters than this, in bytes.
const PARAMETERS: usize = 20;

/// A text as its program meant it, and where each of its bytes stands in what was written.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// The text.
    pub(super) text: Vec<u8>,
    /// By byte of the text: where what it stands for begins in what was written; at last, the length of that.
    pub(super) origin: Vec<u32>,
}

/// Whether something that hides something may begin with this byte.
#[inline]
pub(super) fn is_mark(byte: u8) -> bool {
    matches!(byte, 0x1b | b'\\' | b'%')
}

/// Where the first [mark](is_mark) stands.
fn next_mark(text: &[u8]) -> Option<usize> {
    memchr3(0x1b, b'\\', b'%', text)
}

/// Whether a text may hold anything that hides something.
pub(super) fn may_hide(text: &[u8]) -> bool {
    next_mark(text).is_some()
}

/// Whether what hides something may begin in a text and end behind it.
#[inline]
pub(super) fn may_end_hiding(text: &[u8]) -> bool {
    text.iter().rev().take(HIDDEN).find(|byte| !is_hidden(byte)).is_some_and(|byte| is_mark(*byte))
}

/// Whether a byte may be a part of what hides something, behind its mark: of a colour, or of an escaped character.
pub(super) fn is_hidden(byte: &u8) -> bool {
    byte.is_ascii_hexdigit()
        || matches!(byte, b'u' | b'x' | b'[' | b';' | b':' | b'm' | b'K' | b'n' | b'r' | b't' | b'"' | b'\'' | b'/')
}

/// How long the colour sequences are that a text begins with, raw or as JSON escapes them.
pub(super) fn colours(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let mark = if rest.starts_with(b"\x1b") {
            1
        } else if rest.starts_with(br"\u001b") {
            6
        } else {
            return length;
        };
        match colour(&rest[mark..]) {
            Some(sequence) => length += mark + sequence,
            None => return length,
        }
    }
}

impl Plain {
    /// Reads `written`, in place of what was read before.
    pub(super) fn read(&mut self, written: &[u8]) {
        self.text.clear();
        self.origin.clear();
        let mut at = 0;
        while let Some(&byte) = written.get(at) {
            let rest = &written[at..];
            let mut bytes = [0; 4];
            let (length, meant): (usize, &[u8]) = match byte {
                0x1b => match colour(&rest[1..]) {
                    Some(length) => (1 + length, &[]),
                    None => (1, &rest[..1]),
                },
                b'\\' => {
                    let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
                    match escaped(&rest[slashes..], &mut bytes) {
                        Some((length, meant)) => (slashes + length, meant),
                        None => (slashes, &rest[..slashes]),
                    }
                }
                b'%' => match encoded(&rest[1..]) {
                    Some((length, meant)) => {
                        bytes[0] = meant;
                        (1 + length, &bytes[..1])
                    }
                    None => (1, &rest[..1]),
                },
                _ => {
                    let length = next_mark(rest).unwrap_or(rest.len());
                    (length, &rest[..length])
                }
            };
            let is_same = meant.len() == length;
            self.origin.extend((0..meant.len()).map(|byte| (at + if is_same { byte } else { 0 }) as u32));
            self.text.extend_from_slice(meant);
            at += length;
        }
        self.origin.push(at as u32);
    }
}

/// The length of what follows the escape character in a sequence that sets a colour or clears a line.
fn colour(rest: &[u8]) -> Option<usize> {
    let parameters =
        rest.strip_prefix(b"[")?.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
    (parameters <= PARAMETERS && matches!(rest.get(1 + parameters), Some(b'm' | b'K'))).then_some(parameters + 2)
}

/// What follows backslashes that stand for something else, and what it stands for: `n`, `u00e9`, `x22`, `u001b[0m`.
/// Control characters that end no line and separate no words stay escaped.
fn escaped<'a>(rest: &'a [u8], bytes: &'a mut [u8; 4]) -> Option<(usize, &'a [u8])> {
    for escape in [b"u001b".as_slice(), b"u001B", b"x1b", b"x1B", b"033", b"e"] {
        if let Some(after) = rest.strip_prefix(escape)
            && let Some(length) = colour(after)
        {
            return Some((escape.len() + length, &[]));
        }
    }
    match rest.first()? {
        b'n' => Some((1, b"\n")),
        b'r' => Some((1, b"\r")),
        // `C:\twilio`
        b't' if !rest.starts_with(b"twilio") => Some((1, b"\t")),
        b'"' | b'\'' | b'/' => Some((1, &rest[..1])),
        b'u' => {
            let first = hexadecimal(rest.get(1..5)?)?;
            let pair = || rest[5..].strip_prefix(b"\\u").and_then(|low| hexadecimal(low.get(..4)?));
            let (length, value) = match (first, pair()) {
                (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => (11, 0x10000 + ((first & 0x3ff) << 10 | low & 0x3ff)),
                _ => (5, first),
            };
            let meant = char::from_u32(value).filter(|meant| !meant.is_control())?;
            Some((length, meant.encode_utf8(bytes).as_bytes()))
        }
        b'x' => {
            bytes[0] = u8::try_from(hexadecimal(rest.get(1..3)?)?).ok()?;
            (!bytes[0].is_ascii_control()).then_some((3, &bytes[..1]))
        }
        _ => None,
    }
}

/// What follows the percent sign in a character that a URL escapes, once or more often, and what it stands for: `22`,
/// `2522`. Control characters that end no line and separate no words stay escaped.
fn encoded(rest: &[u8]) -> Option<(usize, u8)> {
    let again = rest.chunks(2).take(2).take_while(|pair| pair == b"25").count() * 2;
    let value = |at: usize| u8::try_from(hexadecimal(rest.get(at..at + 2)?)?).ok().map(|value| (at + 2, value));
    let is_meant = |value: &u8| !value.is_ascii_control() || value.is_ascii_whitespace();
    value(again).or_else(|| value(again.checked_sub(2)?)).filter(|(_, value)| is_meant(value))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, meant: &str) {
        let mut plain = Plain::default();
        plain.read(written.as_bytes());
        assert_eq!(String::from_utf8_lossy(&plain.text), meant, "{written}");
        assert_eq!(plain.origin.len(), plain.text.len() + 1);
        assert!(plain.origin.is_sorted() && plain.origin.last() == Some(&(written.len() as u32)));
    }

    #[test]
    fn undoes_what_hides_a_text() {
        check("\u{1b}[1;31mcode\u{1b}[0m=\u{1b}[33m31005\u{1b}[39m\u{1b}[K", "code=31005");
        check(r"\u001b[33m31005\x1b[0m \\u001b[1m \033[0m\e[0m.", "31005  .");
        check(r"c\u00f3digo \\u30a8 {\x22code\x22:31005}", "código エ {\"code\":31005}");
        check(r"\ud83d\udea8 \u0022a\u0022", "\u{1f6a8} \"a\"");
        check(r#"{\"a\":\\\"b\\\"}\n\tc\/d"#, "{\"a\":\"b\"}\n\tc/d");
        check("%22code%22%3A%2022%2c%C3%A9 %2522a%252522 100%25 %25252525", "\"code\": 22,é \"a\" 100% %25");
    }

    #[test]
    fn knows_every_byte_behind_a_mark() {
        for hiding in
            ["\u{1b}[1;38:5K", r"\u001b[0m", r"\\u00e9", r"\x2F", r"\n", r"\r", r"\t", "\\\"", r"\'", r"\/", "%252F"]
        {
            check_hidden(hiding);
        }
    }

    /// Whatever is cut off behind the mark, the rest is known to belong to something that may be hiding it.
    #[track_caller]
    fn check_hidden(hiding: &str) {
        for end in 1..hiding.len() {
            let (before, rest) = hiding.split_at(end);
            assert!(may_end_hiding(before.as_bytes()), "{before:?}");
            assert!(rest.bytes().next().is_some_and(|byte| is_hidden(&byte) || is_mark(byte)), "{rest:?}");
        }
    }

    #[test]
    fn leaves_the_rest_alone() {
        for text in [r"a\b \u000a C:\users\xen D:\twilio \ud83d \u12", "\u{1b}[31", "\u{1b}", r"\", "5% %00 %zz %2", ""]
        {
            check(text, text);
        }
    }
}
