//! What a rotation makes of a file: its names, and its content in an archive.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};

use crate::detect::{Cursor, Decision, End, Scanned, Scanner};
use crate::state::Fingerprint;

use super::file::{Beginning, HEAD, TAIL};

/// How much of a compressed file is read at once, in bytes.
const BUFFER: usize = 256 << 10;

/// Digits that make a date in a name: `261122` at least.
const DATE: usize = 6;

/// Endings of compressed files.
const PACKED: [&str; 5] = [".gz", ".zst", ".bz2", ".xz", ".lz4"];

/// Whether a rotation of `base` may have made a file of this name: `NAME.*`, `NAME-*`, or a date inside.
pub(crate) fn is_rotated_form(base: &str, name: &str) -> bool {
    if let Some(rest) = name.strip_prefix(base) {
        return rest.len() > 1 && rest.starts_with(['.', '-']);
    }
    let name = PACKED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let (stem, extension) = base.rfind('.').filter(|at| *at > 0).map_or((base, ""), |at| base.split_at(at));
    let inside = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    inside.is_some_and(|inside| {
        inside.starts_with(['-', '.', '_'])
            && inside.bytes().all(|byte| byte.is_ascii_digit() || b"-._T".contains(&byte))
            && inside.bytes().filter(u8::is_ascii_digit).count() >= DATE
    })
}

/// One of the bases of which a rotation may have made a file of this name.
pub(super) fn base_of<'a>(name: &str, bases: &'a HashSet<String>) -> Option<&'a str> {
    let marks = |text: &str| -> Vec<usize> {
        text.bytes().enumerate().filter(|(_, byte)| b"-._".contains(byte)).map(|(at, _)| at).collect()
    };
    let inside = PACKED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let dated = marks(inside).into_iter().flat_map(|from| {
        let stem = inside.get(..from).unwrap_or_default();
        let ends = marks(inside).into_iter().filter(move |to| *to > from).chain([inside.len()]);
        ends.map(move |to| stem.to_owned() + inside.get(to..).unwrap_or_default())
    });
    let plain = marks(name).into_iter().filter_map(|at| name.get(..at)).map(str::to_owned);
    plain.chain(dated).filter_map(|base| bases.get(&base)).find(|base| is_rotated_form(base, name)).map(String::as_str)
}

/// Whether a name says that the content is compressed.
pub(super) fn is_packed_form(name: &str) -> bool {
    PACKED.iter().any(|ending| name.ends_with(ending))
}

/// Whether `name` is numbered between two others that differ in one number only, as `2.log` between `1.log` and `4.log`.
pub(super) fn is_between(old: &str, new: &str, name: &str) -> bool {
    let split = |text: &str| {
        let digits: Vec<(usize, usize)> = runs(text);
        digits.into_iter().map(|(start, end)| (start, end, text.to_owned())).collect::<Vec<_>>()
    };
    split(old).iter().zip(split(new)).zip(split(name)).any(|((old, new), name)| {
        let parts = |(start, end, text): &(usize, usize, String)| {
            let (before, rest) = text.split_at(*start);
            let (number, after) = rest.split_at(end - start);
            (before.to_owned(), number.parse::<u64>().ok(), after.to_owned())
        };
        let (old, new, name) = (parts(old), parts(&new), parts(&name));
        let is_same = old.0 == new.0 && new.0 == name.0 && old.2 == new.2 && new.2 == name.2;
        is_same && old.1 < name.1 && name.1 < new.1 && old.1.is_some()
    })
}

/// Where the runs of digits in a text begin and end.
fn runs(text: &str) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                runs.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    runs
}

/// An archive, and what is known of its content.
#[derive(Debug)]
pub(super) struct Archive {
    /// Its compressed file.
    pub(super) file: File,
    packing: Packing,
    /// How its content begins, as far as it could be read.
    pub(super) beginning: Beginning,
    /// The last bytes of its content, [`TAIL`] of them at most.
    pub(super) tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
}

/// What a file that may be an archive is.
#[derive(Debug)]
pub(super) enum Packed {
    /// Not compressed.
    Plain(File),
    /// Compressed, and whole.
    Whole(Archive),
    /// Compressed, and not to be read to its end, or not yet.
    Broken(Archive),
}

impl Packing {
    fn of(file: &File) -> io::Result<Option<Packing>> {
        let mut magic = [0; 4];
        let read = super::file::read_at(file, &mut magic, 0)?;
        Ok(match &magic[..read] {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Packing::Zstd),
            _ => None,
        })
    }

    fn content<'a>(self, file: &'a File, buffer: usize) -> io::Result<Box<dyn Read + 'a>> {
        let raw = io::BufReader::with_capacity(buffer, At { file, offset: 0 });
        Ok(match self {
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
        })
    }
}

/// How a content begins, plain or in an archive that need not be whole; its length is not known.
pub(super) fn beginning(file: &File) -> io::Result<Beginning> {
    let Some(packing) = Packing::of(file)? else { return Beginning::of(file, HEAD) };
    let mut bytes = Vec::new();
    packing.content(file, 8 << 10)?.take(HEAD).read_to_end(&mut bytes)?;
    Ok(Beginning::new(0, bytes))
}

/// How much was unpacked, in bytes, also where it could not be read to its end; the first and the last of it.
#[derive(Default)]
struct Unpacked {
    length: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl io::Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        self.head.extend_from_slice(&bytes[..bytes.len().min(HEAD as usize - self.head.len())]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Packed {
    /// Reads a file through, by its content and not by its name, if it is compressed.
    pub(super) fn open(file: File) -> io::Result<Packed> {
        let Some(packing) = Packing::of(&file)? else { return Ok(Packed::Plain(file)) };
        let mut unpacked = Unpacked::default();
        let read = packing.content(&file, BUFFER).and_then(|mut content| io::copy(&mut content, &mut unpacked));
        let Unpacked { length, head, tail } = unpacked;
        let archive = Archive { file, packing, beginning: Beginning::new(length, head), tail };
        Ok(if read.is_ok() { Packed::Whole(archive) } else { Packed::Broken(archive) })
    }
}

impl Archive {
    fn content(&self) -> io::Result<Box<dyn Read + '_>> {
        self.packing.content(&self.file, BUFFER)
    }

    /// Whether the content holds these bytes at its beginning and before `offset`.
    pub(super) fn matches(&self, head: Fingerprint, tail: Fingerprint, offset: u64) -> io::Result<bool> {
        if self.beginning.length < offset || tail.length > offset || !self.beginning.is(head) {
            return Ok(false);
        }
        let mut found = Vec::new();
        let mut content = self.content()?;
        io::copy(&mut (&mut content).take(offset - tail.length), &mut io::sink())?;
        content.take(tail.length).read_to_end(&mut found)?;
        Ok(Fingerprint::of(&found) == tail)
    }

    /// Judges the content from the cursor on, to its end.
    pub(super) fn scan(
        &self,
        cursor: &mut Cursor,
        scanner: &mut Scanner,
        on: &mut impl FnMut(Decision<'_>),
    ) -> io::Result<Scanned> {
        let encoding = scanner.reading().encoding.of(self.beginning.bytes());
        let need = scanner.block_need(encoding) as u64;
        let mut content = self.content()?;
        io::copy(&mut (&mut content).take(cursor.head), &mut io::sink())?;
        let (mut block, mut total) = (Vec::new(), Scanned::default());
        loop {
            let read = (&mut content).take(need).read_to_end(&mut block)?;
            let head = cursor.head;
            // An archive ends for good: what stands in it without a line end is complete.
            let end = if read == 0 { End::Input } else { End::More };
            let scanned = scanner.scan_as(encoding, &block, cursor, end, on);
            total.lines += scanned.lines;
            total.truncated_lines += scanned.truncated_lines;
            block.drain(..(cursor.head - head) as usize);
            if read == 0 {
                return Ok(total);
            }
        }
    }
}

/// Reads a file by offsets, so that it can be read more than once.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = super::file::read_at(self.file, buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_rotations_name_files() {
        for name in [
            "app.log.1",
            "app.log.2.gz",
            "app.log-20261122",
            "app.log.old",
            "app-20261122.log",
            "app-2026-11-22.log.zst",
            "app_20261122T101500.log",
        ] {
            assert!(is_rotated_form("app.log", name), "{name}");
            let bases = HashSet::from(["other".to_owned(), "app.log".to_owned()]);
            assert_eq!(base_of(name, &bases), Some("app.log"), "{name}");
        }
        for name in ["app.log", "app-worker.log", "app.logs", "other.log.1", "app-1.log", "app.log."] {
            assert!(!is_rotated_form("app.log", name), "{name}");
        }
    }

    #[test]
    fn knows_what_is_numbered_between() {
        assert!(is_between("1.log", "4.log", "2.log") && is_between("0009.log", "0011.log", "0010.log"));
        assert!(is_between("a1.2.log", "a1.5.log", "a1.4.log"));
        assert!(!is_between("1.log", "4.log", "4.log") && !is_between("1.log", "4.log", "5.log"));
        assert!(!is_between("1.log", "4.txt", "2.log") && !is_between("a.log", "b.log", "c.log"));
    }
}
