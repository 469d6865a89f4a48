//! Who may send: tokens, or signatures of Standard Webhooks.

use std::{
    fmt,
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

/// How a source knows its producers.
#[derive(Debug)]
pub(super) enum Verify {
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
            Self::Bearer(Tokens::new(files))
        });
        let signed = node.child("standard_webhooks").map(|signed| {
            let keyring = Keyring::read(signed, Purpose::Verify, faults);
            let tolerance = signed.get("tolerance", Millis(TOLERANCE), faults).0;
            if tolerance.is_zero() || tolerance > TOLERANCE_MAX {
                faults.fault(signed.at(), format!("`tolerance` is more than 0 and at most {}", Millis(TOLERANCE_MAX)));
            }
            signed.finish(faults);
            keyring.map(|keyring| Self::Signed { keyring, tolerance })
        });
        node.finish(faults);
        match (bearer, signed) {
            (Some(bearer), None) => Some(bearer),
            (None, Some(signed)) => signed,
            _ => {
                faults.fault(node.at(), "`verify` is one of `bearer` and `standard_webhooks`");
                None
            }
        }
    }

    /// How long a copy of a request would be taken for the request itself: as long as its keys must be remembered.
    pub(super) fn replayable(&self) -> Duration {
        match self {
            Self::Bearer(_) => Duration::ZERO,
            // Signed for a time in the future, it is good until that time and the tolerance are over.
            Self::Signed { tolerance, .. } => *tolerance * 2,
        }
    }

    /// What is wrong with showing a token to a listener without TLS.
    pub(super) fn in_the_clear(&self, settings: &Settings) -> Option<String> {
        let clear = matches!(self, Self::Bearer(_)) && settings.listener.tls.is_none();
        clear.then(|| format!("tokens travel to {} unencrypted", settings.listener.address))
    }

    /// Whether the head of a request shows who sends it, as far as a head can.
    pub(super) fn head(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::Bearer(tokens) => match tokens.grant(bearer(headers).unwrap_or_default()) {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(unauthorized(r#"Bearer realm="rialto""#)),
                Err(error) => Err(unreadable(&error)),
            },
            Self::Signed { .. } if headers.contains_key(SIGNATURE) => Ok(()),
            Self::Signed { .. } => Err(unauthorized("Standard-Webhooks")),
        }
    }

    /// Whether the body is what the sender signed. One answer for every fault: nobody is told how near a forgery came.
    pub(super) fn body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let Self::Signed { keyring, tolerance } = self else { return Ok(()) };
        let keys = keyring.keys(Instant::now()).map_err(|error| unreadable(&error))?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verified = keys.verify(text(ID), text(TIMESTAMP), text(SIGNATURE), body, now, *tolerance);
        verified.map_err(|reason| {
            tracing::debug!(%reason, "a request is not signed by its sender");
            unauthorized("Standard-Webhooks")
        })
    }
}

fn unauthorized(challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the request does not show that its sender may send here")
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The secrets cannot be had now: nobody comes in. The file's name is for the log, not for whoever asks.
fn unreadable(error: &dyn fmt::Display) -> Problem {
    tracing::error!(%error, "who may send cannot be read: every request is refused");
    busy("who may send cannot be told now")
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
