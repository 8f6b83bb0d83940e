//! The page as honest clients ask for it, and what a web configuration says of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};

use crate::program::{LOG, Serving, run, stderr, stdout, twdiag};
use crate::prometheus::{Prometheus, installed};

/// How long a client waits for anything; far more than a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A password, and its bcrypt hash at the least cost.
const PASSWORD: &str = "open sesame";

/// A CA that signs for servers and clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key, for 127.0.0.1 and this name.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Files of a web configuration: `ca.crt`, `server.crt` and `.key`, `client.crt` and `.key`, `web.yml`.
struct Web {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Web {
    fn new(text: &str) -> Web {
        let web = Web { directory: tempfile::tempdir().unwrap(), authority: Authority::new() };
        web.put("ca.crt", &web.authority.pem);
        for name in ["server", "client"] {
            let (certificate, key) = web.authority.sign(name);
            web.put(&format!("{name}.crt"), &certificate);
            web.put(&format!("{name}.key"), &key);
        }
        web.put("web.yml", text);
        web
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn arguments(&self) -> [String; 2] {
        ["--web-config".to_owned(), self.path("web.yml").display().to_string()]
    }

    fn serve(&self) -> Serving {
        let [option, path] = self.arguments();
        Serving::start(&[LOG, "--start-at", "beginning", &option, &path])
    }
}

fn hash() -> String {
    bcrypt::hash(PASSWORD, 4).unwrap()
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// What curl says of `url`: the status as the last line, or an error's code.
fn curl(arguments: &[&str], url: &str) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "60", "--noproxy", "*"]);
    command.args(arguments).arg(url).output().unwrap()
}

#[track_caller]
fn check_status(arguments: &[&str], url: &str, status: &str) {
    let output = curl(arguments, url);
    assert_eq!(stdout(&output), status, "{arguments:?} {url}: {}", stderr(&output));
}

/// Sends bytes and reads what comes back until the server closes; empty where it only closes.
pub(crate) fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = connect(address);
    // A server that has refused already may close before all is sent.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_client_needs_the_certificate_and_the_password() {
    if !installed("curl") {
        return;
    }
    let client = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let web = Web::new(&format!("{TLS}{client}basic_auth_users:\n  alice: {}\n", hash()));
    let stranger = Authority::new();
    let (certificate, key) = stranger.sign("client");
    web.put("stranger.crt", &certificate);
    web.put("stranger.key", &key);
    let serving = web.serve();
    let (url, path) = (format!("https://{}/metrics", serving.address), |name| web.path(name).display().to_string());
    let (ca, certificate, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let trusted = ["--cacert", &ca];
    let shown = ["--cacert", &ca, "--cert", &certificate, "--key", &key];
    let user = |user: &'static str| [&shown[..], &["-u", user]].concat();
    check_status(&user("alice:open sesame"), &url, "200");
    check_status(&user("alice:open"), &url, "401");
    check_status(&user("bob:open sesame"), &url, "401");
    check_status(&shown, &url, "401");
    // A handshake that fails has no status.
    check_status(&[&trusted[..], &["-u", "alice:open sesame"]].concat(), &url, "000");
    let (certificate, key) = (path("stranger.crt"), path("stranger.key"));
    check_status(&["--cacert", &ca, "--cert", &certificate, "--key", &key, "-u", "alice:open sesame"], &url, "000");
    // Who does not know the CA trusts nothing that the server shows.
    check_status(&["-u", "alice:open sesame"], &url, "000");
    check_status(&[&user("alice:open sesame")[..], &["--tls-max", "1.1"]].concat(), &url, "000");
    check_status(&[&user("alice:open sesame")[..], &["--tls-max", "1.2"]].concat(), &url, "200");
    check_status(&["-u", "alice:open sesame"], &format!("http://{}/metrics", serving.address), "000");
    // Probes have no password, and are told nothing.
    check_status(&shown, &format!("https://{}/healthz", serving.address), "200");
    check_status(&shown, &format!("https://{}/readyz", serving.address), "200");
}

#[test]
fn every_policy_for_certificates_is_kept() {
    if !installed("curl") {
        return;
    }
    // What a client sees that shows no certificate, one of a stranger, and one of the client CA.
    for (policy, ca, none, stranger, known) in [
        ("NoClientCert", "", "200", "200", "200"),
        ("RequestClientCert", "", "200", "200", "200"),
        ("RequireAnyClientCert", "", "000", "200", "200"),
        ("VerifyClientCertIfGiven", "  client_ca_file: ca.crt\n", "200", "000", "200"),
        ("RequireAndVerifyClientCert", "  client_ca_file: ca.crt\n", "000", "000", "200"),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [other, 10.0.0.1]\n",
            "000",
            "000",
            "000",
        ),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [client]\n",
            "000",
            "000",
            "200",
        ),
        ("RequireAnyClientCert", "  client_allowed_sans: [127.0.0.1]\n", "000", "200", "200"),
    ] {
        let web = Web::new(&format!("{TLS}  client_auth_type: {policy}\n{ca}"));
        let (certificate, key) = Authority::new().sign("client");
        web.put("stranger.crt", &certificate);
        web.put("stranger.key", &key);
        let serving = web.serve();
        let url = format!("https://{}/metrics", serving.address);
        let path = |name: &str| web.path(name).display().to_string();
        let trusted = ["--cacert".to_owned(), path("ca.crt")];
        let shown = |name: &str| {
            ["--cert".to_owned(), path(&format!("{name}.crt")), "--key".to_owned(), path(&format!("{name}.key"))]
        };
        for (arguments, status) in
            [(vec![], none), (shown("stranger").to_vec(), stranger), (shown("client").to_vec(), known)]
        {
            let arguments: Vec<&str> = trusted.iter().chain(&arguments).map(String::as_str).collect();
            let output = curl(&arguments, &url);
            assert_eq!(stdout(&output), status, "{policy}\n{ca}{arguments:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_wrong_web_configuration_refuses_to_start() {
    let web = Web::new("tls_server_config:\n  cert_file: server.crt\n  key_flie: server.key\n");
    let [option, path] = web.arguments();
    let start = |web: &Web, text: &str| {
        web.put("web.yml", text);
        let output = run(&["--listen", "127.0.0.1:0", &option, &path], b"");
        assert_eq!(output.status.code(), Some(2), "{text}: {output:?}");
        stderr(&output)
    };
    let said = start(&web, "tls_server_config:\n  cert_file: server.crt\n  key_flie: server.key\n");
    for part in ["web.yml:3:3", "key_flie: server.key", "^", "did you mean `key_file`?"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = start(&web, "tls_server_config:\n  cert_file: server.crt\n  key_file: client.key\n");
    assert!(said.contains("web.yml:3:13") && said.contains("not the certificate's"), "{said}");
    std::fs::remove_file(web.path("web.yml")).unwrap();
    let output = run(&["--listen", "127.0.0.1:0", &option, &path], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot read the web configuration"), "{output:?}");
}

#[test]
fn a_real_prometheus_scrapes_over_tls_with_a_password() {
    let client = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let web = Web::new(&format!("{TLS}{client}basic_auth_users:\n  alice: {}\n", hash()));
    web.put("password", PASSWORD);
    let serving = web.serve();
    let path = |name: &str| web.path(name).display().to_string();
    let configuration = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs:
  - job_name: twdiag
    scheme: https
    basic_auth: {{username: alice, password_file: {}}}
    tls_config: {{ca_file: {}, cert_file: {}, key_file: {}}}
    static_configs: [{{targets: ['{}']}}]
",
        path("password"),
        path("ca.crt"),
        path("client.crt"),
        path("client.key"),
        serving.address
    );
    let Some(prometheus) = Prometheus::start(&configuration.replace("timeout: 100ms", "timeout: 90ms")) else { return };
    prometheus.wait_for("up{job='twdiag'} == 1");
    prometheus.wait_for("sum(twilio_errors_total) > 0");
}

/// Reads one answer, whose length its head tells.
pub(crate) fn read_answer(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    let mut reader = BufReader::with_capacity(1, stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        answer.extend_from_slice(line.as_bytes());
        if line == "\r\n" || line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    answer.extend(body);
    String::from_utf8(answer).unwrap()
}

/// The certificate that the server shows to a new client, in DER.
fn shown_certificate(address: &str) -> Vec<u8> {
    use rustls::pki_types::ServerName;
    let mut connection = rustls::ClientConnection::new(blind(), ServerName::try_from("server").unwrap()).unwrap();
    let mut stream = connect(address);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    connection.peer_certificates().unwrap()[0].to_vec()
}

/// A client that trusts everyone.
fn blind() -> Arc<rustls::ClientConfig> {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    #[derive(Debug)]
    struct Blind;
    impl ServerCertVerifier for Blind {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Blind))
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn a_certificate_is_renewed_under_an_open_connection() {
    let web = Web::new(TLS);
    let [option, path] = web.arguments();
    let mut child = twdiag(&[LOG, "--output", "none", "--listen", "127.0.0.1:0", &option, &path])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.by_ref().find(|line| line.contains("https://")).expect("it serves over TLS");
    let address = line.split_once("https://").unwrap().1.split_once("/metrics").unwrap().0.to_owned();
    let serving = Serving { child, address: address.clone() };
    let log = Arc::new(Mutex::new(Vec::new()));
    let keeper = Arc::clone(&log);
    let keeper = std::thread::spawn(move || lines.for_each(|line| keeper.lock().unwrap().push(line)));
    let start = Instant::now();
    let times_said = |text: &str| log.lock().unwrap().iter().filter(|line| line.contains(text)).count();
    // New clients make it look at its files; no more than once a second.
    let until = |done: &dyn Fn() -> bool| {
        while !done() {
            shown_certificate(&address);
            assert!(start.elapsed() < PATIENCE, "{:?}", log.lock().unwrap());
        }
    };

    let connection =
        rustls::ClientConnection::new(blind(), rustls::pki_types::ServerName::try_from("server").unwrap()).unwrap();
    let mut kept = rustls::StreamOwned::new(connection, connect(&address));
    let mut ask = || {
        kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_answer(&mut kept)
    };
    assert!(ask().starts_with("HTTP/1.1 200"));
    let old = shown_certificate(&address);
    let (certificate, key) = web.authority.sign("server");
    // First the certificate alone: with the old key it is none, and the old pair is kept.
    web.put("server.crt", &certificate);
    until(&|| times_said("the old one is kept") == 1);
    assert_eq!(shown_certificate(&address), old);
    web.put("server.key", &key);
    until(&|| shown_certificate(&address) != old);
    assert!(ask().starts_with("HTTP/1.1 200"), "the connection of before the renewal stays");
    // A file that is just being written protects nobody.
    web.put("web.yml", "");
    until(&|| times_said("would switch TLS off") == 1);
    assert_ne!(shown_certificate(&address), old);
    web.put("web.yml", TLS);
    until(&|| times_said("was read again") == 2);
    drop(serving);
    keeper.join().unwrap();
    assert_eq!(times_said("the old one is kept"), 2, "each said once");
}

#[test]
fn what_is_not_asked_for_is_not_answered() {
    let serving = Serving::start(&[LOG]);
    let ask = |request: &str| exchange(&serving.address, request.as_bytes());
    let close = "Host: x\r\nConnection: close\r\n\r\n";
    for (method, path, status, allow) in [
        ("GET", "/metrics", "200", ""),
        ("HEAD", "/metrics", "200", ""),
        ("POST", "/metrics", "405", "allow: GET, HEAD\r\n"),
        ("PUT", "/healthz", "405", "allow: GET, HEAD\r\n"),
        ("DELETE", "/nowhere", "405", "allow: GET, HEAD\r\n"),
        ("TRACE", "/metrics", "405", "allow: GET, HEAD\r\n"),
        ("CONNECT", "example.com:443", "405", "allow: GET, HEAD\r\n"),
        ("OPTIONS", "*", "405", "allow: GET, HEAD\r\n"),
        ("GET", "/nowhere", "404", ""),
        ("GET", "/-/reload", "405", "allow: POST\r\n"),
        ("POST", "/-/reload", "403", ""),
    ] {
        let answer = ask(&format!("{method} {path} HTTP/1.1\r\n{close}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
        assert!(answer.contains(allow), "{method} {path}: {answer}");
        for header in ["x-content-type-options: nosniff", "content-security-policy: ", "cache-control: no-store"] {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        if method == "HEAD" {
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
}

#[test]
fn nothing_of_a_request_comes_back() {
    let serving = Serving::start(&[LOG]);
    let canary = "c4nary<script>";
    for request in [
        format!("GET /{canary} HTTP/1.1\r\nHost: {canary}\r\n"),
        format!("GET /metrics?{canary} HTTP/1.1\r\nHost: x\r\nX-{canary}: {canary}\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: {canary}\r\nReferer: {canary}\r\nOrigin: {canary}\r\n"),
        format!("{canary} / HTTP/1.1\r\nHost: x\r\n"),
        format!("POST /-/reload HTTP/1.1\r\nHost: x\r\nOrigin: {canary}\r\n"),
    ] {
        let answer = exchange(&serving.address, format!("{request}Connection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 "), "{request}: {answer}");
        assert!(!answer.contains("c4nary"), "{request}: {answer}");
    }
}

#[test]
fn a_page_is_packed_where_the_client_asks_for_it() {
    let serving = Serving::start(&[LOG]);
    let ask = |accepted: &str| {
        let mut stream = connect(&serving.address);
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {accepted}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end..].to_vec())
    };
    let (head, plain) = ask("identity");
    assert!(!head.contains("content-encoding") && head.contains("vary: accept-encoding"), "{head}");
    for accepted in ["gzip", "deflate, gzip;q=0.5", "br, GZIP"] {
        let (head, packed) = ask(accepted);
        assert!(head.contains("content-encoding: gzip"), "{accepted}: {head}");
        let mut page = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut page).unwrap();
        assert!(page.contains("twilio_errors_total{"), "{page}");
        assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    }
    for accepted in ["gzip;q=0", "gzip;q=0.0, br", "x-gzipped"] {
        assert!(!ask(accepted).0.contains("content-encoding"), "{accepted}");
    }
}

#[test]
fn too_many_requests_are_refused() {
    let web = Web::new("rate_limit: {interval: 1h, burst: 3}\n");
    let serving = web.serve();
    let statuses: Vec<String> = (0..5).map(|_| serving.get("/healthz").split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(statuses, ["200", "200", "200", "429", "429"]);
}

#[test]
fn headers_are_as_the_web_configuration_says() {
    let web = Web::new("http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n    X-XSS-Protection: '0'\n");
    let answer = web.serve().get("/metrics");
    assert!(
        answer.contains("x-frame-options: sameorigin\r\n") && answer.contains("x-xss-protection: 0\r\n"),
        "{answer}"
    );
    assert_eq!(answer.matches("x-frame-options").count(), 1, "{answer}");
}

#[test]
fn healthcheck_tells_whether_the_daemon_lives() {
    let ask = |url: &str| {
        let output = run(&["healthcheck", "--url", url], b"");
        (output.status.code(), stderr(&output))
    };
    let serving = Serving::start(&[LOG]);
    let address = serving.address.clone();
    assert_eq!(ask(&format!("http://{address}/healthz")), (Some(0), String::new()));
    assert_eq!(ask(&format!("http://{address}/readyz")).0, Some(0));
    let (code, said) = ask(&format!("http://{address}/nowhere"));
    assert!(code == Some(1) && said.contains("404"), "{said}");
    drop(serving);
    let (code, said) = ask(&format!("http://{address}/healthz"));
    assert!(code == Some(1) && said.contains("does not answer"), "{said}");
    assert_eq!(ask("ftp://x/").0, Some(2));
    assert_eq!(ask("/healthz").0, Some(2));

    let users = format!("basic_auth_users:\n  alice: {}\n", hash());
    let policy = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    for (rest, status) in [("", Some(0)), (users.as_str(), Some(0)), (policy, Some(0))] {
        let web = Web::new(&format!("{TLS}{rest}"));
        let serving = web.serve();
        let (code, said) = ask(&format!("https://{}/healthz", serving.address));
        assert_eq!(code, status, "{rest}: {said}");
    }
}

#[test]
fn healthcheck_asks_where_the_configuration_serves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("twdiag.toml");
    let ask = |configuration: &str| {
        std::fs::write(&path, configuration).unwrap();
        let output = run(&["healthcheck", "--config", path.to_str().unwrap()], b"");
        (output.status.code(), stderr(&output))
    };
    let lives = (Some(0), String::new());
    let serving = Serving::start(&[LOG]);
    let (_, port) = serving.address.rsplit_once(':').unwrap();
    assert_eq!(ask(&format!("listen = \"{}\"\n", serving.address)), lives);
    assert_eq!(ask(&format!("listen = \"0.0.0.0:{port}\"\n")), lives, "everywhere is here too");
    // Whatever became of the web configuration since: who lives is not killed for it.
    assert_eq!(ask(&format!("listen = \"{}\"\nweb_config = \"/nowhere\"\n", serving.address)), lives);
    let web = Web::new(TLS);
    let encrypted = web.serve();
    assert_eq!(ask(&format!("listen = \"{}\"\nweb_config = \"web.yml\"\n", encrypted.address)), lives);
    let (code, said) = ask(&format!("listen = \"{}\"\n", encrypted.address));
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = ask("listen = \"none\"\n");
    assert!(code == Some(2) && said.contains("serves no page"), "{said}");
    // A bad file is not read by who runs: what of it can be read says where.
    for bad in ["lissen = \"none\"", "state = 1", "state = \"${UNSET}\"", "[[source", "listen"] {
        assert_eq!(ask(&format!("listen = \"{}\"\n{bad}\n", serving.address)), lives, "{bad}");
    }
    let (code, said) = ask("listen = \"127.0.0.1:1\"\nlissen = \"none\"\n");
    assert!(code == Some(1) && said.contains("does not answer"), "{said}");
    assert!(said.contains("did you mean `listen`?"), "{said}");
}

#[test]
fn the_end_answers_what_was_asked_and_does_not_wait_for_the_rest() {
    let mut serving = Serving::start(&[LOG]);
    let mut idle = connect(&serving.address);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(read_answer(&mut idle).starts_with("HTTP/1.1 200"));
    let mut half = connect(&serving.address);
    half.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let start = Instant::now();
    let pid = rustix::process::Pid::from_child(&serving.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(serving.child.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
}
