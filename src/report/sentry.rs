//! Reports as events of Sentry, or of whatever speaks its protocol (`GlitchTip`, `Bugsink`): one envelope each
//! (<https://develop.sentry.dev/sdk/data-model/envelopes/>).

use std::{error::Error, fmt};

use async_trait::async_trait;
use reqwest::{Client, header};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    ErrorReporter, Report, What,
    client::{self, ClientError},
};

/// The version of the protocol that the header speaks of.
const PROTOCOL: u32 = 7;

/// Sends each report as an event. Events with the same kind, place and reason are one issue there.
pub struct SentryReporter {
    client: Client,
    endpoint: Url,
    /// `X-Sentry-Auth`, which holds the public key.
    auth: String,
    environment: Option<String>,
    release: Option<String>,
    wants_payload: bool,
}

/// A DSN that names no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum DsnError {
    /// `https://KEY@HOST/PROJECT` is what it looks like.
    #[error("a DSN is `https://KEY@HOST/PROJECT`: {0}")]
    Shape(&'static str),
    /// There is no client to send with.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl SentryReporter {
    /// Sends to the project of this DSN (`https://KEY@HOST[:PORT][/PATH]/PROJECT`).
    pub fn new(dsn: &str) -> Result<Self, DsnError> {
        let dsn = Url::parse(dsn).map_err(|_| DsnError::Shape("this is no URL"))?;
        if !matches!(dsn.scheme(), "http" | "https") {
            return Err(DsnError::Shape("its scheme is `https` or `http`"));
        }
        let key = dsn.username();
        if key.is_empty() {
            return Err(DsnError::Shape("the key is missing"));
        }
        let path = dsn.path().trim_end_matches('/');
        let (before, project) = path.rsplit_once('/').unwrap_or(("", path));
        if project.is_empty() {
            return Err(DsnError::Shape("the project is missing"));
        }
        let auth =
            format!("Sentry sentry_version={PROTOCOL}, sentry_client=rialto/{}, sentry_key={key}", env!("CARGO_PKG_VERSION"));
        let mut endpoint = dsn.clone();
        endpoint.set_path(&format!("{before}/api/{project}/envelope/"));
        endpoint.set_query(None);
        let unnamed = endpoint.set_username("").and_then(|()| endpoint.set_password(None));
        unnamed.map_err(|()| DsnError::Shape("it has no host"))?;
        Ok(Self { client: client::client()?, endpoint, auth, environment: None, release: None, wants_payload: false })
    }

    /// Under this environment: `production`.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// Of this release of the program.
    #[must_use]
    pub fn release(mut self, name: impl Into<String>) -> Self {
        self.release = Some(name.into());
        self
    }

    /// With the payloads of dead letters.
    #[must_use]
    pub fn with_payloads(mut self) -> Self {
        self.wants_payload = true;
        self
    }

    /// The event (<https://develop.sentry.dev/sdk/data-model/event-payloads/>).
    fn event(&self, report: &Report, id: &str) -> Value {
        let Report { what, about, whose, reason, error, attempts, .. } = report;
        let title = match what {
            What::DeadLetter => "DeadLetter",
            What::Panic => "Panic",
            What::Paused => "DestinationPaused",
        };
        let tags = json!({
            "what": what.as_str(), "reason": reason.as_str(), "bridge": report.bridge,
            "source": about.source, "route": about.route, "destination": about.destination,
            "message_type": whose.as_ref().map(|whose| &whose.message_type),
            "message_name": whose.as_ref().map(|whose| &whose.message_name),
        });
        let tags: serde_json::Map<String, Value> = match tags {
            // Sentry has no empty tags.
            Value::Object(tags) => tags.into_iter().filter(|(_, tag)| tag.as_str().is_some_and(|tag| !tag.is_empty())).collect(),
            _ => serde_json::Map::new(),
        };
        let payload = report.payload.as_deref().map(String::from_utf8_lossy);
        json!({
            "event_id": id,
            "timestamp": report.at_ms as f64 / 1000.0,
            "platform": "other",
            "level": if *what == What::Paused { "warning" } else { "error" },
            "logger": "rialto",
            "server_name": report.instance,
            "environment": self.environment,
            "release": self.release,
            "exception": { "values": [{ "type": title, "value": format!("{reason}: {error}") }] },
            "tags": tags,
            "extra": { "message_id": whose.as_ref().map(|whose| &whose.message_id), "attempts": attempts, "stack": report.stack, "payload": payload },
            "fingerprint": [what.as_str(), &about.route, &about.destination, reason.as_str()],
        })
    }
}

#[async_trait]
impl ErrorReporter for SentryReporter {
    async fn report(&self, report: &Report) -> Result<(), Box<dyn Error + Send + Sync>> {
        let id = Uuid::new_v4().simple().to_string();
        let event = self.event(report, &id).to_string();
        let (head, item) = (json!({ "event_id": id }), json!({ "type": "event", "length": event.len() }));
        let request = self.client.post(self.endpoint.clone()).header("x-sentry-auth", &self.auth);
        let request = request.header(header::CONTENT_TYPE, "application/x-sentry-envelope");
        Ok(client::send(request.body(format!("{head}\n{item}\n{event}\n"))).await?)
    }

    fn wants_payload(&self) -> bool {
        self.wants_payload
    }
}

/// Without the key.
impl fmt::Debug for SentryReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentryReporter").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}
