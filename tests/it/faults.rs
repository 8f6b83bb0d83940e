//! What fails around the follower: the state's disk at every single operation, a full one, and files that are mounts.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::program::{Serving, twdiag};
use crate::rig::{Rig, append};
use crate::state::Memory;

#[test]
fn a_process_that_ends_at_any_operation_of_its_state_counts_exactly_after_a_restart() {
    for quarters in [0, 2] {
        for operations in 0..60 {
            let mut rig = Rig::new("app.log");
            let disk = Memory::default();
            rig.start_on(Box::new(disk.clone()));
            disk.leave(Some(operations), quarters);
            let (mut written, mut shown) = (0, 0);
            for round in 1..8 {
                rig.write("app.log", round);
                written += round;
                rig.pass(Duration::from_millis(300));
                match round {
                    3 => rig.rename("app.log", "app.log.1"),
                    5 => {
                        fs::copy(rig.path("app.log"), rig.path("app.log.2")).unwrap();
                        fs::File::options().write(true).open(rig.path("app.log")).unwrap().set_len(0).unwrap();
                    }
                    _ => {}
                }
                let snapshot = rig.scrape();
                if snapshot.state.failing {
                    break;
                }
                shown = snapshot.tally.sources["app"].errors.values().map(|errors| errors.total).sum();
            }
            rig.kill();
            disk.leave(None, 0);
            rig.start_on(Box::new(disk));
            assert!(rig.errors() >= shown, "a counter went back after {operations} operations");
            rig.pass(Duration::from_secs(30));
            assert_eq!((rig.errors(), rig.tally().lost_bytes), (written, 0), "{operations} operations");
        }
    }
}

/// Something mounted; unmounted when the test ends.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this process may not mount, which is said, and fails where nothing may be left out.
    fn new(arguments: &[&str], point: &Path) -> Option<Mounted> {
        let ran = Command::new("mount").args(arguments).arg(point).output().unwrap();
        if !ran.status.success() {
            assert!(std::env::var_os("CI").is_none(), "cannot mount: {}", String::from_utf8_lossy(&ran.stderr));
            println!("skipped: this process may not mount");
            return None;
        }
        Some(Mounted(point.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(ended.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_costs_no_count() {
    let mut rig = Rig::new("app.log");
    let state = rig.directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let Some(mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=32k", "tmpfs"], &state) else { return };
    // Nothing is left from the first commit on.
    fs::write(state.join("filler"), vec![0; 64 << 10]).unwrap_err();
    rig.start();
    rig.write("app.log", 5);
    assert_eq!((rig.errors(), rig.scrape().state.failing), (5, true), "counting goes on");
    fs::remove_file(state.join("filler")).unwrap();
    rig.pass(Duration::from_secs(2));
    rig.write("app.log", 5);
    assert_eq!((rig.errors(), rig.scrape().state.failing), (10, false), "and writing resumes");
    // The disk fills up again: what was written in place before needs no more of it.
    fs::write(state.join("filler"), vec![0; 64 << 10]).unwrap_err();
    rig.write("app.log", 5);
    assert_eq!((rig.errors(), rig.scrape().state.failing), (15, false));
    rig.kill();
    rig.write("app.log", 1);
    rig.start();
    assert_eq!((rig.errors(), rig.scrape().state.resets), (16, 0));
    rig.kill();
    drop(mounted);
}

#[test]
fn without_a_single_watch_a_match_is_printed_all_the_same() {
    // Limits on watches are those of a user namespace: in one of its own the program gets none.
    let namespace = ["--user", "--map-root-user", "sh", "-c"];
    let none = "echo 0 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let may = Command::new("unshare").args(namespace).args([none, "sh", "true"]).output().unwrap();
    if !may.status.success() {
        assert!(std::env::var_os("CI").is_none(), "no namespace: {}", String::from_utf8_lossy(&may.stderr));
        println!("skipped: this process may not make a user namespace");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    append(&at("app.log"), "INFO begun\n");
    let child = Command::new("unshare")
        .args(namespace)
        .args([none, "sh", env!("CARGO_BIN_EXE_twdiag"), at("app.log").to_str().unwrap()])
        .args(["--listen", "none", "--output", "json"])
        .stdin(std::process::Stdio::null())
        .stdout(fs::File::create(at("matches")).unwrap())
        .stderr(fs::File::create(at("said")).unwrap())
        .spawn()
        .unwrap();
    let mut running = Serving { child, address: String::new() };
    let mut wait = |name: &str, what: &str| {
        let start = std::time::Instant::now();
        while !fs::read_to_string(at(name)).unwrap().contains(what) {
            let is_over = running.child.try_wait().unwrap().is_some() || start.elapsed() > Duration::from_secs(30);
            assert!(!is_over, "{what}: {}", fs::read_to_string(at("said")).unwrap());
            std::thread::yield_now();
        }
    };
    wait("said", "no events of the file system");
    append(&at("app.log"), "ERROR ConnectionError (31005): lost\n");
    wait("matches", "31005");
}

#[test]
fn a_mount_of_a_single_file_is_named_when_it_appears_too() {
    let directory = tempfile::tempdir().unwrap();
    let (file, point) = (directory.path().join("file"), directory.path().join("app.log"));
    append(&file, "INFO begun\n");
    let said = directory.path().join("said");
    let log = fs::File::create(&said).unwrap();
    let mut child = twdiag(&[point.to_str().unwrap(), "--listen", "none", "--output", "none"])
        .stdin(std::process::Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let says = |what: &str| {
        let start = std::time::Instant::now();
        while !fs::read_to_string(&said).unwrap().contains(what) {
            if start.elapsed() > Duration::from_secs(30) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    };
    assert!(says("waiting for it"));
    append(&point, "");
    let mounted = Mounted::new(&["--bind", file.to_str().unwrap()], &point);
    let is_named = mounted.is_none() || says("is a mount of a single file");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_named, "{}", fs::read_to_string(&said).unwrap());
}

#[test]
fn the_deadline_of_the_drain_is_said_where_it_won() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    append(&log, "");
    let state = directory.path().join("state");
    let arguments = [log.to_str().unwrap(), "--state", state.to_str().unwrap(), "--output", "none"];
    let mut child = twdiag(&arguments)
        .args(["--listen", "127.0.0.1:0", "--drain", "0s", "--start-at", "beginning"])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("http://") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    // More than one turn reads, and written while it stands still: the end is asked for before the first turn is over.
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let line = "INFO nothing happened in the whole of this quiet hour of the night\n";
    append(&log, &line.repeat(1_000_000));
    append(&log, "ERROR ConnectionError (31005): lost\n");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("the time to drain was over"), "{said}");
    // The rest is read at the next start.
    let serving = Serving::start(&[log.to_str().unwrap(), "--state", state.to_str().unwrap()]);
    assert_eq!(serving.wait_for(1).values().sum::<u64>(), 1);
}
