//! Reading on in the files of a source, and leaving those that are read to their end.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::{PATIENCE, QUIET, Track};
use crate::state::Place;
use crate::tail::counts::Counts;
use crate::tail::file::{Followed, Turn};

impl Track {
    /// Judges what was written: rotated files first, so that what is older is said first. Takes what it reads off
    /// the budget, in bytes, and leaves the rest behind where that is used up.
    pub(in crate::tail) fn read(
        &mut self,
        is_pass: bool,
        budget: &mut u64,
        block: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let now = counts.now;
        let is_due = |file: &Followed| {
            let is_told = file.pending || file.behind || file.is_hot(now);
            file.file.is_some() && (is_told || (is_pass && file.known.place == Place::Rotated))
        };
        let mut order: Vec<usize> = (0..self.files.len()).filter(|index| is_due(&self.files[*index])).collect();
        if order.is_empty() {
            return Ok(());
        }
        // Whoever was read first last time is last now, so that a budget starves nobody.
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % order.len();
        order.rotate_left(first);
        order.sort_by_key(|index| {
            let file = &self.files[*index];
            (file.known.place == Place::Followed, if file.known.place == Place::Followed { now } else { file.rotated })
        });
        let mut behind: BTreeSet<PathBuf> = BTreeSet::new();
        let mut emptied = Vec::new();
        let mut touched = Vec::new();
        let mut failed = Vec::new();
        for index in order {
            let file = &mut self.files[index];
            if behind.contains(&file.known.path) {
                continue;
            }
            if *budget == 0 {
                file.behind = true;
                continue;
            }
            let path = file.known.path.display().to_string();
            let before = (file.known.cursor.clone(), file.known.size);
            let mut on = counts.recorder(&self.source, &path);
            let turn = file.read(now, *budget, &mut self.scanner, block, &mut |decision| on.decide(decision));
            on.result?;
            if file.behind && file.known.place == Place::Rotated {
                behind.insert(file.known.path.clone());
            }
            if std::mem::take(&mut file.touched) {
                touched.push((file.known.path.clone(), file.known.resolved.clone()));
            }
            match turn {
                Ok(Turn::Judged(bytes, scanned)) => {
                    *budget = budget.saturating_sub(bytes);
                    counts.judged(&self.source, bytes, scanned);
                    if before != (file.known.cursor.clone(), file.known.size) {
                        counts.soil();
                    }
                }
                Ok(Turn::Emptied { refilled }) => emptied.push((index, refilled)),
                Err(error) => {
                    file.behind = false;
                    failed.push((file.known.path.clone(), error));
                }
            }
        }
        for (path, error) in failed {
            self.fail(&path, &error, counts);
        }
        for (path, target) in touched {
            self.note_rotation(&path, &target, now);
        }
        for (index, refilled) in emptied {
            self.empty(index, refilled, counts);
        }
        Ok(())
    }

    /// Leaves rotated files to which nothing is written any more, and forgets finished ones in time.
    pub(in crate::tail) fn retire(&mut self, block: &mut Vec<u8>, counts: &mut Counts) -> io::Result<()> {
        let now = counts.now;
        for file in &mut self.files {
            let is_quiet = now + file.quiet >= file.grown.max(file.rotated) + QUIET;
            let is_over = is_quiet || now >= file.rotated + PATIENCE;
            // A link's old target tells a restart what is to be looked into, as long as there is some left.
            if file.known.place != Place::Rotated || !is_over || file.behind || self.is_cut {
                continue;
            }
            let path = file.known.path.display().to_string();
            let mut on = counts.recorder(&self.source, &path);
            let ended = file.end(&mut self.scanner, block, &mut |decision| on.decide(decision));
            on.result?;
            match ended {
                Ok((bytes, scanned)) => counts.judged(&self.source, bytes, scanned),
                Err(error) => tracing::warn!(path, %error, "the end of a rotated file cannot be read"),
            }
            file.close_if_open();
            (file.known.place, file.listed) = (Place::Finished, now);
            let lag = file.lag();
            if lag > 0 {
                counts.lost(&self.source, lag);
                tracing::warn!(path, bytes = lag, "the end of a rotated file was not read");
            }
            counts.soil();
        }
        self.forget(counts);
        self.rotations.retain(|_, at| now < *at + PATIENCE);
        Ok(())
    }
}
