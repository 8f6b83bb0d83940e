//! The real program, killed at random moments while writers rotate their files in every way.
//!
//! `TWDIAG_TORTURE_SECONDS` sets how long; the longer form is the same test with 600.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::program::{Serving, twdiag};
use crate::prometheus::{Prometheus, installed};
use crate::rig::gzip;

/// How long the short form takes.
const SECONDS: u64 = 12;

/// The counters that outlive a process.
const PERSISTED: [&str; 8] = [
    "twilio_errors_total",
    "twdiag_read_bytes_total",
    "twdiag_read_lines_total",
    "twdiag_rotations_total",
    "twdiag_lost_bytes_total",
    "twdiag_truncated_lines_total",
    "twdiag_rejected_numbers_total",
    "twdiag_read_errors_total",
];

/// Numbers without a pattern that matters.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rename,
    Compress,
    Date,
    Symlink,
    CopyTruncate,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Rename, Kind::Compress, Kind::Date, Kind::Symlink, Kind::CopyTruncate];
}

/// One file, and whoever writes and rotates it.
struct Writer {
    kind: Kind,
    directory: PathBuf,
    file: File,
    generation: u64,
    written: u64,
    random: Random,
}

impl Writer {
    fn new(kind: Kind, directory: &Path, seed: u64) -> Writer {
        let directory = directory.join(format!("{kind:?}"));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("app.log");
        if kind == Kind::Symlink {
            fs::write(directory.join("gen.0.log"), "").unwrap();
            std::os::unix::fs::symlink("gen.0.log", &path).unwrap();
        }
        let file = File::options().append(true).create(true).open(&path).unwrap();
        Writer { kind, directory, file, generation: 0, written: 0, random: Random(seed + kind as u64) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn reopen(&mut self) {
        self.file = File::options().append(true).create(true).open(self.at("app.log")).unwrap();
    }

    fn write(&mut self, count: u64) {
        for _ in 0..count {
            let line = format!("ERROR id={:?}-{:08}: ConnectionError (31005): x\n", self.kind, self.written);
            if self.random.below(10) == 0 {
                let (first, rest) = line.split_at(self.random.below(line.len() as u64) as usize);
                self.file.write_all(first.as_bytes()).unwrap();
                std::thread::yield_now();
                self.file.write_all(rest.as_bytes()).unwrap();
            } else {
                self.file.write_all(line.as_bytes()).unwrap();
            }
            self.written += 1;
        }
    }

    fn rotate(&mut self) {
        self.generation += 1;
        let live = self.at("app.log");
        match self.kind {
            Kind::Rename | Kind::Compress | Kind::CopyTruncate => {
                for number in (1..=self.generation).rev() {
                    for ending in ["", ".gz"] {
                        let from = self.at(&format!("app.log.{number}{ending}"));
                        if from.exists() {
                            fs::rename(from, self.at(&format!("app.log.{}{ending}", number + 1))).unwrap();
                        }
                    }
                }
                if self.kind == Kind::CopyTruncate {
                    // Nothing is written in between, which only luck could read.
                    fs::copy(&live, self.at("app.log.1")).unwrap();
                    self.file.set_len(0).unwrap();
                    return;
                }
                fs::rename(&live, self.at("app.log.1")).unwrap();
                if self.random.below(2) == 0 {
                    self.write(20);
                }
                self.reopen();
                let old = self.at("app.log.2");
                if self.kind == Kind::Compress && old.exists() {
                    gzip(&old, &self.at("app.log.2.gz"));
                }
            }
            Kind::Date => {
                fs::rename(&live, self.at(&format!("app-20261122{:06}.log", self.generation))).unwrap();
                self.reopen();
            }
            Kind::Symlink => {
                let name = format!("gen.{}.log", self.generation);
                self.file = File::create(self.at(&name)).unwrap();
                std::os::unix::fs::symlink(&name, self.at("next")).unwrap();
                fs::rename(self.at("next"), &live).unwrap();
            }
        }
    }

    fn run(mut self, until: Instant, total: &AtomicU64) -> (Kind, u64) {
        let mut rotation = Instant::now();
        while Instant::now() < until {
            let before = self.written;
            let count = self.random.below(100);
            self.write(count);
            if Instant::now() >= rotation {
                self.rotate();
                rotation = Instant::now() + Duration::from_millis(100 + self.random.below(900));
            }
            total.fetch_add(self.written - before, Ordering::Relaxed);
            // A writer that is no attack on the machine.
            std::thread::park_timeout(Duration::from_millis(self.random.below(20)));
        }
        (self.kind, self.written)
    }
}

/// The persisted samples of a page.
fn samples(page: &str) -> BTreeMap<String, u64> {
    page.lines()
        .filter(|line| PERSISTED.iter().any(|name| line.starts_with(name)))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

fn total(samples: &BTreeMap<String, u64>) -> u64 {
    samples.iter().filter(|(series, _)| series.starts_with("twilio_errors_total")).map(|(_, value)| value).sum()
}

#[test]
fn every_rotation_under_kills_counts_every_record_once() {
    let seconds = std::env::var("TWDIAG_TORTURE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.unwrap_or(SECONDS);
    let seed = u64::from(std::process::id());
    let directory = tempfile::tempdir().unwrap();
    let writers: Vec<Writer> = Kind::ALL.into_iter().map(|kind| Writer::new(kind, directory.path(), seed)).collect();
    let paths: Vec<String> = writers.iter().map(|writer| writer.at("app.log").display().to_string()).collect();
    let state = directory.path().join("state");
    let matches = directory.path().join("matches.json");
    let start = || {
        let mut arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
        arguments.extend(["--state", state.to_str().unwrap(), "--start-at", "beginning", "--output", "json"]);
        let out = File::options().append(true).create(true).open(&matches).unwrap();
        Serving::spawn(twdiag(&arguments).stdout(out))
    };
    let mut serving = start();
    samples(&serving.get("/metrics"));
    let until = Instant::now() + Duration::from_secs(seconds);
    let so_far = AtomicU64::new(0);
    let (mut shown, mut kills, mut scrapes) = (BTreeMap::new(), 0, 0);
    let mut random = Random(seed);
    let mut scrape = |serving: &Serving| {
        let now = samples(&serving.get("/metrics"));
        for (series, before) in &shown {
            assert!(now.get(series) >= Some(before), "seed {seed}: {series} went back from {before}: {now:?}");
        }
        shown = now;
        total(&shown)
    };
    let written: BTreeMap<String, u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = writers.into_iter().map(|writer| scope.spawn(|| writer.run(until, &so_far))).collect();
        while Instant::now() < until {
            scrape(&serving);
            scrapes += 1;
            if random.below(2) == 0 {
                serving.child.kill().unwrap();
                serving.child.wait().unwrap();
                serving = start();
                kills += 1;
            }
            std::thread::park_timeout(Duration::from_millis(random.below(150)));
        }
        let ended = writers.into_iter().map(|writer| writer.join().unwrap());
        ended.map(|(kind, written)| (format!("{kind:?}"), written)).collect()
    });
    let truth: u64 = written.values().sum();
    let patience = Instant::now() + Duration::from_secs(60);
    while scrape(&serving) < truth && Instant::now() < patience {}
    drop(serving);
    let serving = start();
    assert_eq!(scrape(&serving), truth, "seed {seed}: {written:?}");
    println!("{truth} records, {kills} kills, {scrapes} scrapes in {seconds} s, seed {seed}");
    let printed: BTreeSet<String> = fs::read_to_string(&matches)
        .unwrap()
        .split("id=")
        .skip(1)
        .filter_map(|rest| rest.split_once(':').map(|(id, _)| id.to_owned()))
        .collect();
    let missing: Vec<String> = written
        .iter()
        .flat_map(|(kind, count)| (0..*count).map(move |number| format!("{kind}-{number:08}")))
        .filter(|id| !printed.contains(id))
        .collect();
    assert!(missing.is_empty(), "seed {seed}: matches that were counted and never printed: {missing:?}");
}

#[test]
fn prometheus_sees_no_reset_over_kills() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(prometheus) = Prometheus::start(&format!(
        "{{global: {{scrape_interval: 1s}}, scrape_configs: [{{job_name: twdiag, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}"
    )) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (log, state) = (directory.path().join("app.log"), directory.path().join("state"));
    let mut file = File::options().append(true).create(true).open(&log).unwrap();
    let address = format!("127.0.0.1:{port}");
    let start = || {
        let arguments = [log.to_str().unwrap(), "--state", state.to_str().unwrap(), "--output", "none"];
        let child = twdiag(&arguments).args(["--listen", &address]).stderr(std::process::Stdio::null()).spawn();
        Serving { child: child.unwrap(), address: address.clone() }
    };
    let mut serving = start();
    // The first sample is the zero from which an increase is counted.
    prometheus.wait_for("twilio_errors_total{code=\"31005\"} == 0");
    let (begin, mut written, mut random) = (Instant::now(), 0, Random(u64::from(port)));
    let mut kill = begin + Duration::from_secs(2);
    while begin.elapsed() < Duration::from_secs(11) {
        let count = random.below(50);
        for _ in 0..count {
            writeln!(file, "ERROR ConnectionError (31005): x").unwrap();
        }
        written += count;
        if Instant::now() >= kill {
            drop(serving);
            serving = start();
            kill = Instant::now() + Duration::from_millis(1500 + random.below(2000));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    prometheus.wait_for(&format!("twilio_errors_total{{code=\"31005\"}} == {written}"));
    for name in PERSISTED {
        let resets = format!("resets({name}[10m])");
        assert!(prometheus.sum(&resets).abs() < f64::EPSILON, "{:?}", prometheus.query(&resets));
    }
    assert!(!prometheus.query("resets(twilio_errors_total[10m])").is_empty());
    let risen = prometheus.sum("max_over_time(twilio_errors_total[10m]) - min_over_time(twilio_errors_total[10m])");
    assert_eq!(risen as u64, written);
}

#[test]
fn logrotate_loses_nothing() {
    if !installed("logrotate") {
        return;
    }
    for way in ["create", "copytruncate", "compress", "compress\ndelaycompress", "copytruncate\ncompress", "dateext"] {
        let mut rig = crate::rig::Rig::new("app.log");
        rig.start();
        let log = rig.path("app.log");
        let configuration = rig.directory.path().join("logrotate.conf");
        let text = format!("{} {{\nsu root root\nrotate 9\nmissingok\n{way}\n}}\n", log.display());
        fs::write(&configuration, text).unwrap();
        let status = rig.directory.path().join("status");
        let mut written = 0;
        for round in 1..6 {
            rig.write("app.log", 7 * round);
            written += 7 * round;
            // Now and then the process is not there while its file is rotated.
            if round % 2 == 0 {
                rig.kill();
            } else {
                rig.wake();
            }
            let ran = Command::new("logrotate").arg("-f").arg("-s").args([&status, &configuration]).output().unwrap();
            assert!(ran.status.success(), "{way}: {}", String::from_utf8_lossy(&ran.stderr));
            if way == "dateext" {
                // Only one such name a day.
                let today = fs::read_dir(log.parent().unwrap()).unwrap().flatten();
                let dated = today.map(|entry| entry.path()).find(|path| path.to_str().unwrap().contains("app.log-2"));
                let name = format!("app.log-{:08}", 20_200_100 + round);
                if let Some(dated) = dated.filter(|dated| !dated.ends_with(&name)) {
                    fs::rename(dated, log.with_file_name(name)).unwrap();
                }
            }
            if rig.follower.is_none() {
                rig.start();
            }
            rig.write("app.log", 1);
            written += 1;
            rig.pass(Duration::from_secs(15));
        }
        assert_eq!((rig.errors(), rig.tally().lost_bytes), (written, 0), "{way}: {:?}", rig.follower);
    }
}
