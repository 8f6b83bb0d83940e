//! Reports by category over time, as charts show them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::minutes::Counts;
use super::start;
use crate::catalog::Category;

/// Reports by category over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// When the first step begins.
    pub start: Timestamp,
    /// The length of a step, in seconds.
    pub step_seconds: i64,
    /// For each category the reports of each step.
    pub categories: BTreeMap<Category, Vec<u64>>,
}

impl History {
    /// `steps` steps of `width` minutes, of which the first has the number `first`.
    pub(super) fn of<'a>(first: i64, width: i64, steps: i64, counts: impl Fn(i64) -> Option<&'a Counts>) -> History {
        let zeros = || vec![0; usize::try_from(steps).unwrap_or(0)];
        let mut categories: BTreeMap<Category, Vec<u64>> =
            Category::ALL.into_iter().map(|category| (category, zeros())).collect();
        for step in 0..steps {
            for (category, count) in counts(first + step).map(Counts::categories).unwrap_or_default() {
                if let Some(of_step) = categories.get_mut(&category).and_then(|all| all.get_mut(step as usize)) {
                    *of_step += count;
                }
            }
        }
        History { start: start(first * width), step_seconds: 60 * width, categories }
    }

    /// Reports of all steps by category, those without any left out.
    pub fn totals(&self) -> Vec<(Category, u64)> {
        let sums = self.categories.iter().map(|(category, counts)| (*category, counts.iter().sum()));
        sums.filter(|(_, sum)| *sum > 0).collect()
    }

    /// The most that one step holds of all categories together.
    pub fn peak(&self) -> u64 {
        let steps = self.categories.values().map(Vec::len).max().unwrap_or(0);
        (0..steps).map(|step| self.categories.values().map(|counts| counts[step]).sum()).max().unwrap_or(0)
    }
}
