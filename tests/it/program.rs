//! The built program, started as a user starts it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const LOG: &str = "examples/voice-backend.log";

pub(crate) fn twdiag(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twdiag"));
    command.args(arguments).env("NO_COLOR", "1").env("TZ", "UTC");
    command
}

/// Runs to the end with this standard input.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child =
        twdiag(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end without reading what it was given.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running program that serves its page; killed when the test ends.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Serving {
    pub(crate) fn start(arguments: &[&str]) -> Serving {
        Serving::spawn(twdiag(arguments).args(["--output", "none"]))
    }

    pub(crate) fn spawn(command: &mut Command) -> Serving {
        let mut child =
            command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = stderr.next().expect("the address is printed").unwrap();
            if let Some((_, rest)) = line.split_once("http://").or_else(|| line.split_once("https://")) {
                break rest.split_once("/metrics").unwrap().0.to_owned();
            }
        };
        std::thread::spawn(move || stderr.for_each(drop));
        Serving { child, address }
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The sum of `twilio_errors_total` by category.
    pub(crate) fn categories(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for line in self.get("/metrics").lines().filter(|line| line.starts_with("twilio_errors_total{")) {
            let category = line.split("category=\"").nth(1).unwrap().split('"').next().unwrap();
            *sums.entry(category.to_owned()).or_insert(0) += line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        }
        sums
    }

    /// Scrapes until the total is at least `errors`, each scrape being a question that the program answers.
    pub(crate) fn wait_for(&self, errors: u64) -> BTreeMap<String, u64> {
        let start = Instant::now();
        loop {
            let categories = self.categories();
            if categories.values().sum::<u64>() >= errors || start.elapsed() > Duration::from_secs(20) {
                return categories;
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that ended already needs no killing.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
