//! What ends the owner's wait, and what is asked of it then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{Plan, Snapshot};
use crate::detect::{Detector, End};
use crate::state::Checkpoint;

/// What wakes the owner.
pub(super) enum Message {
    /// Somebody [wishes](Wishes) something.
    Wake,
    /// The next bytes of a stream, by its number.
    Stream(usize, Vec<u8>, End),
}

/// What is asked of the owner since it last looked.
#[derive(Default)]
pub(super) struct Wishes {
    /// What may have changed.
    pub(super) hints: Hints,
    /// Who wants to know how far each file was judged.
    pub(super) files: Vec<oneshot::Sender<Vec<Checkpoint>>>,
    /// Who wants to see the counts as they are now.
    pub(super) scrapes: Vec<oneshot::Sender<Arc<Snapshot>>>,
    /// What to follow from now on.
    pub(super) follow: Option<Box<(Plan, Detector)>>,
    /// Whether to read what is there and end.
    pub(super) stop: bool,
}

/// What events hint at since they were taken up last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The files that were written to.
    pub written: BTreeSet<PathBuf>,
    /// Whether files may have come, gone, or changed their names, or nobody knows.
    pub all: bool,
}

/// Wakes the owner, however full its queue is: nobody waits who asks.
#[derive(Clone)]
pub(super) struct Bell {
    wishes: Arc<Mutex<Wishes>>,
    messages: SyncSender<Message>,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

impl Bell {
    pub(super) fn new(messages: SyncSender<Message>) -> Bell {
        Bell { wishes: Arc::default(), messages }
    }

    pub(super) fn wish(&self, wish: impl FnOnce(&mut Wishes) -> bool) {
        let is_wished = wish(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        // A full queue wakes the owner anyway; an owner that is gone has stopped.
        if is_wished && matches!(self.messages.try_send(Message::Wake), Err(mpsc::TrySendError::Disconnected(_))) {
            tracing::debug!("the reader had ended");
        }
    }

    pub(super) fn hint(&self, hint: impl FnOnce(&mut Hints) -> bool) {
        // One hint that is not taken up yet has rung already.
        self.wish(|wishes| {
            let was_quiet = wishes.hints == Hints::default();
            hint(&mut wishes.hints) && was_quiet
        });
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).stop
    }

    pub(super) fn taken(&self) -> Wishes {
        std::mem::take(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
