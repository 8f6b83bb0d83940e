//! Files that are only remembered: so that what was counted of them is never counted again.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::time::Duration;

use super::Track;
use super::beside::Sibling;
use crate::state::{Identity, Place};
use crate::tail::counts::Counts;
use crate::tail::file::{self, Followed};

/// How long a finished file without a name is remembered.
const MEMORY: Duration = Duration::from_secs(3600);

/// Finished files without a name that are remembered.
const REMEMBERED: usize = 1000;

/// Remembered files that are opened in one look, to see whether they still are what they were.
const COMPARED: usize = 1000;

impl Track {
    /// Notes which known files are still there, and forgets finished ones whose inode serves another file now.
    pub(super) fn compare_with_known(&mut self, siblings: &[Sibling], counts: &mut Counts) {
        let there: HashMap<Identity, &Sibling> = siblings.iter().map(|sibling| (sibling.identity, sibling)).collect();
        self.strangers.retain(|identity, _| there.contains_key(identity));
        let mut left = COMPARED;
        for file in &mut self.files {
            let sibling = there.get(&file.known.identity);
            file.is_listed = sibling.is_some();
            let Some(sibling) = sibling else { continue };
            file.listed = counts.now;
            if file.known.place != Place::Finished || file.finished_status == Some(sibling.status) {
                continue;
            }
            if left == 0 {
                self.is_cut = true;
                continue;
            }
            left -= 1;
            let opened = match file::open_same(&sibling.path, sibling.identity) {
                Ok(opened) => opened,
                // It was renamed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => {
                    file.finished_status = Some(sibling.status);
                    continue;
                }
            };
            if !file.matches(&opened).unwrap_or(true) {
                file.known.identity = Identity::default();
                counts.soil();
            } else if sibling.status.0 <= file.known.cursor.offset {
                file.finished_status = Some(sibling.status);
            } else {
                // It went on: what that is must be found out.
                file.finished_status.get_or_insert((0, 0, 0));
            }
        }
    }

    /// Records a file beside a followed one as one that is never to be read as it is.
    pub(super) fn remember(&mut self, sibling: &Sibling, opened: File, counts: &mut Counts) {
        self.strangers.remove(&sibling.identity);
        match Followed::begin(&sibling.path, &self.source, opened, sibling.status.0, counts.now) {
            Ok(mut file) => {
                file.close_if_open();
                file.known.place = Place::Finished;
                file.finished_status = Some(sibling.status);
                self.files.retain(|known| known.known.identity != sibling.identity);
                self.files.push(file);
                counts.soil();
            }
            Err(error) => tracing::debug!(path = %sibling.path.display(), %error, "cannot be remembered"),
        }
    }

    /// Remembers a content that stands nowhere by itself: copies of it may still turn up, or the file that was not found,
    /// where its directory was gone.
    pub(super) fn keep_in_mind(&mut self, mut file: Followed, counts: &mut Counts) {
        if file.known.head.length > 0 {
            (file.known.place, file.known.size) = (Place::Finished, file.known.cursor.offset);
            (file.listed, file.is_listed) = (counts.now, false);
            self.files.push(file);
        }
        counts.soil();
    }

    /// Forgets finished files that had no name for long, or that are too many.
    pub(super) fn forget(&mut self, counts: &mut Counts) {
        let now = counts.now;
        let before = self.files.len();
        let is_nameless = |file: &Followed| file.known.place == Place::Finished && !file.is_listed;
        self.files.retain(|file| !is_nameless(file) || now < file.listed + MEMORY);
        let mut surplus = self.files.iter().filter(|file| is_nameless(file)).count().saturating_sub(REMEMBERED);
        self.files.retain(|file| {
            let is_dropped = surplus > 0 && is_nameless(file);
            surplus -= usize::from(is_dropped);
            !is_dropped
        });
        if self.files.len() < before {
            counts.soil();
        }
    }
}
