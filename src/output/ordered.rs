//! Results of inputs that are read in parallel, written in the order of the inputs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How much one input may hold back while another has its turn, in bytes.
const PIECE: usize = 1 << 20;

/// How much finished inputs may hold back together, in bytes; past it they wait for their turn.
const PARKED: usize = 32 << 20;

/// A stream that takes inputs' results in their order.
///
/// The inputs must be taken up in ascending order: the one whose turn it is then never waits, so nobody does for long.
pub struct Ordered<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
}

struct State<W> {
    out: W,
    /// The input that writes now.
    turn: usize,
    /// What inputs that are through have left for their turn.
    parked: BTreeMap<usize, Vec<u8>>,
    parked_bytes: usize,
    error: Option<io::Error>,
}

impl<W: Write> Ordered<W> {
    /// Begins with input 0.
    pub fn new(out: W) -> Ordered<W> {
        let state = State { out, turn: 0, parked: BTreeMap::new(), parked_bytes: 0, error: None };
        Ordered { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Writes what an input has found so far if it is its turn; waits for it once that has grown large.
    ///
    /// Says whether to go on: `false` once the stream failed.
    pub fn offer(&self, input: usize, found: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        while state.error.is_none() && state.turn != input && found.len() > PIECE {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.error.is_none() && state.turn == input && !found.is_empty() {
            state.write(found);
            found.clear();
        }
        self.passed(&state)
    }

    /// Takes the last an input has found, and ends its turn.
    pub fn finish(&self, input: usize, found: Vec<u8>) -> bool {
        let mut state = self.lock();
        while state.error.is_none() && state.turn != input && state.parked_bytes + found.len() > PARKED {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.parked_bytes += found.len();
        state.parked.insert(input, found);
        loop {
            let turn = state.turn;
            let Some(found) = state.parked.remove(&turn) else { break };
            state.parked_bytes -= found.len();
            state.write(&found);
            state.turn += 1;
        }
        self.changed.notify_all();
        self.passed(&state)
    }

    /// What became of the stream.
    ///
    /// # Errors
    /// The first of the stream.
    pub fn into_inner(self) -> io::Result<W> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(state.out), Err)
    }

    fn passed(&self, state: &State<W>) -> bool {
        if state.error.is_some() {
            self.changed.notify_all();
        }
        state.error.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> State<W> {
    fn write(&mut self, found: &[u8]) {
        if self.error.is_none() && !found.is_empty() {
            self.error = self.out.write_all(found).and_then(|()| self.out.flush()).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_in_the_order_of_the_inputs() {
        let ordered = Ordered::new(Vec::new());
        assert!(ordered.finish(2, b"c".to_vec()));
        assert!(ordered.offer(1, &mut b"kept back".to_vec()));
        let mut first = b"a".to_vec();
        assert!(ordered.offer(0, &mut first));
        assert!(first.is_empty(), "it was its turn");
        assert!(ordered.finish(1, b"b".to_vec()));
        assert!(ordered.finish(0, b"A".to_vec()));
        assert_eq!(ordered.into_inner().unwrap(), b"aAbc");
    }

    #[test]
    fn large_results_wait_for_their_turn() {
        let ordered = Ordered::new(Vec::new());
        let large = |byte| vec![byte; PARKED];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut found = large(b'b');
                assert!(ordered.offer(1, &mut found) && found.is_empty());
                assert!(ordered.finish(1, Vec::new()));
            });
            scope.spawn(|| assert!(ordered.finish(2, large(b'c'))));
            assert!(ordered.finish(0, large(b'a')));
        });
        let written = ordered.into_inner().unwrap();
        assert_eq!(written.len(), 3 * PARKED);
        assert!(written.is_sorted());
    }

    #[test]
    fn a_failed_stream_stops_everyone() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let ordered = Ordered::new(Closed);
        assert!(!ordered.offer(0, &mut b"x".to_vec()));
        assert!(!ordered.offer(5, &mut vec![0; 2 * PIECE]));
        assert_eq!(ordered.into_inner().err().unwrap().kind(), io::ErrorKind::BrokenPipe);
    }
}
