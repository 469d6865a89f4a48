//! Bearer tokens: who may come in, and what they may hear.

use std::{io, path::PathBuf};

/// Tokens from files that are read anew when they change: one a line, `TOKEN` or `TOKEN PATTERN…`.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    files: Vec<PathBuf>,
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Globs of the channels that it may subscribe to and publish on; empty: all.
    pub patterns: Vec<Box<[u8]>>,
}

impl Tokens {
    /// The tokens of these files.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// What `token` allows; `None` where no file has it. Compared in constant time.
    pub fn grant(&self, token: &[u8]) -> io::Result<Option<Grant>> {
        for file in &self.files {
            for line in std::fs::read_to_string(file)?.lines() {
                let mut words = line.split_whitespace();
                if words.next().is_some_and(|known| known.as_bytes() == token) {
                    return Ok(Some(Grant { patterns: words.map(|word| word.as_bytes().into()).collect() }));
                }
            }
        }
        Ok(None)
    }
}
