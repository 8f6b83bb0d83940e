//! A directory with logs and a follower in it, with a clock that the test moves.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use jiff::{Timestamp, Zoned, tz::TimeZone};
use twdiag::catalog::Catalog;
use twdiag::detect::{Detector, Rules};
use twdiag::diagnose::Finding;
use twdiag::record::{Delivery, Sighting};
use twdiag::state::{Directory, Disk, StateError, Store};
use twdiag::tail::{Clock, Files, Follower, Hints, Input, Plan, Sink, Snapshot, Source, StartAt};
use twdiag::tally::{Rotation, SourceTally};

pub(crate) static DETECTOR: LazyLock<Detector> =
    LazyLock::new(|| Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded())));

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(crate) struct Moved(Arc<Mutex<Duration>>);

impl Moved {
    pub(crate) fn by(&self, step: Duration) {
        *self.0.lock().unwrap() += step;
    }
}

impl Clock for Moved {
    fn wall(&self) -> Zoned {
        let at = Timestamp::from_second(1_790_000_000).unwrap() + *self.0.lock().unwrap();
        at.to_zoned(TimeZone::UTC)
    }

    fn uptime(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// A sink that keeps nothing.
pub(crate) struct Nowhere;

impl Sink for Nowhere {
    fn take(&mut self, _: &Sighting<'_>, _: &Zoned) -> std::io::Result<Delivery> {
        Ok(Delivery::Taken)
    }

    fn found(&mut self, _: &Finding, _: &Zoned) -> std::io::Result<()> {
        Ok(())
    }

    fn undelivered(&self, _: &mut Vec<u8>) {}

    fn resume(&mut self, _: &[u8]) {}

    fn explain_by(&mut self, _: &Detector) {}
}

/// A directory with logs, and a follower that comes and goes.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) clock: Moved,
    pub(crate) follower: Option<Follower>,
    pub(crate) plan: Plan,
    pub(crate) detector: Detector,
    written: u64,
}

impl Rig {
    pub(crate) fn new(pattern: &str) -> Rig {
        // In memory where that can be had: thousands of sequences sync their state.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        let pattern = directory.path().join("logs").join(pattern).to_str().unwrap().to_owned();
        let files = Files { paths: vec![pattern], exclude: Vec::new() };
        let mut plan = Plan::new(vec![Source::new("app", Input::Files(files))]);
        plan.sources[0].start_at = StartAt::Beginning;
        let detector = DETECTOR.clone();
        Rig { directory, clock: Moved::default(), follower: None, plan, detector, written: 0 }
    }

    pub(crate) fn with(pattern: &str, change: impl FnOnce(&mut Plan)) -> Rig {
        let mut rig = Rig::new(pattern);
        change(&mut rig.plan);
        rig
    }

    /// Starts with whatever state an earlier follower left.
    pub(crate) fn start(&mut self) {
        self.kill();
        // A process that another test is about to start holds the lock until its program begins.
        let disk = loop {
            match Directory::open(&self.directory.path().join("state")) {
                Err(StateError::Locked { pid, .. }) if pid == std::process::id().to_string() => {}
                opened => break opened.unwrap(),
            }
        };
        self.start_on(Box::new(disk));
    }

    /// The same with the state on this disk.
    pub(crate) fn start_on(&mut self, disk: Box<dyn Disk>) {
        self.kill();
        let state = Some(Store::open(disk, "boot"));
        let clock = Box::new(self.clock.clone());
        self.follower =
            Some(Follower::new(self.plan.clone(), &self.detector, clock, Box::new(Nowhere), state, "boot".into()));
        self.wake();
    }

    /// Ends without a word.
    pub(crate) fn kill(&mut self) {
        self.follower = None;
    }

    pub(crate) fn wake(&mut self) {
        if let Some(follower) = &mut self.follower {
            follower.hint(&Hints { all: true, ..Hints::default() });
            follower.wake().unwrap();
        }
    }

    /// Reads a file after an event that says that it was written to, and looks at nothing else.
    pub(crate) fn read(&mut self, name: &str) {
        let written = [self.path(name)].into();
        if let Some(follower) = &mut self.follower {
            self.clock.by(Duration::from_millis(90));
            follower.hint(&Hints { written, all: false });
            follower.wake().unwrap();
        }
    }

    /// Lets time pass, with every wake that falls into it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.clock.uptime() + time;
        while let Some(follower) = &mut self.follower {
            let idle = follower.wake().unwrap().max(Duration::from_millis(10));
            if self.clock.uptime() + idle >= end {
                break;
            }
            self.clock.by(idle);
        }
        let left = end.saturating_sub(self.clock.uptime());
        self.clock.by(left);
        self.wake();
    }

    /// The same without a single event of the file system.
    pub(crate) fn passes(&mut self, time: Duration) {
        let end = self.clock.uptime() + time;
        while self.clock.uptime() < end {
            let idle = self.follower.as_mut().unwrap().wake().unwrap();
            self.clock.by(idle.max(Duration::from_millis(10)));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// The next `count` records, each unlike every other, and long enough to be known by.
    pub(crate) fn lines(&mut self, count: u64) -> String {
        let first = self.written;
        self.written += count;
        (first..self.written).map(|n| format!("ERROR call n{n:06} of a voice backend that says much about each of its calls: ConnectionError (31005): lost\n")).collect()
    }

    pub(crate) fn write(&mut self, name: &str, count: u64) {
        let lines = self.lines(count);
        append(&self.path(name), &lines);
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn scrape(&mut self) -> Arc<Snapshot> {
        self.follower.as_mut().unwrap().publish().unwrap()
    }

    pub(crate) fn tally(&mut self) -> SourceTally {
        self.scrape().tally.sources["app"].clone()
    }

    pub(crate) fn errors(&mut self) -> u64 {
        self.tally().errors.values().map(|errors| errors.total).sum()
    }

    #[track_caller]
    pub(crate) fn check(&mut self, errors: u64, rotations: &[(Rotation, u64)]) {
        let tally = self.tally();
        assert_eq!(
            tally.errors.values().map(|errors| errors.total).sum::<u64>(),
            errors,
            "errors: {:?}",
            self.follower
        );
        for (kind, count) in Rotation::ALL.into_iter().zip(tally.rotations) {
            let expected = rotations.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count);
            assert_eq!(count, expected, "{}", kind.name());
        }
    }

    #[track_caller]
    pub(crate) fn check_after(&mut self, time: Duration, errors: u64, rotations: &[(Rotation, u64)], lost: u64) {
        self.pass(time);
        self.check(errors, rotations);
        assert_eq!(self.tally().lost_bytes, lost);
    }
}

pub(crate) fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

pub(crate) fn gzip(from: &Path, to: &Path) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&fs::read(from).unwrap()).unwrap();
    fs::write(to, encoder.finish().unwrap()).unwrap();
    fs::remove_file(from).unwrap();
}
