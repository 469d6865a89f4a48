//! What is answered when something is wrong: a problem in JSON (RFC 9457) that says what and where.

use std::borrow::Cow;

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde_json::{Map, Value};

use super::{Body, full};

/// The media type of a problem.
const MEDIA: HeaderValue = HeaderValue::from_static("application/problem+json");

/// One problem. Its `type` is `about:blank`: the status says what kind it is, `detail` the rest.
#[derive(Debug)]
pub struct Problem(Box<Said>);

#[derive(Debug)]
struct Said {
    status: StatusCode,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem in one sentence. It may name what the client sent, and never another's data or a secret.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut members = Map::new();
        members.insert("type".into(), "about:blank".into());
        members.insert("title".into(), status.canonical_reason().unwrap_or_default().into());
        members.insert("status".into(), status.as_u16().into());
        members.insert("detail".into(), detail.into().into_owned().into());
        Self(Box::new(Said { status, members, headers: HeaderMap::new() }))
    }

    /// A further member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The client should wait for so many seconds and try again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, seconds.into())
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its JSON, as one of several results.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0.members
    }

    /// The answer.
    pub fn response(self) -> Response<Body> {
        // A map of strings and numbers is always JSON.
        let mut body = serde_json::to_vec(&self.0.members).unwrap_or_default();
        // For who reads it in a terminal.
        body.push(b'\n');
        let mut response = Response::new(full(body));
        *response.status_mut() = self.0.status;
        *response.headers_mut() = self.0.headers;
        response.headers_mut().insert(CONTENT_TYPE, MEDIA);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
