//! Large files in parts, so that one file keeps every core busy.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use indicatif::ProgressBar;

use super::inputs::Input;
use crate::detect::{Reading, first_cut};
use crate::input;

/// About how long a part is, in bytes: long enough that opening it costs nothing, and short enough that the last ones
/// end together.
const PART: u64 = 8 << 20;

/// How far a place to cut is looked for, in bytes; where there is none, two parts stay one.
const SEARCH: [usize; 2] = [64 << 10, 1 << 20];

/// What one thread scans at once: an input, or a part of one that begins and ends between records.
pub(super) struct Part {
    /// The index among the inputs.
    pub(super) input: usize,
    /// Where it begins, in bytes.
    pub(super) start: u64,
    /// Where it ends; `None` for the end of the input, wherever that is by then.
    end: Option<u64>,
}

impl Part {
    /// Opens the input and goes to where the part begins; `may_run_ahead` where a core has nothing else to do.
    ///
    /// # Errors
    /// Those of opening, of finding the place and of reading the first bytes.
    pub(super) fn open(&self, input: &Input, progress: &ProgressBar, may_run_ahead: bool) -> io::Result<Box<dyn Read>> {
        if (self.start, self.end) == (0, None) {
            return input::open(&input.path, progress, may_run_ahead);
        }
        let mut file = File::open(&input.path)?;
        file.seek(SeekFrom::Start(self.start))?;
        let rest = self.end.map_or(u64::MAX, |end| end - self.start);
        Ok(Box::new(progress.wrap_read(file.take(rest))))
    }
}

/// The parts of the inputs, in the order of the inputs.
pub(super) fn of(inputs: &[Input], reading: Reading, is_split: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for (input, of) in inputs.iter().enumerate() {
        // What cannot be read here is said when it is scanned.
        let cuts = if is_split && of.size > 2 * PART { cuts(of, reading).unwrap_or_default() } else { Vec::new() };
        let mut start = 0;
        for cut in cuts {
            parts.push(Part { input, start, end: Some(cut) });
            start = cut;
        }
        parts.push(Part { input, start, end: None });
    }
    parts
}

/// Where a file of log lines can be cut, ascending; nowhere where a unit of text is more than a byte.
fn cuts(input: &Input, reading: Reading) -> io::Result<Vec<u64>> {
    let file = File::open(&input.path)?;
    let mut piece = vec![0; SEARCH[1]];
    let read = file.read_at(&mut piece[..4], 0)?;
    let mut cuts: Vec<u64> = Vec::new();
    let start = &piece[..read];
    if !file.metadata()?.is_file() || !input::is_plain(start) || reading.encoding.of(start).unit() > 1 {
        return Ok(cuts);
    }
    for place in (1..input.size / PART).map(|part| part * PART) {
        if cuts.last().is_some_and(|last| *last > place) {
            continue;
        }
        for length in SEARCH {
            let read = file.read_at(&mut piece[..length], place)?;
            if let Some(cut) = first_cut(&piece[..read], reading.line_limit) {
                cuts.push(place + cut as u64);
                break;
            }
        }
    }
    Ok(cuts)
}
