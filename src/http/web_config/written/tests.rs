use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A self-signed certificate and its key.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Understands the text beside these files of `/etc/web`.
fn read(text: &str, files: &[(&str, &str)]) -> Result<Understood, Problems> {
    understand(Path::new("/etc/web/web.yml"), text, &mut |path| {
        let name = path.strip_prefix("/etc/web").map_err(io::Error::other)?;
        let found = files.iter().find(|(file, _)| Path::new(file) == name);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

/// Every problem as its line, its column and its message with the help.
fn problems(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    let Err(Problems(problems)) = read(text, files) else { panic!("nothing is wrong with\n{text}") };
    problems
        .iter()
        .map(|problem| {
            let before = problem.text.get(..problem.span.start).unwrap();
            let (line, column) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap().len() + 1);
            let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            format!("{line}:{column} {}{help}", problem.message)
        })
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (certificate, key) = pair("a.example");
    let (_, other) = pair("b.example");
    let files = [("a.crt", certificate.as_str()), ("a.key", &key), ("b.key", &other), ("empty", "")];
    assert_eq!(problems(text, &files), expected, "{text}");
}

/// A bcrypt hash of the least cost.
const HASH: &str = "$2y$04$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

#[test]
fn everything_that_the_toolkit_knows_is_understood() {
    let (certificate, key) = pair("a.example");
    let text = format!(
        "tls_server_config:
  cert_file: a.crt
  key_file: /etc/web/a.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: a.crt
  client_allowed_sans: [a.example, 10.0.0.1]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    - TLS_AES_128_GCM_SHA256
  prefer_server_cipher_suites: true
  curve_preferences: [X25519, CurveP256]
http_server_config:
  http2: true
  headers:
    Content-Security-Policy: default-src 'self'
    X-Frame-Options: sameorigin
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  alice: {HASH}
rate_limit:
  interval: 1m30s
  burst: 20
"
    );
    let understood = read(&text, &[("a.crt", &certificate), ("a.key", &key)]).map_err(|e| e.to_string()).unwrap();
    let tls = understood.tls.unwrap();
    let suites: Vec<String> =
        tls.crypto_provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    assert_eq!(suites.iter().filter(|name| !name.starts_with("TLS13")).count(), 1, "{suites:?}");
    assert_eq!(suites.iter().filter(|name| name.starts_with("TLS13")).count(), 3, "{suites:?}");
    assert_eq!(tls.crypto_provider().kx_groups.len(), 2);
    assert!(tls.ignore_client_order);
    assert_eq!(understood.auth, ClientAuth::RequireAndVerifyClientCert);
    assert_eq!(understood.headers.len(), 3);
    assert_eq!(understood.users.get("alice").map(String::as_str), Some(HASH));
    assert_eq!(understood.rate, Some((Duration::from_secs(90), 20)));
}

#[test]
fn nothing_is_asked_for_by_nothing() {
    for text in ["", "# only a comment\n", "---\n", "{}", "basic_auth_users:\n", "tls_server_config: {}\n"] {
        let understood = read(text, &[]).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(understood.tls.is_none() && understood.users.is_empty() && understood.rate.is_none(), "{text:?}");
    }
    for interval in ["0", "0s"] {
        assert_eq!(read(&format!("rate_limit: {{interval: {interval}}}"), &[]).unwrap().rate, None);
    }
    assert_eq!(
        read("rate_limit: {interval: 1000000, burst: 1}", &[]).unwrap().rate,
        Some((Duration::from_millis(1), 1))
    );
}

#[test]
fn certificates_may_stand_in_the_file() {
    let (certificate, key) = pair("a.example");
    let indented = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let text = format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", indented(&certificate), indented(&key));
    assert!(read(&text, &[]).unwrap().tls.is_some());
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    check("basic_auth_user:\n  a: b\n", &["1:1 unknown field `basic_auth_user`; did you mean `basic_auth_users`?"]);
    check("tls_server_config:\n  cert_flie: a.crt\n", &["2:3 unknown field `cert_flie`; did you mean `cert_file`?"]);
    check("http_server_config:\n  http2: maybe\n", &["2:10 invalid boolean (true or false expected)"]);
    check("basic_auth_users:\n  alice: x\n  alice: y\n", &["3:3 duplicate mapping key `alice` is not allowed here"]);
    check("rate_limit: [", &["1:13 expected mapping start"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    check(
        "tls_server_config:
  cert_file: a.crt
  key_file: nowhere.key
  client_auth_type: RequireAndVerify
  min_version: TLS10
  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]
  curve_preferences: [CurveP521]
http_server_config:
  headers:
    Server: nginx
    X-Frame-Options: allow
basic_auth_users:
  alice: open sesame  # in clear
rate_limit:
  interval: often
",
        &[
            "4:21 `RequireAndVerify` is no policy for clients' certificates; these are: NoClientCert, RequestClientCert, \
             RequireAnyClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert",
            "5:16 `TLS10` is no version of TLS that is spoken here; did you mean `TLS12`?",
            "6:19 `TLS_RSA_WITH_RC4_128_SHA` is no cipher suite that is spoken here; these are: TLS_AES_256_GCM_SHA384, \
             TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
             TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
             TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "7:23 `CurveP521` is no curve that is spoken here; did you mean `CurveP256`?",
            "3:13 cannot read /etc/web/nowhere.key: entity not found",
            "10:13 the header `Server` cannot be set; these can be: Strict-Transport-Security, X-Content-Type-Options, \
             X-Frame-Options, X-XSS-Protection, Content-Security-Policy",
            "11:22 `allow` is no value of `X-Frame-Options`; write one of: deny, sameorigin",
            "13:10 this is no bcrypt hash (of the user `alice`); make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'",
            "15:13 `often` is no time between two requests; write a time as 1s or 250ms; 0 for no limit",
        ],
    );
}

#[test]
fn a_half_right_file_is_wrong() {
    let needs = "TLS needs cert_file and key_file, or cert and key with their PEM texts";
    let tls = |rest: &str| format!("tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n{rest}");
    check("tls_server_config:\n  cert_file: a.crt\n", &[&format!("2:3 `key_file` is missing; {needs}")]);
    check("tls_server_config:\n  min_version: TLS13\n", &[&format!("2:3 TLS without a certificate; {needs}")]);
    check(
        "tls_server_config: {cert_file: a.crt, key_file: b.key}",
        &["1:49 TLS cannot work with this: keys may not be consistent: KeyMismatch; this key is not the certificate's"],
    );
    check(
        "tls_server_config: {cert_file: empty, key_file: empty}",
        &[
            "1:32 holds no certificate in PEM form",
            "1:49 holds no private key in PEM form that can be used (one under a passphrase cannot)",
        ],
    );
    check(&tls("  cert: x\n"), &["2:14 given twice: in this file and inline; remove one of the two"]);
    check(
        &tls("  client_ca_file: a.crt\n"),
        &["4:19 a client CA that no certificate is held against; set client_auth_type: RequireAndVerifyClientCert"],
    );
    check(
        &tls("  client_auth_type: RequireAndVerifyClientCert\n"),
        &[
            "4:21 `RequireAndVerifyClientCert` needs a CA; name the CA with client_ca_file: twdiag trusts no public one for \
           this",
        ],
    );
    check(
        &tls("  client_allowed_sans: [a]\n"),
        &[
            "4:25 names of certificates that no client must show; set client_auth_type to RequireAndVerifyClientCert or \
           RequireAnyClientCert",
        ],
    );
    check(
        &tls("  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a@b.example]\n"),
        &["5:25 `a@b.example`: e-mail addresses are not looked for; name a DNS name, an address or a URI of the \
           certificate"],
    );
    check(&tls("  min_version: TLS13\n  max_version: TLS12\n"), &["4:16 the least version is later than the latest"]);
    check(
        "rate_limit: {interval: 1s}",
        &[
            "1:24 a rate of requests that lets none through; set burst to how many requests may come at once, at least 1",
        ],
    );
    check("basic_auth_users: {'a:b': x}", &["1:27 the user `a:b` can never sign in: a name has no colon"]);
}

#[test]
fn a_secret_is_not_shown_with_its_place() {
    let text = "basic_auth_users:\n  alice: open sesame\n  bob: $2y$04$rest\n";
    let Err(problems) = read(text, &[]) else { panic!("two hashes are none") };
    let shown = problems.to_string();
    assert!(shown.contains("web.yml:2:10") && shown.contains("alice: ***"), "{shown}");
    assert!(!shown.contains("sesame") && !shown.contains("rest"), "{shown}");
    let text = "tls_server_config:\n  cert: x\n  key: |\n    c2VjcmV0\n    bW9yZQ==\n";
    let Err(problems) = read(text, &[]) else { panic!("a key that is none") };
    let shown = problems.to_string();
    assert!(!shown.contains("c2Vj") && !shown.contains("bW9y"), "{shown}");
}
