//! The `tls` block of a broker, the same for every kind whose client takes a rustls configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use schemars::JsonSchema;

use crate::{
    telemetry::CertificateMetrics,
    written::{Node, Problems},
};

/// How a server proves itself to us, and we to it. Files are read anew at each opening of a link, so a rotated certificate
/// needs no restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Certificates to trust instead of the system's (PEM).
    ca_file: Option<PathBuf>,
    /// Our own certificate chain and its key (PEM).
    identity: Option<(PathBuf, PathBuf)>,
    /// The name the server's certificate must have, where it is not the URL's host.
    server_name: Option<String>,
    /// Takes any certificate.
    insecure: bool,
}

/// The block's files and its one danger, for a client that reads certificates by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TlsFiles<'a> {
    /// Certificates to trust instead of the system's.
    pub(super) ca: Option<&'a Path>,
    /// Our certificate chain and its key.
    pub(super) identity: Option<(&'a Path, &'a Path)>,
    /// Takes any certificate.
    pub(super) insecure: bool,
}

impl Tls {
    /// Reads the block; half an identity, or interception that nobody accepted, are faults.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Self {
        let server_name = node.opt("server_name", faults);
        Self { server_name, ..Self::read_unnamed(node, faults) }
    }

    /// The same without `server_name`, for a system whose servers each prove their own name.
    pub(super) fn read_unnamed(node: &Node, faults: &mut Problems) -> Self {
        let ca_file = node.file("ca_file", faults);
        let cert_file = node.file("cert_file", faults);
        let key_file = node.file("key_file", faults);
        let skip = node.get("insecure_skip_verify", false, faults);
        let accepted = node.get("i_accept_interception", false, faults);
        if skip && !accepted {
            faults
                .fault(node.at(), "`insecure_skip_verify` lets anybody between here and the broker read and change every message")
                .hint("trust its certificate with `ca_file`, or write `i_accept_interception: true` beside it");
        } else if skip {
            faults.warn(node.at(), "the broker's certificate is not verified");
        }
        for (written, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if node.peek(written).is_some() && node.peek(missing).is_none() {
                faults.fault(node.at(), format!("`{written}` needs `{missing}`"));
            }
        }
        node.finish(faults);
        Self { ca_file, identity: cert_file.zip(key_file), server_name: None, insecure: skip && accepted }
    }

    /// What a client needs that is not rustls.
    pub(super) fn files(&self) -> TlsFiles<'_> {
        let identity = self.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        TlsFiles { ca: self.ca_file.as_deref(), identity, insecure: self.insecure }
    }

    /// Whether we show a certificate of our own.
    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The name to verify for a URL's host.
    pub(super) fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }

    /// A client configuration with TLS 1.2 and 1.3, which tells `metrics` when the certificates end that both sides show. The error
    /// is a sentence that names the file.
    pub(super) fn client_config(&self, metrics: &CertificateMetrics) -> Result<Arc<ClientConfig>, String> {
        let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let judge: Arc<dyn ServerCertVerifier> = if self.insecure {
            Arc::new(Anyone(provider))
        } else {
            let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider);
            judge.build().map_err(|error| error.to_string())?
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Noted { judge, metrics: metrics.clone() }));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert_file, key_file)) => {
                let chain = certificates(cert_file)?;
                if let Some(end) = chain.first().and_then(end_of) {
                    metrics.own(end);
                }
                let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| format!("{}: {error}", key_file.display()))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| format!("{}: {error}", cert_file.display()))?
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.ca_file else {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            return if roots.is_empty() {
                Err("this system has no trusted certificates: give `tls.ca_file`".into())
            } else {
                Ok(roots)
            };
        };
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(roots)
    }
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error: rustls::pki_types::pem::Error| format!("{}: {error}", file.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(file).map_err(named)?.collect::<Result<_, _>>().map_err(named)?;
    if found.is_empty() { Err(format!("{}: no certificate in it", file.display())) } else { Ok(found) }
}

/// When a certificate ends, in seconds since the Unix epoch (RFC 5280, section 4.1.2.5). `None` where it cannot be read: whoever
/// verifies it says so.
fn end_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The block, for editors.
#[derive(JsonSchema)]
#[schemars(rename = "Tls", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// Certificates to trust instead of the system's (PEM).
    ca_file: Option<String>,
    /// Our own certificate chain (PEM).
    cert_file: Option<String>,
    /// Its key (PEM).
    key_file: Option<String>,
    /// The name to ask for and to check, where it is not the URL's host.
    server_name: Option<String>,
    /// Takes any certificate; only together with `i_accept_interception: true`.
    insecure_skip_verify: Option<bool>,
    /// Says that `insecure_skip_verify` is meant.
    i_accept_interception: Option<bool>,
}

/// Notes when the server's certificate ends, then asks the judge: one that is refused because it has ended is worth knowing too.
#[derive(Debug)]
struct Noted {
    judge: Arc<dyn ServerCertVerifier>,
    metrics: CertificateMetrics,
}

impl ServerCertVerifier for Noted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(end) = end_of(certificate) {
            self.metrics.server(&name.to_str(), end);
        }
        self.judge.verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Takes any certificate, but the handshake must still be signed by its key.
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
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
