//! Answers that end a request.

use std::fmt;

use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

use crate::listen::{Body, full};

const JSON_PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The body of a refusal (RFC 9457); its type is `about:blank`, which is left out.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// A refusal: a status, and a sentence that says why and what to do.
pub(super) fn problem(status: StatusCode, detail: impl fmt::Display) -> Response<Body> {
    let detail = detail.to_string();
    let body = Problem { title: status.canonical_reason().unwrap_or("refused"), status: status.as_u16(), detail: &detail };
    let mut response = Response::new(full(serde_json::to_vec(&body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON_PROBLEM);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The same with one more header.
pub(super) fn problem_with(status: StatusCode, detail: impl fmt::Display, name: HeaderName, value: &'static str) -> Response<Body> {
    let mut response = problem(status, detail);
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
