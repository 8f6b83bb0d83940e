//! Whether the machine's clock, the files' times and the records' times agree.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};

use super::{Check, Host, Observation, Present};
use crate::detect::record_time;

/// How far two clocks may be apart before it is said.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);

/// How far a record's time may be ahead before it is said: programs that stamp a record when it begins are never ahead.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

/// How much of a file's end is read for the time of its last records, in bytes.
const END: u64 = 64 << 10;

/// Both clocks at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    wall: SystemTime,
    steady: Instant,
}

impl Reading {
    pub(super) fn now() -> Reading {
        Reading { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// How far the wall clock went beyond the time that passed.
    fn jump(&self, later: &Reading) -> SignedDuration {
        let passed = SignedDuration::try_from(later.steady.duration_since(self.steady)).unwrap_or(SignedDuration::MAX);
        let shown = Timestamp::try_from(later.wall).ok().zip(Timestamp::try_from(self.wall).ok());
        shown.map_or(SignedDuration::ZERO, |(later, earlier)| later.duration_since(earlier) - passed)
    }
}

/// Jumps since `start`, and files and records of a time that is yet to come.
pub(super) fn check(present: &[Present], state: Option<&Path>, start: &Reading, host: &Host) -> Vec<Observation> {
    let mut seen = Vec::new();
    let synchronise = "let chrony, ntpd or systemd-timesyncd keep the clock, and slew it rather than step";
    let jump = start.jump(&Reading::now());
    if jump.abs() > TOLERANCE {
        let saw = format!("the clock jumped by {jump:#} while it was looked at");
        seen.push(Observation::mend(Check::Clock, "", saw, synchronise));
    }
    let now = host.now.timestamp();
    let slots = state.and_then(|directory| std::fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    for path in present.iter().map(|file| file.resolved.clone()).chain(slots.map(|slot| slot.path())) {
        let written = std::fs::metadata(&path).and_then(|status| status.modified()).ok();
        let ahead = written.and_then(|time| Timestamp::try_from(time).ok()).map(|time| time.duration_since(now));
        if let Some(ahead) = ahead.filter(|ahead| *ahead > AHEAD) {
            let saw = format!("was written {ahead:#} after now: the clock went back, or its writer's is ahead");
            seen.push(Observation::mend(Check::Clock, path.display(), saw, synchronise));
        }
    }
    for file in present {
        let Some((ahead, assumed_local)) = last_record(&file.resolved, host) else { continue };
        if ahead > AHEAD {
            let saw = format!("its last record is {ahead:#} ahead of this clock");
            let mend = if assumed_local {
                format!("its times name no zone and were taken for {}: set TZ to the zone of the writer", zone(host))
            } else {
                "let the writer's machine and this one keep the same time".to_owned()
            };
            seen.push(Observation::mend(Check::Clock, file.path.display(), saw, mend));
        }
    }
    if seen.is_empty() {
        let saw = format!("{} in {}; no file and no record is ahead", now.strftime("%Y-%m-%dT%H:%M:%SZ"), zone(host));
        seen.push(Observation::fine(Check::Clock, "", saw));
    }
    seen
}

fn zone(host: &Host) -> String {
    host.now.time_zone().iana_name().map_or_else(|| host.now.offset().to_string(), str::to_owned)
}

/// How far the last record with a time is ahead, and whether its time names no zone.
fn last_record(path: &Path, host: &Host) -> Option<(SignedDuration, bool)> {
    let file = File::open(path).ok()?;
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    let mut end = vec![0; usize::try_from(size.min(END)).ok()?];
    file.read_exact_at(&mut end, size - size.min(END)).ok()?;
    let time = end.rsplit(|byte| *byte == b'\n').find_map(|line| record_time(line, &host.now))?;
    Some((time.at.duration_since(host.now.timestamp()), time.assumed_local))
}
