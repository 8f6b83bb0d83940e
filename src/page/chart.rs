//! Small charts as inline SVG.

use std::fmt::Write as _;

use maud::{Markup, html};

/// The height of a chart, in units of its own.
const HEIGHT: u64 = 32;

/// The width of a bar and of the gap after it.
const STEP: usize = 4;

/// Bars of the counts, the highest as high as `peak`; what they show is said by `label`.
pub fn bars(counts: &[u64], peak: u64, label: &str) -> Markup {
    let width = counts.len() * STEP;
    let mut path = String::new();
    for (step, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // One error is seen even beside a thousand.
        let height = (count * HEIGHT / peak.max(1)).clamp(2, HEIGHT);
        // Writing to a string cannot fail.
        write!(path, "M{} {HEIGHT}v-{height}h{}v{height}z", step * STEP, STEP - 1).expect("a string takes all");
    }
    html! {
        svg .bars viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
            path .base d=(format!("M0 {HEIGHT}h{width}")) {}
            path d=(path) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_seen_beside_a_thousand() {
        let shown = bars(&[1, 0, 1000], 1000, "<media>").into_string();
        assert!(shown.contains("M0 32v-2h3v2zM8 32v-32h3v32z"), "{shown}");
        assert!(shown.contains("&lt;media&gt;"), "{shown}");
    }
}
