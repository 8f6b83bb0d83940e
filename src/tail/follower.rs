//! The owner of files, offsets and counts, without a thread: told when to wake, it does what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use super::commits::Commits;
use super::counts::{Counts, Sink};
use super::file::Followed;
use super::snapshot::{Snapshot, SourceGauges};
use super::stream::Stream;
use super::track::{Look, MANY, Track};
use super::{Hints, Input, Own, Plan};
use crate::detect::{Detector, End};
use crate::diagnose::{Diagnosis, Finding, View};
use crate::state::{Checkpoint, Loaded, Place, State, Store};

/// How often everything is looked at without a hint; of many files, a part.
const LOOK: Duration = Duration::from_secs(1);

/// How often files that are written to are looked at without a hint.
const HOT_LOOK: Duration = Duration::from_millis(250);

/// How soon after a look a hint leads to the next: a busy writer hints without end. A file that was quiet is read at
/// once, and a scrape reads first; so this is how long a match of a busy file waits to be printed.
pub(super) const HINTED: Duration = Duration::from_millis(90);

/// A look that events ask for takes one part in so many of the time at most.
const SHARE: u32 = 20;

/// How much is read until whoever waits gets an answer, in bytes: some hundredths of a second.
const ROUND: u64 = 8 << 20;

/// Looks in a row that rotations may lead to: a few, because writers go on.
const LOOKS: usize = 4;

/// How often it is judged what the errors mean together, where nobody asks.
const DIAGNOSED: Duration = Duration::from_secs(1);

/// Scrapes that arrive closer together than this share one commit.
const SHARED: Duration = Duration::from_millis(1);

/// What is kept of the buffer for reading while nothing is read, in bytes.
const IDLE_BUFFER: usize = 64 << 10;

/// Where time comes from.
pub trait Clock: Send {
    /// What the clock on the wall says.
    fn wall(&self) -> Zoned;

    /// The time since any fixed instant; never goes back.
    fn uptime(&self) -> Duration;
}

/// Follows files and streams, and counts; see the module.
pub struct Follower {
    plan: Plan,
    clock: Box<dyn Clock>,
    counts: Counts,
    commits: Commits,
    tracks: Vec<Track>,
    streams: Vec<Stream>,
    /// The number of standard input among the streams.
    stdin: Option<usize>,
    own: Arc<Own>,
    /// The sources whose first sight is past, also those that are followed no more.
    seen: BTreeSet<Arc<str>>,
    /// The files of sources that are followed no more.
    parked: Vec<Checkpoint>,
    /// Mounts of single files that were named.
    mounts: BTreeSet<PathBuf>,
    block: Vec<u8>,
    next_look: Duration,
    next_read: Duration,
    last_look: Duration,
    last_read: Duration,
    /// What the next look is to see.
    look: Look,
    /// How long the last look took.
    cost: Duration,
    /// Whether the last look left something beside files for the next one.
    is_cut: bool,
    caught_up: bool,
    published: Arc<Snapshot>,
    published_at: Option<Duration>,
    /// When it was last judged what the errors mean together; zero where that is due.
    diagnosed_at: Duration,
    /// Findings that began or ended and were not told yet.
    found: Vec<Finding>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<_> = self.tracks.iter().flat_map(Track::known).collect();
        f.debug_struct("Follower").field("files", &files).finish_non_exhaustive()
    }
}

impl Follower {
    /// Goes on from a state, or begins without one.
    pub fn new(
        plan: Plan,
        detector: &Detector,
        clock: Box<dyn Clock>,
        mut sink: Box<dyn Sink>,
        state: Option<(Store, Loaded)>,
        boot: String,
    ) -> Follower {
        let now = clock.uptime();
        let (store, loaded) = state.map_or((None, Loaded::default()), |(store, loaded)| (Some(store), loaded));
        if let Some(reset) = loaded.reset {
            tracing::warn!("{reset}: reading goes on from the offsets of an older state, and all counts begin at zero");
        }
        let State { tally, sources: seen, unannounced, undelivered, files, .. } = loaded.state;
        sink.resume(&undelivered);
        let counts = Counts {
            detector: detector.clone(),
            tally,
            unannounced,
            dropped: BTreeMap::new(),
            sink,
            diagnosis: Diagnosis::new(Arc::clone(detector.findings()), clock.wall().timestamp()),
            ignored: BTreeMap::new(),
            uncatalogued: plan.uncatalogued,
            now,
            wall: clock.wall(),
            dirty_since: Some(now),
            urgent: true,
        };
        let commits = Commits::new(store, boot, u64::from(loaded.reset.is_some()), now);
        let published = Arc::new(Snapshot {
            tally: counts.shown(),
            gauges: BTreeMap::new(),
            state: commits.health.clone(),
            caught_up: false,
            catalog: Arc::clone(detector.catalog()),
            seen: Arc::new(View::empty(Arc::clone(detector.findings()), counts.wall.timestamp())),
            labels: Arc::clone(&plan.labels),
        });
        let own = Arc::new(Own::of(&plan));
        let mut follower = Follower {
            clock,
            counts,
            commits,
            tracks: Vec::new(),
            streams: Vec::new(),
            stdin: None,
            own,
            seen,
            parked: files,
            mounts: BTreeSet::new(),
            block: Vec::new(),
            next_look: now,
            next_read: now,
            last_look: now,
            last_read: now,
            look: Look::Full,
            cost: Duration::ZERO,
            is_cut: false,
            caught_up: false,
            published,
            published_at: None,
            diagnosed_at: Duration::ZERO,
            found: Vec::new(),
            plan: Plan::new(Vec::new()),
        };
        follower.follow(plan, detector);
        // From here on the state's author may die: nobody may take an earlier generation for the last one.
        follower.commit(false);
        follower.commits.sync(&mut follower.counts);
        follower.published = follower.snapshot();
        follower
    }

    /// Follows other sources from now on, or the same ones in another way. Counts and offsets are kept, also those of
    /// sources that are followed no more.
    pub fn follow(&mut self, plan: Plan, detector: &Detector) {
        self.at_present();
        let mut old: BTreeMap<Arc<str>, Track> =
            std::mem::take(&mut self.tracks).into_iter().map(|track| (Arc::clone(&track.source), track)).collect();
        for source in &plan.sources {
            self.counts.tally.source(&source.name);
            match &source.input {
                Input::Files(files) => {
                    let track = if let Some(mut track) = old.remove(&source.name) {
                        track.change(files, source.start_at, source.reading, detector);
                        track
                    } else {
                        let (known, parked) =
                            std::mem::take(&mut self.parked).into_iter().partition(|known| known.source == source.name);
                        self.parked = parked;
                        let is_seen = self.seen.contains(&source.name);
                        let way = (source.start_at, source.reading);
                        let of = (&source.name, files);
                        Track::new(of, way, &self.own, detector, known, is_seen, self.counts.now)
                    };
                    self.tracks.push(track);
                }
                Input::Stdin if self.stdin.is_none() => {
                    self.stdin = Some(self.streams.len());
                    self.streams.push(Stream::new(&source.name, "-", detector, source.reading));
                }
                Input::Stdin => {}
            }
        }
        // A stream keeps its number for as long as its thread lives.
        for stream in &mut self.streams {
            let source = plan.sources.iter().find(|source| source.name == stream.source);
            stream.is_followed = source.is_some();
            stream.change(detector, source.map(|source| source.reading).unwrap_or_default());
        }
        self.parked.extend(old.values().flat_map(|track| track.checkpoints().cloned()));
        if self.counts.detector.findings() != detector.findings() {
            // Other rules: what holds is judged anew.
            let since = self.counts.wall.timestamp();
            self.counts.diagnosis = Diagnosis::new(Arc::clone(detector.findings()), since);
        }
        self.counts.detector = detector.clone();
        self.counts.sink.explain_by(detector);
        let ignored = plan.sources.iter().map(|source| (Arc::clone(&source.name), source.ignore.clone()));
        self.counts.ignored = ignored.collect();
        self.counts.uncatalogued = plan.uncatalogued;
        self.plan = plan;
        self.next_look = self.counts.now;
        self.counts.soil();
    }

    /// How far each file was judged that is followed, rotated away or remembered.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.tracks.iter().flat_map(Track::checkpoints).cloned().collect()
    }

    /// Brings the next look or turn of reading forward, because something may have changed.
    pub fn hint(&mut self, hints: &Hints) {
        if hints.all {
            self.look = Look::Full;
            self.next_look = self.next_look.min(self.last_look + HINTED.max(self.cost * SHARE));
        }
        if !hints.written.is_empty() {
            let files = self.tracks.iter_mut().flat_map(|track| &mut track.files);
            let is_meant = |file: &&mut Followed| {
                file.file.is_some()
                    && (hints.written.contains(&file.known.path) || hints.written.contains(&file.known.resolved))
            };
            files.filter(is_meant).for_each(|file| file.pending = true);
            self.next_read = self.next_read.min(self.last_read + HINTED);
        }
    }

    /// Does what is due, and says how long from now nothing will be.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn wake(&mut self) -> io::Result<Duration> {
        self.at_present();
        let now = self.counts.now;
        let look = (now >= self.next_look).then(|| std::mem::replace(&mut self.look, Look::Pass));
        if look.is_some() || now >= self.next_read {
            self.advance(look)?;
        }
        for stream in &mut self.streams {
            stream.pause(&mut self.counts)?;
        }
        self.commits.check_delivery(&mut self.counts);
        if self.commits.is_due(&self.counts) {
            self.commit(false);
            self.published = self.snapshot();
        }
        self.commits.sync_if_due(&mut self.counts);
        // A minute that passed may end what held, and moves the charts.
        if now >= self.diagnosed_at + DIAGNOSED && self.counts.diagnosis.is_due(self.counts.wall.timestamp()) {
            self.published = self.snapshot();
        }
        self.announce_findings()?;
        let idle = self.next_look.min(self.next_read).saturating_sub(now);
        let streams = self.streams.iter().filter_map(|stream| stream.idle(now));
        Ok(streams.chain(self.commits.idle(&self.counts)).fold(idle, Duration::min))
    }

    /// Reads what the files hold, commits, and gives the counts as committed.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn publish(&mut self) -> io::Result<Arc<Snapshot>> {
        self.at_present();
        let now = self.counts.now;
        if self.published_at.is_some_and(|at| now > at && now < at + SHARED) {
            return Ok(Arc::clone(&self.published));
        }
        let is_few = self.tracks.iter().map(|track| track.files.len()).sum::<usize>() <= MANY;
        self.advance(Some(if is_few { Look::Full } else { Look::Pass }))?;
        self.commit(false);
        // A scrape shows what was found just now.
        self.diagnosed_at = Duration::ZERO;
        self.published = self.snapshot();
        self.announce_findings()?;
        self.published_at = Some(now);
        let shown = Arc::clone(&self.published);
        // Now that they were seen at 0, the next scrape sees their counts.
        if !self.counts.unannounced.is_empty() {
            self.counts.unannounced.clear();
            self.counts.soil();
        }
        Ok(shown)
    }

    /// Reads what the files hold until nothing is left or `enough` says so, then saves the state for good. Says
    /// whether nothing was left.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(&mut self, enough: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        self.at_present();
        self.advance(Some(Look::Full))?;
        while self.is_behind() && !enough() {
            self.advance(self.is_cut.then_some(Look::Full))?;
        }
        self.commit(true);
        self.commits.sync(&mut self.counts);
        self.counts.unannounced.clear();
        self.diagnosed_at = Duration::ZERO;
        self.published = self.snapshot();
        self.announce_findings()?;
        Ok(!self.is_behind())
    }

    /// The counts as last committed.
    pub fn published(&self) -> &Arc<Snapshot> {
        &self.published
    }

    /// Judges the next bytes of a stream, by its number.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn feed(&mut self, stream: usize, bytes: &[u8], end: End) -> io::Result<()> {
        self.at_present();
        match self.streams.get_mut(stream) {
            Some(stream) if stream.is_followed => stream.feed(bytes, end, &mut self.counts),
            _ => Ok(()),
        }
    }

    /// The number of standard input among the streams, where it is a source.
    pub fn stdin(&self) -> Option<usize> {
        self.stdin
    }

    /// The FIFOs among the followed paths, by source.
    pub fn fifos(&self) -> Vec<(Arc<str>, PathBuf)> {
        let of = |track: &'_ Track| -> Vec<_> {
            track.listing.fifos.iter().map(|path| (Arc::clone(&track.source), path.clone())).collect()
        };
        self.tracks.iter().flat_map(of).collect()
    }

    /// Takes up a stream; its number is what [`Follower::feed`] asks for.
    pub fn begin_stream(&mut self, source: &Arc<str>, path: &Path) -> usize {
        let reading = self.plan.sources.iter().find(|of| of.name == *source).map(|of| of.reading).unwrap_or_default();
        let path = path.display().to_string();
        self.streams.push(Stream::new(source, &path, &self.counts.detector, reading));
        self.streams.len() - 1
    }

    /// The directories whose events hint at changes.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        self.tracks.iter().flat_map(|track| track.listing.directories().cloned()).collect()
    }

    fn at_present(&mut self) {
        (self.counts.now, self.counts.wall) = (self.clock.uptime(), self.clock.wall());
    }

    fn is_behind(&self) -> bool {
        self.is_cut || self.tracks.iter().flat_map(|track| &track.files).any(|file| file.behind)
    }

    /// Looks and reads until rotations lead to nothing new.
    fn advance(&mut self, look: Option<Look>) -> io::Result<()> {
        let now = self.counts.now;
        self.last_read = now;
        if look.is_some() {
            (self.last_look, self.next_look) = (now, now + LOOK);
        }
        let (block, counts) = (&mut self.block, &mut self.counts);
        let mut budget = ROUND;
        for track in &mut self.tracks {
            if let Some(look) = look {
                track.look(look, counts)?;
            }
            track.read(look.is_some(), &mut budget, block, counts)?;
            // What was emptied or moved away may stand elsewhere by now.
            for _ in 0..LOOKS {
                if !track.again || track.is_cut {
                    break;
                }
                track.look(Look::Full, counts)?;
                track.again = false;
                track.read(true, &mut budget, block, counts)?;
            }
            if look.is_some() {
                track.retire(block, counts)?;
                if track.is_seen && !self.seen.contains(&track.source) {
                    self.seen.insert(Arc::clone(&track.source));
                }
            }
        }
        counts.announce(self.plan.announce);
        if budget == ROUND {
            block.clear();
            block.shrink_to(IDLE_BUFFER);
        }
        self.tracks.iter_mut().for_each(|track| track.name_mounts(&mut self.mounts));
        self.close_surplus();
        self.is_cut &= look != Some(Look::Full);
        self.tracks.iter_mut().for_each(|track| self.is_cut |= std::mem::take(&mut track.is_cut));
        let is_behind = self.is_behind();
        self.caught_up |= !is_behind && self.tracks.iter().all(|track| track.is_seen);
        let mut files = self.tracks.iter().flat_map(|track| &track.files);
        let is_hot = files.any(|file| file.is_hot(now));
        self.next_read = match (is_behind, is_hot) {
            (true, _) => now,
            (false, true) => now + HOT_LOOK,
            (false, false) => self.next_look,
        };
        if self.is_cut {
            self.counts.soil_urgently();
            (self.look, self.next_look) = (Look::Full, now);
        }
        if look.is_some() {
            self.cost = self.clock.uptime().saturating_sub(now);
        }
        Ok(())
    }

    /// Closes the files that were written to longest ago, where more are open than may be.
    fn close_surplus(&mut self) {
        let open = |track: &Track| track.files.iter().filter(|file| file.file.is_some()).count();
        let surplus = self.tracks.iter().map(open).sum::<usize>().saturating_sub(self.plan.descriptors);
        if surplus == 0 {
            return;
        }
        let files = self.tracks.iter_mut().flat_map(|track| &mut track.files);
        let mut idle: Vec<_> = files
            .filter(|file| file.file.is_some() && file.known.place == Place::Followed && !file.behind && !file.pending)
            .collect();
        idle.sort_by_key(|file| file.grown);
        idle.into_iter().take(surplus).for_each(Followed::close_if_open);
    }

    /// Writes the state where it differs.
    fn commit(&mut self, clean: bool) {
        let files = self.tracks.iter().flat_map(Track::checkpoints).chain(&self.parked);
        self.commits.commit(&mut self.counts, &self.seen, files, clean);
    }

    /// Judges what the errors mean together, at most once a second where nobody asks.
    fn diagnose(&mut self) -> Arc<View> {
        let (now, at) = (self.counts.now, self.counts.wall.timestamp());
        if now < self.diagnosed_at + DIAGNOSED && self.diagnosed_at > Duration::ZERO {
            return Arc::clone(&self.published.seen);
        }
        self.diagnosed_at = now.max(Duration::from_nanos(1));
        self.found.extend(self.counts.diagnosis.advance(at, self.plan.sources.len()));
        Arc::new(self.counts.diagnosis.view(at))
    }

    /// Tells the sink what began and what ended.
    fn announce_findings(&mut self) -> io::Result<()> {
        let found = std::mem::take(&mut self.found);
        found.iter().try_for_each(|finding| self.counts.sink.found(finding, &self.counts.wall))
    }

    fn snapshot(&mut self) -> Arc<Snapshot> {
        let seen = self.diagnose();
        let mut gauges: BTreeMap<Arc<str>, SourceGauges> = BTreeMap::new();
        for source in &self.plan.sources {
            let dropped_matches = self.counts.dropped.get(&source.name).copied().unwrap_or_default();
            let is_stream = self.streams.iter().any(|stream| stream.source == source.name);
            let gauge = SourceGauges { is_stream, dropped_matches, ..SourceGauges::default() };
            gauges.insert(Arc::clone(&source.name), gauge);
        }
        for track in &self.tracks {
            let Some(gauge) = gauges.get_mut(&track.source) else { continue };
            for file in track.known().filter(|file| file.known.place != Place::Finished) {
                gauge.files += u64::from(file.file.is_some() || file.known.place == Place::Followed);
                gauge.lag_bytes += file.lag();
                gauge.deleted_open_bytes += if file.deleted && file.file.is_some() { file.known.size } else { 0 };
            }
        }
        Arc::new(Snapshot {
            tally: self.counts.shown(),
            gauges,
            state: self.commits.health.clone(),
            caught_up: self.caught_up || self.tracks.is_empty(),
            catalog: Arc::clone(self.counts.detector.catalog()),
            seen,
            labels: Arc::clone(&self.plan.labels),
        })
    }
}
