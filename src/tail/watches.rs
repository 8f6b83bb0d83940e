//! Events of the file system: a hint to look earlier than time would lead to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use notify::{RecursiveMode, Watcher};

use super::owner::Message;

/// The watches on directories, which only hint.
pub(super) struct Watches {
    messages: SyncSender<Message>,
    held: Option<(notify::RecommendedWatcher, BTreeSet<PathBuf>)>,
    pub(super) refused: bool,
}

impl Watches {
    pub(super) fn new(messages: SyncSender<Message>) -> Watches {
        Watches { messages, held: None, refused: false }
    }

    /// Watches these directories; without watches the passes alone find what changes.
    pub(super) fn renew(&mut self, directories: BTreeSet<PathBuf>) {
        if self.held.as_ref().is_some_and(|(_, watched)| *watched == directories) || directories.is_empty() {
            return;
        }
        self.held = None;
        let messages = self.messages.clone();
        // Every change means the same: look. A full inbox holds a hint already.
        let hint = move |event: notify::Result<notify::Event>| {
            if is_change(&event) {
                drop(messages.try_send(Message::Hint));
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
            }
            Err(error) if !std::mem::replace(&mut self.refused, true) => {
                tracing::warn!(%error, "no events of the file system: files are looked at all the same, every second");
            }
            Err(error) => tracing::debug!(%error, "still no events of the file system"),
        }
    }
}

/// Whether an event may stand for a change; an overflow and an error may.
///
/// Our own look opens the directory: taking mere access for a change would make each look ask for the next.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().map_or(true, |event| event.need_rescan() || !event.kind.is_access())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_look_is_no_change() {
        use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, Flag};
        let event = |kind| Ok(notify::Event::new(kind));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!is_change(&event(opened)));
        assert!(is_change(&event(EventKind::Create(CreateKind::File))));
        assert!(is_change(&Ok(notify::Event::new(opened).set_flag(Flag::Rescan))), "an overflow");
        assert!(is_change(&Err(notify::Error::generic("x"))));
    }
}
