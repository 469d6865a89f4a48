//! Passwords and tokens.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{FromNode, Node, Problems, Span, yaml::joined};

/// A secret file longer than this is some other file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A secret, or the file that holds it. It never prints.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Secret {
    /// Written in the configuration.
    Inline(String),
    /// In a file, read anew at each opening of a link.
    File(PathBuf),
}

impl Secret {
    /// The secret itself; a file's trailing newline is trimmed. The error names the file.
    pub fn reveal(&self) -> io::Result<String> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => read_secret_file(path),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Node {
    /// The secret under `key` or in the file under `{key}_file`. Both written is a fault, and so is a file that is not there.
    pub fn secret(&self, key: &'static str, faults: &mut Problems) -> Option<Secret> {
        debug_assert!(is_secret(&joined(self.path(), key)), "`{key}` must be redacted where the configuration is shown");
        match self.or_file(key, faults)? {
            Written::Here(node) => String::from_node(node, faults).map(Secret::Inline),
            Written::File(path) => Some(Secret::File(path)),
        }
    }

    /// The path of a file under `key` (`ca_file`) that must be there and readable.
    pub fn file(&self, key: &'static str, faults: &mut Problems) -> Option<PathBuf> {
        readable(self.child(key)?, faults)
    }

    /// The paths of files under `key` (`secret_files`), one or a list, which must all be there and readable.
    pub fn files(&self, key: &'static str, faults: &mut Problems) -> Option<Vec<PathBuf>> {
        let found: Vec<Option<PathBuf>> = self.child(key)?.items().iter().map(|item| readable(item, faults)).collect();
        found.into_iter().collect()
    }

    /// What stands under `key`, or the file named under `{key}_file`.
    pub(super) fn or_file(&self, key: &'static str, faults: &mut Problems) -> Option<Written<'_>> {
        let twin = format!("{key}_file");
        let here = self.child(key);
        let file = self.peek(&twin);
        self.asked.borrow_mut().key(twin.clone());
        let place = |name: &str| self.key_at(name).cloned().unwrap_or_else(|| Span::outside("defaults"));
        match (here, file) {
            (Some(_), Some(_)) => {
                faults
                    .fault(&place(&twin), format!("`{key}` and `{twin}` are both written"))
                    .hint("keep one of them")
                    .also(&place(key), "the other stands here");
                None
            }
            (Some(node), None) => Some(Written::Here(node)),
            (None, Some(node)) => readable(node, faults).map(Written::File),
            (None, None) => None,
        }
    }
}

/// Whether what stands under a path is a secret by its key's name: `brokers.mq.amqp.password`, a header `Authorization`. Broker keys
/// (`key` of a shared access policy) are secrets only under `brokers`: elsewhere `key` is what orders messages.
pub fn is_secret(path: &str) -> bool {
    const WORDS: [&str; 12] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "secrets",
        "token",
        "tokens",
        "credentials",
        "authorization",
        "cookie",
        "apikey",
        "connection_string",
    ];
    let name = path.rsplit('.').next().unwrap_or(path).to_lowercase().replace('-', "_");
    let name = name.split('[').next().unwrap_or_default();
    let word = |word: &str| name.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    WORDS.iter().any(|known| word(known)) || name.ends_with("api_key") || name == "key" && path.starts_with("brokers.")
}

/// A value, or the file that holds it.
pub(super) enum Written<'a> {
    Here(&'a Node),
    File(PathBuf),
}

/// The file's text without its trailing newline; the error names the file.
pub(super) fn read_secret_file(path: &Path) -> io::Result<String> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)).map_err(named)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(named(io::Error::new(io::ErrorKind::InvalidData, "longer than 64 KiB, this is no secret")));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

fn readable(node: &Node, faults: &mut Problems) -> Option<PathBuf> {
    let path = PathBuf::from_node(node, faults)?;
    let opened = File::open(&path).and_then(|file| file.metadata());
    let fault = match opened {
        Ok(meta) if meta.is_dir() => "it is a directory".to_owned(),
        Ok(_) => return Some(path),
        Err(error) => error.to_string(),
    };
    faults.fault(node.at(), format!("`{}` cannot be read: {}: {fault}", node.name(), path.display()));
    None
}
