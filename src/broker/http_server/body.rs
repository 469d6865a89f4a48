//! Reading a request's body, within bounds of size, time and memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::{Body as _, Incoming},
    header::{CONNECTION, HeaderValue},
};
use tokio::time::timeout;

use super::{answer::busy, budget::Charge};
use crate::listen::Problem;

/// From the end of the head to the end of the body: a client that drips is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reserved for a body on the word of its client alone.
const RESERVE_MAX: usize = 64 << 10;

/// The whole body, at most `max` bytes.
pub(super) async fn read(body: Incoming, max: u64, charge: &mut Charge) -> Result<Bytes, Problem> {
    let told = body.size_hint().exact();
    if told.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    match timeout(BODY_TIMEOUT, collect(body, told, max, charge)).await {
        Ok(read) => read,
        Err(_) => Err(last(Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body was not there within {BODY_TIMEOUT:?}")))),
    }
}

async fn collect(mut body: Incoming, told: Option<u64>, max: u64, charge: &mut Charge) -> Result<Bytes, Problem> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| last(Problem::new(StatusCode::BAD_REQUEST, format!("the body ended before its end: {error}"))))?;
        let Ok(bytes) = frame.into_data() else { continue };
        if (all.len() + bytes.len()) as u64 > max {
            return Err(too_large(max));
        }
        if !charge.add(bytes.len() as u64) {
            return Err(busy("the requests in memory fill `window_bytes`"));
        }
        if all.is_empty() && body.is_end_stream() {
            // Nearly every body comes in one piece. The piece shares the connection's buffer, which is larger and is wanted back.
            return Ok(Bytes::copy_from_slice(&bytes));
        }
        if all.is_empty() {
            all.reserve(usize::try_from(told.unwrap_or(0)).unwrap_or(RESERVE_MAX).min(RESERVE_MAX));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

/// 413.
pub(super) fn too_large(max: u64) -> Problem {
    last(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {max} bytes")).with("max_bytes", max))
}

/// What follows on the connection is the rest of a body that nobody reads.
fn last(problem: Problem) -> Problem {
    problem.header(CONNECTION, HeaderValue::from_static("close"))
}
