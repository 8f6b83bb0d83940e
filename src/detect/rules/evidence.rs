//! What a record holds as its program meant it, and which evidence is known of it.

use std::ops::Range;

use regex::bytes::Regex;

use super::super::plain::{Plain, may_hide};

/// A record as its program meant it, once that was asked.
#[derive(Debug, Default)]
pub(super) struct Meant {
    /// Whether anything hides something in it.
    hides: Option<bool>,
    /// What it says where something does.
    plain: Plain,
}

impl Meant {
    /// Forgets the last record.
    pub(super) fn forget(&mut self) {
        self.hides = None;
    }

    /// The record, and where a part of it stands there.
    pub(super) fn part<'a>(&'a mut self, written: &'a [u8], part: Range<usize>) -> (&'a [u8], Range<usize>) {
        let Meant { hides, plain } = self;
        let hides = *hides.get_or_insert_with(|| {
            let hides = may_hide(written);
            if hides {
                plain.read(written);
            }
            hides
        });
        if !hides {
            return (written, part);
        }
        // Nothing hides over lines.
        let place = |written| plain.origin.partition_point(|at| (*at as usize) < written);
        (&plain.text, place(part.start)..place(part.end))
    }
}

/// What is known of one piece of evidence in the record at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Known {
    #[default]
    Unknown,
    /// The record holds it nowhere, or nowhere any more.
    Absent,
    /// Where its next place begins and ends, in bytes of the text as its program meant it.
    At(usize, usize),
}

impl Known {
    /// Whether a part of a record holds the evidence; no part begins before the last one that was asked for.
    ///
    /// The record is searched once: a search for each of its numbers would take a long record's length squared.
    pub(super) fn holds(&mut self, evidence: &Regex, text: &[u8], part: Range<usize>) -> bool {
        let is_passed = match *self {
            Known::Unknown => true,
            Known::Absent => false,
            Known::At(start, _) => start < part.start,
        };
        if is_passed {
            let next = evidence.find_at(text, part.start);
            *self = next.map_or(Known::Absent, |place| Known::At(place.start(), place.end()));
        }
        match *self {
            Known::Unknown | Known::Absent => false,
            Known::At(_, end) if end <= part.end => true,
            // Of what begins in the part and ends behind it, another may end in it.
            Known::At(start, _) => start < part.end && evidence.find_at(&text[..part.end], part.start).is_some(),
        }
    }
}
