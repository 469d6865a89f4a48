//! Bearer tokens: who we are, in the words of somebody whom a broker trusts.
//!
//! ```text
//!   settings   token_file, oauth, entra: one block that every kind reads the same     issuer   where a token comes from
//!   endpoint   one request to a token endpoint, and what its answer means             jwt      what a token says of itself
//!   assertion  a certificate's signed word instead of a secret
//! ```
//!
//! A token is kept until four fifths of its life are over and then renewed by one caller, while the others go on with the old one.
//! While there is none that holds, all who need one wait for one answer, good or bad. Nothing is asked again by itself: whoever opens a
//! link asks, and its back-off is the pause between two questions.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{sleep, timeout};

use super::{House, OpenError};
use crate::outcome::Reason;

mod assertion;
mod endpoint;
mod issuer;
mod jwt;
mod settings;

#[cfg(test)]
mod tests;

use issuer::Issuer;
pub(super) use settings::{WrittenEntra, WrittenOauth};

/// A token in hand within this time, or an error.
const TOKEN_WITHIN: Duration = Duration::from_secs(10);
/// After a renewal that failed, or that brought the same token again.
const RENEW_PAUSE: Duration = Duration::from_secs(10);
/// A token is not used in the last moments of its life: it is judged when it arrives, by another clock.
const SKEW: Duration = Duration::from_secs(5);
/// A token younger than this is not thrown away because somebody refused it: asked again, its issuer would give the same.
const YOUNG: Duration = Duration::from_secs(5);

/// Something that has tokens for one broker. Pipelines share it, each from its own thread.
pub(super) struct Bearer {
    broker: Arc<str>,
    issuer: Issuer,
    held: Mutex<Held>,
    /// Who holds it asks the issuer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    failed: Option<(Instant, OpenError)>,
}

/// A token and its time. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    text: Arc<str>,
    /// When its issuer takes it back; `None` where nobody said.
    pub(super) expires_at: Option<SystemTime>,
    /// From when on another is to be had; `None` where there will be no other.
    renew_at: Option<SystemTime>,
    had_since: Instant,
}

impl Token {
    /// The token itself.
    pub(super) fn reveal(&self) -> &str {
        &self.text
    }

    /// A token of which `expires_at` is known, got now.
    fn new(text: &str, expires_at: Option<SystemTime>, renew_at: Option<SystemTime>) -> Self {
        Self { text: text.into(), expires_at, renew_at, had_since: Instant::now() }
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now + SKEW)
    }

    fn is_due(&self, now: SystemTime) -> bool {
        self.renew_at.is_some_and(|due| due <= now)
    }
}

impl Bearer {
    fn new(broker: &str, issuer: Issuer) -> Self {
        Self { broker: broker.into(), issuer, held: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// A token that holds, within 10 s. `Unauthenticated` where the issuer refuses us or a file holds none that holds; `Link`, `Dns`,
    /// `Tls`, `Timeout` or `Throttled` where the issuer cannot be asked now.
    pub(super) async fn token(&self, house: &House) -> Result<Token, OpenError> {
        let asked = Instant::now();
        let now = SystemTime::now();
        let old = self.lock().token.clone().filter(|token| !token.is_over(now));
        match old {
            Some(token) if !token.is_due(now) => Ok(token),
            Some(token) => match self.asking.try_lock() {
                // It holds still, and somebody is about to bring the next.
                Err(_) => Ok(token),
                Ok(_alone) => Ok(self.renewed(token, house).await),
            },
            None => {
                let first = async {
                    let _alone = self.asking.lock().await;
                    self.first(asked, house).await
                };
                let late = || OpenError { reason: Reason::Timeout, detail: format!("{}: no token within 10 s", self.issuer) };
                timeout(TOKEN_WITHIN, first).await.unwrap_or_else(|_| Err(late()))
            }
        }
    }

    /// The next token after `old`: waits until it is time, for as long as the issuer takes. Never ready where there will be no other.
    pub(super) async fn after(&self, old: &Token, house: &House) -> Token {
        let mut failing = false;
        loop {
            let due = self.lock().token.as_ref().map_or(old.renew_at, |token| token.renew_at);
            let Some(due) = due else { return std::future::pending().await };
            sleep(due.duration_since(SystemTime::now()).unwrap_or_default().max(Duration::from_secs(1))).await;
            match self.token(house).await {
                Ok(token) if token.text != old.text => return token,
                Ok(_) => failing = false,
                Err(error) if failing => tracing::debug!(broker = %self.broker, %error, "still no other token"),
                Err(error) => {
                    failing = true;
                    tracing::warn!(broker = %self.broker, %error, "the token is over, and there is no other");
                }
            }
        }
    }

    /// Says that a broker refused this token: the next one is asked for anew.
    pub(super) fn refused(&self, token: &Token) {
        let mut held = self.lock();
        if held.token.as_ref().is_some_and(|held| held.text == token.text && held.had_since.elapsed() >= YOUNG) {
            held.token = None;
        }
    }

    /// Asks while none holds. Who waited for another's question takes its answer.
    async fn first(&self, asked: Instant, house: &House) -> Result<Token, OpenError> {
        {
            let held = self.lock();
            let now = SystemTime::now();
            if let Some(token) = held.token.as_ref().filter(|token| !token.is_over(now)) {
                return Ok(token.clone());
            }
            if let Some((at, error)) = &held.failed
                && *at >= asked
            {
                return Err(error.clone());
            }
        }
        let answer = self.issuer.ask(&house.metrics.certificates(&self.broker)).await.and_then(|token| self.living(token));
        let mut held = self.lock();
        match &answer {
            Ok(token) => *held = Held { token: Some(token.clone()), failed: None },
            Err(error) => held.failed = Some((Instant::now(), error.clone())),
        }
        answer
    }

    /// Asks while the old one holds, which stays where no other is to be had.
    async fn renewed(&self, old: Token, house: &House) -> Token {
        let metrics = house.metrics.certificates(&self.broker);
        let asked = timeout(TOKEN_WITHIN, self.issuer.ask(&metrics)).await;
        let late = || Err(OpenError { reason: Reason::Timeout, detail: format!("{}: no token within 10 s", self.issuer) });
        let token = match asked.unwrap_or_else(|_| late()).and_then(|token| self.living(token)) {
            Ok(token) => Token { renew_at: token.renew_at.map(|due| self.not_at_once(due)), ..token },
            Err(error) => {
                tracing::warn!(broker = %self.broker, %error, "the token was not renewed; the old one is used while it holds");
                Token { renew_at: Some(SystemTime::now() + RENEW_PAUSE), ..old }
            }
        };
        self.lock().token = Some(token.clone());
        token
    }

    /// A file is cheap to look at; an issuer that gives what it gave before is not asked again at once.
    fn not_at_once(&self, due: SystemTime) -> SystemTime {
        if self.issuer.is_near() { due } else { due.max(SystemTime::now() + RENEW_PAUSE) }
    }

    fn living(&self, token: Token) -> Result<Token, OpenError> {
        if token.is_over(SystemTime::now()) {
            let detail = format!("{}: the token has expired", self.issuer);
            return Err(OpenError { reason: Reason::Unauthenticated, detail });
        }
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the tokens come from; without a secret.
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer({})", self.issuer)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
