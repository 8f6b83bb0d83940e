//! Finds every number of exactly five digits in a block of bytes.
//!
//! Sixty-four bytes at a time become a mask with one bit for each digit; shifting the mask against itself
//! leaves one bit where a run of exactly five ends. The cost depends on neither the catalogue nor the rules.
//! Two escapes glue digits of their own to a number, so runs of seven and nine count as well where they are
//! `%22` or `%20` and the like, their doubly encoded form `%2522`, or JSON's `\u0022`, and then five digits.

use std::ops::Range;

const WIDTH: usize = 64;

/// Iterates over the numbers of a block, ascending.
#[derive(Debug)]
pub(crate) struct Numbers<'a> {
    block: &'a [u8],
    /// Start of the chunk whose ends are in `ends`.
    at: usize,
    /// The digits of that chunk.
    digits: u64,
    /// The digits of the chunk before it.
    before: u64,
    /// Bit `i`: a run of five, seven or nine digits ends right before `at + i`.
    ends: u64,
}

/// The numbers that end within `block[from..]`; digits before `from` are seen as context.
pub(crate) fn numbers(block: &[u8], from: usize) -> Numbers<'_> {
    let at = from & !(WIDTH - 1);
    let before = if at == 0 { 0 } else { mask(&block[at - WIDTH..]) };
    let digits = mask(&block[at.min(block.len())..]);
    // A run that ends right before `from` belongs to the bytes before it.
    let passed = (1u64 << (from - at)).wrapping_sub(1) | 1 << (from - at);
    let ends = run_ends(digits, before) & if from == 0 { !0 } else { !passed };
    Numbers { block, at, digits, before, ends }
}

impl Iterator for Numbers<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            while self.ends != 0 {
                let end = self.at + self.ends.trailing_zeros() as usize;
                self.ends &= self.ends - 1;
                if self.block[end - 5] != b'0' && is_number(self.block, end) {
                    return Some(end - 5..end);
                }
            }
            // One virtual chunk past the end holds the ends of runs that the block's last digit closes.
            if self.at > self.block.len() {
                return None;
            }
            self.at += WIDTH;
            self.before = self.digits;
            self.digits = mask(&self.block[self.at.min(self.block.len())..]);
            self.ends = run_ends(self.digits, self.before);
        }
    }
}

/// One bit for each digit among the first 64 bytes.
#[inline]
fn mask(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<WIDTH>() {
        Some(chunk) => chunk_mask(chunk),
        None => bytes.iter().enumerate().fold(0, |mask, (i, byte)| mask | u64::from(byte.is_ascii_digit()) << i),
    }
}

#[inline]
fn chunk_mask(chunk: &[u8; WIDTH]) -> u64 {
    // One compare for each byte, which the compiler does sixteen or more at a time; then eight bytes of 0 or 1
    // become eight bits by a multiplication that moves each into its own place of the top byte.
    let mut is_digit = [0u8; WIDTH];
    for (flag, byte) in is_digit.iter_mut().zip(chunk) {
        *flag = u8::from(byte.wrapping_sub(b'0') < 10);
    }
    let mut mask = 0;
    for (i, flags) in is_digit.as_chunks::<8>().0.iter().enumerate() {
        mask |= (u64::from_le_bytes(*flags).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    mask
}

/// One bit after each run of exactly five, seven or nine digits.
#[inline]
fn run_ends(digits: u64, before: u64) -> u64 {
    let back = |n: u32| digits << n | before >> (64 - n);
    let five = !digits & back(1) & back(2) & back(3) & back(4) & back(5);
    if five == 0 {
        return 0;
    }
    let seven = five & back(6) & back(7);
    let nine = seven & back(8) & back(9);
    five & !back(6) | seven & !back(8) | nine & !back(10)
}

/// Whether the five digits before `end` are a number of their own, or follow an escape that ends in digits.
#[inline]
fn is_number(block: &[u8], end: usize) -> bool {
    let digits_before = block[..end - 5].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let start = end - 5 - digits_before;
    match digits_before {
        0 => true,
        // `%22` and other escaped characters that are no digits.
        2 => start > 0 && block[start - 1] == b'%' && block[start] == b'2',
        4 => {
            let escape = &block[start..start + 4];
            (start > 0 && block[start - 1] == b'%' && escape[..3] == *b"252")
                || (start > 1 && block[start - 2..start] == *b"\\u" && escape[..3] == *b"002")
        }
        _ => false,
    }
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
                7 => before.ends_with('%') && text.starts_with('2'),
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
        check("id 2230005 and 002230005", &[]);
    }

    proptest! {
        #[test]
        fn equals_the_reference(block in "[0-9%u\\\\a ]{0,300}", cut in 0usize..400) {
            let from = cut.min(block.len());
            let found: Vec<_> = numbers(block.as_bytes(), from).collect();
            // A run that straddles `from` is found; one that ends there is not.
            prop_assert_eq!(found, reference(block.as_bytes(), from));
        }
    }
}
