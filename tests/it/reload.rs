//! Reloading: what runs changes, and no count, offset or line is lost over it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Serving, twdiag};

/// How long an answer may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon with a configuration file, and the events that it logs.
struct Daemon {
    directory: tempfile::TempDir,
    serving: Serving,
    events: Receiver<serde_json::Value>,
}

impl Daemon {
    fn start(configuration: &str, options: &[&str]) -> Daemon {
        Daemon::start_after(configuration, options, |_| ()).0
    }

    /// The same, with what is found out before the page is served.
    fn start_after<T>(configuration: &str, options: &[&str], find: impl Fn(&Daemon) -> T) -> (Daemon, T) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        write(&directory, configuration);
        let mut program = twdiag(&["--output", "none", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        program.args(options).args(["--config", "twdiag.toml"]).current_dir(directory.path());
        let mut child: Child = program.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (send, events) = sync_channel(10_000);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if send.send(serde_json::from_str(&line).expect("the log is JSON")).is_err() {
                    return;
                }
            }
        });
        let mut daemon = Daemon { directory, serving: Serving { child, address: String::new() }, events };
        let found = find(&daemon);
        let event = daemon.wait_for("metrics on http");
        let message = event["message"].as_str().unwrap();
        daemon.serving.address = message.split_once("://").unwrap().1.trim_end_matches("/metrics").to_owned();
        (daemon, found)
    }

    /// The next event with this message.
    fn wait_for(&self, message: &str) -> serde_json::Value {
        let mut seen = Vec::new();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(event) = self.events.recv_timeout(Duration::from_secs(1)) {
                if event["message"].as_str().is_some_and(|said| said.contains(message)) {
                    return event;
                }
                seen.push(event);
            }
        }
        panic!("nothing said `{message}`: {seen:#?}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.serving.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    fn reload(&self, configuration: &str) {
        write(&self.directory, configuration);
        self.signal(Signal::HUP);
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// The value of the series that begins so.
    fn value(&self, series: &str) -> Option<f64> {
        let page = self.serving.get("/metrics");
        page.lines().find(|line| line.starts_with(series)).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// What one source counted of one code, in whatever category and with whatever labels.
    fn count(&self, code: &str, source: &str) -> u64 {
        let page = self.serving.get("/metrics");
        let lines = page.lines().filter(|line| {
            line.starts_with("twilio_errors_total{")
                && line.contains(&format!("code=\"{code}\""))
                && line.contains(&format!("source=\"{source}\""))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is: impl Fn(&Daemon) -> bool) {
        let start = Instant::now();
        while !is(self) {
            assert!(start.elapsed() < PATIENCE, "{what}:\n{}", self.serving.get("/metrics"));
        }
    }
}

fn write(directory: &tempfile::TempDir, configuration: &str) {
    fs::write(directory.path().join("twdiag.toml"), configuration).unwrap();
}

fn append(path: &PathBuf, text: &str) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn errors(code: u32, count: u64) -> String {
    (0..count).map(|n| format!("ERROR call n{n}: Twilio error {code}: lost\n")).collect()
}

const ONE: &str = "[[source]]\nname = \"a\"\npaths = [\"logs/a*.log\"]\nstart_at = \"beginning\"\n";
const TWO: &str = "[[source]]\nname = \"b\"\npaths = [\"logs/b.log\"]\nstart_at = \"beginning\"\n";

#[test]
fn sources_come_go_and_change_and_no_count_is_lost() {
    let mut daemon = Daemon::start(ONE, &["--state", "state"]);
    append(&daemon.log("a.log"), &errors(31005, 3));
    append(&daemon.log("b.log"), &errors(31005, 2));
    daemon.wait_until("the first source", |daemon| daemon.count("31005", "a") == 3);
    daemon.reload(&format!("{ONE}{TWO}"));
    daemon.wait_for("a source is added");
    daemon.wait_until("an added source", |daemon| daemon.count("31005", "b") == 2);
    // Removed: what it counted stays, and nothing is added.
    daemon.reload(TWO);
    daemon.wait_for("a source is removed");
    daemon.wait_for("the configuration was read again");
    append(&daemon.log("a.log"), &errors(31005, 5));
    append(&daemon.log("b.log"), &errors(31005, 1));
    daemon.wait_until("the source that stayed", |daemon| daemon.count("31005", "b") == 3);
    assert_eq!(daemon.count("31005", "a"), 3);
    // It comes back where it was left.
    daemon.reload(&format!("{ONE}ignore = [31003]\n{TWO}"));
    daemon.wait_until("a source that returned", |daemon| daemon.count("31005", "a") == 8);
    append(&daemon.log("a.log"), &(errors(31003, 4) + &errors(31005, 1)));
    daemon.wait_until("an ignored code", |daemon| daemon.count("31005", "a") == 9);
    assert_eq!(daemon.count("31003", "a"), 0);
    daemon.signal(Signal::TERM);
    assert!(daemon.serving.child.wait().unwrap().success());
    daemon.wait_for("ended in good order");
}

#[test]
fn a_continuous_writer_loses_nothing_over_reloads() {
    let daemon = Daemon::start(ONE, &[]);
    let path = daemon.log("a.log");
    let writer = std::thread::spawn(move || {
        for _ in 0..400 {
            append(&path, &errors(31005, 5));
            std::thread::yield_now();
        }
    });
    for round in 0..10 {
        let category = if round % 2 == 0 { "media" } else { "signaling" };
        daemon.reload(&format!(
            "labels = [\"round\"]\n[categories]\n31005 = \"{category}\"\n{ONE}labels = {{ round = \"{round}\" }}\n"
        ));
        daemon.wait_for("the configuration was read again");
    }
    writer.join().unwrap();
    daemon.wait_until("every line", |daemon| daemon.count("31005", "a") >= 2000);
    assert_eq!(daemon.count("31005", "a"), 2000);
    let page = daemon.serving.get("/metrics");
    assert!(page.contains("twdiag_read_lines_total{round=\"9\",source=\"a\"} 2000"), "{page}");
}

#[test]
fn a_source_is_read_in_another_way_from_then_on() {
    let daemon = Daemon::start(ONE, &[]);
    let utf16 = |text: String| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let append = |bytes: Vec<u8>| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(daemon.log("a.log")).unwrap();
        file.write_all(&bytes).unwrap();
    };
    // The last line may still be judged the new way: it reports nothing.
    let before = utf16(errors(31005, 1) + "INFO connected\n");
    let read = format!("twdiag_read_bytes_total{{source=\"a\"}} {}", before.len() - 1);
    append(before);
    // Up to the line's end as UTF-8 has it, in the middle of a unit.
    daemon.wait_until("what it takes for UTF-8", |daemon| daemon.serving.get("/metrics").contains(&read));
    daemon.reload(&format!("{ONE}encoding = \"utf-16le\"\nline_limit = \"16KiB\"\n"));
    daemon.wait_for("a source is changed");
    append(utf16(errors(31005, 2) + &"x".repeat(17 << 10) + "\n"));
    daemon.wait_until("what it takes for UTF-16", |daemon| {
        daemon.count("31005", "a") == 2 && daemon.value("twdiag_truncated_lines_total{source=\"a\"}") == Some(1.0)
    });
}

#[test]
fn a_bad_configuration_keeps_the_old_one_and_says_so() {
    let daemon = Daemon::start(ONE, &[]);
    assert_eq!(daemon.value("twdiag_config_last_reload_successful"), Some(1.0));
    let since = daemon.value("twdiag_config_last_reload_success_timestamp_seconds").unwrap();
    daemon.reload(&format!("listn = \"none\"\n{ONE}"));
    let event = daemon.wait_for("unknown field `listn`");
    assert_eq!((event["line"].as_u64(), event["column"].as_u64()), (Some(1), Some(1)));
    assert_eq!(event["help"], "did you mean `listen`?");
    daemon.wait_for("the old one is kept");
    daemon.wait_until("the metric", |daemon| daemon.value("twdiag_config_last_reload_successful") == Some(0.0));
    assert_eq!(daemon.value("twdiag_config_last_reload_success_timestamp_seconds"), Some(since));
    append(&daemon.log("a.log"), &errors(31005, 1));
    daemon.wait_until("the old configuration", |daemon| daemon.count("31005", "a") == 1);
    daemon.reload(ONE);
    daemon.wait_until("the metric", |daemon| daemon.value("twdiag_config_last_reload_successful") == Some(1.0));
    assert!(daemon.value("twdiag_config_last_reload_success_timestamp_seconds").unwrap() > since);
}

#[test]
fn what_needs_a_restart_says_so() {
    let daemon = Daemon::start(ONE, &[]);
    daemon.reload(&format!(
        "state = \"elsewhere\"\nweb_config = \"web.yml\"\nenable_reload = true\nwatch_config = true\nfindings = true\n\
         linger = \"1h\"\ndrain = \"1s\"\nannounce = \"1s\"\nuncatalogued = 1\n\
         log_level = \"debug\"\n[sandbox]\nread = [\"logs\"]\n{ONE}"
    ));
    let expected = ["state", "web_config", "enable_reload", "watch_config", "findings", "sandbox.read"];
    for key in expected {
        assert_eq!(daemon.wait_for("needs a restart")["key"], key);
    }
    daemon.wait_for("the configuration was read again");
    assert!(!daemon.directory.path().join("elsewhere").exists());
}

/// Whether this kernel confines processes; what is tried without is said.
fn is_confined(daemon: &Daemon) -> bool {
    let event = daemon.wait_for("sandbox");
    let is_confined = event["message"] == "in a sandbox";
    if !is_confined {
        println!("not tried: {}", event["message"]);
    }
    is_confined
}

#[test]
fn a_sandbox_refuses_what_lies_outside() {
    let outside = tempfile::tempdir().unwrap();
    let (secret, other) = (outside.path().join("secret.log"), outside.path().join("state"));
    fs::create_dir(&other).unwrap();
    fs::write(&secret, errors(31005, 7)).unwrap();
    let configuration = format!("state = \"state\"\n[sandbox]\nread = [\"logs\"]\n{ONE}");
    let (daemon, is_confined) = Daemon::start_after(&configuration, &[], is_confined);
    if !is_confined {
        return;
    }
    append(&daemon.log("a.log"), &errors(31005, 2));
    daemon.wait_until("what lies inside", |daemon| daemon.count("31005", "a") == 2);
    // A link leads nowhere that its path does not.
    std::os::unix::fs::symlink(&secret, daemon.log("a-link.log")).unwrap();
    assert!(daemon.wait_for("cannot be read")["error"].as_str().unwrap().contains("ermission denied"));
    daemon.wait_until("the refused read", |daemon| daemon.value("twdiag_read_errors_total{source=\"a\"}") == Some(1.0));
    assert_eq!(daemon.count("31005", "a"), 2);
    // A state directory that is moved elsewhere is not followed there, and nothing counted is lost by that.
    let state = daemon.directory.path().join("state");
    fs::rename(&state, daemon.directory.path().join("old")).unwrap();
    std::os::unix::fs::symlink(&other, &state).unwrap();
    append(&daemon.log("a.log"), &errors(31005, 3));
    daemon.wait_until("the refused write", |daemon| daemon.value("twdiag_state_write_errors_total") > Some(0.0));
    daemon.wait_until("what is counted", |daemon| daemon.count("31005", "a") == 5);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

#[test]
fn a_certificate_outside_the_roots_is_renewed_inside_a_sandbox() {
    let certificates = tempfile::tempdir().unwrap();
    let [live, archive] = ["live", "archive"].map(|name| certificates.path().join(name));
    for (directory, name) in [(&archive, "1"), (&archive, "2")] {
        fs::create_dir_all(directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(directory.join(format!("{name}.crt")), made.cert.pem()).unwrap();
        fs::write(directory.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    fs::create_dir(&live).unwrap();
    let link = |generation: &str| {
        for kind in ["crt", "key"] {
            let (new, name) = (live.join(format!("new.{kind}")), live.join(format!("page.{kind}")));
            std::os::unix::fs::symlink(archive.join(format!("{generation}.{kind}")), &new).unwrap();
            fs::rename(new, name).unwrap();
        }
    };
    link("1");
    let web = format!("tls_server_config:\n  cert_file: {0}/page.crt\n  key_file: {0}/page.key\n", live.display());
    fs::write(certificates.path().join("web.yml"), web).unwrap();
    let configuration =
        format!("web_config = \"{}/web.yml\"\n[sandbox]\nread = [\"logs\"]\n{ONE}", certificates.path().display());
    let (daemon, is_confined) = Daemon::start_after(&configuration, &[], is_confined);
    if !is_confined {
        return;
    }
    link("2");
    // Whoever asks makes it look; what is asked in plain text gets no answer, which does not matter here.
    let start = Instant::now();
    while !daemon.events.try_iter().any(|event| event["message"] == "the web configuration was read again") {
        drop(TcpStream::connect(&daemon.serving.address).unwrap());
        assert!(start.elapsed() < PATIENCE, "the certificate is not renewed");
    }
}

#[test]
fn it_can_be_asked_over_http_and_by_a_change_of_a_file() {
    let daemon = Daemon::start(ONE, &["--enable-reload", "--watch-config"]);
    let post = |daemon: &Daemon| {
        let mut stream = TcpStream::connect(&daemon.serving.address).unwrap();
        write!(stream, "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(post(&daemon).starts_with("HTTP/1.1 200"), "{}", post(&daemon));
    assert_eq!(daemon.wait_for("was read again")["asked_by"], "POST /-/reload");
    write(&daemon.directory, &format!("{ONE}{TWO}"));
    assert_eq!(daemon.wait_for("was read again")["asked_by"], "a change of its files");
    append(&daemon.log("b.log"), &errors(53405, 1));
    daemon.wait_until("the added source", |daemon| daemon.count("53405", "b") == 1);
    write(&daemon.directory, "nonsense");
    daemon.wait_for("the old one is kept");
    assert!(post(&daemon).starts_with("HTTP/1.1 500"), "{}", post(&daemon));
}

#[test]
fn rules_and_catalogues_are_replaced() {
    let with = format!("catalog = [\"catalog.toml\"]\nrules = [\"rules.toml\"]\n{ONE}");
    let daemon = Daemon::start(ONE, &[]);
    append(&daemon.log("a.log"), "gateway-code~31005\n");
    let rejected = "twdiag_rejected_numbers_total{rule=\"none\"}";
    daemon.wait_until("the old rules", |daemon| daemon.value(rejected) == Some(1.0));
    let write = |name: &str, text: &str| fs::write(daemon.directory.path().join(name), text).unwrap();
    write("catalog.toml", "[[code]]\ncode = 64999\ncategory = \"call\"\nname = \"Ours\"\n");
    write(
        "rules.toml",
        "[[rule]]\nid = \"ours\"\ndescription = \"Ours.\"\naccept = \"catalogued\"\nbefore = \"gateway-code~\"\n\
         examples = [\"gateway-code~31005\"]\nnear_misses = [\"code~31005\"]\n",
    );
    daemon.reload(&with);
    daemon.wait_for("the configuration was read again");
    append(&daemon.log("a.log"), "gateway-code~31005\ngateway-code~64999\n");
    daemon.wait_until("the new rules", |daemon| daemon.count("31005", "a") == 1 && daemon.count("64999", "a") == 1);
    assert_eq!(daemon.value("twilio_error_info{category=\"call\",code=\"64999\""), Some(1.0));
}

#[test]
fn the_state_is_written_to_the_log_when_asked() {
    let daemon = Daemon::start(&format!("{ONE}{TWO}"), &["--state", "state"]);
    append(&daemon.log("a.log"), &(errors(31005, 2) + "token=Bearer eyJhbGciOiJIUzI1NiJ9.secret half a line"));
    daemon.wait_until("two errors", |daemon| daemon.count("31005", "a") == 2);
    daemon.signal(Signal::USR1);
    let dump = daemon.wait_for("asked for by SIGUSR1");
    let source = &dump["sources"][0];
    assert_eq!((source["name"].as_str(), source["errors"].as_u64()), (Some("a"), Some(2)), "{dump:#}");
    let file = &source["files"][0];
    assert!(file["path"].as_str().unwrap().ends_with("logs/a.log"), "{dump:#}");
    assert_eq!(file["offset"].as_u64(), Some(errors(31005, 2).len() as u64), "{dump:#}");
    assert_eq!(source["lag_bytes"].as_u64(), Some(52), "{dump:#}");
    assert!(!dump.to_string().contains("secret"));
}

/// A program whose standard output nobody reads, so that it never comes to its end.
fn stuck(drain: &str) -> (Child, impl Iterator<Item = String>) {
    let mut program = twdiag(&["--output", "json", "--listen", "none", "--log-format", "json", "--drain", drain]);
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || while stdin.write_all(errors(31005, 1000).as_bytes()).is_ok() {});
    // Its first line shows that signals are listened to.
    let mut first = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

fn ask_to_end(child: &Child) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
}

#[test]
fn the_end_has_a_deadline() {
    let (mut child, log) = stuck("0s");
    ask_to_end(&child);
    let said: Vec<String> = log.collect();
    assert!(child.wait().unwrap().success());
    assert!(said.last().unwrap().contains("ended by the time to drain"), "{said:#?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (mut child, mut log) = stuck("1h");
    ask_to_end(&child);
    assert!(log.any(|line| line.contains("asked to end")));
    ask_to_end(&child);
    let said: Vec<String> = log.collect();
    assert!(child.wait().unwrap().success());
    assert!(said.last().unwrap().contains("ended at once by a second signal"), "{said:#?}");
}
