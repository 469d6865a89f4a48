//! Bearer tokens: who we are, in the words of somebody whom a broker trusts.
//!
//! ```text
//!   settings   token_file, oauth, entra: one block that every kind reads the same     issuer   where a token comes from
//!   endpoint   one request to a token endpoint, and what its answer means             jwt      what a token says of itself
//!   assertion  a certificate's signed word instead of a secret
//! ```
//!
//! A token is kept until four fifths of its life are over and then renewed aside, while all go on with the old one. While there is none
//! that holds, all who need one wait for one answer, good or bad. Nothing is asked again by itself: whoever opens a link asks, and its
//! back-off is the pause between two questions; whoever keeps a connection open with its token asks again every 10 s.

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

use issuer::{Issuer, LOOK_EVERY};
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
    asking: Arc<tokio::sync::Mutex<()>>,
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
        Self { broker: broker.into(), issuer, held: Mutex::default(), asking: Arc::default() }
    }

    /// A token that holds, within 10 s. `Unauthenticated` where the issuer refuses us or a file holds none that holds; `Link`, `Dns`,
    /// `Tls`, `Timeout` or `Throttled` where the issuer cannot be asked now. While one holds, nobody waits for the next.
    pub(super) async fn token(self: &Arc<Self>, house: &House) -> Result<Token, OpenError> {
        match self.held() {
            Some(token) if token.is_due(SystemTime::now()) => Ok(self.renew(token, house).await),
            Some(token) => Ok(token),
            None => self.fresh(house).await,
        }
    }

    /// The next token after `old`: waits until it is time, for as long as the issuer takes. Never ready where there will be no other.
    pub(super) async fn after(&self, old: &Token, house: &House) -> Token {
        let mut failing = false;
        loop {
            // Another link may have renewed it already.
            if let Some(next) = self.held().filter(|token| token.text != old.text) {
                return next;
            }
            let due = self.lock().token.as_ref().map_or(old.renew_at, |token| token.renew_at);
            let Some(due) = due else { return std::future::pending().await };
            let pause = if failing { self.pause() } else { LOOK_EVERY };
            sleep(due.duration_since(SystemTime::now()).unwrap_or_default().max(pause)).await;
            match self.fresh(house).await {
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

    /// The token that holds, though it may be due.
    fn held(&self) -> Option<Token> {
        let now = SystemTime::now();
        self.lock().token.clone().filter(|token| !token.is_over(now))
    }

    /// Sees to the next one, if nobody does yet. A file is read at once; an issuer may take its time, and is asked aside.
    async fn renew(self: &Arc<Self>, old: Token, house: &House) -> Token {
        let Ok(alone) = Arc::clone(&self.asking).try_lock_owned() else { return old };
        if self.issuer.is_near() {
            return self.renewed(old, house).await;
        }
        // A question that is never answered, or ends with its pipeline, is not asked again at once.
        let old = Token { renew_at: Some(SystemTime::now() + RENEW_PAUSE), ..old };
        self.lock().token = Some(old.clone());
        let (bearer, house, held) = (Arc::clone(self), house.clone(), old.clone());
        tokio::spawn(async move {
            bearer.renewed(held, &house).await;
            drop(alone);
        });
        old
    }

    /// A token that is not due, or the old one where no other is to be had. Who waited for another's question takes its answer.
    async fn fresh(&self, house: &House) -> Result<Token, OpenError> {
        let asked = Instant::now();
        let fresh = async {
            let _alone = self.asking.lock().await;
            match self.held() {
                Some(token) if !token.is_due(SystemTime::now()) => Ok(token),
                Some(token) => Ok(self.renewed(token, house).await),
                None => self.first(asked, house).await,
            }
        };
        timeout(TOKEN_WITHIN, fresh).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// Asks while none holds, unless that was asked and refused since `asked`.
    async fn first(&self, asked: Instant, house: &House) -> Result<Token, OpenError> {
        if let Some((at, error)) = &self.lock().failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        let answer = self.ask(house).await;
        let mut held = self.lock();
        match &answer {
            Ok(token) => *held = Held { token: Some(token.clone()), failed: None },
            Err(error) => held.failed = Some((Instant::now(), error.clone())),
        }
        answer
    }

    /// Asks while the old one holds, which stays where no other is to be had.
    async fn renewed(&self, old: Token, house: &House) -> Token {
        let token = match self.ask(house).await {
            // An issuer that gives what it gave before is not asked again at once.
            Ok(token) => Token { renew_at: token.renew_at.map(|due| due.max(SystemTime::now() + self.pause())), ..token },
            Err(error) => {
                tracing::warn!(broker = %self.broker, %error, "the token was not renewed; the old one is used while it holds");
                Token { renew_at: Some(SystemTime::now() + RENEW_PAUSE), ..old }
            }
        };
        self.lock().token = Some(token.clone());
        token
    }

    /// One question; what it brings holds.
    async fn ask(&self, house: &House) -> Result<Token, OpenError> {
        let metrics = house.metrics.certificates(&self.broker);
        let asked = timeout(TOKEN_WITHIN, self.issuer.ask(&metrics)).await;
        asked.unwrap_or_else(|_| Err(self.late())).and_then(|token| self.living(token))
    }

    /// Between two questions. A file is cheap to look at.
    fn pause(&self) -> Duration {
        if self.issuer.is_near() { LOOK_EVERY } else { RENEW_PAUSE }
    }

    fn late(&self) -> OpenError {
        OpenError { reason: Reason::Timeout, detail: format!("{}: no token within 10 s", self.issuer) }
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
