//! What it means when errors come together: reports in, findings out.
//!
//! Reports are counted by the minute. [`Diagnosis`] keeps the last two hours and is asked what holds now;
//! [`Timeline`] keeps as much as one pass over files brings, can be merged, and is asked what held when. Both ask the
//! same [`Rules`]. Time is what the caller says it is.

mod calls;
mod day;
mod episodes;
mod examples;
mod finding;
mod flat;
mod history;
mod minutes;
mod now;
mod rules;
mod timeline;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use calls::Calls;
pub use day::{CallsByWindow, WINDOWS};
pub use examples::failures;
pub use finding::{CodeCount, Finding, SourceCount};
pub use flat::Flat;
pub use history::History;
pub use minutes::{Cell, Counts, Excerpt, Minute, Report};
pub use now::{Diagnosis, Top, View};
pub use rules::{Event, Example, LONGEST, Rule, Rules, Spread, Term};
pub use timeline::Timeline;

/// Minutes since 1970 and what was reported in each.
type Minutes = BTreeMap<i64, Minute>;

/// The minute that a time lies in.
fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The time at which a minute begins.
fn start(minute: i64) -> Timestamp {
    Timestamp::from_second(minute.saturating_mul(60)).unwrap_or_default()
}
