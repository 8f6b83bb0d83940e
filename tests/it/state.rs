//! The state file: its bytes, and what is left of it after every way to stop.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use twdiag::catalog::Category;
use twdiag::detect::{Cursor, OpenRecord};
use twdiag::record::Code;
use twdiag::state::{Checkpoint, Directory, Disk, Fingerprint, Identity, Place, Reset, State, StateError, Store};
use twdiag::tally::{Label, Series, Tally};

const BOOT: &str = "5f2c2f34-0000-4000-8000-000000000001";

/// Three slots in memory, as the living system and as a disk that lost its power would show them.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Slots>>);

impl Memory {
    /// Lets so many operations succeed from now on, or all of them.
    pub(crate) fn leave(&self, operations: Option<usize>, quarters: usize) {
        let mut slots = self.0.lock().unwrap();
        (slots.left, slots.quarters) = (operations, quarters);
    }
}

#[derive(Clone, Default)]
struct Slots {
    cached: [Vec<u8>; 3],
    durable: [Vec<u8>; 3],
    /// Operations until the process is gone.
    left: Option<usize>,
    /// How many bytes of the last write are done, in quarters.
    quarters: usize,
}

impl Slots {
    fn is_gone(&mut self) -> bool {
        match &mut self.left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

impl Disk for Memory {
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().cached[slot].clone())
    }

    fn write(&mut self, slot: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut slots = self.0.lock().unwrap();
        let was_last = slots.left == Some(0);
        let is_gone = slots.is_gone();
        // A header lies within one page and is written whole or not at all; a body may be cut anywhere.
        let done = match (is_gone, was_last && offset > 0) {
            (false, _) => bytes.len(),
            (true, true) => bytes.len() * slots.quarters / 4,
            (true, false) => 0,
        };
        let end = offset as usize + done;
        if done > 0 {
            let cached = &mut slots.cached[slot];
            let length = cached.len().max(end);
            cached.resize(length, 0);
            cached[offset as usize..end].copy_from_slice(&bytes[..done]);
        }
        if is_gone { Err(io::Error::other("gone")) } else { Ok(()) }
    }

    fn sync(&mut self, slot: usize) -> io::Result<()> {
        let mut slots = self.0.lock().unwrap();
        if slots.is_gone() {
            return Err(io::Error::other("gone"));
        }
        slots.durable[slot] = slots.cached[slot].clone();
        Ok(())
    }
}

/// A state that differs from every other number's, in counts and in offsets.
fn state(number: u64) -> State {
    let source: Arc<str> = "voice".into();
    let mut state = State { boot: BOOT.to_owned(), ..State::default() };
    let code = |number| Code::new(number).unwrap();
    for count in 0..number {
        let time = jiff::Timestamp::from_second(1_700_000_000 + count as i64).unwrap();
        state.tally.count(&source, Category::Signaling, code(31005), time, 100);
    }
    let tally = state.tally.source(&source);
    tally.rotations[2] = number;
    tally.read_bytes = 10 * number;
    state.tally.reject("port");
    state.tally.count(&source, Category::Uncatalogued, code(64999), jiff::Timestamp::UNIX_EPOCH, 100);
    state.sources.insert(Arc::clone(&source));
    let series = Series { category: Category::Uncatalogued, code: Label::Code(code(64999)) };
    state.unannounced.insert((Arc::clone(&source), series), jiff::Timestamp::UNIX_EPOCH);
    state.undelivered = b"{}\n".repeat(number as usize);
    state.files.push(Checkpoint {
        source,
        path: "/var/log/voice/app.log".into(),
        resolved: "/srv/app.log".into(),
        identity: Identity { device: 7, inode: 4711 },
        start: Fingerprint::of(b"f"),
        head: Fingerprint::of(b"first"),
        tail: Fingerprint::of(b"last"),
        cursor: Cursor {
            head: 10 * number,
            offset: 10 * number + 5,
            open: vec![OpenRecord { head: 10 * number, settled: 3, counted: vec![code(31005)] }],
            in_long_line: false,
        },
        size: 10 * number + 9,
        place: Place::Rotated,
    });
    state
}

#[test]
fn the_format_is_pinned_both_ways() {
    let disk = Memory::default();
    let (mut store, _) = Store::open(Box::new(disk.clone()), BOOT);
    store.commit(&state(3).cut()).unwrap();
    let written = disk.0.lock().unwrap().cached[0].clone();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state.v1");
    if std::env::var_os("TWDIAG_BLESS").is_some() {
        std::fs::write(&kept, &written).unwrap();
    }
    let kept = std::fs::read(kept).unwrap();
    assert!(written == kept, "a change of the format needs a new version");
    disk.0.lock().unwrap().cached = [Vec::new(), Vec::new(), kept];
    let (_, loaded) = Store::open(Box::new(disk), BOOT);
    assert_eq!((loaded.state, loaded.reset), (state(3), None));
}

#[test]
fn a_process_that_stops_anywhere_leaves_what_it_last_committed() {
    for quarters in 0..4 {
        for stop in 0..40 {
            let disk = Memory::default();
            let (mut store, _) = Store::open(Box::new(disk.clone()), BOOT);
            {
                let mut slots = disk.0.lock().unwrap();
                (slots.left, slots.quarters) = (Some(stop), quarters);
            }
            let mut committed = None;
            let mut synced = None;
            for number in 1..15 {
                if store.commit(&state(number).cut()).is_err() {
                    break;
                }
                committed = Some(number);
                if number % 3 == 0 {
                    if store.sync().is_err() {
                        break;
                    }
                    synced = Some(number);
                }
            }
            disk.0.lock().unwrap().left = None;
            let after_power_loss = Memory::default();
            {
                let durable = disk.0.lock().unwrap().durable.clone();
                after_power_loss.0.lock().unwrap().cached = durable;
            }
            let (_, loaded) = Store::open(Box::new(disk), BOOT);
            assert_eq!(loaded.state, committed.map(state).unwrap_or_default(), "stopped after {stop}");
            assert_eq!(loaded.reset, None);
            let (_, loaded) = Store::open(Box::new(after_power_loss), "another boot");
            assert_eq!(loaded.state.files, synced.map(state).unwrap_or_default().files, "power lost after {stop}");
            assert_eq!(loaded.state.tally, Tally::default());
            assert_eq!(loaded.reset, synced.map(|_| Reset::Boot));
        }
    }
}

#[test]
fn a_failed_write_is_made_good_by_the_next() {
    for fail in 0..4 {
        let disk = Memory::default();
        let (mut store, _) = Store::open(Box::new(disk.clone()), BOOT);
        store.commit(&state(1).cut()).unwrap();
        store.sync().unwrap();
        store.commit(&state(2).cut()).unwrap();
        disk.0.lock().unwrap().left = Some(fail);
        disk.0.lock().unwrap().quarters = 2;
        while store.commit(&state(3).cut()).is_ok() {}
        disk.0.lock().unwrap().left = None;
        store.commit(&state(4).cut()).unwrap();
        let (_, loaded) = Store::open(Box::new(disk), BOOT);
        assert_eq!((loaded.state, loaded.reset), (state(4), None));
    }
}

#[test]
fn a_clean_stop_is_trusted_after_a_boot() {
    let disk = Memory::default();
    let (mut store, _) = Store::open(Box::new(disk.clone()), BOOT);
    let last = State { clean: true, ..state(2) };
    store.commit(&last.cut()).unwrap();
    let (_, loaded) = Store::open(Box::new(disk), "another boot");
    assert_eq!((loaded.state, loaded.reset), (last, None));
}

#[test]
fn damage_falls_back_to_offsets_without_counts() {
    let disk = Memory::default();
    let (mut store, _) = Store::open(Box::new(disk.clone()), BOOT);
    store.commit(&state(1).cut()).unwrap();
    store.commit(&state(2).cut()).unwrap();
    let length = disk.0.lock().unwrap().cached[1].len();
    for at in 0..length {
        let damaged = Memory::default();
        damaged.0.lock().unwrap().cached = disk.0.lock().unwrap().cached.clone();
        damaged.0.lock().unwrap().cached[1][at] ^= 0x20;
        let (mut store, loaded) = Store::open(Box::new(damaged.clone()), BOOT);
        let at_all = loaded.reset == Some(Reset::Damaged) && loaded.state.files == state(1).files;
        // The four bytes behind the header's checksum mean nothing.
        assert!(at_all || (36..40).contains(&at), "byte {at}");
        store.commit(&state(5).cut()).unwrap();
        let (_, loaded) = Store::open(Box::new(damaged), BOOT);
        assert_eq!(loaded.state, state(5), "what is written after damage is newer than the damage");
    }
    let empty = Memory::default();
    empty.0.lock().unwrap().cached[0] = b"not a state file, by any means, but long enough to be one".to_vec();
    let (_, loaded) = Store::open(Box::new(empty), BOOT);
    assert_eq!((loaded.state, loaded.reset), (State::default(), Some(Reset::Damaged)));
}

#[test]
fn a_second_process_is_refused_and_told_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/state");
    let first = Directory::open(&path).unwrap();
    let StateError::Locked { pid, .. } = Directory::open(&path).unwrap_err();
    assert_eq!(pid, std::process::id().to_string());
    drop(first);
    Directory::open(&path).unwrap();
}

#[test]
fn a_directory_that_went_away_is_noticed_and_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (mut store, _) = Store::open(Box::new(Directory::open(&path).unwrap()), BOOT);
    store.commit(&state(1).cut()).unwrap();
    store.sync().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let mut attempts = 0;
    while store.commit(&state(3).cut()).and_then(|()| store.sync()).is_err() {
        attempts += 1;
        assert!(attempts < 3, "it resumes by itself");
    }
    assert!(attempts > 0, "it is noticed");
    drop(store);
    let (_, loaded) = Store::open(Box::new(Directory::open(&path).unwrap()), BOOT);
    assert_eq!(loaded.state, state(3));
}
