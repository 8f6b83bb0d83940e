//! `scan`: one pass over files or standard input, then a summary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::bail;
use jiff::{Timestamp, Zoned};
use memchr::memchr_iter;
use serde_json::{Value, json};

use super::Format;
use crate::catalog::Category;
use crate::detect::{Assume, Cursor, Decision, Detector, End};
use crate::output::{self, MatchLine};
use crate::record::{Code, Sighting};
use crate::tally::{Label, Series};

/// How much is read at once, in bytes.
const READ: usize = 256 << 10;

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
}

/// What one input holds.
#[derive(Default)]
struct Found {
    bytes: u64,
    lines: u64,
    records: u64,
    /// Count, first and last time by code.
    codes: BTreeMap<Code, (u64, Option<Timestamp>, Option<Timestamp>)>,
    /// The matches as lines of output, where the format wants them.
    printed: Vec<u8>,
    error: Option<String>,
}

/// Scans everything and prints the result; exit code 1 where nothing was found, 2 where something was unreadable.
///
/// # Errors
/// Those of standard output, and no input at all.
pub fn run(arguments: &Arguments, detector: &Detector) -> anyhow::Result<ExitCode> {
    let mut unreadable = Vec::new();
    let mut inputs = Vec::new();
    for path in &arguments.paths {
        expand(path, arguments.recursive, &mut inputs, &mut unreadable);
    }
    if arguments.paths.is_empty() {
        if io::stdin().is_terminal() {
            bail!("give a PATH to scan, or pipe a log in");
        }
        inputs.push(PathBuf::from("-"));
    }
    let found = scan_all(&inputs, arguments.format, detector);
    let mut total = Found::default();
    let mut out = io::stdout().lock();
    if arguments.format == Format::Csv {
        writeln!(out, "time,path,line,code,category,name,text")?;
    }
    for mut one in found {
        unreadable.extend(one.error.take());
        total.bytes += one.bytes;
        total.lines += one.lines;
        total.records += one.records;
        for (code, (count, first, last)) in one.codes {
            let sum = total.codes.entry(code).or_insert((0, None, None));
            sum.0 += count;
            sum.1 = sum.1.into_iter().chain(first).min();
            sum.2 = sum.2.max(last);
        }
        out.write_all(&one.printed)?;
    }
    match arguments.format {
        Format::Ndjson | Format::Csv => {}
        Format::Json => writeln!(out, "{}", summary(&total, inputs.len(), detector))?,
        Format::Table => {
            let catalog = detector.catalog();
            let series = |code| Series { category: catalog.category(code), code: Label::Code(code) };
            let counts: Vec<_> = total.codes.iter().map(|(code, (count, ..))| (series(*code), *count)).collect();
            write!(out, "{}", output::table(&counts, catalog))?;
            writeln!(anstream::stderr(), "{} files, {} lines, {} bytes", inputs.len(), total.lines, total.bytes)?;
        }
    }
    out.flush()?;
    for message in &unreadable {
        writeln!(anstream::stderr(), "twdiag: {message}")?;
    }
    Ok(if !unreadable.is_empty() {
        ExitCode::from(2)
    } else if total.codes.is_empty() {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// The files that an argument stands for.
fn expand(path: &str, recursive: bool, inputs: &mut Vec<PathBuf>, unreadable: &mut Vec<String>) {
    let literal = Path::new(path);
    if path == "-" || literal.is_file() {
        inputs.push(literal.to_owned());
    } else if literal.is_dir() {
        directory(literal, recursive, inputs, unreadable);
    } else if literal.exists() {
        inputs.push(literal.to_owned());
    } else {
        let before = inputs.len();
        match glob::glob(path) {
            Ok(paths) => inputs.extend(paths.flatten().filter(|path| path.is_file())),
            Err(error) => return unreadable.push(format!("{path}: {error}; a glob has *, ?, [ab] and **")),
        }
        if inputs.len() == before {
            unreadable.push(format!("{path}: no such file, and no file matches it as a glob"));
        }
    }
}

/// The files of a directory that are not hidden, by name.
fn directory(path: &Path, recursive: bool, inputs: &mut Vec<PathBuf>, unreadable: &mut Vec<String>) {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return unreadable.push(format!("{}: {error}", path.display())),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    for path in paths {
        if path.is_file() {
            inputs.push(path);
        } else if recursive && path.is_dir() {
            directory(&path, recursive, inputs, unreadable);
        }
    }
}

/// Scans the inputs over the machine's cores; what was found stands in their order.
fn scan_all(inputs: &[PathBuf], format: Format, detector: &Detector) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Found>> = inputs.iter().map(|_| Mutex::new(Found::default())).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(inputs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(path) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let index = inputs.iter().position(|input| std::ptr::eq(input, path)).unwrap_or_default();
                    let mut found = Found::default();
                    if let Err(error) = open(path).and_then(|input| scan(input, path, format, detector, &mut found)) {
                        found.error = Some(format!("{}: {error}", path.display()));
                    }
                    if let Ok(mut slot) = results[index].lock() {
                        *slot = found;
                    }
                }
            });
        }
    });
    results.into_iter().filter_map(|slot| slot.into_inner().ok()).collect()
}

/// Opens an input, unpacked if its content is gzip or zstd.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut input: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut magic = Vec::new();
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let whole = io::Cursor::new(magic.clone()).chain(input);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

fn scan(
    mut input: Box<dyn Read>,
    path: &Path,
    format: Format,
    detector: &Detector,
    found: &mut Found,
) -> io::Result<()> {
    let mut scanner = detector.scanner(Assume::Nothing);
    let name = path.display().to_string();
    let source = if name == "-" { "stdin" } else { &name };
    let (now, seen) = (Zoned::now(), Timestamp::now());
    let mut cursor = Cursor::default();
    let mut block: Vec<u8> = Vec::new();
    // Lines before the byte at `counted.0` of the block.
    let mut counted = (0usize, 0u64);
    loop {
        let held = block.len();
        block.resize(held + READ, 0);
        let read = loop {
            match input.read(&mut block[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let failed = read.as_ref().err().map(ToString::to_string);
        let read = read.unwrap_or(0);
        block.truncate(held + read);
        found.bytes += read as u64;
        let end = if read == 0 { End::Input } else { End::More };
        let base = cursor.head;
        let mut last_record = None;
        let scanned = scanner.scan(&block, &mut cursor, end, &mut |decision| {
            let Decision::Accepted(matched) = decision else { return };
            let head = matched.head.as_ptr();
            found.records += u64::from(last_record.replace(head) != Some(head));
            let time = matched.time(&now).map(|time| time.at);
            let sum = found.codes.entry(matched.code).or_insert((0, None, None));
            sum.0 += 1;
            sum.1 = sum.1.into_iter().chain(time).min();
            sum.2 = sum.2.max(time);
            if matched.line_start >= counted.0 {
                counted.1 += memchr_iter(b'\n', &block[counted.0..matched.line_start]).count() as u64;
            } else {
                counted.1 -= memchr_iter(b'\n', &block[matched.line_start..counted.0]).count() as u64;
            }
            counted.0 = matched.line_start;
            let line = Some(counted.1 + 1);
            let sighting = Sighting { source, path: &name, line, seen, matched: &matched };
            let line = MatchLine::new(&sighting, detector.catalog(), detector.rules(), &now);
            match format {
                Format::Ndjson => {
                    // A vector takes everything.
                    serde_json::to_writer(&mut found.printed, &line).expect("a match is plain data");
                    found.printed.push(b'\n');
                }
                Format::Csv => line.write_csv(&mut found.printed),
                Format::Table | Format::Json => {}
            }
        });
        found.lines += scanned.lines;
        if let Some(error) = failed {
            return Err(io::Error::other(error));
        }
        if read == 0 {
            return Ok(());
        }
        let keep = (cursor.head - base) as usize;
        if keep >= counted.0 {
            counted.1 += memchr_iter(b'\n', &block[counted.0..keep]).count() as u64;
        } else {
            counted.1 -= memchr_iter(b'\n', &block[keep..counted.0]).count() as u64;
        }
        counted.0 = 0;
        block.drain(..keep);
    }
}

fn summary(total: &Found, files: usize, detector: &Detector) -> Value {
    let catalog = detector.catalog();
    let mut categories = serde_json::Map::new();
    for category in Category::ALL {
        let codes = total.codes.iter().filter(|(code, _)| catalog.category(**code) == category);
        categories.insert(category.to_string(), codes.map(|(_, (count, ..))| count).sum::<u64>().into());
    }
    let codes: Vec<Value> = total
        .codes
        .iter()
        .map(|(code, (count, first, last))| {
            let name = catalog.get(*code).map_or("", |entry| &entry.name);
            json!({"code": code, "count": count, "category": catalog.category(*code), "name": name, "first": first, "last": last})
        })
        .collect();
    json!({"files": files, "bytes": total.bytes, "lines": total.lines, "records_matched": total.records, "codes": codes, "categories": categories})
}
