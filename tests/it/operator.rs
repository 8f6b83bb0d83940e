//! An operator's whole way, with a real package, a real systemd and the real logrotate: the counts are exact at every step.

use std::process::Command;

use super::machine::Machine;

/// Where the backend logs.
const LOG: &str = "/var/log/voice/app.log";

/// Builds the Debian package of the tested binary in this version: its name, and its bytes.
fn package(version: &str) -> (String, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("deploy/debian/build")
        .args([env!("CARGO_BIN_EXE_twdiag"), directory.path().to_str().unwrap(), version])
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (path.rsplit('/').next().unwrap().to_owned(), std::fs::read(path).unwrap())
}

/// The machine with a backend on it, and how many errors that has logged.
struct Operator {
    machine: Machine,
    logged: u64,
    /// How the page is asked for.
    page: &'static str,
}

impl Operator {
    fn log(&mut self, lines: u64) {
        self.log_to(LOG, lines);
    }

    fn log_to(&mut self, path: &str, lines: u64) {
        let first = self.logged;
        let text: String = (first..first + lines)
            .map(|number| {
                format!("INFO call {number} took 31005ms\nERROR call {number}: ConnectionError (31005): lost\n")
            })
            .collect();
        let output = self.machine.feed(&format!("cat >> {path}"), text.as_bytes());
        assert!(output.status.success());
        self.logged += lines;
    }

    /// The sum of a metric's series; nothing where the page does not answer.
    fn metric(&self, name: &str) -> Option<u64> {
        let output = self.machine.sh(self.page);
        let page = String::from_utf8(output.stdout).unwrap();
        let lines =
            page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let numbers: Vec<u64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        (!numbers.is_empty()).then(|| numbers.iter().sum())
    }

    /// Every error that was logged is counted, and no other: neither now, nor where the page is asked again.
    #[track_caller]
    fn is_exact(&self, when: &str) {
        let logged = self.logged;
        self.machine.wait(&format!("{when}: {logged} errors"), |_| {
            let counted = self.metric("twilio_errors_total");
            assert!(counted.is_none_or(|counted| counted <= logged), "{when}: {counted:?} of {logged}");
            counted == Some(logged)
        });
        assert_eq!(self.metric("twilio_errors_total"), Some(logged), "{when}");
        for nothing in ["twdiag_lost_bytes_total", "twdiag_state_write_errors_total", "twdiag_state_resets_total"] {
            assert_eq!(self.metric(nothing), Some(0), "{when}: {nothing}");
        }
    }

    fn property(&self, name: &str) -> String {
        self.machine.ok(&format!("systemctl show twdiag --property={name} --value")).trim().to_owned()
    }

    /// A new certificate for the page, which `/root/ca.pem` then trusts.
    fn certify(&self) {
        self.machine.ok(
            "cd /etc/twdiag && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout key.new -out cert.new 2>/dev/null \
             && chgrp adm key.new && chmod 0640 key.new && cp cert.new /root/ca.pem \
             && mv key.new key.pem && mv cert.new cert.pem",
        );
    }
}

#[test]
fn an_operator_installs_breaks_mends_rotates_renews_kills_upgrades_and_removes() {
    let Some(machine) = Machine::boot() else { return };
    let mut operator = Operator { machine, logged: 0, page: "curl --silent --fail http://127.0.0.1:9853/metrics" };

    // Install: it is enabled and runs, with what the package says.
    let (name, bytes) = package("0.1.0-1");
    operator.machine.put(&format!("/root/{name}"), &bytes);
    operator.machine.ok(&format!("dpkg --install /root/{name}"));
    assert_eq!(operator.machine.ok("systemctl is-enabled twdiag").trim(), "enabled");
    assert_eq!(operator.property("ActiveState"), "active", "{}", operator.machine.log());
    for file in ["/usr/share/man/man1/twdiag.1.gz", "/usr/share/bash-completion/completions/twdiag"] {
        operator.machine.ok(&format!("dpkg --search {file} && test -s {file}"));
    }

    operator.machine.ok("twdiag check --config /etc/twdiag/twdiag.toml");

    // A broken configuration: neither a reload nor a start takes it, and the message says where and what to do.
    operator
        .machine
        .ok("install -d -m 0750 -g adm /var/log/voice && install -m 0640 -g adm /dev/null /var/log/voice/app.log");
    let configuration = "listen = \"127.0.0.1:9853\"\nstate = \"/var/lib/twdiag\"\nweb_config = \"/etc/twdiag/web.yml\"\n\n\
                         [[source]]\nname = \"voice\"\npaths = [\"/var/log/voice/*.log\"]\nstart_at = \"beginning\"\n";
    operator.machine.put("/etc/twdiag/web.yml", b"");
    operator.machine.put("/etc/twdiag/twdiag.toml", configuration.replace("paths", "pahts").as_bytes());
    operator.machine.fails("systemctl reload twdiag");
    assert_eq!(operator.property("ActiveState"), "active", "a bad reload ends nothing");
    let said = operator.machine.fails("twdiag check --config /etc/twdiag/twdiag.toml");
    assert!(said.contains("/etc/twdiag/twdiag.toml:7:1") && said.contains("did you mean `paths`?"), "{said}");
    operator.machine.fails("systemctl restart twdiag");
    assert!(operator.machine.log().contains("did you mean `paths`?"), "{}", operator.machine.log());

    // Mend it: it starts, unprivileged, with a watchdog and in a sandbox.
    operator.machine.put("/etc/twdiag/twdiag.toml", configuration.as_bytes());
    operator.machine.ok("systemctl reset-failed twdiag; systemctl start twdiag");
    operator.log(3);
    operator.is_exact("started");
    let status = operator.machine.ok("cat /proc/$(systemctl show twdiag --property=MainPID --value)/status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("CapEff:"), field("NoNewPrivs:"), field("Seccomp:")), ("0".repeat(16), "1".into(), "2".into()));
    assert_ne!(field("Uid:").split('\t').next(), Some("0"));
    assert_eq!(operator.property("WatchdogUSec"), "30s");
    assert!(operator.machine.log().contains("in a sandbox"), "{}", operator.machine.log());
    let doctor = operator.machine.ok("twdiag doctor --config /etc/twdiag/twdiag.toml");
    assert!(doctor.contains("ok   listen"), "{doctor}");

    // Add a source by a reload: nothing is restarted, what ran goes on, and what the new one counts is exact too.
    let started = operator.property("ExecMainStartTimestampMonotonic");
    operator
        .machine
        .ok("install -d -m 0750 -g adm /var/log/sms && install -m 0640 -g adm /dev/null /var/log/sms/app.log");
    let more = "\n[[source]]\nname = \"sms\"\npaths = [\"/var/log/sms/*.log\"]\nstart_at = \"beginning\"\n";
    operator.machine.put("/etc/twdiag/twdiag.toml", format!("{configuration}{more}").as_bytes());
    operator.machine.ok("systemctl reload twdiag");
    operator.log_to("/var/log/sms/app.log", 4);
    operator.log(2);
    operator.is_exact("with a source that a reload added");
    let of_sms = operator.machine.ok(&format!("{} | grep '^twilio_errors_total.*source=\"sms\"'", operator.page));
    assert_eq!(of_sms.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>(), 4);
    assert_eq!(operator.property("ExecMainStartTimestampMonotonic"), started, "nothing was restarted");

    // Rotate with the real logrotate, twice in each way.
    for (way, directives) in [
        ("create", "create 0640 root adm"),
        ("create and delaycompress", "create 0640 root adm\ncompress\ndelaycompress"),
        ("copytruncate", "copytruncate"),
        ("copytruncate and delaycompress", "copytruncate\ncompress\ndelaycompress"),
        ("copytruncate and compress", "copytruncate\ncompress"),
    ] {
        operator.machine.put("/etc/logrotate.d/voice", format!("{LOG} {{\nrotate 20\n{directives}\n}}\n").as_bytes());
        for _ in 0..2 {
            operator.log(7);
            operator.is_exact(way);
            operator.machine.ok("logrotate --force --state /root/rotated /etc/logrotate.d/voice");
            operator.log(5);
            operator.is_exact(way);
        }
    }
    let said = operator.machine.fails("twdiag doctor --config /etc/twdiag/twdiag.toml");
    assert!(said.contains("/etc/logrotate.d/voice:3 says copytruncate"), "{said}");
    operator
        .machine
        .put("/etc/logrotate.d/voice", format!("{LOG} {{\nrotate 20\ncreate 0640 root adm\n}}\n").as_bytes());

    // Serve over TLS; a renewed certificate is taken up without a restart.
    operator.certify();
    operator.machine.put("/etc/twdiag/web.yml", b"tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n");
    operator.machine.ok("systemctl restart twdiag");
    operator.page = "curl --silent --fail --cacert /root/ca.pem https://127.0.0.1:9853/metrics";
    operator.log(2);
    operator.is_exact("over TLS");
    let started = operator.property("ExecMainStartTimestampMonotonic");
    operator.certify();
    operator.log(2);
    operator.is_exact("with a renewed certificate");
    assert_eq!(operator.property("ExecMainStartTimestampMonotonic"), started, "nothing was restarted");

    // Kill it: systemd starts it again, and what was logged and rotated meanwhile is counted.
    let killed = operator.property("MainPID");
    operator.machine.ok("systemctl kill --signal=KILL twdiag");
    operator.log(4);
    operator.machine.ok("logrotate --force --state /root/rotated /etc/logrotate.d/voice");
    operator.log(4);
    operator.is_exact("killed");
    assert_ne!(operator.property("MainPID"), killed);
    assert_eq!(operator.property("NRestarts"), "1");

    // Let it hang: the watchdog ends it, and it goes on.
    operator.machine.ok("mkdir -p /etc/systemd/system/twdiag.service.d");
    let impatient = b"[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n";
    operator.machine.put("/etc/systemd/system/twdiag.service.d/impatient.conf", impatient);
    operator.machine.ok("systemctl daemon-reload && systemctl restart twdiag");
    operator.log(2);
    operator.is_exact("watched");
    operator.machine.ok("systemctl kill --signal=STOP twdiag");
    operator.log(3);
    operator.is_exact("hung");
    assert_eq!(operator.property("NRestarts"), "1");
    operator.machine.ok("rm -r /etc/systemd/system/twdiag.service.d && systemctl daemon-reload");
    operator.machine.ok("systemctl restart twdiag");

    // Upgrade while the backend logs: the new one goes on from the old one's state.
    let (name, bytes) = package("0.1.1-1");
    operator.machine.put(&format!("/root/{name}"), &bytes);
    let before = operator.property("MainPID");
    operator.machine.ok(&format!(
        "(for n in $(seq 50); do echo \"ERROR call $n: ConnectionError (31005): lost\"; done >> {LOG}) & \
         dpkg --install /root/{name} && wait"
    ));
    operator.logged += 50;
    operator.is_exact("upgraded");
    assert_ne!(operator.property("MainPID"), before);
    assert_eq!(operator.machine.ok("dpkg-query --show --showformat='${Version}' twdiag"), "0.1.1-1");
    assert!(operator.machine.ok("cat /etc/twdiag/twdiag.toml").contains("web_config"), "the operator's file stays");

    // Remove: the service is gone, its state stays for a later installation, until all is purged.
    operator.machine.ok("dpkg --remove twdiag");
    operator.machine.fails("systemctl is-active twdiag");
    operator.machine.fails("test -e /usr/bin/twdiag || test -e /usr/lib/systemd/system/twdiag.service");
    operator.machine.ok("test -e /var/lib/private/twdiag/state.v1.0 && test -e /etc/twdiag/twdiag.toml");
    operator.log(6);
    operator.machine.ok(&format!("dpkg --install /root/{name}"));
    operator.is_exact("installed again over the same state");
    operator.machine.ok("dpkg --purge twdiag");
    operator
        .machine
        .fails("test -e /var/lib/twdiag || test -e /var/lib/private/twdiag || test -e /etc/twdiag/twdiag.toml");
    let left = operator.machine.ok("find /usr /lib /etc /var/lib -xdev -name '*twdiag*' ! -path '/etc/twdiag*'");
    assert_eq!(left, "", "files are left");
}
