//! The page at `/` and its parts: files that are compiled in, and ask nothing of any other host.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::answer::problem_with;
use crate::listen::{Body, Page, Peer, full};

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    kind: &'static str,
    bytes: Bytes,
}

/// What stands in the page for the port of the RESP door.
const RESP_PORT: &str = "{resp}";

/// All of them. The page tells what to try, also with a Redis client where `resp` is open.
pub(super) fn files(resp: Option<SocketAddr>) -> [File; 4] {
    let file = |path, kind, bytes: &'static str| File { path, kind, bytes: bytes.into() };
    let port = resp.map(|address| address.port().to_string()).unwrap_or_default();
    let page = include_str!("page/index.html").replacen(RESP_PORT, &port, 1);
    [
        File { path: "/", kind: "text/html; charset=utf-8", bytes: page.into() },
        file("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
        file("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
        file("/page.svg", "image/svg+xml", include_str!("page/page.svg")),
    ]
}

/// Nothing but these files and this host; no script that is written into the page, no text that becomes markup, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    // Another version of Rialto may answer at the same address next time.
    ("cache-control", "no-cache"),
];

#[async_trait]
impl Page for File {
    async fn answer(&self, request: Request<Incoming>, _: &str, _: Peer) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let why = "this is a page to look at; events are posted to the path of a source";
            return problem_with(StatusCode::METHOD_NOT_ALLOWED, why, ALLOW, "GET, HEAD");
        }
        let mut response = Response::new(full(self.bytes.clone()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        let always = HEADERS.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        response.headers_mut().extend(always);
        response
    }
}
