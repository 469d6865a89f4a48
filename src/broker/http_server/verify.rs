//! Who may send: tokens, or signatures of Standard Webhooks.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderValue, WWW_AUTHENTICATE},
};
use schemars::JsonSchema;

use super::{answer::busy, settings::Settings};
use crate::{
    broker::standard_webhooks::{ID, Keyring, Purpose, SIGNATURE, TIMESTAMP, TOLERANCE},
    listen::{Problem, Tokens, bearer},
    written::{Millis, Node, Problems},
};

/// A signature is good for at most so long: longer, and a copy of a request could come again after it is forgotten.
const TOLERANCE_MAX: Duration = Duration::from_secs(3600);

/// Secrets that cannot be read are told so often at most, however many requests are refused meanwhile.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How a source knows its producers.
#[derive(Debug)]
pub(super) struct Verify {
    by: By,
    /// When it was last said that the secrets cannot be read.
    told: Mutex<Option<Instant>>,
}

/// What a request shows.
#[derive(Debug)]
enum By {
    /// `Authorization: Bearer …`.
    Bearer(Tokens),
    /// `webhook-signature`.
    Signed { keyring: Keyring, tolerance: Duration },
}

impl Verify {
    /// Reads the block: exactly one of the two.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        let bearer = node.child("bearer").map(|bearer| {
            let files = bearer.files("token_files", faults).unwrap_or_default();
            if bearer.is_map() && bearer.peek("token_files").is_none() {
                faults.fault(bearer.at(), "`bearer` needs `token_files`");
            }
            bearer.finish(faults);
            By::Bearer(Tokens::new(files))
        });
        let signed = node.child("standard_webhooks").map(|signed| {
            let keyring = Keyring::read(signed, Purpose::Verify, faults);
            let tolerance = signed.get("tolerance", Millis(TOLERANCE), faults).0;
            if tolerance.is_zero() || tolerance > TOLERANCE_MAX {
                faults.fault(signed.at(), format!("`tolerance` is more than 0 and at most {}", Millis(TOLERANCE_MAX)));
            }
            signed.finish(faults);
            keyring.map(|keyring| By::Signed { keyring, tolerance })
        });
        node.finish(faults);
        let by = match (bearer, signed) {
            (Some(bearer), None) => Some(bearer),
            (None, Some(signed)) => signed,
            _ => {
                faults.fault(node.at(), "`verify` is one of `bearer` and `standard_webhooks`");
                None
            }
        };
        Some(Self { by: by?, told: Mutex::default() })
    }

    /// How long a copy of a request would be taken for the request itself: as long as its keys must be remembered.
    pub(super) fn replayable(&self) -> Duration {
        match &self.by {
            By::Bearer(_) => Duration::ZERO,
            // Signed for a time in the future, it is good until that time and the tolerance are over.
            By::Signed { tolerance, .. } => *tolerance * 2,
        }
    }

    /// What is wrong with showing a token to a listener without TLS.
    pub(super) fn in_the_clear(&self, settings: &Settings) -> Option<String> {
        let clear = matches!(self.by, By::Bearer(_)) && settings.listener.tls.is_none();
        clear.then(|| format!("tokens travel to {} unencrypted", settings.listener.address))
    }

    /// Whether the head of a request shows who sends it, as far as a head can.
    pub(super) fn head(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match &self.by {
            By::Bearer(tokens) => match tokens.grant(bearer(headers).unwrap_or_default()) {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(unauthorized(r#"Bearer realm="rialto""#)),
                Err(error) => Err(self.unreadable(&error)),
            },
            By::Signed { .. } if headers.contains_key(SIGNATURE) => Ok(()),
            By::Signed { .. } => Err(unauthorized("Standard-Webhooks")),
        }
    }

    /// Whether the body is what the sender signed. One answer for every fault: nobody is told how near a forgery came.
    pub(super) fn body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let By::Signed { keyring, tolerance } = &self.by else { return Ok(()) };
        let keys = keyring.keys(Instant::now()).map_err(|error| self.unreadable(&error))?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verified = keys.verify(text(ID), text(TIMESTAMP), text(SIGNATURE), body, now, *tolerance);
        verified.map_err(|reason| {
            tracing::debug!(%reason, "a request is not signed by its sender");
            unauthorized("Standard-Webhooks")
        })
    }

    /// The secrets cannot be had now: nobody comes in. The file's name is for the log, not for whoever asks.
    fn unreadable(&self, error: &dyn fmt::Display) -> Problem {
        if is_due(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner), Instant::now()) {
            tracing::error!(%error, "who may send cannot be read: every request is refused");
        }
        busy("who may send cannot be told now")
    }
}

fn unauthorized(challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the request does not show that its sender may send here")
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// Whether it is time to say something again that was `told` before.
fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
    let due = told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
    if due {
        *told = Some(now);
    }
    due
}

/// The block, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// Tokens in the header `Authorization`.
    bearer: Option<WrittenBearer>,
    /// Signatures of Standard Webhooks 1.0.
    standard_webhooks: Option<WrittenSigned>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
struct WrittenBearer {
    /// Files with a token on each line; read anew when they change.
    token_files: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
struct WrittenSigned {
    /// A secret (`whsec_…`, or `whpk_…` for Ed25519).
    secret: Option<String>,
    /// A file that holds it.
    secret_file: Option<String>,
    /// Files with secrets, any of which verifies; read anew when they change.
    secret_files: Option<Vec<String>>,
    /// How far a signature's time may be from now (default 5m).
    tolerance: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_now_and_then() {
        let (start, mut told) = (Instant::now(), None);
        let said: Vec<_> = (0..25).filter(|second| is_due(&mut told, start + Duration::from_secs(*second))).collect();
        assert_eq!(said, [0, 10, 20]);
    }
}
