//! The file's format, which is that of Prometheus' exporter-toolkit, and everything that can be wrong in it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::http::tls::{self, ClientAuth, Plan};
use crate::http::users;
use crate::problem::{Problem, Problems, suggestion};

/// What the file means.
#[derive(Default)]
pub(super) struct Understood {
    pub(super) tls: Option<ServerConfig>,
    pub(super) auth: ClientAuth,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Names, with bcrypt hashes of passwords.
    pub(super) users: BTreeMap<String, String>,
    /// The time between two requests and how many may come at once.
    pub(super) rate: Option<(Duration, u32)>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    tls_server_config: Option<Spanned<WrittenTls>>,
    http_server_config: Option<WrittenHttp>,
    rate_limit: Option<WrittenRate>,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
}

type Text = Option<Spanned<String>>;

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenTls {
    cert: Text,
    key: Text,
    client_ca: Text,
    cert_file: Text,
    key_file: Text,
    client_auth_type: Text,
    client_ca_file: Text,
    client_allowed_sans: Option<Vec<Spanned<String>>>,
    min_version: Text,
    max_version: Text,
    cipher_suites: Option<Vec<Spanned<String>>>,
    prefer_server_cipher_suites: Option<bool>,
    curve_preferences: Option<Vec<Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenHttp {
    /// Only HTTP/1.1 is spoken, which every client of HTTP/2 speaks too: either value is taken.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRate {
    interval: Text,
    burst: Option<Spanned<u32>>,
}

/// The headers that may be set, and the values that are allowed where they are few.
const SETTABLE: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// Reads a file that the configuration names, by its whole path.
pub(super) type Read<'a> = &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// Understands the text of the file at `path`.
///
/// # Errors
/// Everything that is wrong in it and in the files that it names.
pub(super) fn understand(path: &Path, text: &str, read: Read<'_>) -> Result<Understood, Problems> {
    let shown = path.display().to_string();
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    // A file of comments alone holds nothing, which is not null to the parser.
    let written: Option<Written> = if text.trim().is_empty() {
        None
    } else {
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let at = error.location().map_or(text.len()..text.len(), |location| span(text, location));
            let (message, help) =
                simple(&error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter));
            Problems(vec![Problem { path: shown.clone(), text: text.into(), span: at, message, help }])
        })?
    };
    let mut reader = Reader { path, text, read, problems: Vec::new() };
    let understood = reader.understand(written.unwrap_or_default());
    let found = reader.problems;
    if found.is_empty() {
        return Ok(understood);
    }
    Err(Problems(
        found
            .into_iter()
            .map(|Found { span, message, help, secret }| {
                let text = if secret { masked(text, &span) } else { text.into() };
                Problem { path: shown.clone(), text, span, message, help }
            })
            .collect(),
    ))
}

struct Found {
    span: Range<usize>,
    message: String,
    help: Option<String>,
    /// Whether what stands there must not be shown.
    secret: bool,
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    read: Read<'a>,
    problems: Vec<Found>,
}

impl Reader<'_> {
    fn problem<T>(&mut self, place: &Spanned<T>, message: String, help: Option<String>) {
        let span = span(self.text, place.referenced);
        self.problems.push(Found { span, message, help, secret: false });
    }

    fn secret_problem<T>(&mut self, place: &Spanned<T>, message: String, help: Option<String>) {
        self.problem(place, message, help);
        if let Some(last) = self.problems.last_mut() {
            last.secret = true;
        }
    }

    fn understand(&mut self, written: Written) -> Understood {
        let mut understood = Understood::default();
        if let Some(tls) = written.tls_server_config {
            (understood.tls, understood.auth) = self.tls(&tls);
        }
        for (name, value) in written.http_server_config.unwrap_or_default().headers.unwrap_or_default() {
            understood.headers.extend(self.header(&name, &value));
        }
        for (user, hash) in written.basic_auth_users.unwrap_or_default() {
            if user.contains(':') {
                self.secret_problem(&hash, format!("the user `{user}` can never sign in: a name has no colon"), None);
            } else if let Err(wrong) = users::cost(&hash.value) {
                let help = "make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'".to_owned();
                self.secret_problem(&hash, format!("{wrong} (of the user `{user}`)"), Some(help));
            } else {
                understood.users.insert(user, hash.value);
            }
        }
        understood.rate = self.rate(&written.rate_limit.unwrap_or_default());
        understood
    }

    fn header(&mut self, name: &str, value: &Spanned<String>) -> Option<(HeaderName, HeaderValue)> {
        let known = SETTABLE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((name, values)) = known else {
            let near = suggestion(name, SETTABLE.iter().map(|(name, _)| *name));
            let help = near.map_or_else(
                || format!("these can be: {}", SETTABLE.map(|(name, _)| name).join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.problem(value, format!("the header `{name}` cannot be set"), Some(help));
            return None;
        };
        if !values.is_empty() && !values.contains(&value.value.as_str()) {
            let help = format!("write one of: {}", values.join(", "));
            self.problem(value, format!("`{}` is no value of `{name}`", value.value), Some(help));
            return None;
        }
        match (HeaderName::try_from(*name), HeaderValue::try_from(&value.value)) {
            (Ok(name), Ok(value)) => Some((name, value)),
            _ => {
                self.problem(value, format!("`{name}` cannot hold this: a header is one line"), None);
                None
            }
        }
    }

    fn rate(&mut self, written: &WrittenRate) -> Option<(Duration, u32)> {
        let interval = written.interval.as_ref()?;
        let text = interval.value.trim();
        // As in Go, a number alone is nanoseconds.
        let parsed = match text.parse::<u64>() {
            Ok(nanoseconds) => Some(Duration::from_nanos(nanoseconds)),
            Err(_) => text.parse::<jiff::SignedDuration>().ok().and_then(|duration| duration.try_into().ok()),
        };
        let Some(every) = parsed else {
            let help = Some("write a time as 1s or 250ms; 0 for no limit".to_owned());
            self.problem(interval, format!("`{text}` is no time between two requests"), help);
            return None;
        };
        if every.is_zero() {
            return None;
        }
        let burst = written.burst.as_ref().map_or(0, |burst| burst.value);
        if burst == 0 {
            let help = Some("set burst to how many requests may come at once, at least 1".to_owned());
            let message = "a rate of requests that lets none through".to_owned();
            match &written.burst {
                Some(burst) => self.problem(burst, message, help),
                None => self.problem(interval, message, help),
            }
            return None;
        }
        Some((every, burst))
    }

    /// The bytes of what is given inline or in a file, and where that stands.
    fn bytes<'w>(&mut self, inline: &'w Text, file: &'w Text, secret: bool) -> Option<(Vec<u8>, &'w Spanned<String>)> {
        match (
            inline.as_ref().filter(|text| !text.value.is_empty()),
            file.as_ref().filter(|file| !file.value.is_empty()),
        ) {
            (Some(_), Some(file)) => {
                let message = "given twice: in this file and inline".to_owned();
                self.problem(file, message, Some("remove one of the two".to_owned()));
                None
            }
            (Some(inline), None) => {
                if secret {
                    tracing::debug!("a key stands in the web configuration itself");
                }
                Some((inline.value.clone().into_bytes(), inline))
            }
            (None, Some(file)) => {
                let path = self.path.parent().unwrap_or(Path::new("")).join(&file.value);
                match (self.read)(&path) {
                    Ok(bytes) => Some((bytes, file)),
                    Err(error) => {
                        self.problem(file, format!("cannot read {}: {error}", crate::output::shown(&path)), None);
                        None
                    }
                }
            }
            (None, None) => None,
        }
    }

    fn tls(&mut self, place: &Spanned<WrittenTls>) -> (Option<ServerConfig>, ClientAuth) {
        let written = &place.value;
        let before = self.problems.len();
        let auth = self.client_auth(written);
        let versions = self.versions(written);
        let provider = self.provider(written);
        let has = |text: &Text| text.as_ref().is_some_and(|text| !text.value.is_empty());
        let is_enabled = [
            &written.cert,
            &written.cert_file,
            &written.key,
            &written.key_file,
            &written.client_ca,
            &written.client_ca_file,
            &written.client_auth_type,
        ]
        .into_iter()
        .any(has);
        if !is_enabled {
            // The toolkit serves plain HTTP where this section names neither; whoever wrote it expects otherwise.
            if [&written.min_version, &written.max_version].into_iter().any(has) || written.cipher_suites.is_some() {
                self.problem(place, "TLS without a certificate".to_owned(), Some(NEEDS.to_owned()));
            }
            return (None, auth);
        }
        for (inline, file, name) in
            [(&written.cert, &written.cert_file, "cert_file"), (&written.key, &written.key_file, "key_file")]
        {
            if !has(inline) && !has(file) {
                self.problem(place, format!("`{name}` is missing"), Some(NEEDS.to_owned()));
            }
        }
        let certificates = self.bytes(&written.cert, &written.cert_file, false);
        let certificates = certificates.and_then(|(pem, at)| self.certificates(&pem, at).map(|all| (all, at)));
        let key = self.bytes(&written.key, &written.key_file, true).and_then(|(pem, at)| match tls::key(&pem) {
            Ok(key) => Some((key, at)),
            Err(wrong) => {
                self.secret_problem(at, wrong, None);
                None
            }
        });
        let roots = self.bytes(&written.client_ca, &written.client_ca_file, false);
        let roots = roots.and_then(|(pem, at)| self.certificates(&pem, at));
        let (Some((certificates, _)), Some((key, at)), true) = (certificates, key, self.problems.len() == before)
        else {
            return (None, auth);
        };
        let plan = Plan {
            certificates,
            key,
            versions,
            provider,
            auth,
            roots: roots.unwrap_or_default(),
            allowed_names: written
                .client_allowed_sans
                .as_ref()
                .map(|names| names.iter().map(|name| name.value.clone()).collect()),
            prefer_server_order: written.prefer_server_cipher_suites.unwrap_or(true),
        };
        match plan.build() {
            Ok(config) => (Some(config), auth),
            Err(error) => {
                let help = match error {
                    rustls::Error::InconsistentKeys(_) => Some("this key is not the certificate's".to_owned()),
                    _ => None,
                };
                self.secret_problem(at, format!("TLS cannot work with this: {error}"), help);
                (None, auth)
            }
        }
    }

    fn certificates(&mut self, pem: &[u8], at: &Spanned<String>) -> Option<Vec<CertificateDer<'static>>> {
        match tls::certificates(pem) {
            Ok(all) => Some(all),
            Err(wrong) => {
                self.problem(at, wrong, None);
                None
            }
        }
    }

    fn client_auth(&mut self, written: &WrittenTls) -> ClientAuth {
        let mut auth = ClientAuth::default();
        if let Some(name) = &written.client_auth_type {
            match ClientAuth::named(&name.value) {
                Some(named) => auth = named,
                None => {
                    self.unknown(name, "is no policy for clients' certificates", ClientAuth::NAMES);
                    return auth;
                }
            }
            let has_ca = [&written.client_ca, &written.client_ca_file]
                .into_iter()
                .any(|ca| ca.as_ref().is_some_and(|ca| !ca.value.is_empty()));
            if auth.verifies() && !has_ca {
                let help = Some("name the CA with client_ca_file: twdiag trusts no public one for this".to_owned());
                self.problem(name, format!("`{}` needs a CA", name.value), help);
            }
        }
        for ca in [&written.client_ca, &written.client_ca_file].into_iter().flatten() {
            if auth == ClientAuth::NoClientCert && !ca.value.is_empty() {
                let help = Some("set client_auth_type: RequireAndVerifyClientCert".to_owned());
                self.problem(ca, "a client CA that no certificate is held against".to_owned(), help);
            }
        }
        for name in written.client_allowed_sans.iter().flatten() {
            if !auth.is_mandatory() {
                let help = "set client_auth_type to RequireAndVerifyClientCert or RequireAnyClientCert".to_owned();
                self.problem(name, "names of certificates that no client must show".to_owned(), Some(help));
            } else if name.value.contains('@') {
                let help = Some("name a DNS name, an address or a URI of the certificate".to_owned());
                self.problem(name, format!("`{}`: e-mail addresses are not looked for", name.value), help);
            }
        }
        auth
    }

    fn versions(&mut self, written: &WrittenTls) -> Vec<&'static SupportedProtocolVersion> {
        const ORDER: [(&str, &SupportedProtocolVersion); 2] = [("TLS12", &version::TLS12), ("TLS13", &version::TLS13)];
        let mut bound = |text: &Text, default: usize| {
            let Some(text) = text else { return default };
            let found = ORDER.iter().position(|(name, _)| *name == text.value);
            if found.is_none() {
                self.unknown(text, "is no version of TLS that is spoken here", ORDER.map(|(name, _)| name));
            }
            found.unwrap_or(default)
        };
        let (least, most) = (bound(&written.min_version, 0), bound(&written.max_version, 1));
        if least > most
            && let Some(at) = &written.min_version
        {
            self.problem(at, "the least version is later than the latest".to_owned(), None);
        }
        ORDER.get(least..=most).unwrap_or_default().iter().map(|(_, version)| *version).collect()
    }

    /// The cipher suites and groups that are to be used. As in Go, TLS 1.3 uses all of its suites.
    fn provider(&mut self, written: &WrittenTls) -> CryptoProvider {
        let mut provider = ring::default_provider();
        let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        if let Some(wanted) = written.cipher_suites.as_ref().filter(|wanted| !wanted.is_empty()) {
            let known: Vec<String> = provider.cipher_suites.iter().map(name).collect();
            for unknown in wanted.iter().filter(|wanted| !known.contains(&wanted.value)) {
                self.unknown(unknown, "is no cipher suite that is spoken here", known.iter().map(String::as_str));
            }
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || wanted.iter().any(|wanted| wanted.value == name(suite)));
            let place = |suite: &SupportedCipherSuite| wanted.iter().position(|wanted| wanted.value == name(suite));
            provider.cipher_suites.sort_by_key(|suite| place(suite).unwrap_or(0));
        }
        if let Some(wanted) = written.curve_preferences.as_ref().filter(|wanted| !wanted.is_empty()) {
            let groups = provider.kx_groups.clone();
            let named = |group: rustls::NamedGroup| match group {
                rustls::NamedGroup::secp256r1 => "CurveP256".to_owned(),
                rustls::NamedGroup::secp384r1 => "CurveP384".to_owned(),
                other => format!("{other:?}"),
            };
            let known: Vec<String> = groups.iter().map(|group| named(group.name())).collect();
            for unknown in wanted.iter().filter(|wanted| !known.contains(&wanted.value)) {
                self.unknown(unknown, "is no curve that is spoken here", known.iter().map(String::as_str));
            }
            provider.kx_groups = wanted
                .iter()
                .filter_map(|wanted| groups.iter().copied().find(|group| named(group.name()) == wanted.value))
                .collect();
        }
        provider
    }

    fn unknown<'n>(&mut self, text: &Spanned<String>, what: &str, known: impl IntoIterator<Item = &'n str> + Clone) {
        let help = suggestion(&text.value, known.clone()).map_or_else(
            || format!("these are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        self.problem(text, format!("`{}` {what}", text.value), Some(help));
    }
}

/// What TLS cannot do without.
const NEEDS: &str = "TLS needs cert_file and key_file, or cert and key with their PEM texts";

/// The bytes of a place in the text, to the end of its line at most.
fn span(text: &str, location: serde_saphyr::Location) -> Range<usize> {
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let start_of_line: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start_of_line..).unwrap_or_default().lines().next().unwrap_or_default();
    let start = start_of_line + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at);
    let end_of_line = start_of_line + rest.len();
    // A comment behind a value is no part of it.
    let shown = text.get(start..end_of_line).unwrap_or_default();
    let end = shown.find(" #").map_or(shown.len(), |at| at);
    start..start + shown.get(..end).unwrap_or(shown).trim_end().len()
}

/// The text with everything that stands at a place and behind it made unreadable; lines stay where they are.
fn masked(text: &str, span: &Range<usize>) -> Arc<str> {
    text.char_indices()
        .map(|(at, character)| {
            let hidden = at >= span.start && character != '\n' && character != '\r';
            // As many bytes as before, so that every place keeps its column.
            if hidden { "*".repeat(character.len_utf8()) } else { character.to_string() }
        })
        .collect::<String>()
        .into()
}

/// A parser's message in our form, and a suggestion for a misspelt key.
fn simple(message: &str) -> (String, Option<String>) {
    let message = message.lines().next().unwrap_or_default();
    // The place is shown apart.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    match message.split_once(", expected one of ") {
        Some((unknown, known)) => {
            let word = unknown.split('`').nth(1).unwrap_or_default();
            let near = suggestion(word, known.split(", ").map(|word| word.trim_matches('`')));
            let help =
                near.map_or_else(|| format!("these are known: {known}"), |near| format!("did you mean `{near}`?"));
            (unknown.to_owned(), Some(help))
        }
        None => (message.to_owned(), None),
    }
}

#[cfg(test)]
mod tests;
