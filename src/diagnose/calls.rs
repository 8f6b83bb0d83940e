//! How many distinct calls: exact for few, estimated for many, in bounded memory.

use hyperloglockless::HyperLogLogPlus;

/// Two to the power of this many registers of a byte each, once there are too many calls to keep apart: 16 KiB, and a
/// standard error of 0.8 %.
const FINE: u8 = 14;

/// The same for what there are thousands of, the codes of each minute: 4 KiB and 1.6 %.
pub(super) const COARSE: u8 = 12;

/// Every sketch has the same seed, so that any two can be merged.
const SEED: u128 = 0x7477_6469_6167;

/// A set of calls that can be counted and merged, and not listed. A few bytes for a few calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls<const PRECISION: u8 = FINE>(HyperLogLogPlus);

impl<const PRECISION: u8> Default for Calls<PRECISION> {
    fn default() -> Calls<PRECISION> {
        Calls(HyperLogLogPlus::seeded(PRECISION, SEED))
    }
}

impl<const PRECISION: u8> Calls<PRECISION> {
    /// Adds a call by its SID.
    pub fn insert(&mut self, sid: &str) {
        self.0.insert(sid);
    }

    /// Adds all calls of another set; the order of merging does not matter.
    pub fn merge(&mut self, other: &Calls<PRECISION>) {
        self.0.union(&other.0).expect("both sketches have one precision");
    }

    /// The number of distinct calls, with an error below 3 % (of coarse ones, as a rule).
    pub fn count(&mut self) -> u64 {
        self.0.raw_count().round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(n: u64) -> String {
        format!("CA{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    #[test]
    fn errs_by_less_than_three_percent() {
        for size in [1, 2, 5, 100, 1_000, 10_000, 100_000, 1_000_000] {
            let mut calls: Calls = Calls::default();
            for n in 0..size {
                // Each call reports more than one error.
                calls.insert(&sid(n));
                calls.insert(&sid(n));
            }
            let error = calls.count().abs_diff(size) as f64 / size as f64;
            println!("{size} calls: {} estimated, {:.2} %", calls.count(), error * 100.0);
            assert!(error < 0.03, "{size}: {}", calls.count());
            assert!(size > 1000 || calls.count() == size, "few are exact: {size}, {}", calls.count());
        }
    }

    #[test]
    fn merges_in_any_order() {
        for size in [10, 3_000, 60_000] {
            let mut parts = [0; 3].map(|_| Calls::<COARSE>::default());
            let mut whole = Calls::<COARSE>::default();
            for n in 0..size {
                parts[(n % 3) as usize].insert(&sid(n));
                parts[((n / 2) % 3) as usize].insert(&sid(n));
                whole.insert(&sid(n));
            }
            for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
                let mut merged = Calls::<COARSE>::default();
                order.iter().for_each(|part| merged.merge(&parts[*part]));
                assert!(merged.count().abs_diff(whole.count()) <= 1 + size / 1000, "{size}");
            }
        }
    }
}
