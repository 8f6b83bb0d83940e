//! `doctor`: each fault is made for it to find, and everything else is left alone.

use std::fs::{File, OpenOptions, create_dir_all, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::{SignedDuration, Zoned};
use tempfile::TempDir;
use twdiag::doctor::{Check, Host, Observation, Reader, Setup, Verdict, examine};
use twdiag::mounts::Mounts;
use twdiag::tail::{Files, Input, Source};

use super::program;

/// A machine of its own: an `/etc`, a `/proc`, and a directory with a followed log.
struct Machine {
    root: TempDir,
    setup: Setup,
    host: Host,
}

impl Machine {
    /// One without fault, whose reader is the owner of the log.
    fn sound() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("logs/app.log");
        for directory in ["etc/logrotate.d", "proc/sys/fs/inotify", "logs", "state"] {
            create_dir_all(root.path().join(directory)).unwrap();
        }
        write(&log, "2020-01-01T00:00:00Z started\n").unwrap();
        write(root.path().join("etc/group"), "root:x:0:\nadm:x:4:\n").unwrap();
        write(root.path().join("etc/passwd"), "root:x:0:0::/:\nvoice:x:700:700::/:\n").unwrap();
        write(root.path().join("proc/sys/fs/inotify/max_user_watches"), "8192\n").unwrap();
        write(root.path().join("proc/sys/fs/inotify/max_user_instances"), "128\n").unwrap();
        let files = Files { paths: vec![log.display().to_string()], exclude: Vec::new() };
        let source = Source::new("voice", Input::Files(files));
        let state = Some(root.path().join("state"));
        let setup =
            Setup { sources: vec![source], state, listen: Some("127.0.0.1:9853".parse().unwrap()), is_guarded: false };
        let reader = Reader { user: 0, groups: vec![0], is_all_seeing: false };
        let host = Host { root: root.path().to_owned(), reader, mounts: Mounts::default(), now: Zoned::now() };
        Machine { root, setup, host }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside)
    }

    fn put(&self, inside: &str, text: &str) {
        write(self.path(inside), text.replace("LOGS", &self.path("logs").display().to_string())).unwrap();
    }

    /// What is not fine.
    fn faults(&self) -> Vec<Observation> {
        let seen = examine(&self.setup, &self.host);
        seen.into_iter().filter(|observation| observation.verdict != Verdict::Fine).collect()
    }

    /// Exactly one fault, of this check, whose words hold these.
    #[track_caller]
    fn has_one(&self, check: Check, verdict: Verdict, saw: &str, mend: &str) {
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        let fault = &faults[0];
        assert_eq!((fault.check, fault.verdict), (check, verdict), "{fault:#?}");
        assert!(fault.saw.contains(saw) && fault.mend.contains(mend), "{fault:#?}");
    }
}

#[test]
fn a_sound_machine_has_nothing_to_mend_and_every_check_says_what_it_saw() {
    let machine = Machine::sound();
    let seen = examine(&machine.setup, &machine.host);
    assert!(seen.iter().all(|observation| observation.verdict == Verdict::Fine), "{seen:#?}");
    let checks: Vec<Check> = seen.iter().map(|observation| observation.check).collect();
    let expected = [
        Check::Unreadable,
        Check::NextRotation,
        Check::SingleFileMount,
        Check::Copytruncate,
        Check::Append,
        Check::NetworkFileSystem,
        Check::Inotify,
        Check::Clock,
        Check::Listen,
        Check::State,
    ];
    assert_eq!(checks, expected);
    assert!(seen.iter().all(|observation| observation.saw.len() > 10), "{seen:#?}");
}

#[test]
fn finds_copytruncate_where_it_is_said() {
    let machine = Machine::sound();
    machine.put("etc/logrotate.conf", "weekly\ncreate\ninclude /etc/logrotate.d\n");
    machine.put("etc/logrotate.d/other", "/var/log/other/*.log {\n  copytruncate\n}\n");
    machine.has_nothing();
    machine.put(
        "etc/logrotate.d/voice",
        "# ours\n\"LOGS/*.log\" /x {\n  postrotate\n    nocopytruncate }\n  endscript\n  copytruncate\n}\n",
    );
    machine.has_one(Check::Copytruncate, Verdict::Mend, "/etc/logrotate.d/voice:6 says copytruncate", "`create`");
    // What holds for all files, and what one takes back.
    machine.put("etc/logrotate.conf", "copytruncate\ninclude /etc/logrotate.d\n");
    machine.put("etc/logrotate.d/voice", "LOGS/app.log\n{ nocopytruncate }\n");
    machine.has_nothing();
    machine.put("etc/logrotate.d/voice", "LOGS/app.log { daily }\n");
    machine.has_one(Check::Copytruncate, Verdict::Mend, "/etc/logrotate.conf:1", "/etc/logrotate.conf:1");
    machine.put("etc/logrotate.d/voice.dpkg-old", "LOGS/app.log { copytruncate }\n");
    machine.put("etc/logrotate.d/voice", "LOGS/app.log { nocopytruncate; }\n");
    machine.has_nothing();
}

impl Machine {
    #[track_caller]
    fn has_nothing(&self) {
        assert_eq!(self.faults(), []);
    }
}

#[test]
fn finds_a_rotation_that_makes_what_cannot_be_read() {
    let mut machine = Machine::sound();
    machine.host.reader = Reader { user: 700, groups: vec![700], is_all_seeing: false };
    machine.put("etc/logrotate.conf", "LOGS/*.log {\n  create 0640 root adm\n}\n");
    machine.has_one(
        Check::NextRotation,
        Verdict::Mend,
        "logrotate.conf:2 will create it 0640 root:adm",
        "SupplementaryGroups=adm",
    );
    machine.host.reader.groups.push(4);
    machine.has_nothing();
    machine.put("etc/logrotate.conf", "LOGS/*.log {\n  create 0600 root adm\n}\n");
    machine.has_one(
        Check::NextRotation,
        Verdict::Mend,
        "0600 root:adm; the reader is voice (700)",
        "create 0640 root GROUP",
    );
    machine.put("etc/logrotate.conf", "LOGS/*.log {\n  create\n}\n");
    machine.has_nothing();
    machine.put("etc/logrotate.conf", "create 0600\nLOGS/*.log {\n nocreate\n}\n");
    machine.has_nothing();
}

#[test]
fn finds_mounts_of_single_files_and_of_other_machines() {
    let mut machine = Machine::sound();
    let (log, logs) = (machine.path("logs/app.log"), machine.path("logs"));
    let mounts = |point: &Path, kind: &str| {
        Mounts::parse(
            format!("1 0 8:1 / / rw - ext4 x rw\n2 1 0:9 / {} rw - {kind} x rw\n", point.display()).as_bytes(),
        )
    };
    machine.host.mounts = mounts(&log, "ext4");
    machine.has_one(
        Check::SingleFileMount,
        Verdict::Mend,
        "single file",
        &format!("mount its directory {}", logs.display()),
    );
    machine.host.mounts = mounts(&logs, "nfs4");
    machine.has_one(Check::NetworkFileSystem, Verdict::Note, "is on nfs4", "the machine that writes");
    machine.host.mounts = mounts(&machine.path("state"), "nfs4");
    machine.has_one(Check::State, Verdict::Mend, "is on nfs4", "a disk of this machine");
    machine.host.mounts = mounts(&machine.path("state"), "tmpfs");
    machine.has_one(Check::State, Verdict::Note, "is on tmpfs", "begins at zero");
}

#[test]
fn what_is_to_be_typed_is_quoted() {
    let mut machine = Machine::sound();
    machine.host.reader = Reader { user: 700, groups: vec![700], is_all_seeing: false };
    machine.setup.sources[0].name = "x'; $(reboot)".into();
    std::fs::copy("tests/data/state.v1", machine.path("state/state.v1.0")).unwrap();
    machine.has_one(Check::State, Verdict::Note, "holds the source", "twdiag state forget voice,");
    let logs = machine.path("logs/$(reboot) it's");
    create_dir_all(&logs).unwrap();
    write(logs.join("app.log"), "").unwrap();
    let files = Files { paths: vec![logs.join("app.log").display().to_string()], exclude: Vec::new() };
    machine.setup.sources[0] = Source::new("voice", Input::Files(files));
    machine.host.mounts = Mounts::parse(
        format!("1 0 8:1 / {}/app.log rw - ext4 x rw\n", logs.display().to_string().replace(' ', "\\040")).as_bytes(),
    );
    let quoted = format!("mount its directory '{}' instead", logs.display().to_string().replace('\'', r"'\''"));
    machine.has_one(Check::SingleFileMount, Verdict::Mend, "single file", &quoted);
}

#[test]
fn finds_a_writer_that_does_not_append() {
    let mut machine = Machine::sound();
    machine.host.root = PathBuf::from("/");
    let log = machine.path("logs/app.log");
    let appends = OpenOptions::new().append(true).open(&log).unwrap();
    let of_log = |machine: &Machine| -> Vec<Observation> {
        let faults = machine.faults().into_iter();
        faults.filter(|fault| fault.check == Check::Append && fault.verdict == Verdict::Mend).collect()
    };
    assert_eq!(of_log(&machine), []);
    let overwrites = OpenOptions::new().write(true).open(&log).unwrap();
    let faults = of_log(&machine);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].saw.contains(&format!("process {} (", std::process::id())), "{faults:#?}");
    assert!(faults[0].mend.contains(">>"), "{faults:#?}");
    drop((appends, overwrites));
    assert_eq!(of_log(&machine), []);
}

#[test]
fn finds_limits_that_do_not_suffice() {
    let machine = Machine::sound();
    machine.put("proc/sys/fs/inotify/max_user_watches", "0\n");
    machine.has_one(Check::Inotify, Verdict::Mend, "1 watches needed, 0 of 0", "fs.inotify.max_user_watches=2");
    machine.put("proc/sys/fs/inotify/max_user_watches", "5\n");
    machine.put("proc/sys/fs/inotify/max_user_instances", "0\n");
    machine.has_one(Check::Inotify, Verdict::Mend, "0 of 0 instances", "fs.inotify.max_user_instances=2");
}

#[test]
fn finds_times_that_are_yet_to_come() {
    let machine = Machine::sound();
    let now = &machine.host.now;
    let ahead = now.checked_add(SignedDuration::from_hours(2)).unwrap().timestamp();
    machine.put("logs/app.log", &format!("{ahead} call\n  at frame\n"));
    machine.has_one(Check::Clock, Verdict::Mend, "last record is", "same time");
    let local = now.checked_add(SignedDuration::from_hours(2)).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
    machine.put("logs/app.log", &format!("{local} call\n"));
    machine.has_one(Check::Clock, Verdict::Mend, "ahead of this clock", "set TZ");
    machine.put("logs/app.log", "call\n");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    File::options().write(true).open(machine.path("logs/app.log")).unwrap().set_modified(later).unwrap();
    machine.has_one(Check::Clock, Verdict::Mend, "after now: the clock went back", "chrony");
}

#[test]
fn finds_a_page_that_the_world_reads() {
    let mut machine = Machine::sound();
    machine.setup.listen = Some("0.0.0.0:9853".parse().unwrap());
    machine.has_one(Check::Listen, Verdict::Mend, "without a password", "web_config");
    machine.setup.is_guarded = true;
    machine.has_nothing();
    machine.setup.listen = None;
    machine.has_nothing();
}

#[test]
fn finds_a_state_that_is_not_ours() {
    let mut machine = Machine::sound();
    machine.put("state/state.v9.0", "x");
    machine.has_one(Check::State, Verdict::Mend, "the state version 9", "remove the file");
    std::fs::remove_file(machine.path("state/state.v9.0")).unwrap();
    machine.put("state/data.db", "x");
    machine.has_one(Check::State, Verdict::Note, "not a file of twdiag", "a directory of its own");
    std::fs::remove_file(machine.path("state/data.db")).unwrap();
    machine.put("state/state.v1.0", "garbage that is longer than the header of a generation is");
    machine.has_one(Check::State, Verdict::Mend, "checksum", "counts at zero");
    std::fs::copy("tests/data/state.v1", machine.path("state/state.v1.0")).unwrap();
    machine.has_nothing();
    machine.setup.sources[0].name = "other".into();
    machine.has_one(Check::State, Verdict::Note, "holds the source \"voice\"", "twdiag state forget voice,");
    std::fs::remove_file(machine.path("state/state.v1.0")).unwrap();
    machine.setup.state = None;
    machine.has_one(Check::State, Verdict::Note, "no state is kept", "name a state directory");
}

#[test]
fn looks_without_touching() {
    let machine = Machine::sound();
    std::fs::copy("tests/data/state.v1", machine.path("state/state.v1.0")).unwrap();
    let listed = |machine: &Machine| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = ["state", "logs"]
            .iter()
            .flat_map(|directory| std::fs::read_dir(machine.path(directory)).unwrap())
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = listed(&machine);
    machine.faults();
    assert_eq!(listed(&machine), before);
}

#[test]
fn the_program_says_what_to_do_and_ends_with_1() {
    let machine = Machine::sound();
    let (root, log) = (machine.root.path().to_str().unwrap(), machine.path("logs/app.log"));
    let log = log.to_str().unwrap();
    let state = machine.path("state");
    let arguments = ["doctor", "--root", root, "--state", state.to_str().unwrap(), log];
    let output = program::run(&arguments, b"");
    assert_eq!(output.status.code(), Some(0), "{}", program::stdout(&output));
    machine.put("etc/logrotate.conf", "LOGS/app.log {\n copytruncate\n}\n");
    let output = program::run(&arguments, b"");
    assert_eq!(output.status.code(), Some(1));
    let shown = program::stdout(&output);
    assert!(
        shown.contains("mend copytruncate") && shown.contains("to do: replace it at /etc/logrotate.conf:2"),
        "{shown}"
    );
    let output = program::run(&[&arguments[..], &["--format", "json"]].concat(), b"");
    let seen: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mends: Vec<_> = seen.iter().filter(|observation| observation["verdict"] == "mend").collect();
    assert_eq!(mends.len(), 1, "{seen:#?}");
    assert_eq!((&mends[0]["check"], &mends[0]["about"]), (&"copytruncate".into(), &log.into()));
}

#[test]
fn names_the_group_that_an_unprivileged_user_lacks() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start the program as another user");
        return;
    }
    let machine = Machine::sound();
    // Where an unprivileged user finds it.
    let binary = machine.path("twdiag");
    std::fs::copy(env!("CARGO_BIN_EXE_twdiag"), &binary).unwrap();
    for path in [machine.root.path(), &machine.path("logs")] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let log = machine.path("logs/app.log");
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o640)).unwrap();
    rustix::fs::chown(&log, None, Some(rustix::fs::Gid::from_raw(4))).unwrap();
    let doctor = |groups: &str| {
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65532", "--regid=65532", groups, "--"])
            .arg(&binary)
            .args(["doctor", "--root"])
            .arg(machine.root.path())
            .arg(&log)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), program::stdout(&output))
    };
    let (code, shown) = doctor("--clear-groups");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("is 0640 root:adm; the reader is 65532"), "{shown}");
    assert!(shown.contains("join the group adm: SupplementaryGroups=adm"), "{shown}");
    let (code, shown) = doctor("--groups=4");
    assert_eq!(code, Some(0), "{shown}");
}
