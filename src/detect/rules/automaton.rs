//! What stands beside a number: automata of all rules' patterns, run away from it.

use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::Cache;
use regex_automata::util::start;

use super::Automaton;
use super::judge::REACH;

impl Automaton {
    /// Where a run backwards from `at` begins: the number's first digit is what assertions at a pattern's end look at.
    fn start(&self, cache: &mut Cache, text: &[u8], at: usize) -> Option<LazyStateID> {
        let start = start::Config::new().anchored(Anchored::Yes).look_behind(text.get(at).copied());
        self.dfa.start_state(cache, &start).ok()
    }

    /// Runs backwards from `at`, telling the rules that match; where it died, so that nothing before that place
    /// could add to them, or `None` where it came to the text's start.
    ///
    /// An automaton whose lazily built states outgrow their memory starts over; past its limit the number is
    /// decided as if nothing matched, which the limit in the builder is large enough to rule out.
    pub(super) fn run_back(&self, cache: &mut Cache, text: &[u8], at: usize, on: impl FnMut(usize)) -> Option<usize> {
        let low = at.saturating_sub(REACH);
        let Some(state) = self.start(cache, text, at) else { return Some(at) };
        let steps = text[low..at].iter().rev().copied();
        match self.run(cache, state, steps, low.checked_sub(1).map(|before| text[before]), on) {
            Some(steps) => Some(at - steps),
            None if low > 0 => Some(low),
            None => None,
        }
    }

    /// Runs forwards from behind a number, telling the rules that match; how many bytes it looked at.
    pub(super) fn run_on(&self, cache: &mut Cache, text: &[u8], on: impl FnMut(usize)) -> usize {
        let Ok(state) = self.dfa.start_state(cache, &after_number()) else { return 0 };
        self.run(cache, state, text.iter().copied(), None, on).unwrap_or(text.len())
    }

    /// Runs over bytes; after how many of them it died, or `None` where it came to their end, where `next` follows.
    #[inline]
    fn run(
        &self,
        cache: &mut Cache,
        mut state: LazyStateID,
        bytes: impl Iterator<Item = u8>,
        next: Option<u8>,
        mut on: impl FnMut(usize),
    ) -> Option<usize> {
        let mut tell = |cache: &Cache, state| {
            for index in 0..self.dfa.match_len(cache, state) {
                on(usize::from(self.rules[self.dfa.match_pattern(cache, state, index).as_usize()]));
            }
        };
        let mut told = None;
        for (step, byte) in bytes.enumerate() {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return Some(step + 1) };
            state = next;
            if state.is_tagged() {
                if state.is_match() {
                    // A pattern that begins with a repetition matches in one state many times in a row.
                    if told != Some(state) {
                        tell(cache, state);
                        told = Some(state);
                    }
                } else if state.is_dead() || state.is_quit() {
                    return Some(step + 1);
                }
            }
        }
        let last = match next {
            Some(byte) => self.dfa.next_state(cache, state, byte),
            None => self.dfa.next_eoi_state(cache, state),
        };
        if let Ok(state) = last
            && state.is_match()
        {
            tell(cache, state);
        }
        None
    }
}

/// Where a pattern for what stands behind a number starts: as if the text began there, so that `^` and `\b` hold.
pub(super) fn after_number() -> start::Config {
    start::Config::new().anchored(Anchored::Yes).look_behind(None)
}
