//! What a service manager is told: ready, reloading, stopping, and that the owner of the counts still turns.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is said to anyone.

use sd_notify::NotifyState;

use crate::tail::Handle;

/// Says that sockets are bound and following began.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// Says that the configuration is read again; [`ready`] ends it.
pub fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    say(&[Some(NotifyState::Reloading), now.ok()].into_iter().flatten().collect::<Vec<_>>());
}

/// Says that the end began.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Feeds the service manager's watchdog for as long as the owner turns; ends at once where there is no watchdog.
///
/// The owner's loop turns every few seconds even when nothing happens. While it does not, the watchdog goes hungry,
/// however well the page is served.
pub async fn watch(handle: Handle) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut turns = None;
    let mut ticks = tokio::time::interval(patience / 3);
    loop {
        ticks.tick().await;
        let now = Some(handle.turns());
        if now != turns {
            say(&[NotifyState::Watchdog]);
        }
        turns = now;
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
