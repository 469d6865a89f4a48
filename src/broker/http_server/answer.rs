//! What a producer is told: a verdict as a status.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};

use crate::{
    listen::{Body, Problem, full},
    outcome::{Reason, Refusal, Verdict},
};

/// A bridge that is busy or starts again is worth another try after this, in seconds.
const RETRY_AFTER: u32 = 1;

/// Says that this is the answer of an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What became of one message.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Verdict(Verdict),
    /// The bridge stops, or its pipeline began anew.
    Unanswered,
    /// No verdict within `respond_within`.
    Late,
}

/// An answer to a request; cheap to clone, so that it can be given again.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
    retry: bool,
}

impl Answer {
    /// One message.
    pub(super) fn one(told: &Told, id: Option<&str>) -> Self {
        if matches!(told, Told::Verdict(Verdict::Accepted)) {
            return Self { status: StatusCode::OK, body: accepted(id.unwrap_or_default()).into(), retry: false };
        }
        Self::problem(&with_id(fault(told), id))
    }

    /// Several, in their order: 200 where all are accepted, 503 where nothing is known of any, else 207 with a result for each.
    pub(super) fn many<'a>(results: impl ExactSizeIterator<Item = (Told, Option<&'a str>)>) -> Self {
        let (mut accepted, mut known) = (0, 0);
        let count = results.len();
        let mut all = Vec::with_capacity(count);
        for (index, (told, id)) in results.enumerate() {
            known += usize::from(matches!(told, Told::Verdict(_)));
            if matches!(told, Told::Verdict(Verdict::Accepted)) {
                accepted += 1;
                all.push(json!({ "status": 200, "message_id": id }));
            } else {
                let problem = with_id(fault(&told), id).with("index", index);
                all.push(Value::Object(problem.members().clone()));
            }
        }
        if known == 0 && count > 0 {
            return Self::problem(&busy("none of the messages has its verdict; they may still be delivered, under the same ids"));
        }
        let status = if accepted == count { StatusCode::OK } else { StatusCode::MULTI_STATUS };
        let body = Map::from_iter([("accepted".into(), accepted.into()), ("results".into(), Value::Array(all))]);
        Self { status, body: line(&Value::Object(body)), retry: false }
    }

    fn problem(problem: &Problem) -> Self {
        let body = line(&Value::Object(problem.members().clone()));
        Self { status: problem.status(), body, retry: problem.status() == StatusCode::SERVICE_UNAVAILABLE }
    }

    /// The same request may come again without a second delivery.
    pub(super) fn is_settled(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// Bytes that keeping it costs.
    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// As HTTP; `again` says that it was given before.
    pub(super) fn response(self, again: bool) -> Response<Body> {
        let is_problem = self.status.is_client_error() || self.status.is_server_error();
        let media = if is_problem { "application/problem+json" } else { "application/json" };
        let mut response = Response::new(full(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if self.retry {
            headers.insert(hyper::header::RETRY_AFTER, RETRY_AFTER.into());
        }
        if again {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// JSON with the end of a line, for who reads it in a terminal.
fn line(value: &Value) -> Bytes {
    let mut text = value.to_string();
    text.push('\n');
    text.into()
}

/// `{"message_id":"…"}`.
fn accepted(id: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(id.len() + 20);
    body.extend_from_slice(br#"{"message_id":"#);
    // Text is always JSON, and a vector takes it.
    let _ = serde_json::to_writer(&mut body, id);
    body.extend_from_slice(b"}\n");
    body
}

fn with_id(problem: Problem, id: Option<&str>) -> Problem {
    match id {
        Some(id) => problem.with("message_id", id),
        None => problem,
    }
}

/// 503: worth another try.
pub(super) fn busy(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
}

fn fault(told: &Told) -> Problem {
    match told {
        Told::Verdict(Verdict::Accepted) => Problem::new(StatusCode::OK, "accepted"),
        Told::Verdict(Verdict::Rejected(refusal)) => refused(refusal),
        Told::Unanswered => busy("the bridge is stopping or starting again; the message may still be delivered, under the same id"),
        Told::Late => busy("no verdict within `respond_within`; the message may still be delivered, under the same id"),
    }
}

fn refused(Refusal { reason, detail }: &Refusal) -> Problem {
    Problem::new(status(*reason), detail.clone()).with("reason", reason.as_str())
}

/// What kind of answer a refusal is: the producer's own doing (4xx), or a destination's (502).
fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Undecodable => StatusCode::BAD_REQUEST,
        Reason::Oversize => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::Unrouted | Reason::Address | Reason::Transform | Reason::Schema | Reason::Hops => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_GATEWAY,
    }
}
