//! Runs whole commands, alone and in pairs, and takes the operating system's account of them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;

/// A command.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) program: String,
    arguments: Vec<String>,
    stdin: Option<PathBuf>,
}

/// The medians of one command's runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// In seconds.
    pub(crate) wall: f64,
    /// The largest resident set of a run.
    pub(crate) peak_mib: f64,
}

impl Tool {
    pub(crate) fn new(program: &str) -> Tool {
        Tool { program: program.to_owned(), arguments: Vec::new(), stdin: None }
    }

    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Tool {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    pub(crate) fn stdin(mut self, path: &Path) -> Tool {
        self.stdin = Some(path.to_owned());
        self
    }

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stderr(Stdio::null());
        match &self.stdin {
            Some(path) => command.stdin(File::open(path)?),
            None => command.stdin(Stdio::null()),
        };
        Ok(command)
    }

    /// What it prints.
    pub(crate) fn output(&self) -> anyhow::Result<String> {
        let output = self.command()?.output().with_context(|| format!("cannot run {}", self.program))?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// One run: seconds, and the largest resident set in KiB.
    fn run(&self) -> anyhow::Result<(f64, u64)> {
        let mut command = self.command()?;
        let start = Instant::now();
        // Into a pipe: GNU grep stops at the first match where its output goes to `/dev/null`.
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", self.program))?;
        let printed = child.stdout.take().context("the output is piped")?;
        let drain = std::thread::spawn(move || io::copy(&mut { printed }, &mut io::sink()));
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        // A thread that asks would be fairer to no one: the peak is read while it runs, and the time is the wait's.
        let watcher = std::thread::spawn(move || {
            while let Ok(status) = std::fs::read_to_string(&status) {
                let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { break };
                peak = line.trim().trim_end_matches(" kB").parse().unwrap_or(peak);
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
            peak
        });
        child.wait()?;
        let seconds = start.elapsed().as_secs_f64();
        watcher.thread().unpark();
        if let Ok(drained) = drain.join() {
            drained?;
        }
        Ok((seconds, watcher.join().unwrap_or_default()))
    }
}

/// Whether a program is on the path.
pub(crate) fn available(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.contains('/') || std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The first line of what a program says of its version.
pub(crate) fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or(program).trim().to_owned()
}

/// One command by itself, after a run that is not counted; and its times.
pub(crate) fn alone(tool: &Tool, runs: usize) -> anyhow::Result<(Figure, Vec<f64>)> {
    tool.run()?;
    let runs = (0..runs).map(|_| tool.run()).collect::<anyhow::Result<Vec<_>>>()?;
    Ok((figure(&runs), runs.iter().map(|run| run.0).collect()))
}

/// Two commands in turn, each after a run that is not counted: the median of the ratios of their times, and the
/// second's figure.
pub(crate) fn paired(first: &Tool, second: &Tool, runs: usize) -> anyhow::Result<(f64, Figure)> {
    first.run()?;
    second.run()?;
    let (mut ratios, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let one = first.run()?;
        let other = second.run()?;
        ratios.push(one.0 / other.0);
        seconds.push(other);
    }
    Ok((median(ratios), figure(&seconds)))
}

fn figure(runs: &[(f64, u64)]) -> Figure {
    let peak = runs.iter().map(|run| run.1).max().unwrap_or(0);
    Figure { wall: median(runs.iter().map(|run| run.0).collect()), peak_mib: peak as f64 / 1024.0 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
