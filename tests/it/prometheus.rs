//! A real Prometheus on loopback, for tests of what it makes of our pages and rules.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long an answer is waited for; far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prometheus; killed when the test ends.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
    /// Holds the configuration and the data.
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one with this configuration and returns once it is ready; `None` where it is not installed.
    ///
    /// Paths in the configuration must be absolute: `{manifest}` stands for the repository.
    pub(crate) fn start(configuration: &str) -> Option<Prometheus> {
        if !installed("prometheus") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prometheus.yml");
        std::fs::write(&path, configuration.replace("{manifest}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--storage.tsdb.retention.time=10y"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = log.next() else { panic!("prometheus did not start:\n{said}") };
            if line.contains("msg=\"Listening on\"") {
                break line.rsplit_once("address=").unwrap().1.to_owned();
            }
            writeln!(said, "{line}").unwrap();
        };
        // What goes wrong from here on is in the test's output.
        std::thread::spawn(move || {
            for line in log.map_while(Result::ok).filter(|line| line.contains("level=error")) {
                println!("{line}");
            }
        });
        let mut prometheus = Prometheus { child, address, _directory: directory };
        let start = Instant::now();
        while !get(&prometheus.address, "/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            assert!(prometheus.child.try_wait().unwrap().is_none(), "prometheus refuses its configuration");
            assert!(start.elapsed() < PATIENCE, "prometheus is not ready");
        }
        Some(prometheus)
    }

    /// The `data` of an answer of the API, `path` being what follows `/api/v1/`.
    pub(crate) fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut address = format!("/api/v1/{path}");
        for (position, (name, value)) in parameters.iter().enumerate() {
            write!(address, "{}{name}={}", if position == 0 { '?' } else { '&' }, encoded(value)).unwrap();
        }
        let answer = get(&self.address, &address).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut answer: Value = serde_json::from_str(body).unwrap();
        assert_eq!(answer["status"], "success", "{address}: {answer}");
        answer["data"].take()
    }

    /// The series that an instant query returns now.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        series(self.api("query", &[("query", expression)]))
    }

    /// The sum of what an instant query returns now.
    pub(crate) fn sum(&self, expression: &str) -> f64 {
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse::<f64>().unwrap();
        self.query(expression).iter().map(value).sum()
    }

    /// Asks until the query returns something.
    pub(crate) fn wait_for(&self, expression: &str) -> Vec<Value> {
        assert!(self.settled(expression, true) > 0, "{expression} stays empty; targets: {}", self.api("targets", &[]));
        self.query(expression)
    }

    /// Asks until the query returns something, or nothing any more, and says how many series it returned last.
    ///
    /// A scrape that takes too long on a loaded machine leaves a gap, and a rate over a few samples is no exact one.
    pub(crate) fn settled(&self, expression: &str, returns: bool) -> usize {
        let start = Instant::now();
        loop {
            let found = self.query(expression).len();
            if (found > 0) == returns || start.elapsed() > PATIENCE {
                return found;
            }
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // One that ended already needs no killing.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer with its head; `None` where it is refused or cut off, as while starting.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // The older version of the protocol has no chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Whether an outside program is there: without it a test is skipped, on CI it fails.
pub(crate) fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()));
    assert!(found || std::env::var_os("CI").is_none(), "{program} is needed");
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// A scalar counts as one series.
fn series(mut data: Value) -> Vec<Value> {
    match data["resultType"].as_str() {
        Some("vector" | "matrix") => match data["result"].take() {
            Value::Array(series) => series,
            other => panic!("{other}"),
        },
        _ => vec![data],
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        encoded
    })
}
