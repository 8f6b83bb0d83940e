//! Fills `docs/performance.md`: twdiag beside the tools that do a part of its work, on one generated log, and the daemon
//! by itself; each figure beside its target.
//!
//! `cargo bench --bench compare` measures and writes the page; `-- --short` takes a few minutes and prints only. It
//! installs nothing and names what is missing. Every tool reads the same file, whose exact truth is known, and a
//! count that differs is shown beside the tool's figure. Every ratio is of pairs run in turn, so that it holds
//! where the machine's speed drifts.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../log/mod.rs"]
mod log;
mod input;
mod measure;
mod targets;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use log::{Log, Mix, Truth};
use measure::{Figure, Tool, available, paired};
use targets::Targets;

/// How large a unit of a log is, in bytes: past every cache, so that repeating it helps nobody.
const UNIT: usize = 32 << 20;

/// Counted runs of each command, after one that is not.
const RUNS: usize = 5;

const MIB: u64 = 1 << 20;

struct Sizes {
    main: u64,
    mixes: u64,
    growth: Vec<u64>,
    files: Vec<u64>,
}

struct Bench {
    directory: PathBuf,
    twdiag: PathBuf,
    page: String,
    targets: Targets,
    is_short: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let is = |name: &str| arguments.iter().any(|argument| argument == name);
    let sizes = if is("--short") {
        Sizes { main: 128 * MIB, mixes: 64 * MIB, growth: vec![32, 64, 128], files: vec![1, 100] }
    } else {
        Sizes { main: 1024 * MIB, mixes: 256 * MIB, growth: vec![64, 256, 1024, 4096], files: vec![1, 100, 10_000] }
    };
    println!("building twdiag as it is released");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "--locked", "--quiet"]).status()?;
    ensure!(built.success(), "cargo build --release failed");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join("target/compare");
    std::fs::create_dir_all(&directory)?;
    let mut bench = Bench {
        directory,
        twdiag: root.join("target/release/twdiag"),
        page: String::new(),
        targets: Targets::default(),
        is_short: is("--short"),
    };
    let result = bench.all(&sizes);
    std::fs::remove_dir_all(&bench.directory)?;
    result?;
    let page = format!("{}\n{}", bench.targets.table(), bench.page);
    if is("--short") {
        println!("\n{page}");
    } else {
        let path = root.join("docs/performance.md");
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let rest = kept.split_once(BEGIN).map_or(kept.as_str(), |(before, _)| before);
        std::fs::write(&path, format!("{}\n\n{BEGIN}\n\n{page}", rest.trim_end()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// What stands above this line in the page is written by hand.
const BEGIN: &str = "<!-- what follows is written by `cargo bench --bench compare` -->";

impl Bench {
    fn all(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        self.machine()?;
        self.tools(sizes)?;
        self.mixes(sizes)?;
        self.compressed(sizes)?;
        self.growth(sizes)?;
        self.daemon()
    }

    /// Says it at once, and keeps it for the page.
    fn say(&mut self, line: &str) {
        println!("{line}");
        self.page.push_str(line);
        self.page.push('\n');
    }

    fn machine(&mut self) -> anyhow::Result<()> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .unwrap_or("")
            .trim_start_matches([' ', '\t', ':']);
        let level = fearless_simd::Level::new();
        let level = format!("{level:?}");
        let level = level.split('(').next().unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let line = format!("Measured on {model}, {cores} cores, vectors {level}, Linux {}.", kernel.trim());
        self.say(&line);
        let mut versions = vec![measure::version(&self.twdiag.to_string_lossy())];
        for tool in ["rg", "grep", "wc", "mtail", "fluent-bit", "vector", "zstd", "gzip"] {
            versions.push(if available(tool) { measure::version(tool) } else { format!("{tool} is missing") });
        }
        self.say(&format!("Versions: {}.", versions.join("; ")));
        self.say("Medians; a ratio is the median of the ratios of pairs, run in turn. Files are in the page cache.");
        Ok(())
    }

    fn file(&self, name: &str, log: &Log, size: u64) -> anyhow::Result<(PathBuf, Truth)> {
        let path = self.directory.join(name);
        let truth = input::write(&path, log, size)?;
        Ok((path, truth))
    }

    fn twdiag(&self, threads: &str, path: &Path, more: &[&str]) -> Tool {
        let mut tool = Tool::new(&self.twdiag.to_string_lossy())
            .args(["scan", "--format", "json", "--threads", threads])
            .args(more.iter().copied());
        tool = tool.args([path.to_string_lossy().as_ref()]);
        tool
    }

    /// Runs once and holds what twdiag counts against the truth.
    fn check(&self, tool: &Tool, truth: &Truth) -> anyhow::Result<()> {
        let found: serde_json::Value = serde_json::from_str(&tool.output()?)?;
        let codes: BTreeMap<u32, u64> = found["codes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|code| Some((code["code"].as_u64()? as u32, code["count"].as_u64()?)))
            .collect();
        ensure!(codes == truth.codes, "twdiag counts {codes:?}, the log holds {:?}", truth.codes);
        ensure!(found["lines"] == truth.lines && found["bytes"] == truth.bytes, "{found}: not {truth:?}");
        Ok(())
    }

    fn tools(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        let log = Log::new(UNIT, Mix { hits: 100, decoys: 0 });
        let (path, truth) = self.file("one-percent.log", &log, sizes.main)?;
        let codes = self.directory.join("codes");
        std::fs::write(&codes, log::codes().iter().map(|code| format!("{code}\n")).collect::<String>())?;
        let codes = codes.to_string_lossy().into_owned();
        let log_path = path.to_string_lossy().into_owned();
        let one = self.twdiag("1", &path, &[]);
        let two = self.twdiag("2", &path, &[]);
        self.check(&one, &truth)?;
        self.check(&two, &truth)?;
        let mib = truth.bytes / MIB;
        self.say(&format!("\n## One log, every tool\n\n{mib} MiB of plain log, {} lines, {} of them reporting a code. `twdiag` finds, judges, dates and counts; the others count lines or words.\n", truth.lines, truth.hits));
        self.say("| command | GB/s | peak MiB | twdiag with one thread is | counts |\n|---|---|---|---|---|");
        let gb = |figure: &Figure| format!("{:.2}", truth.bytes as f64 / figure.wall / 1e9);
        let dictionary = self.directory.join("dictionary.json");
        std::fs::write(&dictionary, input::dictionary(1950))?;
        let large = self.twdiag("1", &path, &["--catalog", &dictionary.to_string_lossy()]);
        self.check(&large, &truth)?;
        let rg = Tool::new("rg").args(["-c", "-w", "--threads", "1", "-f", &codes, &log_path]);
        let (first, _) = measure::alone(&one, RUNS)?;
        self.say(&format!("| twdiag, one thread | {} | {:.0} | | exact |", gb(&first), first.peak_mib));
        self.targets.at_most("memory of a scan, MiB", 64.0, first.peak_mib);
        let ours = [("twdiag, two threads", &two), ("twdiag, 1,950 codes, one thread", &large)];
        for (name, tool) in ours {
            let (ratio, figure) = paired(&one, tool, RUNS)?;
            let peak = figure.peak_mib;
            self.say(&format!("| {name} | {} | {peak:.0} | {} | exact |", gb(&figure), times(ratio)));
        }
        self.targets.at_most("scan with 1,950 codes, of the time with 54", 1.1, paired(&large, &one, RUNS)?.0);
        let others = [
            ("`rg -c -w -f codes`, one thread", rg.clone(), RUNS),
            ("`grep -c -w -F -f codes`", Tool::new("grep").args(["-c", "-w", "-F", "-f", &codes, &log_path]), RUNS),
            ("`wc -l`", Tool::new("wc").args(["-l", &log_path]), RUNS),
            // These take a minute for a gigabyte.
            ("mtail, the codes alone", self.mtail(&path)?, 3),
            ("fluent-bit, the codes alone", self.fluent_bit(&path)?, 3),
            ("vector, the codes alone", self.vector(&path)?, 3),
        ];
        for (name, tool, runs) in others {
            if !available(&tool.program) {
                self.say(&format!("| {name} | missing | | | |"));
                if runs < RUNS {
                    self.targets.missing(&format!("times as fast as {}", tool.program), "at least 100", &tool.program);
                }
                continue;
            }
            let counted = match tool.program.as_str() {
                "rg" => {
                    let lines: u64 = tool.output()?.trim().parse().context("rg -c prints a number")?;
                    if lines == truth.word_lines { "as expected".to_owned() } else { format!("{lines} lines") }
                }
                _ => String::new(),
            };
            let (ratio, figure) = paired(&one, &tool, runs)?;
            let peak = figure.peak_mib;
            self.say(&format!("| {name} | {} | {peak:.0} | {} | {counted} |", gb(&figure), times(ratio)));
            if runs < RUNS {
                // They run on every core, and so does twdiag where nobody says how many threads.
                let ratio = paired(&two, &tool, runs)?.0;
                self.targets.at_least(&format!("times as fast as {}", tool.program), 100.0, 1.0 / ratio);
            }
        }
        if available("rg") {
            self.targets.at_least("scan with one thread, times as fast as rg", 1.0, 1.0 / paired(&one, &rg, RUNS)?.0);
            self.targets.at_least("scan with two threads, times as fast as rg", 1.6, 1.0 / paired(&two, &rg, RUNS)?.0);
        } else {
            self.targets.missing("scan with one thread, times as fast as rg", "at least 1", "rg");
            self.targets.missing("scan with two threads, times as fast as rg", "at least 1.6", "rg");
        }
        self.counted(sizes)
    }

    /// What a tool counts that looks for the codes alone.
    fn counted(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        let log = Log::new(8 << 20, Mix { hits: 100, decoys: 200 });
        let (path, truth) = self.file("small.log", &log, sizes.mixes / 8)?;
        self.check(&self.twdiag("1", &path, &[]), &truth)?;
        let mtail = self.mtail(&path)?;
        if available(&mtail.program) {
            let found: u64 = mtail
                .output()?
                .lines()
                .filter_map(|line| line.trim().strip_prefix("\"Value\": "))
                .filter_map(|value| value.trim_end_matches(',').parse::<u64>().ok())
                .sum();
            let percent = 100.0 * found as f64 / truth.hits as f64;
            self.say(&format!(
                "\nOn a log with 1 % hits and 2 % decoy lines, mtail counts {percent:.0} for 100 true ones, and twdiag 100."
            ));
        }
        Ok(())
    }

    /// mtail goes through what is there and ends.
    fn mtail(&self, log: &Path) -> anyhow::Result<Tool> {
        let program = self.directory.join("codes.mtail");
        let alternatives = log::codes().iter().map(u32::to_string).collect::<Vec<_>>().join("|");
        std::fs::write(
            &program,
            format!(
                "counter twilio_errors by code\n/\\b(?P<code>{alternatives})\\b/ {{\n  twilio_errors[$code]++\n}}\n"
            ),
        )?;
        Ok(Tool::new("mtail").args([
            "--one_shot",
            "--one_shot_format=json",
            "--progs",
            &program.to_string_lossy(),
            "--logs",
            &log.to_string_lossy(),
            "--logtostderr",
        ]))
    }

    /// Vector reads standard input to its end.
    fn vector(&self, log: &Path) -> anyhow::Result<Tool> {
        let alternatives = log::codes().iter().map(u32::to_string).collect::<Vec<_>>().join("|");
        let path = self.directory.join("vector.toml");
        std::fs::write(
            &path,
            format!(
                "[sources.log]\ntype = \"stdin\"\n[transforms.hits]\ntype = \"filter\"\ninputs = [\"log\"]\ncondition = '''match(string!(.message), r'\\b({alternatives})\\b')'''\n[sinks.out]\ntype = \"console\"\ninputs = [\"hits\"]\nencoding.codec = \"text\"\n"
            ),
        )?;
        Ok(Tool::new("vector").args(["--quiet", "--config", &path.to_string_lossy()]).stdin(log))
    }

    fn fluent_bit(&self, log: &Path) -> anyhow::Result<Tool> {
        let alternatives = log::codes().iter().map(u32::to_string).collect::<Vec<_>>().join("|");
        let path = log.to_string_lossy();
        Ok(Tool::new("fluent-bit").args([
            "-q",
            "-i",
            "tail",
            "-p",
            &format!("path={path}"),
            "-p",
            "read_from_head=true",
            "-p",
            "exit_on_eof=true",
            "-F",
            "grep",
            "-p",
            &format!("regex=log \\b({alternatives})\\b"),
            "-m",
            "*",
            "-o",
            "null",
        ]))
    }

    fn mixes(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        self.say("\n## What the lines hold\n\nOne thread. A decoy line holds numbers of the catalogue as ports, pids, sizes and durations.\n");
        self.say("| hit lines | decoy lines | MB/s | `rg` MB/s |\n|---|---|---|---|");
        for (hits, decoys) in [(1, 0), (100, 0), (2000, 0), (100, 200), (100, 3000)] {
            let log = Log::new(UNIT, Mix { hits, decoys });
            let (path, truth) = self.file("mix.log", &log, sizes.mixes)?;
            let one = self.twdiag("1", &path, &[]);
            self.check(&one, &truth)?;
            let mb = |figure: &Figure| format!("{:.0}", truth.bytes as f64 / figure.wall / 1e6);
            let (figure, _) = measure::alone(&one, RUNS)?;
            let rg = if available("rg") {
                let codes = self.directory.join("codes");
                let rg = Tool::new("rg").args([
                    "-c",
                    "-w",
                    "--threads",
                    "1",
                    "-f",
                    &codes.to_string_lossy(),
                    &path.to_string_lossy(),
                ]);
                mb(&measure::alone(&rg, RUNS)?.0)
            } else {
                "missing".to_owned()
            };
            let percent = |of: u32| f64::from(of) / 100.0;
            if hits == 2000 {
                self.targets.at_least("scan with 20 % hits, MB/s", 300.0, truth.bytes as f64 / figure.wall / 1e6);
            }
            self.say(&format!("| {} % | {} % | {} | {rg} |", percent(hits), percent(decoys), mb(&figure)));
        }
        Ok(())
    }

    fn compressed(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        self.say("\n## Compressed logs\n\nOne file, unpacked on one core and scanned on the other, beside the same decompressor alone: `gzip -dc` and `zstd -dc` where they are there.\n");
        self.say("| file | MB/s unpacked | twdiag takes, of the tool's time |\n|---|---|---|");
        let log = Log::new(UNIT, Mix { hits: 100, decoys: 0 });
        let (path, truth) = self.file("packed.log", &log, sizes.mixes)?;
        for (tool, suffix) in [("gzip", "gz"), ("zstd", "zst")] {
            if !available(tool) {
                self.say(&format!("| .{suffix} | `{tool}` is missing | |"));
                self.targets.missing(&format!("scan of .{suffix}, of the time of {tool} -dc"), "at most 1.1", tool);
                continue;
            }
            let plain = path.to_string_lossy().into_owned();
            let packed = format!("{plain}.{suffix}");
            let made = Command::new(tool).args(["-k", "-q", "-f", &plain]).status()?;
            ensure!(made.success(), "{tool} failed");
            let both = self.twdiag("2", Path::new(&packed), &[]);
            let found: serde_json::Value = serde_json::from_str(&both.output()?)?;
            ensure!(found["lines"] == truth.lines && found["records_matched"] == truth.hits, "{found}");
            let (ratio, _) = paired(&both, &Tool::new(tool).args(["-dc", &packed]), RUNS)?;
            self.targets.at_most(&format!("scan of .{suffix}, of the time of {tool} -dc"), 1.1, ratio);
            let (figure, _) = measure::alone(&both, RUNS)?;
            let mb = truth.bytes as f64 / figure.wall / 1e6;
            self.say(&format!("| .{suffix} | {mb:.0} | {ratio:.2} |"));
        }
        Ok(())
    }

    fn growth(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        self.say("\n## How the cost grows\n\nThe slope is that of the time over what grows, on logarithmic scales: 1 is linear, 0 is free.\n");
        self.say("| what grows | times, in s | slope |\n|---|---|---|");
        let log = Log::new(UNIT, Mix { hits: 100, decoys: 0 });
        let mut points = Vec::new();
        for size in sizes.growth.clone() {
            let (path, truth) = self.file("growing.log", &log, size * MIB)?;
            let one = self.twdiag("1", &path, &[]);
            self.check(&one, &truth)?;
            let figure = measure::alone(&one, 3)?.0;
            ensure!(figure.peak_mib < 64.0, "a scan took {} MiB of memory", figure.peak_mib);
            points.push((size as f64, figure.wall));
        }
        self.grown("MiB of one file", &points);

        let (path, truth) = self.file("growing.log", &log, sizes.mixes)?;
        let mut points = Vec::new();
        for count in [54, 500, 1950] {
            let dictionary = self.directory.join("dictionary.json");
            std::fs::write(&dictionary, input::dictionary(count))?;
            let one = self.twdiag("1", &path, &["--catalog", &dictionary.to_string_lossy()]);
            self.check(&one, &truth)?;
            points.push((count as f64, measure::alone(&one, RUNS)?.0.wall));
        }
        self.grown("codes in the catalogue", &points);

        let mut points = Vec::new();
        for count in [20, 60, 200] {
            let rules = self.directory.join("rules.toml");
            std::fs::write(&rules, extra_rules(count))?;
            let one = self.twdiag("1", &path, &["--rules", &rules.to_string_lossy()]);
            self.check(&one, &truth)?;
            points.push((count as f64, measure::alone(&one, RUNS)?.0.wall));
        }
        self.grown("rules in front of the embedded ones", &points);

        let log = Log::new(1 << 20, Mix { hits: 100, decoys: 0 });
        let mut points = Vec::new();
        for count in sizes.files.clone() {
            let directory = self.directory.join("many");
            std::fs::create_dir_all(&directory)?;
            // The same bytes in all, whatever the number of files.
            let lines: Vec<&str> = log.text.split_inclusive('\n').collect();
            let total = 64 * lines.len();
            for file in 0..count as usize {
                let (from, to) = (file * total / count as usize, (file + 1) * total / count as usize);
                let mut out = BufWriter::new(File::create(directory.join(format!("{file:05}.log")))?);
                for line in from..to {
                    out.write_all(lines[line % lines.len()].as_bytes())?;
                }
                out.flush()?;
            }
            let two = self.twdiag("2", &directory, &[]);
            let found: serde_json::Value = serde_json::from_str(&two.output()?)?;
            ensure!(found["lines"] == log.truth.lines * 64, "{found}");
            points.push((count as f64, measure::alone(&two, RUNS)?.0.wall));
            std::fs::remove_dir_all(&directory)?;
        }
        self.grown("files that hold 64 MiB together", &points);
        Ok(())
    }

    /// The daemon is measured from outside, by a program of its own.
    fn daemon(&mut self) -> anyhow::Result<()> {
        if !available("python3") {
            self.targets.missing("everything of the daemon", "", "python3");
            return Ok(());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/follow.py");
        let mut tool = Tool::new("python3").args([script.to_string_lossy().as_ref()]);
        if self.is_short {
            tool = tool.args(["--short"]);
        }
        for line in tool.output()?.lines() {
            let row: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let what = row["what"].as_str().context("a row says what it is")?;
            let (measured, limit) = (row["measured"].as_f64(), row["limit"].as_f64());
            match (measured, limit) {
                (Some(measured), Some(limit)) => self.targets.at_most(what, limit, measured),
                _ => self.targets.missing(what, "", row["missing"].as_str().unwrap_or("it")),
            }
        }
        Ok(())
    }

    fn grown(&mut self, what: &str, points: &[(f64, f64)]) {
        let mut times = String::new();
        for (size, wall) in points {
            write!(times, "{}{size:.0}: {wall:.3}", if times.is_empty() { "" } else { ", " }).expect("to a string");
        }
        let slope = match (points.first(), points.last()) {
            (Some(first), Some(last)) if first.0 < last.0 => (last.1 / first.1).ln() / (last.0 / first.0).ln(),
            _ => 0.0,
        };
        self.say(&format!("| {what} | {times} | {slope:.2} |"));
    }
}

/// `ratio` is of twdiag's time to the other's.
fn times(ratio: f64) -> String {
    if ratio <= 1.0 { format!("{:.2} times as fast", 1.0 / ratio) } else { format!("{ratio:.2} times as slow") }
}

/// Rules of a user's own that match nothing in the log.
fn extra_rules(count: usize) -> String {
    (0..count)
        .map(|n| {
            format!(
                "[[rule]]\nid = \"mine-{n}\"\ndescription = \"Of our own.\"\naccept = \"any\"\nbefore = '''our{n}{{gap}}service{n}{{assign}}'''\nexamples = [\"our{n} service{n}=31005\"]\nnear_misses = [\"service{n}=31005\"]\n\n"
            )
        })
        .collect()
}
