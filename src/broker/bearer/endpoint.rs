//! One request to a token endpoint, and what its answer means.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{Token, jwt};
use crate::{
    broker::{
        OpenError,
        http_client::{self, Resolver, told},
        tls::Tls,
    },
    outcome::Reason,
    telemetry::CertificateMetrics,
};

/// From the name to the last byte of the answer: a little less than a caller waits, so that it hears why.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// Larger than this it is no token.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What is shown of an endpoint's own words.
const WORDS_MAX: usize = 400;
/// A token of which nobody says when it ends is renewed after this.
const UNSAID: Duration = Duration::from_secs(300);

/// Where tokens are issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Without credentials: those are in the request.
    pub(super) url: Url,
    pub(super) tls: Tls,
    /// Whether the proxies that the environment names are for it. The address of a machine's own identity is nobody's proxy's affair.
    pub(super) by_proxy: bool,
}

/// RFC 6749, section 5.1. Microsoft's endpoints write the numbers as text.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Number>,
    expires_on: Option<Number>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Denied {
    error: String,
    error_description: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

impl Endpoint {
    /// A client for one question: questions are minutes apart, and the certificates' files are read anew for each.
    pub(super) fn client(&self, metrics: &CertificateMetrics) -> Result<Client, OpenError> {
        let tls = match self.url.scheme() {
            "https" => Some(self.tls.client_config(metrics).map_err(|why| self.failed(Reason::Tls, why))?),
            _ => None,
        };
        let client = http_client::builder(tls.map(Arc::unwrap_or_clone), Resolver::system());
        let client = client.map_err(|error| self.failed(Reason::Tls, error))?.timeout(ANSWER_WITHIN);
        let client = if self.by_proxy { client } else { client.no_proxy() };
        client.build().map_err(|error| self.failed(Reason::Tls, told(&error)))
    }

    /// Sends the request and reads a token out of the answer. What is in `secrets` is never repeated.
    pub(super) async fn ask(&self, request: RequestBuilder, secrets: &[&str]) -> Result<Token, OpenError> {
        let answer = request.send().await.map_err(|error| self.unreached(error))?;
        let (status, retry) = (answer.status(), answer.headers().get("retry-after").cloned());
        let body = self.read(answer).await?;
        if status.is_success() {
            return self.granted(&body);
        }
        let mut words = match serde_json::from_slice::<Denied>(&body) {
            Ok(denied) => match denied.error_description {
                Some(description) => format!("{status}: {}: {description}", denied.error),
                None => format!("{status}: {}", denied.error),
            },
            Err(_) if status.is_redirection() => format!("{status}: a secret is not sent on to where it points"),
            Err(_) => status.to_string(),
        };
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            words = words.replace(secret, "***");
        }
        if let Some(seconds) = retry.as_ref().and_then(|after| after.to_str().ok()) {
            words += " (retry after ";
            words += seconds;
            words.push(')');
        }
        Err(self.failed(meaning(status), clean(&words)))
    }

    async fn read(&self, mut answer: Response) -> Result<Vec<u8>, OpenError> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreached(error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.failed(Reason::Link, "an answer longer than 64 KiB is no token"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn granted(&self, body: &[u8]) -> Result<Token, OpenError> {
        let odd = |what: &str| self.failed(Reason::Link, what);
        // The parser's own words may repeat what it read.
        let granted: Granted = serde_json::from_slice(body).map_err(|_| odd("the answer is no token (RFC 6749, section 5.1)"))?;
        // A type that one does not know must not be used (RFC 6749, section 7.1).
        if granted.token_type.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(odd("the token is no bearer token"));
        }
        check(&granted.access_token).map_err(|why| self.failed(Reason::Link, why))?;
        let now = SystemTime::now();
        let told = match (granted.expires_in, granted.expires_on) {
            (Some(life), _) => life.seconds().and_then(|life| now.checked_add(life)),
            (None, Some(end)) => end.seconds().and_then(|end| UNIX_EPOCH.checked_add(end)),
            (None, None) => None,
        };
        let expires_at = told.or_else(|| jwt::expiry(&granted.access_token));
        let life = expires_at.map_or(UNSAID, |end| end.duration_since(now).unwrap_or_default() * 4 / 5);
        Ok(Token::new(&granted.access_token, expires_at, Some(now + life)))
    }

    fn unreached(&self, error: reqwest::Error) -> OpenError {
        let error = error.without_url();
        self.failed(http_client::reason(&error), told(&error))
    }

    pub(super) fn failed(&self, reason: Reason, detail: impl std::fmt::Display) -> OpenError {
        OpenError { reason, detail: format!("{self}: {detail}") }
    }
}

impl Number {
    fn seconds(&self) -> Option<Duration> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(number).ok()
    }
}

/// The endpoint without its query.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{}{port}{}", self.url.scheme(), self.url.host_str().unwrap_or_default(), self.url.path())
    }
}

/// What may stand in a header behind `Bearer` (RFC 6750, section 2.1) and in a password.
pub(super) fn check(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err("the token is empty"),
        _ if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        _ => Err("the token holds what no token may hold"),
    }
}

/// 400 and 401 are the endpoint's way to say no (RFC 6749, section 5.2); some say 403.
fn meaning(status: StatusCode) -> Reason {
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => Reason::Throttled,
        400 | 401 | 403 => Reason::Unauthenticated,
        _ => Reason::Link,
    }
}

/// One line, not too long.
fn clean(words: &str) -> String {
    let mut line = words.split(|letter: char| letter.is_control() || letter.is_whitespace()).filter(|word| !word.is_empty());
    let line = line.by_ref().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
