//! What a token says of itself, where it is a JWT (RFC 7519). Nothing is verified: that is the broker's part.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    /// A `NumericDate`: seconds since the epoch, fractions allowed.
    exp: Option<f64>,
}

/// When it ends (`exp`); `None` where it is no JWT, or one that says nothing of it.
pub(super) fn expiry(token: &str) -> Option<SystemTime> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else { return None };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let seconds = serde_json::from_slice::<Claims>(&claims).ok()?.exp?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
