//! A stream that has no offsets: standard input, or a FIFO.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use crate::detect::{Cursor, Detector, Encoding, End, Reading, Scanner};

/// How long nothing comes until what is undecided is rejected.
const SILENCE: Duration = Duration::from_millis(500);

/// What was read of a stream and may still matter.
pub(super) struct Stream {
    pub(super) source: Arc<str>,
    /// Whether its source is still followed.
    pub(super) is_followed: bool,
    /// As matches show it.
    path: String,
    scanner: Scanner,
    /// As configured, or as it began.
    encoding: Encoding,
    held: Vec<u8>,
    cursor: Cursor,
    /// Since when nothing came; `None` once that was judged.
    waiting_since: Option<Duration>,
}

impl Stream {
    pub(super) fn new(source: &Arc<str>, path: &str, detector: &Detector, reading: Reading) -> Stream {
        Stream {
            source: Arc::clone(source),
            is_followed: true,
            path: path.to_owned(),
            scanner: detector.scanner_for(reading),
            encoding: reading.encoding,
            held: Vec::new(),
            cursor: Cursor::default(),
            waiting_since: None,
        }
    }

    /// Judges what comes from now on in another way; what is open of a record goes on under the new rules.
    pub(super) fn change(&mut self, detector: &Detector, reading: Reading) {
        if reading.encoding != Encoding::Auto {
            self.encoding = reading.encoding;
        }
        self.scanner = detector.scanner_for(reading);
    }

    /// Judges the next bytes. After [`End::Input`] what comes next begins anew.
    pub(super) fn feed(&mut self, bytes: &[u8], end: End, counts: &mut Counts) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        if self.cursor.head == 0 {
            self.encoding = self.scanner.reading().encoding.of(&self.held);
        }
        self.waiting_since = (end == End::More).then_some(counts.now);
        let before = (self.cursor.head, self.cursor.offset);
        let mut on = counts.recorder(&self.source, &self.path);
        let (held, cursor) = (&self.held, &mut self.cursor);
        let scanned = self.scanner.scan_as(self.encoding, held, cursor, end, &mut |decision| on.decide(decision));
        on.result?;
        self.held.drain(..(self.cursor.head - before.0) as usize);
        counts.judged(&self.source, self.cursor.offset - before.1, scanned);
        if end == End::Input {
            (self.held, self.cursor) = (Vec::new(), Cursor::default());
        }
        Ok(())
    }

    /// Rejects what is undecided once nothing came for a while.
    pub(super) fn pause(&mut self, counts: &mut Counts) -> io::Result<()> {
        if self.waiting_since.is_some_and(|since| counts.now >= since + SILENCE) {
            self.feed(b"", End::Pause, counts)?;
        }
        Ok(())
    }

    /// How long from now something is due, where anything is.
    pub(super) fn idle(&self, now: Duration) -> Option<Duration> {
        self.waiting_since.map(|since| (since + SILENCE).saturating_sub(now))
    }
}
