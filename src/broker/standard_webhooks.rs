//! Signatures of Standard Webhooks 1.0, in both directions
//! (<https://www.standardwebhooks.com/>).
//!
//! What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, the body's bytes exactly as they travel. A [`Keyring`] holds several
//! secrets at once, so that they can be rotated: it signs with all of them, and any of them verifies.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use ring::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use crate::written::{Node, Problems, Secret};

#[cfg(test)]
mod tests;

/// The message's id, the same at every try.
pub const ID: &str = "webhook-id";
/// When this try was made: whole seconds since the Unix epoch.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// `v1,BASE64` or `v1a,BASE64`, several with a blank between them.
pub const SIGNATURE: &str = "webhook-signature";

/// How old, or how far in the future, a signature may be where nothing else is written.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// 192 bits. The specification's upper bound (512 bits) is not held: a longer secret is not a weaker one, and senders have them.
const SYMMETRIC_BYTES_MIN: usize = 24;
/// A seed of Ed25519, and a public key.
const ED25519_BYTES: usize = 32;
/// Signatures of one header that are looked at: more is no rotation.
const SIGNATURES_MAX: usize = 16;
/// A file is looked at this often to see whether it has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Secrets are copied about by people, who lose the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One secret.
enum Key {
    /// `whsec_`: both sides have it.
    Symmetric(hmac::Key),
    /// `whsk_`: the sender's.
    Pair(Box<Ed25519KeyPair>),
    /// `whpk_`: the receiver's; it cannot sign.
    Public([u8; ED25519_BYTES]),
}

/// Secrets as they are now. They never print.
pub struct Keys(Vec<Key>);

/// Why a text is no secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The file cannot be read; the error names it.
    #[error("{0}")]
    File(#[from] io::Error),
    /// Nothing in it.
    #[error("there is no secret in it")]
    Empty,
    /// Of no known kind.
    #[error("a secret begins with `whsec_`, `whsk_` or `whpk_`")]
    Prefix,
    /// Not what follows the prefix.
    #[error("what follows `{0}` is no base64")]
    Base64(&'static str),
    /// Too easily guessed.
    #[error("{0} bytes are too few: a `whsec_` has {SYMMETRIC_BYTES_MIN} to 64")]
    Short(usize),
    /// Not 32 bytes, or 64 of which the second half is the first's public key.
    #[error("a `whsk_` is an Ed25519 private key, with or without its public key behind it")]
    Private,
    /// Not 32 bytes.
    #[error("a `whpk_` is an Ed25519 public key of 32 bytes")]
    Public,
    /// Asked to sign.
    #[error("a `whpk_` verifies and cannot sign: give its `whsk_`")]
    CannotSign,
}

/// Why a request is not taken for its sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It would not be clear where the id ends and what follows begins.
    #[error("`{ID}` is empty or holds a full stop")]
    Id,
    /// Not whole seconds.
    #[error("`{TIMESTAMP}` is no number of seconds")]
    Timestamp,
    /// A replay, or a clock that is late.
    #[error("`{TIMESTAMP}` is too long ago")]
    Old,
    /// A clock that is early.
    #[error("`{TIMESTAMP}` is in the future")]
    Early,
    /// None of the signatures is by a known secret.
    #[error("`{SIGNATURE}` holds no signature by a known secret")]
    Signature,
}

impl Keys {
    /// Secrets with blanks or line ends between them.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let keys: Vec<Key> = text.split_whitespace().map(Key::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyFault::Empty) } else { Ok(Self(keys)) }
    }

    /// The value of [`SIGNATURE`] for a body that is sent at `timestamp`, in seconds since the Unix epoch: one signature by every
    /// secret that can sign.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut digits = itoa::Buffer::new();
        let content = Content { id, timestamp: digits.format(timestamp), body };
        let mut header = String::new();
        for key in &self.0 {
            let gap = if header.is_empty() { "" } else { " " };
            match key {
                Key::Symmetric(key) => {
                    header.push_str(gap);
                    header.push_str("v1,");
                    BASE64_STANDARD.encode_string(content.tag(key), &mut header);
                }
                Key::Pair(pair) => {
                    header.push_str(gap);
                    header.push_str("v1a,");
                    BASE64_STANDARD.encode_string(pair.sign(&content.joined()), &mut header);
                }
                Key::Public(_) => {}
            }
        }
        header
    }

    /// Whether a body was signed by one of the secrets, within `tolerance` of `now`, in seconds since the Unix epoch. `id`, `timestamp`
    /// and `signature` are the headers as they came. Tags are compared in constant time.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &[u8],
        now: u64,
        tolerance: Duration,
    ) -> Result<(), Unverified> {
        if id.is_empty() || id.contains('.') {
            return Err(Unverified::Id);
        }
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let sent: u64 = timestamp.parse().ok().filter(|_| digits).ok_or(Unverified::Timestamp)?;
        if now.saturating_sub(sent) > tolerance.as_secs() {
            return Err(Unverified::Old);
        }
        if sent.saturating_sub(now) > tolerance.as_secs() {
            return Err(Unverified::Early);
        }
        let content = Content { id, timestamp, body };
        let mut joined = None;
        for one in signature.split_ascii_whitespace().take(SIGNATURES_MAX) {
            let Some((version, encoded)) = one.split_once(',') else { continue };
            let Ok(tag) = BASE64_STANDARD.decode(encoded) else { continue };
            let known = |key: &Key| match (version, key) {
                ("v1", Key::Symmetric(key)) => content.is_tag(key, &tag),
                ("v1a", Key::Pair(pair)) => is_by(pair.public_key().as_ref(), joined.get_or_insert_with(|| content.joined()), &tag),
                ("v1a", Key::Public(public)) => is_by(public, joined.get_or_insert_with(|| content.joined()), &tag),
                _ => false,
            };
            if self.0.iter().any(known) {
                return Ok(());
            }
        }
        Err(Unverified::Signature)
    }

    fn signs(&self) -> bool {
        !self.0.iter().any(|key| matches!(key, Key::Public(_)))
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, KeyFault> {
        if let Some(encoded) = text.strip_prefix("whsec_") {
            let secret = LENIENT.decode(encoded).map_err(|_| KeyFault::Base64("whsec_"))?;
            if secret.len() < SYMMETRIC_BYTES_MIN {
                return Err(KeyFault::Short(secret.len()));
            }
            return Ok(Self::Symmetric(hmac::Key::new(hmac::HMAC_SHA256, &secret)));
        }
        if let Some(encoded) = text.strip_prefix("whsk_") {
            let secret = LENIENT.decode(encoded).map_err(|_| KeyFault::Base64("whsk_"))?;
            let pair = match secret.split_at_checked(ED25519_BYTES) {
                Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
                Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
                None => return Err(KeyFault::Private),
            };
            return Ok(Self::Pair(Box::new(pair.map_err(|_| KeyFault::Private)?)));
        }
        let encoded = text.strip_prefix("whpk_").ok_or(KeyFault::Prefix)?;
        let public = LENIENT.decode(encoded).map_err(|_| KeyFault::Base64("whpk_"))?;
        Ok(Self::Public(public.try_into().map_err(|_| KeyFault::Public)?))
    }
}

/// What is signed.
#[derive(Clone, Copy)]
struct Content<'a> {
    id: &'a str,
    timestamp: &'a str,
    body: &'a [u8],
}

impl Content<'_> {
    fn parts(&self) -> [&[u8]; 5] {
        [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body]
    }

    /// Without a copy of the body.
    fn tag(&self, key: &hmac::Key) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        for part in self.parts() {
            context.update(part);
        }
        context.sign()
    }

    fn is_tag(&self, key: &hmac::Key, tag: &[u8]) -> bool {
        // The tag of a tag, because `ring` compares in constant time only what it computes itself.
        hmac::verify(key, self.tag(key).as_ref(), hmac::sign(key, tag).as_ref()).is_ok()
    }

    fn joined(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

fn is_by(public: &[u8], content: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(content, signature).is_ok()
}

/// What a ring of secrets is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A `whpk_` is a fault.
    Sign,
    /// All are good.
    Verify,
}

/// Secrets written in the configuration or in files, which are read anew when they change.
pub struct Keyring {
    secrets: Vec<Secret>,
    purpose: Purpose,
    loaded: Mutex<Option<Loaded>>,
}

struct Loaded {
    keys: Arc<Keys>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

/// What tells a changed file: its time and its length.
type Stamp = (SystemTime, u64);

impl Keyring {
    /// A ring of these; nothing is read yet.
    pub fn new(secrets: Vec<Secret>, purpose: Purpose) -> Self {
        Self { secrets, purpose, loaded: Mutex::default() }
    }

    /// Reads `secret`, `secret_file` and `secret_files` of a block `standard_webhooks`; further keys (`tolerance`) are the caller's to
    /// ask for, and `finish` too. What stands in the configuration itself is judged at once, a file's content when it is used.
    pub fn read(node: &Node, purpose: Purpose, faults: &mut Problems) -> Option<Self> {
        let mut secrets: Vec<Secret> = node.secret("secret", faults).into_iter().collect();
        if let Some(Secret::Inline(text)) = secrets.first()
            && let Err(fault) = keys_of(text, purpose)
        {
            faults.fault(node.child("secret").unwrap_or(node).at(), format!("`secret`: {fault}"));
        }
        let files = node.files("secret_files", faults);
        secrets.extend(files.unwrap_or_default().into_iter().map(Secret::File));
        let written = ["secret", "secret_file", "secret_files"].iter().any(|key| node.peek(key).is_some());
        if !written {
            faults.fault(node.at(), format!("`{}` needs `secret_files`", node.name()));
        }
        (!secrets.is_empty()).then(|| Self::new(secrets, purpose))
    }

    /// The secrets as they are now: at most once a second the files are looked at, and read where one has changed. What cannot be read
    /// is an error, not the secrets of yesterday: a file that is gone is a secret withdrawn.
    pub fn keys(&self, now: Instant) -> Result<Arc<Keys>, KeyFault> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &mut *loaded {
            if now.saturating_duration_since(loaded.looked) < LOOK_EVERY {
                return Ok(Arc::clone(&loaded.keys));
            }
            if self.stamps().as_ref().ok() == Some(&loaded.stamps) {
                loaded.looked = now;
                return Ok(Arc::clone(&loaded.keys));
            }
        }
        *loaded = None;
        // The stamps first: what changes while it is read is read again.
        let stamps = self.stamps()?;
        let mut keys = Vec::new();
        for secret in &self.secrets {
            let found = keys_of(&secret.reveal()?, self.purpose).map_err(|fault| named(secret, fault))?;
            keys.extend(found.0);
        }
        let keys = Arc::new(Keys(keys));
        *loaded = Some(Loaded { keys: Arc::clone(&keys), stamps, looked: now });
        Ok(keys)
    }

    fn stamps(&self) -> io::Result<Vec<Option<Stamp>>> {
        let stamp = |secret: &Secret| match secret {
            Secret::Inline(_) => Ok(None),
            Secret::File(path) => stamp(path).map(Some),
        };
        self.secrets.iter().map(stamp).collect()
    }
}

fn keys_of(text: &str, purpose: Purpose) -> Result<Keys, KeyFault> {
    let keys = Keys::parse(text)?;
    if purpose == Purpose::Sign && !keys.signs() { Err(KeyFault::CannotSign) } else { Ok(keys) }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let of = || {
        let meta = path.metadata()?;
        Ok((meta.modified()?, meta.len()))
    };
    of().map_err(|error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The fault, with the file that has it.
fn named(secret: &Secret, fault: KeyFault) -> KeyFault {
    match secret {
        Secret::Inline(_) => fault,
        Secret::File(path) => KeyFault::File(io::Error::new(io::ErrorKind::InvalidData, format!("{}: {fault}", path.display()))),
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} of ***)", self.0.len())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("secrets", &self.secrets).field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
