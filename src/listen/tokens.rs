//! Bearer tokens: who may come in, and what they may hear.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hyper::{HeaderMap, header::AUTHORIZATION};
use ring::{hmac, rand::SystemRandom};

/// A file longer than this is no list of tokens.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tokens from files that are read anew when they change: one a line, `TOKEN` or `TOKEN PATTERN…`. Empty lines and lines that begin
/// with `#` are skipped. Cheap to clone; clones share what was read.
#[derive(Clone, Default)]
pub struct Tokens {
    files: Arc<[PathBuf]>,
    known: Arc<Mutex<Option<Known>>>,
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Globs of the channels that it may subscribe to and publish on; empty: all.
    pub patterns: Vec<Box<[u8]>>,
}

/// What the files said. The tokens themselves are not kept: a tag of each, under a key that nobody else has, tells them as well, and
/// comparing tags takes the same time whatever they are.
struct Known {
    key: hmac::Key,
    grants: Vec<(hmac::Tag, Grant)>,
    seen: Vec<Seen>,
    looked: Instant,
}

/// When a file was last changed, and its length.
type Seen = (Option<SystemTime>, u64);

impl Tokens {
    /// The tokens of these files.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files: files.into(), known: Arc::default() }
    }

    /// What `token` allows; `None` where no file has it. Every known token is compared, in constant time. The error names a file that
    /// cannot be read: nobody comes in then.
    pub fn grant(&self, token: &[u8]) -> io::Result<Option<Grant>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.looked.elapsed() >= LOOK_EVERY) {
            let seen: Vec<_> = self.files.iter().map(|file| seen(file)).collect();
            match known.as_mut().filter(|known| known.seen == seen) {
                Some(unchanged) => unchanged.looked = Instant::now(),
                None => *known = Some(Known::read(&self.files, seen).inspect_err(|_| _ = known.take())?),
            }
        }
        let Some(known) = known.as_ref() else { return Ok(None) };
        let tag = hmac::sign(&known.key, token);
        let mut found = None;
        for (own, grant) in &known.grants {
            // `ring` compares in constant time what it computes itself: the tag of a tag.
            if hmac::verify(&known.key, own.as_ref(), hmac::sign(&known.key, tag.as_ref()).as_ref()).is_ok() {
                found = Some(grant.clone());
            }
        }
        Ok(found)
    }
}

impl Known {
    fn read(files: &[PathBuf], seen: Vec<Seen>) -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        let mut grants = Vec::new();
        for file in files {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
            if fs::metadata(file).map_err(named)?.len() > FILE_BYTES_MAX {
                return Err(named(io::Error::new(io::ErrorKind::InvalidData, "longer than 1 MiB, these are no tokens")));
            }
            for line in fs::read_to_string(file).map_err(named)?.lines() {
                let mut words = line.split_whitespace();
                if let Some(token) = words.next().filter(|token| !token.starts_with('#')) {
                    let patterns = words.map(|word| word.as_bytes().into()).collect();
                    grants.push((hmac::sign(&key, token.as_bytes()), Grant { patterns }));
                }
            }
        }
        Ok(Self { key, grants, seen, looked: Instant::now() })
    }
}

fn seen(file: &Path) -> Seen {
    fs::metadata(file).map_or((None, 0), |meta| (meta.modified().ok(), meta.len()))
}

/// The token that a request shows (RFC 6750, 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let shown = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = shown.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    Some(token.trim_ascii()).filter(|token| !token.is_empty())
}

/// The files, never what they hold.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
