//! What the process gives up once it has what it needs, where the kernel has Landlock.
//!
//! It can then write nowhere but in its state directory and its named output files, run no program, and open no
//! further port and no connection. What was open before stays usable: standard output, the page's socket, files.
//! A rule set cannot be widened later and holds for the threads that start afterwards, so it is set before any does.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest set of rights that this was written for; an older kernel enforces what it knows of them.
const KNOWN: ABI = ABI::V6;

/// What reading is left besides the roots: the metrics of the process, its mounts, and time zones.
const ALWAYS_READ: [&str; 4] = ["/proc", "/usr/share/zoneinfo", "/etc/localtime", "/dev/null"];

/// What the process keeps of its rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Directories and files that it may write.
    pub write: Vec<PathBuf>,
    /// Directories and files that it may read; everything where there is none.
    pub read: Option<Vec<PathBuf>>,
}

/// What the kernel took of the rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// All that was asked for.
    Wholly,
    /// What an older kernel knows.
    Partly,
    /// Nothing: the kernel has no Landlock, or it is not switched on.
    Not,
}

impl Sandbox {
    /// Lets these files be read, also once others stand in their places: what is renewed is made beside them, and what
    /// a link leads to beside its target.
    #[must_use]
    pub fn with_readable(mut self, files: &[PathBuf]) -> Sandbox {
        if let Some(read) = &mut self.read {
            for file in files {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                let target = std::fs::canonicalize(&file).ok();
                read.extend([Some(file), target].iter().flatten().filter_map(|file| file.parent().map(Path::to_owned)));
            }
            read.sort_unstable();
            read.dedup();
        }
        self
    }

    /// Gives up the other rights, for this thread and those that it starts. What is not there cannot be allowed:
    /// a path is stood for by the nearest directory above that exists, where it is to be written.
    ///
    /// # Errors
    /// Those of the kernel, other than that it has no Landlock.
    pub fn enforce(&self) -> Result<Enforced, RulesetError> {
        let mut handled = AccessFs::from_write(KNOWN) | AccessFs::Execute;
        if self.read.is_some() {
            handled |= AccessFs::from_read(KNOWN);
        }
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(handled)?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::Signal)?
            .create()?;
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        for path in &self.write {
            if let Some(there) = path.ancestors().find_map(|path| PathFd::new(or_here(path)).ok()) {
                rules = rules.add_rule(beneath(there, AccessFs::from_write(KNOWN) | (handled & reading)))?;
            }
        }
        let always = ALWAYS_READ.iter().map(Path::new);
        for path in self.read.iter().flatten().map(PathBuf::as_path).chain(always) {
            if self.read.is_some()
                && let Ok(there) = PathFd::new(or_here(path))
            {
                rules = rules.add_rule(beneath(there, reading))?;
            }
        }
        let status = rules.restrict_self()?;
        let enforced = match status.ruleset {
            RulesetStatus::FullyEnforced => Enforced::Wholly,
            RulesetStatus::PartiallyEnforced => Enforced::Partly,
            RulesetStatus::NotEnforced => Enforced::Not,
        };
        self.say(&status, enforced);
        Ok(enforced)
    }

    fn say(&self, status: &RestrictionStatus, enforced: Enforced) {
        let listed =
            |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
        let (write, read) = (listed(&self.write), self.read.as_deref().map_or_else(|| "everything".to_owned(), listed));
        match (enforced, status.landlock) {
            (Enforced::Not, _) => tracing::warn!("no sandbox: this kernel has no Landlock, or it is not switched on"),
            (_, LandlockStatus::Available { effective_abi, .. }) => tracing::info!(
                write,
                read,
                execute = "nothing",
                bind = "nothing more",
                connect = "nothing",
                landlock = effective_abi as i32,
                complete = enforced == Enforced::Wholly,
                "in a sandbox"
            ),
            (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => {}
        }
    }
}

/// An empty path is the current directory.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// A rule for what is below a directory, or for a file, to which the rights of directories do not apply.
fn beneath(there: PathFd, access: BitFlags<AccessFs>) -> PathBeneath<PathFd> {
    let is_directory = rustix::fs::fstat(there.as_fd())
        .is_ok_and(|status| rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir());
    let access = if is_directory { access } else { access & AccessFs::from_file(KNOWN) };
    PathBeneath::new(there, access)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// Runs `trial` in a thread of its own, which alone loses its rights; says so where the kernel has no Landlock.
    fn confined(sandbox: Sandbox, trial: impl FnOnce(bool) + Send + 'static) {
        let thread = std::thread::spawn(move || match sandbox.enforce().unwrap() {
            Enforced::Not => println!("not tried: this kernel has no Landlock"),
            enforced => trial(enforced == Enforced::Wholly),
        });
        thread.join().unwrap();
    }

    #[test]
    fn nothing_is_written_outside_and_nothing_is_run() {
        let directory = tempfile::tempdir().unwrap();
        let [state, output, other] = ["state", "out.txt", "other"].map(|name| directory.path().join(name));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(&output, "").unwrap();
        fs::write(other.join("there"), "text").unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        confined(Sandbox { write: vec![state.clone(), output.clone()], read: None }, move |whole| {
            let denied =
                |result: std::io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            fs::write(state.join("slot"), "x").unwrap();
            fs::remove_file(state.join("slot")).unwrap();
            fs::write(&output, "x").unwrap();
            denied(fs::write(other.join("new"), "x"));
            denied(fs::write(other.join("there"), "x"));
            denied(fs::remove_file(other.join("there")));
            denied(fs::create_dir(other.join("directory")));
            assert_eq!(fs::read_to_string(other.join("there")).unwrap(), "text", "reading is not restricted");
            denied(Command::new("/bin/true").status().map(drop));
            if whole {
                denied(TcpListener::bind("127.0.0.1:0").map(drop));
                denied(TcpStream::connect(address).map(drop));
            }
            assert!(socket.local_addr().is_ok(), "what was bound before stays");
        });
    }

    #[test]
    fn nothing_is_read_outside_the_roots_where_there_are_some() {
        let directory = tempfile::tempdir().unwrap();
        let [logs, secrets] = ["logs", "secrets"].map(|name| directory.path().join(name));
        for path in [&logs, &secrets] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "text").unwrap();
        }
        std::os::unix::fs::symlink(secrets.join("file"), logs.join("link")).unwrap();
        confined(Sandbox { write: vec![], read: Some(vec![logs.clone(), "/not/there".into()]) }, move |_| {
            let kind = |path: PathBuf| fs::read(path).map_err(|error| error.kind());
            assert_eq!(kind(logs.join("file")), Ok(b"text".to_vec()));
            assert_eq!(fs::read_dir(&logs).unwrap().count(), 2);
            assert_eq!(kind(secrets.join("file")), Err(ErrorKind::PermissionDenied));
            assert_eq!(kind(logs.join("link")), Err(ErrorKind::PermissionDenied), "a link leads nowhere else");
            assert!(fs::read_dir(&secrets).is_err());
            assert!(kind("/proc/self/status".into()).is_ok());
        });
    }

    #[test]
    fn a_directory_that_is_not_there_yet_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/state");
        confined(Sandbox { write: vec![state.clone()], read: Some(vec![]) }, move |_| {
            fs::create_dir_all(&state).unwrap();
            fs::write(state.join("slot"), "x").unwrap();
            assert_eq!(fs::read(state.join("slot")).unwrap(), b"x", "what it writes it reads");
        });
    }
}
