//! The web configuration in use: who may ask, and over what; read again when a file of it changes.
//!
//! A bad change keeps what was; so does one that takes away protection, since a file that is just being written looks
//! like that for a moment.

mod written;

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use tokio::time::Instant;

use super::tls::{self, ClientAuth};
use super::users::Users;
use crate::output::shown;
use crate::problem::Problems;

use written::Understood;

/// How long a change may stay unnoticed. Looking costs a stat of each file, and only when someone asks something.
const LOOK: Duration = Duration::from_secs(1);

/// What is wrong with a web configuration.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// It cannot be read.
    #[error("cannot read the web configuration {path}: {error}", path = shown(path))]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something in it, or in a file that it names, cannot be used.
    #[error(transparent)]
    Wrong(#[from] Problems),
    /// The system has no randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// It takes away protection that there was.
    #[error("it would switch {0} off: restart for that")]
    Weaker(&'static str),
}

/// The web configuration in use; without a file, plain HTTP for everyone.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    file: Option<Arc<File>>,
    plain: Arc<Loaded>,
}

/// What one reading of the files says.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) tls: Option<Arc<ServerConfig>>,
    auth: ClientAuth,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Option<Arc<Users>>,
    rate: Option<Rate>,
}

impl WebConfig {
    /// Reads a web configuration and the files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(path: &Path) -> Result<WebConfig, WebConfigError> {
        let (stamps, loaded) = read(path, None);
        let held = Held { loaded: Arc::new(loaded?), stamps, looked: Instant::now(), complaint: None };
        let file = File { path: path.to_owned(), held: Mutex::new(held) };
        Ok(WebConfig { file: Some(Arc::new(file)), plain: Arc::default() })
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.latest().tls.is_some()
    }

    /// The files that it is read from, again whenever one of them changes.
    pub fn files(&self) -> Vec<PathBuf> {
        self.file.iter().flat_map(|file| file.held().stamps.clone()).map(|stamp| stamp.path).collect()
    }

    /// Whether a client needs a password or a certificate.
    pub fn is_protected(&self) -> bool {
        self.latest().protection().iter().skip(1).any(|(is_there, _)| *is_there)
    }

    fn latest(&self) -> Arc<Loaded> {
        Arc::clone(&self.file.as_ref().map_or_else(|| Arc::clone(&self.plain), |file| Arc::clone(&file.held().loaded)))
    }

    /// What the files say now, or said a second ago.
    pub(super) async fn current(&self) -> Arc<Loaded> {
        let Some(file) = &self.file else { return Arc::clone(&self.plain) };
        let is_due = {
            let mut held = file.held();
            let is_due = held.looked.elapsed() >= LOOK;
            if is_due {
                // Others go on with what there is meanwhile.
                held.looked = Instant::now();
            }
            is_due
        };
        if is_due {
            let file = Arc::clone(file);
            if let Err(error) = tokio::task::spawn_blocking(move || file.look()).await {
                tracing::error!(%error, "the web configuration cannot be looked at");
            }
        }
        self.latest()
    }
}

impl Loaded {
    /// Whether the file's own rate limit lets a request through.
    pub(super) fn allow(&self, now: Instant) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.take(now))
    }

    /// What keeps others out.
    fn protection(&self) -> [(bool, &'static str); 3] {
        [
            (self.tls.is_some(), "TLS"),
            (self.users.is_some(), "basic authentication"),
            (self.auth == ClientAuth::RequireAndVerifyClientCert, "the demand for a client's certificate"),
        ]
    }
}

/// The toolkit's rate limit, over all clients: a bucket of tokens.
#[derive(Debug)]
struct Rate {
    interval: Duration,
    burst: u32,
    /// When the bucket will be full again.
    full: Mutex<Instant>,
}

impl Rate {
    fn take(&self, now: Instant) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = (*full).max(now) + self.interval;
        let fits = spent - now <= self.interval * self.burst;
        if fits {
            *full = spent;
        }
        fits
    }
}

struct File {
    path: PathBuf,
    held: Mutex<Held>,
}

struct Held {
    loaded: Arc<Loaded>,
    /// What the files were when they were read last, whether or not that was good.
    stamps: Vec<Stamp>,
    looked: Instant,
    /// What was said of the files last; said once.
    complaint: Option<String>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

impl File {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again where one has changed.
    fn look(&self) {
        let (known, old) = {
            let held = self.held();
            (held.stamps.clone(), Arc::clone(&held.loaded))
        };
        if known.iter().all(|stamp| *stamp == Stamp::of(&stamp.path)) {
            return;
        }
        let (stamps, loaded) = read(&self.path, Some(&old));
        let path = shown(&self.path);
        let mut held = self.held();
        held.stamps = stamps;
        match loaded {
            Ok(loaded) => {
                held.loaded = Arc::new(loaded);
                held.complaint = None;
                tracing::info!(%path, "the web configuration was read again");
            }
            Err(error) => {
                let complaint = error.to_string();
                if held.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(%path, error = complaint, "the web configuration cannot be used: the old one is kept");
                    held.complaint = Some(complaint);
                }
            }
        }
    }
}

/// What tells whether a file has changed; symbolic links are followed, as Kubernetes swaps them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// Device, inode, size, and the times of modification and of change; `None` where there is no file.
    file: Option<[i128; 5]>,
}

impl Stamp {
    fn of(path: &Path) -> Stamp {
        let file = std::fs::metadata(path).ok().map(|status| {
            let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
            [
                status.dev().into(),
                status.ino().into(),
                status.size().into(),
                nanoseconds(status.mtime(), status.mtime_nsec()),
                nanoseconds(status.ctime(), status.ctime_nsec()),
            ]
        });
        Stamp { path: path.to_owned(), file }
    }
}

/// Reads everything. Each stamp is older than what was read, so that no change is missed.
fn read(path: &Path, old: Option<&Loaded>) -> (Vec<Stamp>, Result<Loaded, WebConfigError>) {
    let mut stamps = vec![Stamp::of(path)];
    let loaded = load(path, old, &mut stamps);
    (stamps, loaded)
}

fn load(path: &Path, old: Option<&Loaded>, stamps: &mut Vec<Stamp>) -> Result<Loaded, WebConfigError> {
    let unreadable = |error| WebConfigError::Unreadable { path: path.to_owned(), error };
    let text = tls::read(path).map_err(unreadable)?;
    let text = String::from_utf8(text).map_err(|error| unreadable(std::io::Error::other(error.utf8_error())))?;
    let Understood { tls, auth, headers, users, rate } = written::understand(path, &text, &mut |file| {
        stamps.push(Stamp::of(file));
        tls::read(file)
    })?;
    let users = match old.and_then(|old| old.users.as_ref()) {
        _ if users.is_empty() => None,
        // What was verified stays so.
        Some(old) if *old.hashes() == users => Some(Arc::clone(old)),
        _ => Some(Arc::new(Users::new(users).map_err(|_| WebConfigError::Random)?)),
    };
    let rate = rate.map(|(interval, burst)| Rate { interval, burst, full: Mutex::new(Instant::now()) });
    let loaded = Loaded { tls: tls.map(Arc::new), auth, headers, users, rate };
    let protected = old.map(Loaded::protection).unwrap_or_default();
    match protected.into_iter().zip(loaded.protection()).find(|((was, _), (is, _))| *was && !*is) {
        Some(((_, what), _)) => Err(WebConfigError::Weaker(what)),
        None => Ok(loaded),
    }
}
