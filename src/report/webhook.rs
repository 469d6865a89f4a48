//! Reports as JSON to a URL.

use std::{error::Error, fmt};

use async_trait::async_trait;
use reqwest::{Client, header};

use super::{
    ErrorReporter, Report,
    client::{self, ClientError},
};

/// Posts each report as one JSON object: `what`, `source`, `route`, `destination`, `message_type`, `message_name`, `message_id`,
/// `reason`, `error`, `attempts`, `stack`, `at_ms`, `bridge`, `instance`; what is not known is left out.
pub struct WebhookReporter {
    client: Client,
    url: String,
    bearer: Option<String>,
    wants_payload: bool,
}

impl WebhookReporter {
    /// Posts to this URL.
    pub fn new(url: impl Into<String>) -> Result<Self, ClientError> {
        Ok(Self { client: client::client()?, url: url.into(), bearer: None, wants_payload: false })
    }

    /// With `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// With the payloads of dead letters.
    #[must_use]
    pub fn with_payloads(mut self) -> Self {
        self.wants_payload = true;
        self
    }
}

#[async_trait]
impl ErrorReporter for WebhookReporter {
    async fn report(&self, report: &Report) -> Result<(), Box<dyn Error + Send + Sync>> {
        let body = serde_json::to_vec(report)?;
        let mut request = self.client.post(&self.url).header(header::CONTENT_TYPE, "application/json").body(body);
        if let Some(token) = &self.bearer {
            request = request.bearer_auth(token);
        }
        Ok(client::send(request).await?)
    }

    fn wants_payload(&self) -> bool {
        self.wants_payload
    }
}

/// Without the URL and the token: either may be a secret.
impl fmt::Debug for WebhookReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookReporter").field("wants_payload", &self.wants_payload).finish_non_exhaustive()
    }
}
