//! Certificates, and which of a client's are asked for: what the web configuration says, as rustls wants it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

/// What is asked of a client's certificate, in the words of Go's `crypto/tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// None is asked for.
    #[default]
    NoClientCert,
    /// One is asked for; none will do, and any.
    RequestClientCert,
    /// One must be shown; any will do.
    RequireAnyClientCert,
    /// None will do; one that is shown must be signed by the client CA.
    VerifyClientCertIfGiven,
    /// One must be shown that the client CA signed.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// The value of `client_auth_type`.
    pub(super) fn named(name: &str) -> Option<ClientAuth> {
        Some(match name {
            "" | "NoClientCert" => ClientAuth::NoClientCert,
            "RequestClientCert" => ClientAuth::RequestClientCert,
            // The second is how the toolkit wrote it once.
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAnyClientCert,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyClientCertIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerifyClientCert,
            _ => return None,
        })
    }

    pub(super) const NAMES: [&str; 5] = [
        "NoClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ];

    /// Whether certificates are held against the client CA.
    pub(super) fn verifies(self) -> bool {
        matches!(self, ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert)
    }

    /// Whether a client must show a certificate.
    pub(super) fn is_mandatory(self) -> bool {
        matches!(self, ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert)
    }
}

/// The certificates of a PEM file, the server's own first.
///
/// # Errors
/// What is wrong with it.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("holds no certificate in PEM form".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("is no certificate in PEM form ({error})")),
    }
}

/// The private key of a PEM file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "holds no private key in PEM form that can be used (one under a passphrase cannot)".to_owned())
}

/// What decides about handshakes.
pub(super) struct Plan {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) provider: CryptoProvider,
    pub(super) auth: ClientAuth,
    /// The client CA.
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// Names of which a client's certificate must bear one, exactly.
    pub(super) allowed_names: Option<Vec<String>>,
    pub(super) prefer_server_order: bool,
}

impl Plan {
    /// # Errors
    /// A key that is not the certificate's, a CA that is none, versions without a cipher suite.
    pub(super) fn build(self) -> Result<ServerConfig, Error> {
        let provider = Arc::new(self.provider);
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&self.versions)?;
        let builder = if self.auth == ClientAuth::NoClientCert {
            builder.with_no_client_auth()
        } else {
            let signed_by = if self.auth.verifies() {
                let mut roots = RootCertStore::empty();
                for root in self.roots {
                    roots.add(root)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                let verifier = if self.auth.is_mandatory() { verifier } else { verifier.allow_unauthenticated() };
                Some(verifier.build().map_err(|error| Error::General(error.to_string()))?)
            } else {
                None
            };
            builder.with_client_cert_verifier(Arc::new(Clients {
                signed_by,
                is_mandatory: self.auth.is_mandatory(),
                allowed_names: self.allowed_names,
                provider,
            }))
        };
        let mut config = builder.with_single_cert(self.certificates, self.key)?;
        config.ignore_client_order = self.prefer_server_order;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Judges the certificates that clients show.
#[derive(Debug)]
struct Clients {
    /// Verifies who signed it; `None` where anyone may have.
    signed_by: Option<Arc<dyn ClientCertVerifier>>,
    is_mandatory: bool,
    allowed_names: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed_by.as_ref().map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(verifier) = &self.signed_by {
            verifier.verify_client_cert(certificate, intermediates, now)?;
        }
        match &self.allowed_names {
            Some(allowed) if !bears_one(certificate, allowed)? => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate bears one of these as a DNS name, a URI or an address.
fn bears_one(certificate: &CertificateDer<'_>, allowed: &[String]) -> Result<bool, Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = webpki::EndEntityCert::try_from(certificate).map_err(bad)?;
    let is_address = |name: &str| {
        name.parse::<IpAddr>().is_ok_and(|address| {
            certificate.verify_is_valid_for_subject_name(&ServerName::IpAddress(address.into())).is_ok()
        })
    };
    Ok(certificate.valid_dns_names().chain(certificate.valid_uri_names()).any(|name| allowed.iter().any(|a| a == name))
        || allowed.iter().any(|name| is_address(name)))
}

/// Reads a file that holds a certificate or a key.
///
/// # Errors
/// Those of reading, and one for a file too large to be either.
pub(super) fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    /// A chain of four certificates has some 8 KiB, a bundle of every public CA 200 KiB.
    const LIMIT: u64 = 4 << 20;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {LIMIT} bytes")));
    }
    Ok(bytes)
}
