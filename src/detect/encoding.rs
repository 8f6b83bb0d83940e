//! Text in UTF-16: scanned as what it says, while offsets stay those of the bytes as they are stored.
//!
//! A block is decoded whole and scanned like any other; every offset that comes of it is counted back in units. So
//! nothing but the reader of the bytes knows of encodings, and a text says the same in each.

use super::{Cursor, Decision, End, OpenRecord, Scanned, Scanner};
use crate::record::Match;

/// How the bytes of a source become text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Encoding {
    /// UTF-16 where the text begins with its byte order mark, else UTF-8
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// UTF-8, or any other that writes ASCII as it is
    #[serde(rename = "utf-8")]
    #[value(name = "utf-8")]
    Utf8,
    /// UTF-16, the low byte first
    #[serde(rename = "utf-16le")]
    #[value(name = "utf-16le")]
    Utf16Le,
    /// UTF-16, the high byte first
    #[serde(rename = "utf-16be")]
    #[value(name = "utf-16be")]
    Utf16Be,
}

impl Encoding {
    /// The encoding of a text that begins with these bytes; [`Encoding::Auto`] for as long as they do not tell.
    pub fn of(self, start: &[u8]) -> Encoding {
        match (self, start) {
            (Encoding::Auto, [0xff, 0xfe, ..]) => Encoding::Utf16Le,
            (Encoding::Auto, [0xfe, 0xff, ..]) => Encoding::Utf16Be,
            (Encoding::Auto, [] | [0xff | 0xfe]) => Encoding::Auto,
            (Encoding::Auto, _) => Encoding::Utf8,
            (encoding, _) => encoding,
        }
    }

    /// What a number is of whose bytes two and two are one unit.
    fn order(self) -> Option<fn([u8; 2]) -> u16> {
        match self {
            Encoding::Utf16Le => Some(u16::from_le_bytes),
            Encoding::Utf16Be => Some(u16::from_be_bytes),
            Encoding::Auto | Encoding::Utf8 => None,
        }
    }

    /// How many bytes are one unit: no text begins or ends between them.
    pub fn unit(self) -> u64 {
        if self.order().is_some() { 2 } else { 1 }
    }

    /// The line ends in some bytes, of which the first is the first of a unit.
    pub(crate) fn newlines(self, bytes: &[u8]) -> u64 {
        match self.order() {
            None => memchr::memchr_iter(b'\n', bytes).count() as u64,
            Some(order) => bytes.as_chunks().0.iter().filter(|unit| order(**unit) == u16::from(b'\n')).count() as u64,
        }
    }
}

impl Scanner {
    /// The same as [`Scanner::scan`] for bytes of this encoding. Every offset is one of the bytes as they are stored.
    ///
    /// A unit without its other half waits for it, and is U+FFFD once something else follows; half a unit at
    /// [`End::Input`] says nothing. A block of [`Scanner::block_need`] bytes always moves the cursor.
    pub fn scan_as(
        &mut self,
        encoding: Encoding,
        block: &[u8],
        cursor: &mut Cursor,
        end: End,
        on: &mut impl FnMut(Decision<'_>),
    ) -> Scanned {
        let Some(order) = encoding.order() else { return self.scan(block, cursor, end, on) };
        // Whoever began inside a unit, because another encoding was thought of, goes on behind it.
        let skipped = block.len().min((cursor.head % 2) as usize);
        cursor.head += skipped as u64;
        cursor.offset = cursor.offset.max(cursor.head);
        let text = decode(&block[skipped..], order, end);
        let base = cursor.head;
        let inside = |stored: u64| match stored.checked_sub(base) {
            Some(bytes) => base + index_behind(&text, bytes / 2) as u64,
            // The beginning of a line that is longer than what is held of it.
            None => stored,
        };
        let translate = |open: OpenRecord, place: &mut dyn FnMut(u64) -> u64| OpenRecord {
            head: place(open.head),
            settled: place(open.settled),
            counted: open.counted,
        };
        let open = std::mem::take(&mut cursor.open);
        let mut decoded = Cursor {
            head: base,
            offset: inside(cursor.offset),
            open: open.into_iter().map(|open| translate(open, &mut |place| inside(place))).collect(),
            in_long_line: cursor.in_long_line,
        };
        let mut units = Units { text: text.as_bytes(), at: 0, before: 0 };
        let mut stored = |decoded: u64| match decoded.checked_sub(base) {
            Some(index) => base + 2 * units.before(index as usize),
            None => decoded,
        };
        let scanned = self.scan(text.as_bytes(), &mut decoded, end, &mut |decision| {
            on(match decision {
                Decision::Accepted(matched) => {
                    let offset = stored(matched.offset);
                    let line_start = offset.saturating_sub(base) as usize + skipped;
                    Decision::Accepted(Match { offset, line_start, record: stored(matched.record), ..matched })
                }
                rejected @ Decision::Rejected(_) => rejected,
            });
        });
        cursor.in_long_line = decoded.in_long_line;
        if end == End::Input {
            cursor.offset = base + (block.len() - skipped) as u64;
            cursor.head = cursor.offset;
            return scanned;
        }
        // Never back: where another encoding was thought of before, the offset may stand inside a unit.
        cursor.offset = cursor.offset.max(stored(decoded.offset));
        cursor.head = stored(decoded.head);
        cursor.open = decoded.open.into_iter().map(|open| translate(open, &mut stored)).collect();
        scanned
    }
}

/// The text of a block of units. What may be half of something, at its end, is left for the next block.
fn decode(block: &[u8], order: fn([u8; 2]) -> u16, end: End) -> String {
    let (units, _) = block.as_chunks();
    let is_half = |unit: &[u8; 2]| matches!(order(*unit), 0xd800..0xdc00);
    let left = usize::from(end != End::Input && units.last().is_some_and(is_half));
    let mut text = String::with_capacity(units.len() + units.len() / 8);
    let units = units[..units.len() - left].iter().map(|unit| order(*unit));
    text.extend(char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)));
    text
}

/// The index of what stands behind so many units; the end of the text where it has fewer.
fn index_behind(text: &str, units: u64) -> usize {
    let mut left = units;
    for (index, character) in text.char_indices() {
        if left == 0 {
            return index;
        }
        left = left.saturating_sub(character.len_utf16() as u64);
    }
    text.len()
}

/// How many units stand before a place in a text, counted on from the place asked for last.
struct Units<'a> {
    text: &'a [u8],
    at: usize,
    before: u64,
}

impl Units<'_> {
    /// Those before `index`, or before the character that `index` stands in.
    fn before(&mut self, index: usize) -> u64 {
        let is_inside = |byte: &u8| byte & 0xc0 == 0x80;
        let mut index = index.min(self.text.len());
        while self.text.get(index).is_some_and(is_inside) {
            index -= 1;
        }
        let count = |bytes: &[u8]| {
            let characters = bytes.iter().filter(|byte| !is_inside(byte)).count();
            let of_two_units = bytes.iter().filter(|byte| **byte >= 0xf0).count();
            (characters + of_two_units) as u64
        };
        if index >= self.at {
            self.before += count(&self.text[self.at..index]);
        } else {
            self.before -= count(&self.text[index..self.at]);
        }
        self.at = index;
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_decides_and_what_is_configured_wins() {
        for (start, expected) in [
            (&b""[..], Encoding::Auto),
            (b"\xff", Encoding::Auto),
            (b"\xfe", Encoding::Auto),
            (b"\xff\xfe2", Encoding::Utf16Le),
            (b"\xfe\xff", Encoding::Utf16Be),
            (b"\xef\xbb\xbf", Encoding::Utf8),
            (b"2", Encoding::Utf8),
            (b"\xff2", Encoding::Utf8),
        ] {
            assert_eq!(Encoding::Auto.of(start), expected, "{start:?}");
            assert_eq!(Encoding::Utf16Be.of(start), Encoding::Utf16Be);
        }
    }

    #[test]
    fn halves_wait_or_are_replaced() {
        let units: Vec<u8> = [0x61, 0xd83d, 0xde00, 0xd83d, 0x62, 0xde00, 0xd83d]
            .iter()
            .flat_map(|unit: &u16| unit.to_le_bytes())
            .chain([b'x'])
            .collect();
        assert_eq!(decode(&units, u16::from_le_bytes, End::More), "a😀\u{fffd}b\u{fffd}");
        assert_eq!(decode(&units, u16::from_le_bytes, End::Input), "a😀\u{fffd}b\u{fffd}\u{fffd}");
    }

    #[test]
    fn places_are_counted_both_ways() {
        let text = "aä€😀b";
        let mut units = Units { text: text.as_bytes(), at: 0, before: 0 };
        for (index, before) in [(0, 0), (1, 1), (2, 1), (3, 2), (6, 3), (9, 3), (10, 5), (11, 6), (5, 2), (0, 0)] {
            assert_eq!(units.before(index), before, "{index}");
        }
        for (units, index) in [(0, 0), (1, 1), (2, 3), (3, 6), (5, 10), (6, 11), (9, 11)] {
            assert_eq!(index_behind(text, units), index, "{units}");
        }
    }
}
