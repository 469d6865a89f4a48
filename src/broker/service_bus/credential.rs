//! Who we are: a token for one queue or topic, signed by ourselves or had from somebody else.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    connection_string::{ConnectionString, Login},
    sas,
};
use crate::{
    broker::{
        House, OpenError,
        bearer::{self, Bearer},
    },
    outcome::Reason,
    written::Secret,
};

/// How long a signature of ours holds.
const LIFE: Duration = Duration::from_secs(3600);
/// It is made anew when so much of its life is left: clocks differ, and a request takes its time.
const RENEWED_BEFORE: Duration = Duration::from_secs(720);
/// Tokens that are remembered. A templated destination has as many queues and topics as its values.
const HELD_MAX: usize = 1024;

/// Where the secret stands.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    /// A shared access policy and one of its keys.
    Policy {
        /// The policy's name.
        policy: String,
        /// Its key.
        key: Secret,
    },
    /// In a connection string.
    Within(Secret),
    /// Entra ID knows us. One for all pipelines.
    Entra(Arc<Bearer>),
}

/// Makes tokens, and keeps those that hold. Its files are read when a token is made.
pub(super) struct Credential {
    keys: Keys,
    held: Mutex<HashMap<Box<str>, Token>>,
    /// Of Entra ID, whose token is for the whole namespace.
    last: Mutex<Option<bearer::Token>>,
}

/// A token for one resource. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    text: String,
    /// How AMQP's `$cbs` calls it.
    pub(super) kind: TokenKind,
    /// When it is over; `None` where nobody said.
    pub(super) expires_at: Option<SystemTime>,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A shared access signature.
    Sas,
    /// A token of Entra ID.
    Jwt,
}

impl TokenKind {
    /// The type of a `put-token` request at `$cbs`.
    pub(super) const fn cbs(self) -> &'static str {
        match self {
            Self::Sas => "servicebus.windows.net:sastoken",
            Self::Jwt => "jwt",
        }
    }
}

impl Token {
    /// The token itself, as `$cbs` takes it.
    pub(super) fn reveal(&self) -> &str {
        &self.text
    }

    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> String {
        match self.kind {
            TokenKind::Sas => self.text.clone(),
            TokenKind::Jwt => format!("Bearer {}", self.text),
        }
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        self.expires_at.is_none_or(|end| now + RENEWED_BEFORE < end)
    }
}

impl Credential {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, held: Mutex::default(), last: Mutex::default() }
    }

    /// A token for everything below `resource`. `Unauthenticated` where a secret cannot be read or Entra ID does not know us.
    pub(super) async fn token(&self, resource: &str, house: &House) -> Result<Token, OpenError> {
        if let Keys::Entra(bearer) = &self.keys {
            let token = bearer.token(house).await?;
            let (text, expires_at) = (token.reveal().to_owned(), token.expires_at);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
            return Ok(Token { text, kind: TokenKind::Jwt, expires_at });
        }
        let now = SystemTime::now();
        if let Some(token) = self.lock().get(resource).filter(|token| token.is_fresh(now)) {
            return Ok(token.clone());
        }
        let token = self.signed(resource, now).map_err(|detail| OpenError { reason: Reason::Unauthenticated, detail })?;
        let mut held = self.lock();
        if held.len() >= HELD_MAX {
            held.clear();
        }
        held.insert(resource.into(), token.clone());
        Ok(token)
    }

    /// Says that the namespace refused the token for `resource`: the next one is made anew, from what stands in the files then.
    pub(super) fn refused(&self, resource: &str) {
        if let (Keys::Entra(bearer), Some(token)) = (&self.keys, self.last.lock().unwrap_or_else(PoisonError::into_inner).take()) {
            bearer.refused(&token);
        }
        self.lock().remove(resource);
    }

    fn signed(&self, resource: &str, now: SystemTime) -> Result<Token, String> {
        let login = match &self.keys {
            Keys::Policy { policy, key } => {
                Login::Key { policy: policy.clone(), key: key.reveal().map_err(|error| error.to_string())? }
            }
            Keys::Within(text) => ConnectionString::parse(&text.reveal().map_err(|error| error.to_string())?)?.login,
            Keys::Entra(_) => return Err("Entra ID signs nothing".into()),
        };
        Ok(match login {
            Login::Key { policy, key } => {
                let end = now + LIFE;
                let seconds = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                Token { text: sas::signed(resource, &policy, &key, seconds), kind: TokenKind::Sas, expires_at: Some(end) }
            }
            Login::Signature(text) => {
                let expires_at = sas::end_of(&text).map(|end| UNIX_EPOCH + Duration::from_secs(end));
                if expires_at.is_some_and(|end| end <= now) {
                    return Err("the connection string's `SharedAccessSignature` has expired".into());
                }
                Token { text, kind: TokenKind::Sas, expires_at }
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Token>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("kind", &self.kind).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
