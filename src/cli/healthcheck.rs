//! `healthcheck`: asks the running daemon whether it lives, for container runtimes without curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::http::Uri;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::config::{Given, Listen};
use crate::problem::Problem;

/// How long the answer may take, in all. Container runtimes give up after 30 seconds unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to ask; of https, the certificate is not verified, as nothing secret is sent [default: /healthz where
    /// `--config` says that the page is served, else http://127.0.0.1:9853/healthz]
    #[arg(long)]
    url: Option<Uri>,
}

/// Asks; exit code 1 where the answer is no, or none.
///
/// # Errors
/// A URL that cannot be asked, a configuration that serves no page, and those of standard error.
pub fn run(arguments: &Arguments, given: &Given) -> anyhow::Result<ExitCode> {
    let urls = match &arguments.url {
        Some(url) => vec![url.clone()],
        None => configured(given)?,
    };
    let mut said = Vec::new();
    for url in &urls {
        match answer(url)? {
            Ok(200..=299) => return Ok(ExitCode::SUCCESS),
            Ok(status) => said.push(format!("{url} answers {status}")),
            Err(error) => said.push(format!("{url} does not answer: {error}")),
        }
    }
    // It may be why: what could not be read may have said where.
    said.extend(given.problems().iter().map(Problem::to_string));
    for said in said {
        writeln!(anstream::stderr(), "twdiag: {said}")?;
    }
    Ok(ExitCode::from(1))
}

/// Where the configuration says that the page is. Whatever became of that file since: a process that keeps what it had
/// lives. One behind a web configuration is encrypted or not: whichever answers lives.
fn configured(given: &Given) -> anyhow::Result<Vec<Uri>> {
    let Listen::At(mut address) = given.written.listen else {
        bail!("the configuration serves no page (listen = \"none\"): nothing can be asked");
    };
    // A process that listens everywhere listens here.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let schemes: &[&str] = if given.written.web_config.is_some() { &["https", "http"] } else { &["http"] };
    schemes.iter().map(|scheme| Ok(format!("{scheme}://{address}/healthz").parse()?)).collect()
}

/// The status of the answer to a URL.
fn answer(url: &Uri) -> anyhow::Result<io::Result<u16>> {
    let encrypted = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("{url} is no http:// or https:// address"),
    };
    let host = url.host().with_context(|| format!("{url} names no host"))?;
    let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    Ok(ask(host, port, encrypted, url))
}

fn ask(host: &str, port: u16, encrypted: bool, url: &Uri) -> io::Result<u16> {
    let deadline = Instant::now() + PATIENCE;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (bare, port).to_socket_addrs()? {
        match connect(address, deadline) {
            Ok(stream) if !encrypted => return exchange(stream, host, url, deadline),
            Ok(stream) => return exchange_encrypted(stream, bare, host, url, deadline),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect(address: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    Ok(stream)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn exchange(mut stream: impl Read + Write, host: &str, url: &Uri, deadline: Instant) -> io::Result<u16> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: twdiag\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut start = Vec::new();
    while !start.ends_with(b"\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        start.push(byte[0]);
        left(deadline)?;
        if start.len() > 256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP"));
        }
    }
    let status = String::from_utf8_lossy(&start);
    let status = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP"))
}

/// The same over TLS. A server that wants our certificate lives, though it tells us nothing else.
fn exchange_encrypted(stream: TcpStream, name: &str, host: &str, url: &Uri, deadline: Instant) -> io::Result<u16> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    match exchange(&mut stream, host, url, deadline) {
        Err(error) if wants_certificate(&error) || has_asked_for_one(&mut stream) => Ok(200),
        answer => answer,
    }
}

/// Whether a server that closed while we were still writing had said before that it wants our certificate.
fn has_asked_for_one(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> bool {
    while stream.conn.read_tls(&mut stream.sock).is_ok_and(|read| read > 0) {
        if let Err(error) = stream.conn.process_new_packets() {
            return wants_certificate(&io::Error::other(error));
        }
    }
    false
}

fn wants_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(
        cause,
        // TLS 1.2 has no word of its own for it.
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure))
    )
}

/// Takes every certificate: whether a process of our own machine lives is asked, and nothing secret is said.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
