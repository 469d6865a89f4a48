//! TLS as the `tls` block says: rustls on ring, the system's authorities or our own.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::settings::TlsFiles;
use crate::{broker::OpenError, outcome::Reason};

/// What a TLS handshake needs.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    /// Authorities and certificate.
    pub(super) config: Arc<ClientConfig>,
    /// The name to check, where it is not the host's.
    pub(super) server_name: Option<String>,
}

/// Reads the files anew: certificates are renewed while we run.
pub(super) fn tls(files: &TlsFiles) -> Result<Tls, OpenError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&error))?;
    let builder = if files.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        builder.with_root_certificates(authorities(files.ca.as_deref())?)
    };
    let config = match &files.client {
        Some((cert, key)) => {
            let chain =
                CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| file_fault(cert, &error))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file_fault(key, &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| file_fault(cert, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Tls { config: Arc::new(config), server_name: files.server_name.clone() })
}

fn authorities(ca: Option<&Path>) -> Result<RootCertStore, OpenError> {
    let mut store = RootCertStore::empty();
    let Some(ca) = ca else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
            return Err(fault(&format_args!("the system's certificate authorities: {why}; `tls.ca_file` names others")));
        }
        return Ok(store);
    };
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| file_fault(ca, &error))? {
        let certificate = certificate.map_err(|error| file_fault(ca, &error))?;
        store.add(certificate).map_err(|error| file_fault(ca, &error))?;
    }
    if store.is_empty() {
        return Err(file_fault(ca, &"it holds no certificate"));
    }
    Ok(store)
}

fn file_fault(path: &Path, error: &dyn std::fmt::Display) -> OpenError {
    fault(&format_args!("{}: {error}", path.display()))
}

fn fault(error: &dyn std::fmt::Display) -> OpenError {
    OpenError { reason: Reason::Tls, detail: error.to_string() }
}

/// `insecure_skip_verify`: takes any certificate, but still wants its holder to have the key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
