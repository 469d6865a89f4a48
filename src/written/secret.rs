//! Passwords, tokens and URLs with credentials.

use std::{fmt, path::PathBuf};

/// A secret, or the file that holds it. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Written in the configuration.
    Inline(String),
    /// In a file, read anew at each opening of a link.
    File(PathBuf),
}

impl Secret {
    /// The secret itself; a file's trailing newline is trimmed.
    pub fn reveal(&self) -> std::io::Result<String> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => Ok(std::fs::read_to_string(path)?.trim_end_matches(['\n', '\r']).to_owned()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
