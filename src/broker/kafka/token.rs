//! The token by which a client logs in (OAUTHBEARER, RFC 7628), renewed beside it.
//!
//! librdkafka asks for a token when four fifths of the last one's life are over, on the thread that serves its events: that thread
//! must not wait for an issuer, or no report would come through meanwhile. So the next token is fetched ahead, and what librdkafka gets is
//! the one at hand.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rdkafka::client::OAuthToken;
use tokio_util::task::AbortOnDropHandle;

use crate::broker::{
    House, OpenError,
    bearer::{Bearer, Token},
};

/// A token of which nobody said when it ends is looked at again after this.
const UNSAID: Duration = Duration::from_secs(600);

/// A token at hand, for as long as one client lives.
pub(super) struct Tokens {
    bearer: Arc<Bearer>,
    held: Arc<Mutex<Token>>,
    principal: Arc<str>,
    _renewal: AbortOnDropHandle<()>,
}

impl Tokens {
    /// Fetches the first one.
    pub(super) async fn fetch(bearer: &Arc<Bearer>, house: &House) -> Result<Self, OpenError> {
        let first = bearer.token(house).await?;
        let held = Arc::new(Mutex::new(first.clone()));
        let renewal = tokio::spawn(renew(Arc::clone(bearer), Arc::clone(&held), first, house.clone()));
        let principal = Arc::clone(&house.instance);
        Ok(Self { bearer: Arc::clone(bearer), held, principal, _renewal: AbortOnDropHandle::new(renewal) })
    }

    /// The token at hand. A broker takes who we are from the token itself; the name beside it is for librdkafka's log.
    pub(super) fn at_hand(&self) -> OAuthToken {
        let token = lock(&self.held);
        let ends = token.expires_at.unwrap_or_else(|| SystemTime::now() + UNSAID);
        let lifetime_ms = ends.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        OAuthToken { token: token.reveal().to_owned(), principal_name: self.principal.to_string(), lifetime_ms }
    }

    /// A broker would not have it: the next client gets another.
    pub(super) fn refused(&self) {
        let token = lock(&self.held).clone();
        self.bearer.refused(&token);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("bearer", &self.bearer).finish_non_exhaustive()
    }
}

async fn renew(bearer: Arc<Bearer>, held: Arc<Mutex<Token>>, mut token: Token, house: House) {
    loop {
        token = bearer.after(&token, &house).await;
        *lock(&held) = token.clone();
    }
}

fn lock(held: &Mutex<Token>) -> MutexGuard<'_, Token> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
