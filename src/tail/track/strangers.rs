//! Unknown files beside followed ones: copies, generations that were never seen, or nothing of ours.

use std::fs::File;
use std::io;
use std::time::Duration;

use super::beside::{Left, Sibling, Status};
use super::{PATIENCE, QUIET, Track};
use crate::detect::Cursor;
use crate::state::{Checkpoint, Identity, Place};
use crate::tail::counts::Counts;
use crate::tail::discover::directory_of;
use crate::tail::file::{self, Beginning, Followed};
use crate::tail::rotated::{Archive, Packed};

/// How long an unknown file beside a followed one must be unchanged to be what it will be.
const SETTLED: Duration = Duration::from_secs(2);

/// An unknown file beside a followed one.
#[derive(Debug)]
pub(super) struct Stranger {
    since: Duration,
    changed: Duration,
    status: Status,
    /// Whether it came with a rotation, or while nobody looked: it may be a generation that was never seen.
    is_near: bool,
    /// Whether what is in it was found not to matter yet, as of its status.
    pub(super) is_examined: bool,
    /// Whether it is an archive that was not whole: while it grows, it is not unpacked again and again.
    is_broken: bool,
    /// Whether nothing more will be found out about it as long as it stays as it is.
    pub(super) is_settled: bool,
    /// How its content begins, as of its status, where it is a copy of a file of which less was judged yet.
    copied: Option<Beginning>,
}

/// What an unknown content is to what is known.
enum Kin {
    /// A copy of a file, or of a part of it.
    Copy,
    /// A file that was left, and what came after that.
    Rest(Box<Checkpoint>),
    None,
}

impl Stranger {
    fn new(status: Status, is_near: bool, now: Duration) -> Stranger {
        let (is_examined, is_broken, is_settled) = (false, false, false);
        Stranger { since: now, changed: now, status, is_near, is_examined, is_broken, is_settled, copied: None }
    }

    /// Whether it has been unchanged for long enough.
    fn is_quiet(&self, now: Duration) -> bool {
        now >= self.changed + SETTLED
    }
}

impl Track {
    /// Finds out what an unknown file beside a followed one is, where that can be known by now.
    pub(super) fn resolve(&mut self, sibling: &Sibling, left: &mut Left, counts: &mut Counts) -> io::Result<()> {
        let is_resuming = self.resumed.is_some_and(|at| counts.now < at + QUIET);
        let mut stranger = (self.strangers.remove(&sibling.identity))
            .unwrap_or_else(|| Stranger::new(sibling.status, is_resuming, counts.now));
        if stranger.status != sibling.status {
            (stranger.changed, stranger.status) = (counts.now, sibling.status);
            (stranger.is_examined, stranger.is_settled, stranger.copied) = (false, false, None);
        }
        stranger.is_near |= self.is_near(sibling, stranger.since, counts.now);
        let mut is_known = false;
        if self.is_due(&stranger, sibling, counts.now) {
            if left.files == 0 || left.bytes == 0 {
                self.is_cut |= !stranger.is_examined;
            } else {
                left.files -= 1;
                is_known = self.look_into(&mut stranger, sibling, left, counts)?;
            }
        }
        if !is_known {
            self.strangers.insert(sibling.identity, stranger);
        }
        Ok(())
    }

    /// Whether a file came with a rotation.
    fn is_near(&self, sibling: &Sibling, since: Duration, now: Duration) -> bool {
        // What stood there was rotated away before it was ever seen.
        let is_base_unseen =
            !self.followed().any(|file| file.known.path == sibling.base || file.known.resolved == sibling.base);
        let rotated_at = self.rotations.get(directory_of(&sibling.path));
        is_base_unseen || sibling.is_between || rotated_at.is_some_and(|at| *at >= since || now <= *at + QUIET)
    }

    /// Whether a look into a stranger may tell more than the last one. Files are read through once for each change,
    /// and once more when they have settled.
    fn is_due(&self, stranger: &Stranger, sibling: &Sibling, now: Duration) -> bool {
        let is_waiting = |content: &Beginning| self.judged_of_copy(content, sibling.identity) == Some(false);
        let is_looked_into = stranger.is_examined || stranger.is_broken;
        // While the file itself cannot be read, nothing tells its copy from a generation.
        let may_tell = !stranger.is_settled && !self.failing.contains(&sibling.base);
        may_tell && (!is_looked_into || stranger.is_quiet(now)) && !stranger.copied.as_ref().is_some_and(is_waiting)
    }

    /// Whether it is known now: read, or remembered.
    fn look_into(
        &mut self,
        stranger: &mut Stranger,
        sibling: &Sibling,
        left: &mut Left,
        counts: &mut Counts,
    ) -> io::Result<bool> {
        (stranger.is_examined, stranger.copied) = (true, None);
        match file::open_same(&sibling.path, sibling.identity).and_then(Packed::open) {
            Ok(Packed::Plain(opened)) => Ok(self.resolve_plain(stranger, sibling, opened, counts)),
            Ok(Packed::Whole(archive)) => {
                left.unpacked(&archive);
                self.resolve_archive(stranger, sibling, archive, counts)
            }
            Ok(Packed::Broken(archive)) => {
                left.unpacked(&archive);
                stranger.is_broken = true;
                if counts.now < stranger.since + PATIENCE {
                    return Ok(false);
                }
                tracing::warn!(path = %sibling.path.display(), "an archive that cannot be read to its end is left out");
                self.remember(sibling, archive.file, counts);
                Ok(true)
            }
            // It was renamed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                stranger.is_examined = false;
                self.again = true;
                Ok(false)
            }
            Err(error) => {
                tracing::debug!(path = %sibling.path.display(), %error, "cannot be looked into");
                stranger.is_settled = true;
                Ok(false)
            }
        }
    }

    /// Of a content that is a copy of what one other file holds or held: whether all of it was judged there. It may
    /// be all that is left of the rest, once that file is emptied, deleted or compressed.
    fn judged_of_copy(&self, content: &Beginning, identity: Identity) -> Option<bool> {
        let is_original = |file: &&Followed| file.begins_with(content).unwrap_or(false);
        let mut originals = self.others(identity).filter(is_original).peekable();
        originals.peek()?;
        Some(originals.any(|file| file.known.place == Place::Finished || file.known.cursor.offset >= content.length))
    }

    /// What is known of other files than this one, and of its own content where that is searched for.
    fn others(&self, identity: Identity) -> impl Iterator<Item = &Followed> {
        let others = self.files.iter().filter(move |file| file.known.identity != identity);
        others.chain(self.wanted.iter().map(|wanted| &wanted.file))
    }

    /// Leaves a copy alone: for good, once what it holds was judged in the file that it is a copy of.
    fn leave_copy(
        &mut self,
        stranger: &mut Stranger,
        sibling: &Sibling,
        (opened, content): (File, Beginning),
        is_whole: bool,
        counts: &mut Counts,
    ) -> bool {
        // Where no original is known any more, it was emptied just now: what it lacks is about to be searched for.
        let is_judged = self.judged_of_copy(&content, sibling.identity) == Some(true);
        if is_judged && is_whole {
            self.remember(sibling, opened, counts);
        } else if !is_judged {
            stranger.copied = Some(content);
        }
        is_judged && is_whole
    }

    /// What an unknown content is, where `holds` says whether it holds what was judged of a file.
    fn kin(&self, identity: Identity, content: &Beginning, holds: impl Fn(&Followed) -> bool) -> Kin {
        // Whole, or in the making, of a file that is read where it is or searched for.
        let is_copied = |file: &Followed| {
            let is_alive = file.known.place != Place::Finished || content.length <= file.known.cursor.offset;
            file.begins_with(content).unwrap_or(false) || (is_alive && file.has_head(content) && holds(file))
        };
        if self.others(identity).any(is_copied) {
            return Kin::Copy;
        }
        // It goes on after what was counted of it, under this name or another.
        let is_start = |file: &&Followed| {
            let offset = file.known.cursor.offset;
            let is_it = file.has_head(content) || (offset == 0 && file.known.identity == identity);
            file.known.place == Place::Finished && is_it && content.length > offset && holds(file)
        };
        let started = self.files.iter().filter(is_start).max_by_key(|file| file.known.cursor.offset);
        started.map_or(Kin::None, |started| Kin::Rest(Box::new(started.known.clone())))
    }

    fn resolve_archive(
        &mut self,
        stranger: &mut Stranger,
        sibling: &Sibling,
        archive: Archive,
        counts: &mut Counts,
    ) -> io::Result<bool> {
        let holds = |file: &Followed| {
            let Checkpoint { head, tail, cursor, .. } = &file.known;
            archive.matches(*head, *tail, cursor.offset).unwrap_or(false)
        };
        let is_quiet = stranger.is_quiet(counts.now);
        match self.kin(sibling.identity, &archive.beginning, holds) {
            Kin::Copy => {
                let Archive { file, beginning, .. } = archive;
                return Ok(self.leave_copy(stranger, sibling, (file, beginning), true, counts));
            }
            Kin::Rest(started) => self.scan_archive(sibling, archive, started.cursor, counts)?,
            Kin::None if stranger.is_near => {
                self.claim_unjudged(counts.now);
                self.scan_archive(sibling, archive, Cursor::default(), counts)?;
            }
            Kin::None if is_quiet => self.remember(sibling, archive.file, counts),
            Kin::None => return Ok(false),
        }
        Ok(true)
    }

    fn resolve_plain(&mut self, stranger: &mut Stranger, sibling: &Sibling, opened: File, counts: &mut Counts) -> bool {
        let (size, is_quiet) = (sibling.status.0, stranger.is_quiet(counts.now));
        let Ok(content) = Beginning::of(&opened, size) else { return false };
        match self.kin(sibling.identity, &content, |file| file.matches(&opened).unwrap_or(false)) {
            Kin::Copy => return self.leave_copy(stranger, sibling, (opened, content), is_quiet, counts),
            Kin::Rest(started) => {
                let mut rest = Followed::restored(*started, counts.now);
                let is_it = rest.take_up(opened).unwrap_or(false);
                if is_it {
                    self.place(rest, sibling, counts);
                }
                return is_it;
            }
            Kin::None => {}
        }
        let longest = self.files.iter().map(|file| file.known.head.length).max().unwrap_or(0);
        if !is_quiet && (size == 0 || size < longest) {
            return false;
        }
        if stranger.is_near || (is_quiet && sibling.is_matched) {
            self.claim_unjudged(counts.now);
            let begun = Followed::begin(&sibling.path, &self.source, opened, 0, counts.now);
            return begun.map(|file| self.place(file, sibling, counts)).is_ok();
        }
        if is_quiet {
            self.remember(sibling, opened, counts);
        }
        is_quiet
    }
}
