//! The service: what systemd makes of the unit, and what it is told.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::program::{stderr, stdout, twdiag};

const UNIT: &str = "deploy/systemd/twdiag.service";

/// The unit with the tested binary in the place of the installed one, which is not there.
fn unit() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("twdiag.service");
    let text = std::fs::read_to_string(UNIT).unwrap().replace("/usr/bin/twdiag", env!("CARGO_BIN_EXE_twdiag"));
    std::fs::write(&path, text.replace("Documentation=man:twdiag(1)\n", "")).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

fn analyze(arguments: &[&str]) -> Option<std::process::Output> {
    match Command::new("systemd-analyze").args(arguments).env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "systemd-analyze cannot be run: {error}");
            println!("skipped: systemd-analyze cannot be run: {error}");
            None
        }
    }
}

#[test]
fn the_unit_is_exposed_below_1_5_and_has_no_fault() {
    let (_directory, path) = unit();
    let Some(output) = analyze(&["security", "--offline=true", &path]) else { return };
    let shown = stdout(&output);
    let level = shown.split("Overall exposure level for").nth(1).unwrap().split(": ").nth(1).unwrap();
    let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level < 1.5, "{level}: {shown}");
    println!("exposure {level}");
    let output = analyze(&["verify", &path]).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

/// The next thing that the service manager is told.
fn told(socket: &UnixDatagram) -> String {
    let mut message = [0; 512];
    let length = socket.recv(&mut message).expect("the service manager is told something");
    String::from_utf8_lossy(&message[..length]).trim().to_owned()
}

#[test]
fn the_service_manager_is_told_and_its_watchdog_fed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let log = directory.path().join("app.log");
    let mut child = twdiag(&["--listen", "none", "--output", "none", log.to_str().unwrap()])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "6000000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(told(&socket), "READY=1");
    // The second is fed only because the owner of the counts has turned since the first.
    assert_eq!(told(&socket), "WATCHDOG=1");
    assert_eq!(told(&socket), "WATCHDOG=1");
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    // A reload has a beginning, which the manager tells from earlier ones by the clock, and an end.
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let mut rest = std::iter::repeat_with(|| told(&socket)).filter(|message| message != "WATCHDOG=1");
    let begun = rest.next().unwrap();
    let since = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|since| since.parse::<u64>().ok());
    assert!(since.is_some_and(|since| since > 0), "{begun}");
    assert_eq!(rest.next().unwrap(), "READY=1");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let last = std::iter::repeat_with(|| told(&socket)).take(3).find(|message| message != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(child.wait().unwrap().success());
}
