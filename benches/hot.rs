//! The hot paths one by one, each with its input described and its result asserted.
//!
//! `cargo bench --bench hot` prints throughputs. `-- --guard` counts instructions under callgrind, which no load of
//! the machine changes, and holds them against `benches/instructions.toml`; `-- --accept` takes them over.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "log/mod.rs"]
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use anyhow::{Context, ensure};
use divan::Bencher;
use divan::counter::BytesCount;
use jiff::Timestamp;
use twdiag::catalog::{Catalog, Category};
use twdiag::detect::{Assume, Cursor, Decision, Detector, End, Rules, Scanner};
use twdiag::diagnose::View;
use twdiag::metrics;
use twdiag::record::Code;
use twdiag::state::{Checkpoint, Directory, Identity, State, Store};
use twdiag::tail::{Snapshot, SourceGauges, StateHealth};
use twdiag::tally::Tally;

use log::{Log, Mix};

/// How far a count may rise over the accepted one, in percent.
const TOLERANCE: u64 = 5;

/// Lines of a log for each of the scans, in bytes: enough to leave the caches of the first and second level.
const SIZE: usize = 2 << 20;

static DETECTOR: LazyLock<Detector> =
    LazyLock::new(|| Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded())));

fn main() -> anyhow::Result<()> {
    let is = |name: &str| std::env::args().any(|argument| argument == name);
    if is("--once") {
        println!("{}", once()?);
        Ok(())
    } else if is("--guard") || is("--accept") {
        guard(is("--accept"))
    } else {
        divan::main();
        Ok(())
    }
}

/// The codes that a scan of the whole text accepts.
fn scan(scanner: &mut Scanner, text: &str) -> u64 {
    let mut accepted = 0;
    scanner.scan(text.as_bytes(), &mut Cursor::default(), End::Input, &mut |decision| {
        accepted += u64::from(matches!(decision, Decision::Accepted(_)));
    });
    accepted
}

/// Lines in which nothing is a code, one in six with a number that might be one.
fn ordinary() -> Log {
    Log::new(SIZE, Mix { hits: 0, decoys: 0 })
}

/// One line in five reports a code.
fn hits() -> Log {
    Log::new(SIZE, Mix { hits: 2000, decoys: 0 })
}

/// Three lines in ten hold catalogued numbers that are no codes.
fn decoys() -> Log {
    Log::new(SIZE, Mix { hits: 0, decoys: 3000 })
}

/// Records of thirty lines, as a container runtime wraps them, with the code on the last but one.
fn joined() -> (String, u64) {
    let mut text = String::new();
    let mut records = 0;
    while text.len() < SIZE {
        let wrap = "2026-03-02T08:01:04.544119149Z stderr F ";
        text.push_str(&format!("{wrap}2026-03-02 08:01:04 ERROR twilio call failed {{\n"));
        for line in 0..28 {
            text.push_str(&format!("{wrap}    at step{line} (/app/dist/calls.js:{line}:17)\n"));
        }
        text.push_str(&format!("{wrap}  code: 20403,\n{wrap}}}\n"));
        records += 1;
    }
    (text, records)
}

/// Records of thousands of lines, a number that the rules look up evidence for on each.
fn long() -> String {
    let record: String = (0..2500).map(|line| format!("  code: 3{line:04},\n")).collect();
    format!("2026-03-02 08:01:04 INFO plan {{\n{record}}}\n").repeat(4)
}

#[inline(never)]
fn measured_scan_ordinary(scanner: &mut Scanner, log: &Log) {
    assert_eq!(scan(scanner, &log.text), 0);
}

#[inline(never)]
fn measured_scan_hits(scanner: &mut Scanner, log: &Log) {
    assert_eq!(scan(scanner, &log.text), log.truth.hits);
}

#[inline(never)]
fn measured_scan_decoys(scanner: &mut Scanner, log: &Log) {
    assert_eq!(scan(scanner, &log.text), 0);
}

#[inline(never)]
fn measured_join_records(scanner: &mut Scanner, (text, records): &(String, u64)) {
    assert_eq!(scan(scanner, text), *records);
}

#[inline(never)]
fn measured_long_records(scanner: &mut Scanner, text: &str) {
    let known = log::codes().into_iter().filter(|code| (30_000..32_500).contains(code)).count() as u64;
    assert_eq!(scan(scanner, text), 4 * known);
}

/// Every number of five digits.
#[inline(never)]
fn measured_catalog_lookup(catalog: &Catalog) {
    let known = (10_000..100_000).filter_map(Code::new).filter(|code| catalog.get(*code).is_some()).count();
    assert_eq!(known, 54);
}

/// Ten sources in whose files every catalogued code was reported.
fn tally() -> Tally {
    let mut tally = Tally::default();
    for source in 0..10 {
        let name: Arc<str> = format!("source-{source}").into();
        for code in log::codes().into_iter().filter_map(Code::new) {
            tally.count(&name, DETECTOR.catalog().category(code), code, Timestamp::UNIX_EPOCH, 100);
        }
    }
    tally
}

fn snapshot() -> Arc<Snapshot> {
    let tally = tally();
    let gauges = tally.sources.keys().map(|name| (Arc::clone(name), SourceGauges::default())).collect();
    let (state, catalog) = (StateHealth::default(), Arc::clone(DETECTOR.catalog()));
    let seen = Arc::new(View::empty(Arc::clone(DETECTOR.findings()), Timestamp::UNIX_EPOCH));
    Arc::new(Snapshot { tally, gauges, state, caught_up: true, catalog, seen, labels: Arc::default() })
}

#[inline(never)]
fn measured_page(snapshot: &Arc<Snapshot>) -> usize {
    let page = metrics::render_counts(Arc::clone(snapshot)).unwrap_or_default();
    assert_eq!(page.lines().filter(|line| line.starts_with("twilio_errors_total{")).count(), 10 * 55);
    page.len()
}

/// The counts of ten sources and the places of a hundred files.
fn state() -> State {
    let files = (0..100).map(|n| Checkpoint {
        source: "source-1".into(),
        path: format!("/var/log/voice/app-{n}.log").into(),
        resolved: format!("/var/log/voice/app-{n}.log").into(),
        identity: Identity::default(),
        size: 1 << 20,
        ..Checkpoint::default()
    });
    State {
        tally: tally(),
        sources: BTreeSet::new(),
        unannounced: BTreeMap::new(),
        files: files.collect(),
        ..State::default()
    }
}

#[inline(never)]
fn measured_commit(store: &mut Store, state: &State) {
    let committed = store.commit(&state.cut());
    assert!(committed.is_ok(), "{committed:?}");
}

fn store(directory: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(Box::new(Directory::open(directory)?), "bench").0)
}

/// From a file to its counts, as `scan` does it, block by block.
#[inline(never)]
fn measured_file_to_counts(scanner: &mut Scanner, path: &Path, hits: u64) {
    let mut tally = Tally::default();
    let source: Arc<str> = "bench".into();
    let text = std::fs::read(path).unwrap_or_default();
    let (mut cursor, mut read) = (Cursor::default(), 0);
    while read < text.len() {
        read = (read + (256 << 10)).min(text.len());
        let end = if read == text.len() { End::Input } else { End::More };
        scanner.scan(&text[cursor.head as usize..read], &mut cursor, end, &mut |decision| {
            if let Decision::Accepted(matched) = decision {
                let category = DETECTOR.catalog().category(matched.code);
                tally.count(&source, category, matched.code, Timestamp::UNIX_EPOCH, 100);
            }
        });
    }
    let counted: u64 =
        tally.sources.values().flat_map(|source| source.errors.values()).map(|errors| errors.total).sum();
    assert_eq!(counted, hits);
    assert!(tally.source(&source).errors.keys().all(|series| series.category != Category::Uncatalogued));
}

#[divan::bench]
fn scan_ordinary(bencher: Bencher<'_, '_>) {
    let (log, mut scanner) = (ordinary(), DETECTOR.scanner(Assume::Nothing));
    bencher.counter(BytesCount::of_str(&log.text)).bench_local(|| measured_scan_ordinary(&mut scanner, &log));
}

#[divan::bench]
fn scan_hits(bencher: Bencher<'_, '_>) {
    let (log, mut scanner) = (hits(), DETECTOR.scanner(Assume::Nothing));
    bencher.counter(BytesCount::of_str(&log.text)).bench_local(|| measured_scan_hits(&mut scanner, &log));
}

#[divan::bench]
fn scan_decoys(bencher: Bencher<'_, '_>) {
    let (log, mut scanner) = (decoys(), DETECTOR.scanner(Assume::Nothing));
    bencher.counter(BytesCount::of_str(&log.text)).bench_local(|| measured_scan_decoys(&mut scanner, &log));
}

#[divan::bench]
fn join_records(bencher: Bencher<'_, '_>) {
    let (input, mut scanner) = (joined(), DETECTOR.scanner(Assume::Nothing));
    bencher.counter(BytesCount::of_str(&input.0)).bench_local(|| measured_join_records(&mut scanner, &input));
}

#[divan::bench]
fn long_records(bencher: Bencher<'_, '_>) {
    let (text, mut scanner) = (long(), DETECTOR.scanner(Assume::Nothing));
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| measured_long_records(&mut scanner, &text));
}

#[divan::bench]
fn catalog_lookup(bencher: Bencher<'_, '_>) {
    let catalog = Catalog::embedded();
    bencher.counter(divan::counter::ItemsCount::new(90_000_u32)).bench_local(|| measured_catalog_lookup(&catalog));
}

#[divan::bench]
fn page(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let bytes = measured_page(&snapshot);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| measured_page(&snapshot));
}

#[divan::bench]
fn commit(bencher: Bencher<'_, '_>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = store(directory.path()).expect("a state directory");
    let state = state();
    bencher.counter(divan::counter::ItemsCount::new(1_u32)).bench_local(|| measured_commit(&mut store, &state));
}

#[divan::bench]
fn file_to_counts(bencher: Bencher<'_, '_>) {
    let mut scanner = DETECTOR.scanner(Assume::Nothing);
    let (file, log) = one_percent().expect("a temporary file");
    bencher
        .counter(BytesCount::of_str(&log.text))
        .bench_local(|| measured_file_to_counts(&mut scanner, file.path(), log.truth.hits));
}

/// One line in a hundred reports a code.
fn one_percent() -> std::io::Result<(tempfile::NamedTempFile, Log)> {
    let log = Log::new(SIZE, Mix { hits: 100, decoys: 0 });
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(log.text.as_bytes())?;
    Ok((file, log))
}

/// Runs every path once warm, for a profiler; the level of the vectors that it ran with.
fn once() -> anyhow::Result<String> {
    let mut scanner = DETECTOR.scanner(Assume::Nothing);
    let (ordinary, hits, decoys, joined) = (ordinary(), hits(), decoys(), joined());
    // The automata are built lazily: what that costs is a start's, not a scan's.
    for text in [&ordinary.text, &hits.text, &decoys.text, &joined.0] {
        scan(&mut scanner, text);
    }
    measured_scan_ordinary(&mut scanner, &ordinary);
    measured_scan_hits(&mut scanner, &hits);
    measured_scan_decoys(&mut scanner, &decoys);
    measured_join_records(&mut scanner, &joined);
    measured_long_records(&mut scanner, &long());
    measured_catalog_lookup(DETECTOR.catalog());
    measured_page(&snapshot());
    let directory = tempfile::tempdir()?;
    measured_commit(&mut store(directory.path())?, &state());
    let (file, log) = one_percent()?;
    measured_file_to_counts(&mut scanner, file.path(), log.truth.hits);
    Ok(format!("{:?}", fearless_simd::Level::new()).split('(').next().unwrap_or_default().to_lowercase())
}

/// Counts instructions and holds them against what was accepted.
fn guard(accepts: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir()?;
    let profile = directory.path().join("callgrind.out");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", profile.display())])
        .arg(std::env::current_exe()?)
        .arg("--once")
        .output()
        .context("valgrind cannot be run; it is Debian's package valgrind")?;
    ensure!(run.status.success(), "under valgrind: {}", String::from_utf8_lossy(&run.stderr));
    let level = String::from_utf8(run.stdout)?.trim().to_owned();
    let table =
        Command::new("callgrind_annotate").args(["--inclusive=yes", "--threshold=100"]).arg(&profile).output()?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in table.lines() {
        let (Some((_, name)), Some(count)) = (line.split_once("hot::measured_"), line.split_whitespace().next()) else {
            continue;
        };
        let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if let Ok(count) = count.replace(',', "").parse::<u64>() {
            let most = counts.entry(name).or_default();
            *most = count.max(*most);
        }
    }
    ensure!(counts.len() == 9, "callgrind_annotate names {counts:?}");
    let rustc = Command::new("rustc").arg("--version").output()?;
    let rustc = String::from_utf8(rustc.stdout)?.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let of = format!("rustc {rustc}, {level}");
    let path = root.join("benches/instructions.toml");
    let mut accepted: BTreeMap<String, BTreeMap<String, u64>> =
        toml::from_str(&std::fs::read_to_string(&path).unwrap_or_default())?;
    println!("instructions with {of}:");
    let known = accepted.get(&of).cloned().unwrap_or_default();
    let mut over = Vec::new();
    for (name, count) in &counts {
        let change = known.get(name).map(|before| (*count as f64 / *before as f64 - 1.0) * 100.0);
        let change = change.map_or("not known yet".to_owned(), |change| format!("{change:+.1} %"));
        println!("  {name:16} {count:>12}  {change}");
        if known.get(name).is_some_and(|before| *count * 100 > before * (100 + TOLERANCE)) {
            over.push(name.as_str());
        }
    }
    if accepts {
        accepted.insert(of, counts);
        std::fs::write(&path, toml::to_string(&accepted)?)?;
        println!("kept in {}", path.display());
        return Ok(());
    }
    let command = "cargo bench --bench hot -- --accept";
    ensure!(
        over.is_empty(),
        "{} over the accepted count by more than {TOLERANCE} %; to accept: {command}",
        over.join(", ")
    );
    if known.is_empty() {
        println!("no counts are kept for this compiler and these vectors; to keep them: {command}");
    }
    Ok(())
}
