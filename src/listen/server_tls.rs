//! The `tls` block of a listener.

use std::path::PathBuf;

/// A certificate chain and its key (PEM), read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The chain.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}
