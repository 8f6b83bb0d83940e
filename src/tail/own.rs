//! What twdiag writes itself: it is never read, or every line would lead to the next.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};

use super::{Input, Plan, discover};
use crate::state::Identity;

/// The files that this process writes.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// What standard output and standard error lead to, where that can be read.
    streams: BTreeSet<Identity>,
    /// The state directory, without symbolic links.
    state: Option<PathBuf>,
}

impl Own {
    /// The outputs of this process and its plan.
    pub(super) fn of(plan: &Plan) -> Own {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let streams = [identity(stdout.as_fd()), identity(stderr.as_fd())].into_iter().flatten().collect();
        Own { streams, state: plan.state.as_deref().map(resolved) }
    }

    /// Whether a path leads to one of them.
    pub(super) fn holds(&self, path: &Path, identity: Identity) -> bool {
        let in_state = |state: &PathBuf| resolved(path).starts_with(state);
        self.streams.contains(&identity) || self.state.as_ref().is_some_and(in_state)
    }

    /// The first input of a plan that is one of them.
    pub(super) fn input_of(&self, plan: &Plan) -> Option<PathBuf> {
        plan.sources.iter().find_map(|source| match &source.input {
            Input::Stdin => {
                let is_own = identity(std::io::stdin().as_fd()).is_some_and(|stdin| self.streams.contains(&stdin));
                is_own.then(|| PathBuf::from("standard input"))
            }
            Input::Files(files) => {
                let mut listing = discover::Listing::default();
                listing.refresh(files, std::time::Duration::ZERO);
                listing
                    .paths
                    .into_iter()
                    .find(|path| std::fs::metadata(path).is_ok_and(|status| self.holds(path, Identity::of(&status))))
            }
        })
    }
}

/// A file or a FIFO that a descriptor leads to; others cannot be opened a second time.
fn identity(fd: impl AsFd) -> Option<Identity> {
    let status = fstat(fd).ok()?;
    matches!(FileType::from_raw_mode(status.st_mode), FileType::RegularFile | FileType::Fifo)
        .then_some(Identity { device: status.st_dev, inode: status.st_ino })
}

/// A path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}
