//! `scan`: one pass over files or standard input, then a summary.

mod block;
mod fail_on;
mod inputs;
mod parts;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::Format;
use crate::catalog::{Catalog, Category};
use crate::config::{Number, Size};
use crate::detect::{Assume, Cursor, Decision, Detector, Encoding, End, LINE_LIMIT, Reading, Scanner};
use crate::diagnose::{Report, Timeline, View};
use crate::input;
use crate::metrics;
use crate::output::{self, MatchLine, Ordered, Row, escape};
use crate::record::{Code, Match, Sighting};
use crate::report;
use crate::tail::{Snapshot, SourceGauges, StateHealth};
use crate::tally::{Errors, Label, Series, Tally};

use block::Block;
use fail_on::Gate;
use inputs::{Input, Inputs};
use parts::Part;
use told::Told;

/// Distinct uncatalogued codes that get series of their own on a page.
const UNCATALOGUED: usize = 100;

/// What to scan.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files, directories (their files) and globs; `-` for standard input
    #[arg(value_name = "PATH|GLOB|-")]
    paths: Vec<String>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Scan the directories in directories too
    #[arg(long)]
    recursive: bool,
    /// What generic codes are
    #[arg(long, value_enum, default_value_t = Assume::Nothing)]
    assume: Assume,
    /// How bytes become text
    #[arg(long, value_enum, default_value_t = Encoding::Auto)]
    encoding: Encoding,
    /// How long a line is judged as a whole, 16KiB to 16MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = Size::of_line)]
    line_limit: Option<Size>,
    /// Do not count and print this code (repeatable)
    #[arg(long, value_name = "CODE")]
    ignore: Vec<Number>,
    /// Leave out what this glob matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<glob::Pattern>,
    /// How many files to read at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Write the counts as a page for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    /// Print records as they are, with secrets, numbers and addresses
    #[arg(long)]
    no_redact: bool,
    /// Print what the errors mean together as objects of their own; every object then has a "type" [with ndjson]
    #[arg(long)]
    findings: bool,
    /// Write one HTML page to look at or to mail: timeline, codes, findings, calls, files
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// End with 3 where one of these was found: categories or codes, with `:N` at least so often
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fail_on: Vec<Gate>,
}

/// What was found, of one input or of many.
#[derive(Default)]
struct Found {
    bytes: u64,
    lines: u64,
    truncated_lines: u64,
    records: u64,
    codes: BTreeMap<Code, Count>,
    /// By index of the rule.
    rejected: BTreeMap<Option<usize>, u64>,
}

/// How often a code was found, and when.
#[derive(Clone, Copy, Default)]
struct Count {
    total: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.total += other.total;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
    }
}

impl Found {
    fn add(&mut self, other: &Found) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.truncated_lines += other.truncated_lines;
        self.records += other.records;
        for (code, count) in &other.codes {
            self.codes.entry(*code).or_default().add(*count);
        }
        for (rule, count) in &other.rejected {
            *self.rejected.entry(*rule).or_default() += count;
        }
    }

    fn rows(&self, catalog: &Catalog) -> Vec<Row> {
        let row = |(code, count): (&Code, &Count)| {
            let series = Series { category: catalog.category(*code), code: Label::Code(*code) };
            Row { series, count: count.total, first: count.first, last: count.last }
        };
        self.codes.iter().map(row).collect()
    }
}

/// What all inputs together hold.
#[derive(Default)]
struct Sum {
    /// By source.
    sources: BTreeMap<Arc<str>, Found>,
    /// By their own time, where it is to be told what they mean.
    seen: Option<Timeline>,
    /// Bytes and lines read, by place among the inputs.
    read: BTreeMap<usize, (u64, u64)>,
    /// What could not be read to its end, by its place among the inputs.
    errors: BTreeMap<usize, String>,
}

impl Sum {
    fn merge(&mut self, other: Sum) {
        for (source, found) in other.sources {
            self.sources.entry(source).or_default().add(&found);
        }
        self.seen = match (self.seen.take(), other.seen) {
            (Some(mut sum), Some(seen)) => {
                sum.merge(seen);
                Some(sum)
            }
            (sum, seen) => sum.or(seen),
        };
        for (place, (bytes, lines)) in other.read {
            let read = self.read.entry(place).or_default();
            *read = (read.0 + bytes, read.1 + lines);
        }
        self.errors.extend(other.errors);
    }
}

/// Scans everything and prints the result; exit code 1 where nothing was found, 2 where something was unreadable, 3
/// where something was found that must not be. Where that is asked for, finding nothing is success.
///
/// # Errors
/// Those of standard output and of the text file, and no input at all.
pub fn run(arguments: &Arguments, detector: &Detector) -> anyhow::Result<ExitCode> {
    let mut inputs = Inputs::default();
    for path in &arguments.paths {
        inputs.add(path, arguments.recursive);
    }
    if arguments.paths.is_empty() {
        if io::stdin().is_terminal() {
            bail!("give a PATH to scan, or pipe a log in");
        }
        inputs.add(input::STDIN, false);
    }
    let Inputs { found: mut inputs, mut unusable } = inputs;
    inputs.retain(|input| !arguments.exclude.iter().any(|glob| input.is_matched(glob)));
    let lines = matches!(arguments.format, Format::Ndjson | Format::Csv);
    if !lines {
        // The largest first, so that no core is left alone with it. Lines come in the order of the inputs.
        inputs.sort_by_key(|input| std::cmp::Reverse(input.size));
    }
    let progress = progress(&inputs, lines);
    let mut out = io::stdout();
    if arguments.format == Format::Csv {
        out.write_all(output::CSV_HEADER.as_bytes())?;
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or_else(cores, usize::from);
    // Lines come in the order of their files and with their numbers: whoever prints them reads each file in one go.
    let reading = Reading {
        assume: arguments.assume,
        encoding: arguments.encoding,
        line_limit: arguments.line_limit.map_or(LINE_LIMIT, |limit| limit.0),
    };
    let parts = parts::of(&inputs, reading, threads > 1 && !lines);
    let pass = Pass {
        detector,
        reading,
        ignored: &arguments.ignore.iter().map(|number| number.0).collect(),
        format: arguments.format,
        redacted: !arguments.no_redact,
        typed: arguments.findings,
        diagnosed: arguments.findings || !lines || arguments.report.is_some(),
        now: Zoned::now(),
        progress: &progress,
        inputs: &inputs,
        parts: &parts,
    };
    let sum = pass.run(threads, out);
    progress.finish_and_clear();
    let sum = sum?;

    let mut total = Found::default();
    sum.sources.values().for_each(|found| total.add(found));
    let catalog = detector.catalog();
    let told = sum.seen.as_ref().map(|seen| Told::of(seen, sum.sources.len()));
    let mut out = anstream::stdout().lock();
    match (arguments.format, &told) {
        (Format::Ndjson, Some(told)) if arguments.findings => {
            let mut lines = Vec::new();
            told.findings.iter().for_each(|finding| output::finding_line(finding, &mut lines));
            out.write_all(&lines)?;
        }
        (Format::Ndjson | Format::Csv, _) => {}
        (Format::Json, told) => {
            let mut line = Vec::new();
            output::json_line(&summary(&total, inputs.len(), told.as_ref(), catalog), &mut line);
            out.write_all(&line)?;
        }
        (Format::Table, told) => {
            write!(out, "{}", output::table(&total.rows(catalog), catalog))?;
            if let Some(told) = told {
                write!(out, "{}", told.summary())?;
            }
            writeln!(anstream::stderr(), "{}", figures(&total, inputs.len()))?;
        }
    }
    out.flush()?;
    if let (Some(path), Some(told)) = (&arguments.report, &told) {
        let page = report::render(&report::Scan {
            at: pass.now.timestamp(),
            files: &files(&inputs, &sum),
            read: [total.bytes, total.lines, total.records],
            rows: &total.rows(catalog),
            calls: &told.calls,
            findings: &told.findings,
            timeline: told.timeline.as_ref(),
            undated: told.undated,
            catalog,
        });
        replace(path, &page).with_context(|| format!("cannot write {}", output::shown(path)))?;
    }
    if let Some(path) = &arguments.textfile {
        let page = metrics::render_counts(Arc::new(snapshot(&sum, detector, pass.now.timestamp())))?;
        replace(path, &page).with_context(|| format!("cannot write {}", output::shown(path)))?;
    }
    unusable.extend(sum.errors.into_values());
    for message in &unusable {
        writeln!(anstream::stderr(), "twdiag: {}", escape(message))?;
    }
    let failing = arguments
        .fail_on
        .iter()
        .any(|gate| gate.fails(total.codes.iter().map(|(code, count)| (*code, catalog.category(*code), count.total))));
    Ok(if !unusable.is_empty() {
        ExitCode::from(2)
    } else if failing {
        ExitCode::from(3)
    } else if total.codes.is_empty() && arguments.fail_on.is_empty() {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// One run over all inputs: what its threads share.
struct Pass<'a> {
    detector: &'a Detector,
    reading: Reading,
    /// Codes that count for nothing.
    ignored: &'a BTreeSet<Code>,
    format: Format,
    redacted: bool,
    /// Whether matches stand among other objects.
    typed: bool,
    /// Whether it is to be told what the matches mean together.
    diagnosed: bool,
    now: Zoned,
    progress: &'a ProgressBar,
    inputs: &'a [Input],
    parts: &'a [Part],
}

/// What a thread keeps from one input to the next.
struct Reader {
    scanner: Scanner,
    block: Block,
}

impl Pass<'_> {
    /// Scans the parts; matches go to `out` in the parts' order, where the format wants them.
    fn run(&self, threads: usize, out: impl Write + Send) -> io::Result<Sum> {
        let ordered = Ordered::new(out);
        let next = AtomicUsize::new(0);
        let total = Mutex::new(Sum::default());
        let may_run_ahead = threads > self.parts.len();
        std::thread::scope(|scope| {
            for _ in 0..threads.min(self.parts.len()) {
                scope.spawn(|| {
                    let scanner = self.detector.scanner_for(self.reading);
                    let mut reader = Reader { scanner, block: Block::new() };
                    let seen = self.diagnosed.then(|| Timeline::new(Arc::clone(self.detector.findings())));
                    let mut sum = Sum { seen, ..Sum::default() };
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(part) = self.parts.get(index) else { break };
                        let input = &self.inputs[part.input];
                        let mut printed = Vec::new();
                        let found = sum.sources.entry(Arc::clone(&input.source)).or_default();
                        let before = (found.bytes, found.lines);
                        let result = part.open(input, self.progress, may_run_ahead).and_then(|opened| {
                            let found = (found, &mut sum.seen);
                            self.scan(opened, (input, part), &mut reader, found, &mut printed, |printed| {
                                ordered.offer(index, printed)
                            })
                        });
                        let after = sum.sources.entry(Arc::clone(&input.source)).or_default();
                        let read = sum.read.entry(input.place).or_default();
                        *read = (read.0 + after.bytes - before.0, read.1 + after.lines - before.1);
                        if let Err(error) = result {
                            sum.errors.insert(input.place, format!("{}: {error}", input.path.display()));
                        }
                        if !ordered.finish(index, printed) {
                            break;
                        }
                    }
                    total.lock().unwrap_or_else(PoisonError::into_inner).merge(sum);
                });
            }
        });
        ordered.into_inner()?;
        Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Scans one part to its end. What was read before an error counts.
    fn scan(
        &self,
        mut opened: Box<dyn Read>,
        (input, part): (&Input, &Part),
        reader: &mut Reader,
        (found, seen): (&mut Found, &mut Option<Timeline>),
        printed: &mut Vec<u8>,
        mut offer: impl FnMut(&mut Vec<u8>) -> bool,
    ) -> io::Result<()> {
        let Reader { scanner, block } = reader;
        let path = input.path.to_string_lossy();
        let mut cursor = Cursor { head: part.start, offset: part.start, ..Cursor::default() };
        block.clear();
        let mut place = Place::default();
        let mut encoding = self.reading.encoding;
        // The heads of records that were counted and may still report further codes.
        let mut heads = BTreeSet::new();
        loop {
            let read = block.fill(&mut opened);
            let size = *read.as_ref().unwrap_or(&0);
            found.bytes += size as u64;
            let end = if size == 0 { End::Input } else { End::More };
            let (base, held) = (cursor.head, block.held());
            if base == 0 {
                encoding = encoding.of(held);
            }
            let scanned = scanner.scan_as(encoding, held, &mut cursor, end, &mut |decision| match decision {
                Decision::Rejected(rule) => *found.rejected.entry(rule).or_default() += 1,
                Decision::Accepted(matched) if self.ignored.contains(&matched.code) => {}
                Decision::Accepted(matched) => {
                    found.records += u64::from(heads.insert(matched.record));
                    let time = matched.time(&self.now).map(|time| time.at);
                    found.codes.entry(matched.code).or_default().add(Count { total: 1, first: time, last: time });
                    if let Some(seen) = seen {
                        self.observe(seen, &matched, time, input, &path);
                    }
                    let line = place.line(encoding, held, matched.line_start);
                    self.print(&matched, input, &path, line, printed);
                }
            });
            found.lines += scanned.lines;
            found.truncated_lines += scanned.truncated_lines;
            heads = heads.split_off(&cursor.open.first().map_or(cursor.head, |open| open.head.min(cursor.head)));
            if !printed.is_empty() && !offer(printed) {
                return Ok(());
            }
            if size == 0 {
                return read.map(drop);
            }
            let done = (cursor.head - base) as usize;
            place.forget(encoding, block.held(), done);
            block.forget(done);
        }
    }

    fn observe(&self, seen: &mut Timeline, matched: &Match<'_>, time: Option<Timestamp>, input: &Input, path: &str) {
        let category = self.detector.catalog().category(matched.code);
        let Some(at) = time else { return seen.observe_undated(category, matched.call_sid()) };
        seen.observe(&Report {
            at,
            code: matched.code,
            category,
            source: &input.source,
            path,
            place: (input.place, matched.offset),
            call: matched.call_sid(),
            text: matched.text,
        });
    }

    fn print(&self, matched: &Match<'_>, input: &Input, path: &str, line: u64, printed: &mut Vec<u8>) {
        if !matches!(self.format, Format::Ndjson | Format::Csv) {
            return;
        }
        let seen = self.now.timestamp();
        let sighting = Sighting { source: &input.source, path, line: Some(line), seen, matched };
        let line = MatchLine::new(&sighting, self.detector.catalog(), self.detector.rules(), &self.now);
        let line = if self.redacted { line } else { line.unredacted(&sighting) };
        let line = if self.typed { line.typed() } else { line };
        if self.format == Format::Csv { line.write_csv(printed) } else { line.write_json(printed) }
    }
}

/// A place in the block and the number of lines before it, moved to each match in turn.
#[derive(Default)]
struct Place {
    at: usize,
    lines_before: u64,
}

impl Place {
    /// The number, from 1, of the line that begins at `start`.
    fn line(&mut self, encoding: Encoding, block: &[u8], start: usize) -> u64 {
        let newlines = |bytes| encoding.newlines(bytes);
        if start >= self.at {
            self.lines_before += newlines(&block[self.at..start]);
        } else {
            self.lines_before -= newlines(&block[start..self.at]);
        }
        self.at = start;
        self.lines_before + 1
    }

    /// Goes on in a block that lacks the first `done` bytes.
    fn forget(&mut self, encoding: Encoding, block: &[u8], done: usize) {
        self.line(encoding, block, done);
        self.at = 0;
    }
}

/// A bar on a terminal that matches do not run through; hidden otherwise.
fn progress(inputs: &[Input], lines: bool) -> ProgressBar {
    let clash = lines && io::stdout().is_terminal();
    let unknown = inputs.iter().any(|input| input.path == Path::new(input::STDIN));
    if clash || unknown || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let size = inputs.iter().map(|input| input.size).sum();
    ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr()).with_style(style)
}

/// What was read, in the order in which it was named.
fn files(inputs: &[Input], sum: &Sum) -> Vec<report::File> {
    let mut inputs: Vec<&Input> = inputs.iter().collect();
    inputs.sort_by_key(|input| input.place);
    let file = |input: &Input| {
        let (bytes, lines) = sum.read.get(&input.place).copied().unwrap_or_default();
        let error = sum.errors.get(&input.place).cloned();
        report::File { path: input.path.display().to_string(), bytes, lines, error }
    };
    inputs.into_iter().map(file).collect()
}

fn figures(total: &Found, files: usize) -> String {
    let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}, {}", plural(files as u64, "file"), plural(total.lines, "line"), plural(total.bytes, "byte"))
}

fn summary(total: &Found, files: usize, told: Option<&Told>, catalog: &Catalog) -> Value {
    let rows = total.rows(catalog);
    let sum = |category| rows.iter().filter(|row| row.series.category == category).map(|row| row.count).sum::<u64>();
    let categories: serde_json::Map<String, Value> =
        Category::ALL.into_iter().map(|category| (category.to_string(), sum(category).into())).collect();
    let codes: Vec<Value> = total
        .codes
        .iter()
        .map(|(code, count)| {
            let name = catalog.get(*code).map_or("", |entry| &entry.name);
            json!({
                "code": code, "count": count.total, "category": catalog.category(*code), "name": name,
                "first": count.first, "last": count.last,
            })
        })
        .collect();
    json!({
        "files": files, "bytes": total.bytes, "lines": total.lines, "records_matched": total.records,
        "codes": codes, "categories": categories,
        "calls": told.map(|told| &told.calls), "findings": told.map(|told| &told.findings),
        "timeline": told.map(|told| &told.timeline), "undated": told.map(|told| told.undated),
    })
}

/// The counts as the page shows them. Of many uncatalogued codes, the lowest have series of their own.
fn snapshot(sum: &Sum, detector: &Detector, now: Timestamp) -> Snapshot {
    let catalog = Arc::clone(detector.catalog());
    let mut tally = Tally::default();
    for (source, found) in &sum.sources {
        for (code, count) in &found.codes {
            let category = catalog.category(*code);
            if category == Category::Uncatalogued && tally.uncatalogued.len() < UNCATALOGUED {
                tally.uncatalogued.insert(*code);
            }
            let bounded = category == Category::Uncatalogued && !tally.uncatalogued.contains(code);
            let code = if bounded { Label::Other } else { Label::Code(*code) };
            let errors: &mut Errors = tally.source(source).errors.entry(Series { category, code }).or_default();
            errors.total += count.total;
            errors.last_seen = errors.last_seen.max(Some(count.last.map_or(now, |last| last.min(now))));
        }
        for (rule, count) in &found.rejected {
            let rule = rule.map_or("none", |rule| &detector.rules().all()[rule].id);
            *tally.rejected.entry(rule.into()).or_default() += count;
        }
        let of_source = tally.source(source);
        of_source.read_bytes = found.bytes;
        of_source.read_lines = found.lines;
        of_source.truncated_lines = found.truncated_lines;
    }
    let gauges = sum.sources.keys().map(|source| (Arc::clone(source), SourceGauges::default())).collect();
    // A page that is written once knows no present: what it means together is told by the report.
    let seen = Arc::new(View::empty(Arc::clone(detector.findings()), now));
    Snapshot { tally, gauges, state: StateHealth::default(), caught_up: true, catalog, seen, labels: Arc::default() }
}

/// Replaces a file at once: a collector never sees half a page.
fn replace(path: &Path, page: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = std::fs::write(&temporary, page).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() && temporary.exists() {
        std::fs::remove_file(&temporary)?;
    }
    written
}
