//! The configuration that a command works on.

use std::{net::SocketAddr, path::PathBuf};

/// What the global flags say about it.
#[derive(Debug)]
pub(super) struct Settings {
    files: Vec<PathBuf>,
    sets: Vec<String>,
}

impl Settings {
    pub(super) fn new(files: Vec<PathBuf>, sets: Vec<String>) -> Self {
        Self { files, sets }
    }

    pub(super) fn telemetry(&self) -> Option<SocketAddr> {
        let _ = (&self.files, &self.sets);
        Some(SocketAddr::from(([127, 0, 0, 1], 4290)))
    }
}
