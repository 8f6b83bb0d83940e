//! What lasts and what does not: the real program on a full disk, on a FIFO, on its own output, and its state edited.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Serving, run, stderr, twdiag};

const RECORD: &str = "ERROR ConnectionError (31005): lost\n";

fn write(path: &Path, records: usize) {
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    file.write_all(RECORD.repeat(records).as_bytes()).unwrap();
}

/// The sum of a metric's samples.
fn sum(page: &str, metric: &str) -> f64 {
    let samples = page.lines().filter(|line| line.starts_with(metric));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Scrapes until the metric is above this.
fn wait_above(serving: &Serving, metric: &str, bound: f64) {
    let start = Instant::now();
    while sum(&serving.get("/metrics"), metric) <= bound {
        assert!(start.elapsed() < Duration::from_secs(30), "{metric} stays at {bound}");
    }
}

#[test]
fn a_full_disk_holds_up_no_counts_and_writing_resumes() {
    let directory = tempfile::tempdir().unwrap();
    let (log, state) = (directory.path().join("app.log"), directory.path().join("state"));
    fs::create_dir(&state).unwrap();
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(&state).status();
    if !mount(&["-t", "tmpfs", "-o", "size=256k", "none"]).is_ok_and(|status| status.success()) {
        return println!("skipped: nothing can be mounted here");
    }
    let filler = state.join("filler");
    // It ends where the disk does.
    let full = File::create(&filler).unwrap().write_all(&vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    write(&log, 3);
    let arguments = [log.to_str().unwrap(), "--state", state.to_str().unwrap(), "--start-at", "beginning"];
    let serving = Serving::start(&arguments);
    assert_eq!(serving.wait_for(3)["signaling"], 3);
    wait_above(&serving, "twdiag_state_write_errors_total", 0.0);
    write(&log, 2);
    assert_eq!(serving.wait_for(5)["signaling"], 5);
    fs::remove_file(&filler).unwrap();
    wait_above(&serving, "twdiag_state_writes_total", 0.0);
    drop(serving);
    let serving = Serving::start(&arguments);
    let counted = serving.categories()["signaling"];
    drop(serving);
    Command::new("umount").arg(&state).status().unwrap();
    assert_eq!(counted, 5);
}

#[test]
fn a_fifo_is_read_again_when_its_last_writer_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let (fifo, state) = (directory.path().join("fifo"), directory.path().join("state"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let arguments = [fifo.to_str().unwrap(), "--state", state.to_str().unwrap()];
    let serving = Serving::start(&arguments);
    for total in [2, 4] {
        // The second of them is never ended by a new line.
        File::options().write(true).open(&fifo).unwrap().write_all(RECORD.repeat(2).trim_end().as_bytes()).unwrap();
        assert_eq!(serving.wait_for(total)["signaling"], total);
    }
    drop(serving);
    assert_eq!(Serving::start(&arguments).categories()["signaling"], 4, "its counts are kept");
}

#[test]
fn an_output_is_no_input() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("app.log");
    write(&log, 1);
    let refused = |arguments: &[&str], out: File, why: &str| {
        let ran = twdiag(arguments).args(["--listen", "none"]).stdin(Stdio::null()).stdout(out).output().unwrap();
        assert_eq!(ran.status.code(), Some(2));
        assert!(stderr(&ran).contains(why), "{}", stderr(&ran));
    };
    let own = "is written by this twdiag itself";
    refused(&[log.to_str().unwrap()], File::options().append(true).open(&log).unwrap(), own);
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    write(&state.join("x.log"), 1);
    let glob = format!("{}/*", state.display());
    let out = File::create(directory.path().join("out")).unwrap();
    refused(&[&glob, "--state", state.to_str().unwrap()], out, "reaches into the state directory");
    // One that appears later is left alone.
    let late = directory.path().join("late.log");
    let glob = format!("{}/*.log", directory.path().display());
    let mut command = twdiag(&[&glob, "--start-at", "beginning", "--output", "json"]);
    let serving = Serving::spawn(command.stdout(File::create(directory.path().join("out")).unwrap()));
    fs::hard_link(directory.path().join("out"), &late).unwrap();
    write(&log, 1);
    assert_eq!(serving.wait_for(2)["signaling"], 2);
    assert_eq!(serving.categories()["signaling"], 2);
}

#[test]
fn a_source_is_forgotten_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two, state) =
        (directory.path().join("1.log"), directory.path().join("2.log"), directory.path().join("s"));
    let [one, two, state] = [&one, &two, &state].map(|path| path.to_str().unwrap());
    write(Path::new(one), 2);
    write(Path::new(two), 3);
    let arguments = [one, two, "--state", state, "--start-at", "beginning"];
    let serving = Serving::start(&arguments);
    assert_eq!(serving.wait_for(5)["signaling"], 5);
    let forget = |name: &str| run(&["state", "forget", name, "--state", state], b"");
    let refused = forget(one);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains(&format!("in use by the process {}", serving.child.id())), "{refused:?}");
    drop(serving);
    let unknown = forget("3.log");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains(one) && stderr(&unknown).contains(two), "{}", stderr(&unknown));
    assert!(forget(one).status.success());
    let serving = Serving::start(&[two, "--state", state]);
    assert_eq!(serving.categories()["signaling"], 3, "the other one is kept");
    assert!(!serving.get("/metrics").contains("1.log"));
}
