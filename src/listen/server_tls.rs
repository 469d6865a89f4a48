//! The `tls` block of a listener.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

/// A certificate chain and its key (PEM), read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The chain.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

/// The files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A certificate in use.
pub(super) struct Certificate {
    files: ServerTls,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    seen: Seen,
    looked: Instant,
}

/// When both files were last changed, as far as the system tells.
type Seen = [Option<SystemTime>; 2];

impl Certificate {
    /// Reads the files. The error names the one that is wrong.
    pub(super) fn load(files: ServerTls) -> io::Result<Self> {
        let seen = files.seen();
        let acceptor = files.acceptor()?;
        Ok(Self { files, current: Mutex::new(Current { acceptor, seen, looked: Instant::now() }) })
    }

    /// What a new connection is taken with. Files that changed are read again; where they are wrong the old certificate stays.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let seen = self.files.seen();
            if seen != current.seen {
                current.seen = seen;
                match self.files.acceptor() {
                    Ok(acceptor) => {
                        tracing::info!(cert_file = %self.files.cert_file.display(), "the certificate was changed");
                        current.acceptor = acceptor;
                    }
                    Err(error) => tracing::error!(%error, "the changed certificate cannot be used; the old one stays"),
                }
            }
        }
        current.acceptor.clone()
    }
}

impl ServerTls {
    /// Whether the files hold a chain and its key; the error names the one that does not.
    pub fn check(&self) -> io::Result<()> {
        self.acceptor().map(drop)
    }

    fn seen(&self) -> Seen {
        let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
        [changed(&self.cert_file), changed(&self.key_file)]
    }

    /// TLS 1.2 and 1.3, HTTP/1.1 by name.
    fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let wrong = |path: &Path, error: &dyn fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.cert_file)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(&self.cert_file, &error))?;
        if chain.is_empty() {
            return Err(wrong(&self.cert_file, &"no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key_file).map_err(|error| wrong(&self.key_file, &error))?;
        let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(&self.cert_file, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
