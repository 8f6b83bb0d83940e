//! A second Debian over this one, with a systemd of its own: what is installed or broken in it is gone with it.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A running one; it ends with this.
pub(crate) struct Machine {
    directory: tempfile::TempDir,
    name: String,
    outside: Child,
    /// The process 1 of the machine, as this machine numbers it.
    first: String,
}

impl Machine {
    /// Boots; `None`, said, where that takes more rights than there are, but a failure in CI.
    pub(crate) fn boot() -> Option<Machine> {
        if !rustix::process::geteuid().is_root() || !std::path::Path::new("/lib/systemd/systemd").exists() {
            assert!(std::env::var_os("CI").is_none(), "only root boots a machine, and only where systemd is installed");
            println!("skipped: only root boots a machine, and only where systemd is installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let name = format!("twdiag-test-{}", std::process::id());
        let outside = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child"])
            .args(["tests/data/machine/boot", &name])
            .arg(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Machine { directory, name, outside, first: String::new() };
        let children = format!("/proc/{0}/task/{0}/children", machine.outside.id());
        let start = Instant::now();
        while machine.first.is_empty() {
            machine.first = std::fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
            assert!(machine.outside.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE, "it does not boot");
        }
        // Before systemd is its process 1 there is nobody to ask.
        machine.wait("the machine is up", |machine| {
            let state = machine.sh("systemctl is-system-running").stdout;
            state.starts_with(b"running") || state.starts_with(b"degraded")
        });
        Some(machine)
    }

    /// Runs a shell's line in it, with this standard input.
    pub(crate) fn feed(&self, line: &str, input: &[u8]) -> Output {
        let mut child = Command::new("nsenter")
            .args(["--target", &self.first, "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--"])
            .args(["sh", "-c", line])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // What does not read its input has ended, and says why itself.
        drop(stdin.write_all(input));
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Runs a shell's line in it.
    pub(crate) fn sh(&self, line: &str) -> Output {
        self.feed(line, b"")
    }

    /// The same, of which nothing but success is expected.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        let output = self.sh(line);
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{line}: {out}{err}\n{}", self.log());
        out
    }

    /// The same, of which nothing but failure is expected: what it said.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str) -> String {
        let output = self.sh(line);
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
        assert!(!output.status.success(), "{line}: {said}");
        said
    }

    /// Writes a file in it.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let output = self.feed(&format!("cat > '{path}'"), bytes);
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the service logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.sh("journalctl --unit=twdiag --no-pager --output=cat").stdout).into_owned()
    }

    /// Asks until the answer is yes.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut asked: impl FnMut(&Machine) -> bool) {
        let start = Instant::now();
        while !asked(self) {
            assert!(start.elapsed() < PATIENCE, "never: {what}\n{}", self.log());
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its process 1 ends with this one, and everything in it with that.
        drop(self.outside.kill());
        drop(self.outside.wait());
        let start = Instant::now();
        while std::path::Path::new("/proc").join(&self.first).exists() && start.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let mut clean = Command::new("unshare");
        clean.args(["--mount", "tests/data/machine/boot", &self.name]).arg(self.directory.path()).arg("clean");
        drop(clean.status());
    }
}
