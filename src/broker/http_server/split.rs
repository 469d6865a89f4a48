//! The messages of a body.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use hyper::StatusCode;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    body::too_large,
    carrier::{HttpCarrier, Part, Request},
    media::Media,
};
use crate::{envelope::RawMessage, listen::Problem};

/// Messages of one request: each costs memory beside its bytes, and a line may have one byte.
pub(super) const MESSAGES_MAX: usize = 10_000;

/// The parts of a body, each a slice of it.
pub(super) fn parts(media: Media, body: &Bytes) -> Result<Vec<(Part, Bytes)>, Problem> {
    match media {
        Media::One { typed } => Ok(vec![(Part::Whole { typed }, body.clone())]),
        Media::Events => events(body),
        Media::Lines => lines(body),
    }
}

/// The same as messages of their request.
pub(super) fn messages(request: &Arc<Request>, parts: Vec<(Part, Bytes)>) -> Vec<(Arc<HttpCarrier>, Bytes)> {
    let one = |(part, body)| {
        let carrier = HttpCarrier { request: Arc::clone(request), part, identity: OnceLock::new() };
        (Arc::new(carrier), body)
    };
    parts.into_iter().map(one).collect()
}

/// A message as the intake takes it.
pub(super) fn raw((carrier, body): &(Arc<HttpCarrier>, Bytes)) -> RawMessage {
    RawMessage { body: body.clone(), carrier: Arc::clone(carrier) as _ }
}

fn lines(body: &Bytes) -> Result<Vec<(Part, Bytes)>, Problem> {
    let mut parts = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if parts.len() == MESSAGES_MAX {
            return Err(too_many());
        }
        parts.push((Part::Line, body.slice_ref(line)));
    }
    Ok(parts)
}

/// The CloudEvents JSON batch format: an array, of which nothing but its ends is looked at here.
fn events(body: &Bytes) -> Result<Vec<(Part, Bytes)>, Problem> {
    let wrong = |error: &dyn fmt::Display| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the body is no batch of CloudEvents: {error}")).with("reason", "undecodable")
    };
    let text = std::str::from_utf8(body).map_err(|error| wrong(&error))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut input = serde_json::Deserializer::from_str(text);
    let mut full = false;
    let read = input.deserialize_seq(Slices { body, full: &mut full });
    if full {
        return Err(too_many());
    }
    let parts = read.map_err(|error| wrong(&error))?;
    input.end().map_err(|error| wrong(&error))?;
    Ok(parts)
}

fn too_many() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {MESSAGES_MAX} messages in one request"))
        .with("max_messages", MESSAGES_MAX)
}

/// Takes the elements of an array as they stand.
struct Slices<'a> {
    body: &'a Bytes,
    full: &'a mut bool,
}

impl<'de> Visitor<'de> for Slices<'_> {
    type Value = Vec<(Part, Bytes)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(event) = array.next_element::<&RawValue>()? {
            if parts.len() == MESSAGES_MAX {
                *self.full = true;
                return Err(A::Error::custom("too many"));
            }
            parts.push((Part::Event, self.body.slice_ref(event.get().as_bytes())));
        }
        Ok(parts)
    }
}

/// 413 for a message of several that is larger than one alone may be.
pub(super) fn within(parts: &[(Part, Bytes)], message_max: u64) -> Result<(), Problem> {
    match parts.iter().position(|(_, body)| body.len() as u64 > message_max) {
        Some(index) => Err(too_large(message_max).with("index", index)),
        None => Ok(()),
    }
}
