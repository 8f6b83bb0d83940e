//! Finds every number of exactly five digits in a block of bytes, and counts the lines' ends on the way.
//!
//! Sixty-four bytes at a time become two masks of 64 bits, one bit for each digit and for each newline. The masks of
//! a stripe of 4 KiB are kept, and shifting each against itself and its neighbour leaves one bit where a run of
//! exactly five digits ends. The cost depends on neither the catalogue nor the rules.
//! Some escapes glue digits of their own to a number, so runs of seven and nine count as well where they are
//! `%22` or `%20` and the like, their doubly encoded form `%2522`, nginx's `\x22`, or JSON's `\u0022`, and then
//! five digits.
//!
//! Tried on the log of `benches/`, one core, blocks in the second-level cache, GB/s:
//!
//! | candidate | 1 % hits | 30 % decoy lines |
//! |---|---|---|
//! | digit masks by the compiler's own vectors (SSE2), chunk by chunk | 5.8 | 4.8 |
//! | digit masks by `fearless_simd`, AVX-512, chunk by chunk | 8.4 | 5.9 |
//! | digit and newline masks, AVX-512, chunk by chunk | 7.0 | 5.2 |
//! | digit and newline masks, SSE4.2, a stripe at a time | 8.3 | 7.2 |
//! | digit and newline masks, AVX2, a stripe at a time | 13.9 | 10.4 |
//! | digit and newline masks, AVX-512, a stripe at a time: this file | 17.5 | 13.4 |
//!
//! Chunk by chunk every chunk waits for its mask to come out of the vector unit and pays for the shifts one word at a
//! time; a stripe lets the first loop run ahead without a branch, and the second shift four or eight words at once.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};

use crate::record::Code;

/// Bytes that one mask stands for.
const CHUNK: usize = 64;

/// Chunks whose masks are made at once: enough to amortise the dispatch, and 1 KiB of masks stay in the first cache.
const STRIPE: usize = 64;

/// Iterates over the numbers of a block, ascending.
#[derive(Debug)]
pub(crate) struct Numbers<'a> {
    block: &'a [u8],
    level: Level,
    /// Where the stripe begins in the block.
    at: usize,
    /// Chunks of the stripe that are filled.
    filled: usize,
    /// The chunk whose ends are in `ends`.
    chunk: usize,
    /// Bit `i`: a run of five, seven or nine digits ends right before byte `i` of the chunk.
    ends: u64,
    /// The digits of each chunk, after those of the chunk before the stripe.
    digits: [u64; STRIPE + 1],
    /// The ends of each chunk.
    stripe: [u64; STRIPE],
    newlines: u64,
}

/// The numbers that end within `block[from..]`; digits before `from` are seen as context.
pub(crate) fn numbers(block: &[u8], from: usize) -> Numbers<'_> {
    let at = from & !(CHUNK - 1);
    let mut numbers = Numbers {
        block,
        level: Level::new(),
        at,
        filled: 0,
        chunk: 0,
        ends: 0,
        digits: [0; STRIPE + 1],
        stripe: [0; STRIPE],
        newlines: 0,
    };
    if at > 0 {
        let before = block[at - CHUNK..at].iter().enumerate();
        numbers.digits[0] = before.fold(0, |mask, (i, byte)| mask | u64::from(byte.is_ascii_digit()) << i);
    }
    numbers.fill();
    // What ends before `from` belongs to the bytes before it; so does a run that ends right there.
    let passed = (1u64 << (from - at)) - 1;
    numbers.newlines -= block[at..from].iter().filter(|byte| **byte == b'\n').count() as u64;
    numbers.ends &= if from == 0 { !0 } else { !(passed | 1 << (from - at)) };
    numbers
}

impl Numbers<'_> {
    /// The newlines in what was gone through; all of `block[from..]` once there are no more numbers.
    pub(crate) fn newlines(&self) -> u64 {
        self.newlines
    }

    /// Makes the masks of the stripe at `at`.
    fn fill(&mut self) {
        let rest = &self.block[self.at.min(self.block.len())..];
        let part = &rest[..rest.len().min(STRIPE * CHUNK)];
        let (chunks, tail) = part.as_chunks::<CHUNK>();
        let (level, digits, stripe) = (self.level, &mut self.digits, &mut self.stripe);
        self.newlines += dispatch!(level, simd => masks(simd, chunks, &mut digits[1..]));
        self.filled = chunks.len();
        // The last chunk of the block may be short, even empty: it holds the end of a run that the block's last
        // digit closes.
        if chunks.len() < STRIPE {
            let mut padded = [0; CHUNK];
            padded[..tail.len()].copy_from_slice(tail);
            self.newlines += dispatch!(level, simd => masks(simd, &[padded], &mut digits[chunks.len() + 1..]));
            self.filled += 1;
        }
        let filled = self.filled;
        dispatch!(level, simd => run_ends(simd, &digits[..=filled], &mut stripe[..filled]));
        self.chunk = 0;
        self.ends = self.stripe[0];
    }
}

impl Iterator for Numbers<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            while self.ends != 0 {
                let end = self.at + self.chunk * CHUNK + self.ends.trailing_zeros() as usize;
                self.ends &= self.ends - 1;
                if self.block[end - 5] != b'0' && is_number(self.block, end) {
                    return Some(end - 5..end);
                }
            }
            match self.stripe[self.chunk..self.filled].iter().skip(1).position(|ends| *ends != 0) {
                Some(more) => {
                    self.chunk += more + 1;
                    self.ends = self.stripe[self.chunk];
                }
                None if self.filled < STRIPE => return None,
                None => {
                    self.at += STRIPE * CHUNK;
                    self.digits[0] = self.digits[STRIPE];
                    self.fill();
                }
            }
        }
    }
}

/// One bit for each digit of each chunk; the number of newlines in them.
#[inline(always)]
fn masks<S: Simd>(simd: S, chunks: &[[u8; CHUNK]], digits: &mut [u64]) -> u64 {
    let mut newlines = 0;
    for (chunk, digits) in chunks.iter().zip(digits) {
        let bytes = u8x64::from_slice(simd, chunk);
        *digits = (bytes - b'0').simd_lt(10).to_bitmask();
        newlines += u64::from(bytes.simd_eq(b'\n').to_bitmask().count_ones());
    }
    newlines
}

/// One bit after each run of exactly five, seven or nine digits; `digits` has the chunk before in front.
///
/// Without a branch, so that the compiler does several words at once in the vectors of the level.
#[inline(always)]
fn run_ends<S: Simd>(_simd: S, digits: &[u64], ends: &mut [u64]) {
    for (pair, ends) in digits.windows(2).zip(ends) {
        let (before, digits) = (pair[0], pair[1]);
        let back = |n: u32| digits << n | before >> (64 - n);
        let five = !digits & back(1) & back(2) & back(3) & back(4) & back(5);
        let seven = five & back(6) & back(7);
        let nine = seven & back(8) & back(9);
        *ends = five & !back(6) | seven & !back(8) | nine & !back(10);
    }
}

/// Whether the five digits before `end` are a number of their own, or follow an escape that ends in digits.
#[inline]
fn is_number(block: &[u8], end: usize) -> bool {
    if end < 6 || !block[end - 6].is_ascii_digit() {
        return true;
    }
    let digits_before = block[..end - 5].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let start = end - 5 - digits_before;
    match digits_before {
        0 => true,
        // `%22` and other escaped characters that are no digits.
        2 => block[start] == b'2' && (block[..start].ends_with(b"%") || block[..start].ends_with(b"\\x")),
        4 => {
            let escape = &block[start..start + 4];
            (start > 0 && block[start - 1] == b'%' && escape[..3] == *b"252")
                || (start > 1 && block[start - 2..start] == *b"\\u" && escape[..3] == *b"002")
        }
        _ => false,
    }
}

/// The code that five digits spell; the caller's range holds digits, the first of them not zero.
pub(super) fn code_at(text: &[u8], number: &Range<usize>) -> Code {
    let value = text[number.clone()].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Code::new(value).expect("five digits without a leading zero")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by walking over every byte.
    fn reference(block: &[u8], from: usize) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut start = 0;
        while start < block.len() {
            if !block[start].is_ascii_digit() {
                start += 1;
                continue;
            }
            let run = block[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let end = start + run;
            let text = String::from_utf8_lossy(&block[start..end]).into_owned();
            let before = String::from_utf8_lossy(&block[start.saturating_sub(2)..start]).into_owned();
            let glued = match run {
                5 => true,
                7 => (before.ends_with('%') || before == "\\x") && text.starts_with('2'),
                9 => before.ends_with('%') && text.starts_with("252") || before == "\\u" && text.starts_with("002"),
                _ => false,
            };
            if glued && block[end - 5] != b'0' && end > from {
                found.push(end - 5..end);
            }
            start = end;
        }
        found
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = numbers(text.as_bytes(), 0).map(|range| text.get(range).unwrap()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn finds_runs_of_exactly_five() {
        check("31005", &["31005"]);
        check("a31005b 131005 3100 00123", &["31005"]);
        check(&format!("{}31005{}20104", " ".repeat(61), "x".repeat(60)), &["31005", "20104"]);
    }

    #[test]
    fn sees_through_escapes_that_end_in_digits() {
        check("error_code%22%3A%2230005%22", &["30005"]);
        check("%252230005%2522", &["30005"]);
        check(r#"\u0022error_code\u0022:\u002230005\u0022"#, &["30005"]);
        check(r"{\x22code\x22:\x2230005\x22}", &["30005"]);
        check("id 2230005 and 002230005", &[]);
    }

    proptest! {
        #[test]
        fn equals_the_reference(block in "[0-9%ux\\\\a ]{0,300}", cut in 0usize..400) {
            let from = cut.min(block.len());
            let found: Vec<_> = numbers(block.as_bytes(), from).collect();
            // A run that straddles `from` is found; one that ends there is not.
            prop_assert_eq!(found, reference(block.as_bytes(), from));
        }
    }
}
