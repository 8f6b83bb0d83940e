//! Opens what a one-pass command reads: a file or standard input, plain or compressed.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use indicatif::ProgressBar;

/// How much a decompressor takes of a file at once, in bytes.
const COMPRESSED_READ: usize = 128 << 10;

/// How much is unpacked at once where that is done ahead, in bytes, and how many such blocks may wait.
const AHEAD: (usize, usize) = (256 << 10, 4);

/// How a file begins that gzip compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How a file begins that zstd compressed.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The name of standard input among paths.
pub const STDIN: &str = "-";

/// Opens a path, or standard input for [`STDIN`]; `progress` advances by the bytes that are read of the file. What is
/// compressed is unpacked on a thread of its own where it `may_run_ahead`.
///
/// # Errors
/// Those of opening and of reading the first bytes.
pub fn open(path: &std::path::Path, progress: &ProgressBar, may_run_ahead: bool) -> io::Result<Box<dyn Read>> {
    if path.as_os_str() == STDIN {
        unpacked(progress.wrap_read(io::stdin()), may_run_ahead)
    } else {
        unpacked(progress.wrap_read(File::open(path)?), may_run_ahead)
    }
}

/// Whether an input that begins with these bytes, at least four of them where it has so many, is stored as it is.
pub fn is_plain(start: &[u8]) -> bool {
    !start.starts_with(&GZIP) && !start.starts_with(&ZSTD)
}

/// What the input holds once unpacked. Its first bytes tell, never its name.
///
/// Concatenated gzip members and zstd frames are one stream.
fn unpacked(mut input: impl Read + Send + 'static, may_run_ahead: bool) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let (gzip, zstd) = (magic.starts_with(&GZIP), magic.starts_with(&ZSTD));
    let whole = Cursor::new(magic).chain(input);
    let buffered = |whole| BufReader::with_capacity(COMPRESSED_READ, whole);
    let unpacking: Box<dyn Read + Send> = match (gzip, zstd) {
        (true, _) => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(whole))),
        (_, true) => Box::new(zstd::Decoder::with_buffer(buffered(whole))?),
        _ => return Ok(Box::new(whole)),
    };
    Ok(if may_run_ahead { Box::new(Ahead::of(unpacking)) } else { unpacking })
}

/// What another thread reads ahead.
struct Ahead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Cursor<Vec<u8>>,
}

impl Ahead {
    /// Reads on until the input ends or nobody takes what is read.
    fn of(mut input: Box<dyn Read + Send>) -> Ahead {
        let (size, waiting) = AHEAD;
        let (sender, blocks) = sync_channel(waiting);
        thread::spawn(move || {
            loop {
                let mut block = Vec::with_capacity(size);
                let read = input.by_ref().take(size as u64).read_to_end(&mut block);
                let is_over = block.is_empty() || read.is_err();
                let error = read.err().map(Err);
                // What was read before an error goes first; an empty block would be the end.
                let block = (!block.is_empty() || error.is_none()).then_some(Ok(block));
                let is_heard = block.into_iter().chain(error).all(|told| sender.send(told).is_ok());
                if is_over || !is_heard {
                    return;
                }
            }
        });
        Ahead { blocks, block: Cursor::default() }
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.block.position() == self.block.get_ref().len() as u64 {
            // The sender goes once it has told the end.
            self.block = Cursor::new(self.blocks.recv().unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        self.block.read(into)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(stored: Vec<u8>, expected: &[u8]) {
        for may_run_ahead in [false, true] {
            let mut read = Vec::new();
            unpacked(Cursor::new(stored.clone()), may_run_ahead).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn reads_every_member_and_frame() {
        check(b"".to_vec(), b"");
        check(b"a".to_vec(), b"a");
        check(b"plain".to_vec(), b"plain");
        check([gz(b"one "), gz(b""), gz(b"two")].concat(), b"one two");
        check(
            [zstd::encode_all(&b"one "[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()].concat(),
            b"one two",
        );
    }

    #[test]
    fn what_cannot_be_unpacked_at_all_fails() {
        for may_run_ahead in [false, true] {
            let broken = Cursor::new([&ZSTD[..], &[0xff; 64]].concat());
            assert!(unpacked(broken, may_run_ahead).unwrap().read_to_end(&mut Vec::new()).is_err(), "{may_run_ahead}");
        }
    }

    #[test]
    fn a_cut_archive_gives_what_it_holds_and_fails() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for mut stored in [gz(&text), zstd::encode_all(text.as_slice(), 1).unwrap()] {
            stored.truncate(stored.len() / 2);
            for may_run_ahead in [false, true] {
                let mut read = Vec::new();
                let stored = Cursor::new(stored.clone());
                assert!(unpacked(stored, may_run_ahead).unwrap().read_to_end(&mut read).is_err());
                assert!(read.len() > text.len() / 4 && text.starts_with(&read), "{}", read.len());
            }
        }
    }
}
