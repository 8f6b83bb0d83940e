//! Events of the file system: a hint to look earlier than time would lead to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{RecursiveMode, Watcher};

use super::bell::{Bell, Hints};
use super::follower::HINTED;

/// Files that are named by hints at most; beyond, a hint means all.
const NAMED: usize = 1000;

/// How long events are taken before the next rest: enough for those of a hundred files.
const BUSY: Duration = Duration::from_micros(500);

impl Hints {
    /// Takes an event in, and says whether it hints at anything.
    ///
    /// An overflow has no paths and means all. Our own look opens directories: taking mere access for a change would
    /// make each look ask for the next.
    fn take(&mut self, event: notify::Result<notify::Event>) -> bool {
        match event {
            Ok(event) if event.need_rescan() => self.all = true,
            Ok(event) => match event.kind {
                EventKind::Access(_) => return false,
                EventKind::Modify(ModifyKind::Data(_)) if self.written.len() < NAMED => {
                    self.written.extend(event.paths.into_iter().map(|path| {
                        // The directory where the process stands has no name in the paths that are followed.
                        path.strip_prefix(".").map(PathBuf::from).unwrap_or(path)
                    }));
                }
                _ => self.all = true,
            },
            Err(_) => self.all = true,
        }
        true
    }
}

/// The watches on directories, which only hint.
pub(super) struct Watches {
    bell: Bell,
    held: Option<(notify::RecommendedWatcher, BTreeSet<PathBuf>)>,
    pub(super) refused: bool,
}

impl Watches {
    pub(super) fn new(bell: Bell) -> Watches {
        Watches { bell, held: None, refused: false }
    }

    /// Watches these directories; without watches the passes alone find what changes.
    pub(super) fn renew(&mut self, directories: BTreeSet<PathBuf>) {
        if self.held.as_ref().is_some_and(|(_, watched)| *watched == directories) || directories.is_empty() {
            return;
        }
        self.held = None;
        let bell = self.bell.clone();
        let mut rested = Instant::now();
        let hint = move |event: notify::Result<notify::Event>| {
            let is_write = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))));
            bell.hint(|hints| hints.take(event));
            if is_write && rested.elapsed() >= BUSY {
                // The kernel joins equal events that wait: a writer's next thousand writes cost one wake.
                std::thread::sleep(HINTED);
                rested = Instant::now();
            }
        };
        let watcher = notify::recommended_watcher(hint).and_then(|mut watcher| {
            directories.iter().try_for_each(|path| watcher.watch(path, RecursiveMode::NonRecursive)).map(|()| watcher)
        });
        match watcher {
            Ok(watcher) => {
                if std::mem::take(&mut self.refused) {
                    tracing::info!("events of the file system arrive again");
                }
                self.held = Some((watcher, directories));
                // What came before the watch did.
                self.bell.hint(|hints| {
                    hints.all = true;
                    true
                });
            }
            Err(error) if !std::mem::replace(&mut self.refused, true) => {
                tracing::warn!(%error, "no events of the file system: files are looked at all the same, every second");
            }
            Err(error) => tracing::debug!(%error, "still no events of the file system"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_watches_are_had_once_they_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let (messages, inbox) = std::sync::mpsc::sync_channel(1);
        let bell = Bell::new(messages);
        let mut watches = Watches::new(bell.clone());
        let beneath = directory.path().join("not-there");
        for _ in 0..2 {
            watches.renew(BTreeSet::from([beneath.clone()]));
            assert!(watches.refused && inbox.try_recv().is_err());
        }
        std::fs::create_dir(&beneath).unwrap();
        watches.renew(BTreeSet::from([beneath]));
        // What came while nothing was watched is looked for.
        assert!(!watches.refused && inbox.try_recv().is_ok() && bell.taken().hints.all);
    }

    #[test]
    fn our_own_look_is_no_change() {
        use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, Flag};
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let check = |event: notify::Result<notify::Event>, expected: Option<(&[&str], bool)>| {
            let mut hints = Hints::default();
            let said = hints.take(event);
            assert_eq!(said, expected.is_some());
            let (written, all) = expected.unwrap_or_default();
            assert_eq!(hints, Hints { written: written.iter().map(PathBuf::from).collect(), all });
        };
        let event = |kind| Ok(notify::Event::new(kind).add_path("./a".into()));
        check(event(opened), None);
        check(event(written), Some((&["a"], false)));
        check(event(EventKind::Create(CreateKind::File)), Some((&[], true)));
        check(Ok(notify::Event::new(opened).set_flag(Flag::Rescan)), Some((&[], true)));
        check(Err(notify::Error::generic("x")), Some((&[], true)));
    }
}
