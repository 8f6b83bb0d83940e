//! Where matches go while following: a bounded buffer that a thread of its own writes out.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Zoned;

use super::{MatchLine, Mode, pretty};
use crate::detect::Detector;
use crate::diagnose::Finding;
use crate::record::{Code, Delivery, Sighting};
use crate::tail::Sink;

/// How much may wait for a reader that does not drain standard output, in bytes.
pub const BUFFER: usize = 8 << 20;

/// How long the end waits for a reader that matches are dropped for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to do with a match when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Drop it: files and scrapes are never held up.
    Drop,
    /// Wait: standard input waits with us.
    Wait,
}

/// Takes matches and never waits for their reader, unless told to.
pub struct Output {
    mode: Mode,
    color: bool,
    full: Full,
    detector: Detector,
    shared: Arc<Shared>,
    /// The codes that were explained already.
    explained: BTreeSet<Code>,
    /// One rendered match, reused.
    rendered: Vec<u8>,
    /// Whether the last match was dropped.
    dropping: bool,
    /// Whether findings are printed too; every object then says what it is.
    findings: bool,
}

/// Waits for what an [`Output`] took to be written.
pub struct Drain {
    full: Full,
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// What the writer has taken and not yet written.
    in_flight: Arc<Vec<u8>>,
    ended: bool,
    error: Option<io::Error>,
}

impl Output {
    /// Starts a thread that writes to `out`; it ends when the output is dropped and drained, or the stream fails.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(
        mode: Mode,
        color: bool,
        full: Full,
        detector: Detector,
        out: impl Write + Send + 'static,
    ) -> io::Result<(Output, Drain)> {
        Output::with_limit(BUFFER, mode, color, full, detector, out)
    }

    fn with_limit(
        limit: usize,
        mode: Mode,
        color: bool,
        full: Full,
        detector: Detector,
        out: impl Write + Send + 'static,
    ) -> io::Result<(Output, Drain)> {
        let shared = Arc::new(Shared { limit, state: Mutex::default(), changed: Condvar::new() });
        let of_writer = Arc::clone(&shared);
        std::thread::Builder::new().name("output".into()).spawn(move || of_writer.write_out(out))?;
        let drain = Drain { full, shared: Arc::clone(&shared) };
        Ok((
            Output {
                mode,
                color,
                full,
                detector,
                shared,
                explained: BTreeSet::new(),
                rendered: Vec::new(),
                dropping: false,
                findings: false,
            },
            drain,
        ))
    }

    /// Prints findings too.
    pub fn with_findings(mut self) -> Output {
        self.findings = true;
        self
    }

    /// Takes one match.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] once the reader is gone, and any other failure of the stream.
    pub fn take(&mut self, sighting: &Sighting<'_>, now: &Zoned) -> io::Result<Delivery> {
        if self.mode == Mode::None {
            return Ok(Delivery::Taken);
        }
        let line = MatchLine::new(sighting, self.detector.catalog(), self.detector.rules(), now);
        let line = if self.findings { line.typed() } else { line };
        self.rendered.clear();
        match self.mode {
            Mode::None => {}
            Mode::Json => line.write_json(&mut self.rendered),
            Mode::Pretty => {
                let text = pretty::sighting(&line, !self.explained.contains(&line.code));
                let text = if self.color { text } else { anstream::adapter::strip_str(&text).to_string() };
                self.rendered.extend_from_slice(text.as_bytes());
            }
        }
        let code = line.code;
        let delivery = self.shared.put(&self.rendered, self.full)?;
        if delivery == Delivery::Taken {
            // An explanation that was dropped is still owed.
            self.explained.insert(code);
        }
        Ok(delivery)
    }
}

impl Sink for Output {
    fn take(&mut self, sighting: &Sighting<'_>, now: &Zoned) -> io::Result<Delivery> {
        let delivery = Output::take(self, sighting, now)?;
        let dropped = delivery == Delivery::Dropped;
        if dropped && !self.dropping {
            tracing::warn!("standard output does not drain: matches are dropped, and still counted");
        }
        self.dropping = dropped;
        Ok(delivery)
    }

    fn found(&mut self, finding: &Finding, _: &Zoned) -> io::Result<()> {
        if !self.findings || self.mode == Mode::None {
            return Ok(());
        }
        self.rendered.clear();
        match self.mode {
            Mode::None => {}
            Mode::Json => super::finding_line(finding, &mut self.rendered),
            Mode::Pretty => self.rendered.extend_from_slice(pretty::finding(finding, self.color).as_bytes()),
        }
        // Of findings nothing is counted: the page and the metrics have them.
        self.shared.put(&self.rendered, self.full).map(drop)
    }

    fn undelivered(&self, out: &mut Vec<u8>) {
        let state = self.shared.lock();
        if state.waiting.len() + state.in_flight.len() > 0 {
            out.push(self.mode as u8);
            out.extend_from_slice(&state.in_flight);
            out.extend_from_slice(&state.waiting);
        }
    }

    fn resume(&mut self, undelivered: &[u8]) {
        // What was rendered for another kind of reader is nothing for this one.
        if let Some((mode, rendered)) = undelivered.split_first()
            && *mode == self.mode as u8
        {
            self.shared.lock().waiting.extend_from_slice(rendered);
            self.shared.changed.notify_all();
        }
    }

    fn explain_by(&mut self, detector: &Detector) {
        self.detector = detector.clone();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Drain {
    /// Waits until everything that was taken is written; where matches are dropped, for two seconds at most.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn finish(self) -> io::Result<()> {
        let deadline = (self.full == Full::Drop).then(|| Instant::now() + PATIENCE);
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = &state.error {
                return Err(repeat(error));
            }
            if state.waiting.len() + state.in_flight.len() == 0 {
                return Ok(());
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    tracing::warn!("standard output does not drain: the last matches are lost");
                    return Ok(());
                }
                Some(left) => self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, rendered: &[u8], full: Full) -> io::Result<Delivery> {
        let mut state = self.lock();
        loop {
            if let Some(error) = &state.error {
                return Err(repeat(error));
            }
            let held = state.waiting.len() + state.in_flight.len();
            if held == 0 || held + rendered.len() <= self.limit {
                break;
            }
            if full == Full::Drop {
                return Ok(Delivery::Dropped);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.extend_from_slice(rendered);
        drop(state);
        self.changed.notify_all();
        Ok(Delivery::Taken)
    }

    /// Writes whatever waits as soon as it does, and flushes it, so that a quiet log is never a stale one.
    fn write_out(&self, mut out: impl Write) {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && !state.ended {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() {
                return;
            }
            let taken = Arc::new(std::mem::take(&mut state.waiting));
            state.in_flight = Arc::clone(&taken);
            drop(state);
            let result = out.write_all(&taken).and_then(|()| out.flush());
            let mut state = self.lock();
            state.in_flight = Arc::default();
            let failed = result.is_err();
            state.error = result.err();
            drop(state);
            self.changed.notify_all();
            if failed {
                return;
            }
        }
    }
}

/// The same error once more: one is kept, everyone who asks gets it.
fn repeat(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use jiff::Timestamp;

    use super::*;
    use crate::catalog::Catalog;
    use crate::detect::Rules;
    use crate::record::Match;

    /// A stream whose reader takes a piece only when the test says so, and is gone when the test drops its end.
    struct Slow {
        begun: SyncSender<()>,
        go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).ok();
            self.go.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Case {
        output: Output,
        drain: Drain,
        begun: Receiver<()>,
        go: SyncSender<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    fn case(limit: usize, mode: Mode, full: Full) -> Case {
        let detector = Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded()));
        let ((begun, has_begun), (go, may_go)) = (sync_channel(1000), sync_channel(1000));
        let written = Arc::default();
        let out = Slow { begun, go: may_go, written: Arc::clone(&written) };
        let (output, drain) = Output::with_limit(limit, mode, false, full, detector, out).unwrap();
        Case { output, drain, begun: has_begun, go, written }
    }

    fn take(output: &mut Output) -> io::Result<Delivery> {
        let text: &[u8] = b"ConnectionError (31005): x";
        let code = Code::new(31005).unwrap();
        let matched = Match {
            code,
            rule: 0,
            offset: 0,
            record: 0,
            line_start: 0,
            head: text,
            text,
            escaped: false,
            number: 17..22,
        };
        let seen = Timestamp::UNIX_EPOCH;
        let sighting = Sighting { source: "a", path: "a", line: None, seen, matched: &matched };
        output.take(&sighting, &Zoned::now())
    }

    #[test]
    fn a_slow_reader_loses_matches_and_holds_nobody_up() {
        let mut case = case(10_000, Mode::Json, Full::Drop);
        assert_eq!(take(&mut case.output).unwrap(), Delivery::Taken);
        case.begun.recv().unwrap();
        let mut taken = 1;
        while take(&mut case.output).unwrap() == Delivery::Taken {
            taken += 1;
        }
        assert!(taken > 1);
        assert_eq!(take(&mut case.output).unwrap(), Delivery::Dropped);
        for _ in 0..1000 {
            case.go.send(()).unwrap();
        }
        drop(case.output);
        case.drain.finish().unwrap();
        let written = String::from_utf8(case.written.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), taken);
        assert!(written.len() <= 10_000 && written.ends_with('\n'));
    }

    #[test]
    fn standard_input_waits_and_loses_nothing() {
        let mut case = case(1, Mode::Json, Full::Wait);
        for _ in 0..1000 {
            case.go.send(()).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(take(&mut case.output).unwrap(), Delivery::Taken);
        }
        drop(case.output);
        case.drain.finish().unwrap();
        assert_eq!(case.written.lock().unwrap().split(|byte| *byte == b'\n').count(), 101);
    }

    #[test]
    fn what_was_taken_and_not_written_outlives_a_process() {
        let mut first = case(BUFFER, Mode::Json, Full::Drop);
        for _ in 0..3 {
            take(&mut first.output).unwrap();
        }
        first.begun.recv().unwrap();
        let mut left = Vec::new();
        first.output.undelivered(&mut left);
        assert_eq!(left.iter().filter(|byte| **byte == b'\n').count(), 3);
        for (mode, lines) in [(Mode::Json, 3), (Mode::Pretty, 0)] {
            let mut second = case(BUFFER, mode, Full::Drop);
            second.output.resume(&left);
            for _ in 0..10 {
                second.go.send(()).unwrap();
            }
            drop(second.output);
            second.drain.finish().unwrap();
            assert_eq!(second.written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), lines);
        }
        left.clear();
        case(BUFFER, Mode::Json, Full::Drop).output.undelivered(&mut left);
        assert!(left.is_empty());
    }

    #[test]
    fn a_closed_reader_is_reported() {
        let mut case = case(BUFFER, Mode::Json, Full::Wait);
        take(&mut case.output).unwrap();
        drop(case.go);
        assert_eq!(case.drain.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(take(&mut case.output).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn explains_a_code_once_and_is_never_stale() {
        let mut case = case(BUFFER, Mode::Pretty, Full::Drop);
        for _ in 0..2 {
            case.go.send(()).unwrap();
            take(&mut case.output).unwrap();
            case.begun.recv().unwrap();
        }
        case.drain.finish().unwrap();
        let written = String::from_utf8(case.written.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches("docs/errors/31005").count(), 1, "{written}");
        assert_eq!(written.matches("ConnectionError (31005)").count(), 2, "{written}");
    }
}
