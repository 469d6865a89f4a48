//! Reports of what a person should look at: dead letters, panics, destinations that stand still. They go to an [`ErrorReporter`] of the
//! program's choice, through a bounded queue: a reporter that is slow or down loses reports, which are counted, and never holds a message.

mod client;
mod desk;
mod sentry;
mod webhook;

use std::{
    error::Error,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::outcome::Reason;

pub use client::ClientError;
pub use desk::{Courier, Reports};
pub use sentry::{DsnError, SentryReporter};
pub use webhook::WebhookReporter;

/// Tells somebody.
#[async_trait]
pub trait ErrorReporter: Send + Sync + 'static {
    /// Passes one report on. It has ten seconds; a report whose passing on failed is counted and not tried again.
    async fn report(&self, report: &Report) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Whether reports of dead letters hold the payload. Payloads are what producers trust us with: nobody gets them unasked.
    fn wants_payload(&self) -> bool {
        false
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A message was given up for one destination, or could not be decoded or routed.
    DeadLetter,
    /// A handler panicked; the message is tried again.
    Panic,
    /// A destination stands still: its breaker opened, or it refuses everything. Nothing is lost by it.
    Paused,
}

impl What {
    /// As reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Panic => "panic",
            Self::Paused => "paused",
        }
    }
}

/// Where it happened; empty where nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// The source's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The route's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// The destination's name, or `handler/NAME`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination: String,
}

/// The message that it happened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Whose {
    /// Its type.
    pub message_type: String,
    /// Its name.
    pub message_name: String,
    /// Its id.
    pub message_id: String,
}

/// One thing to look at. Without payloads and headers, unless the reporter asks for the payload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What happened.
    pub what: What,
    /// Where.
    #[serde(flatten)]
    pub about: About,
    /// To which message, if to one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub whose: Option<Whose>,
    /// Why, as metrics spell it.
    #[serde(serialize_with = "as_word")]
    pub reason: Reason,
    /// Why, in the words of whoever refused; a panic's message and place.
    pub error: String,
    /// Tries so far.
    pub attempts: u32,
    /// A panic's stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The message's payload, where the reporter wants it; as text, with the replacement character for what is none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub payload: Option<Bytes>,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The bridge's `name`.
    pub bridge: String,
    /// The bridge's `instance`.
    pub instance: String,
}

impl Report {
    /// A report of now, of no message; whose bridge it is, the desk writes on it.
    pub fn new(what: What, about: About, reason: Reason, error: impl Into<String>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            what,
            about,
            whose: None,
            reason,
            error: error.into(),
            attempts: 0,
            stack: None,
            payload: None,
            at_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            bridge: String::new(),
            instance: String::new(),
        }
    }

    /// The same of a message.
    #[must_use]
    pub fn of(self, message_type: &str, message_name: &str, message_id: &str) -> Self {
        let [message_type, message_name, message_id] = [message_type, message_name, message_id].map(str::to_owned);
        Self { whose: Some(Whose { message_type, message_name, message_id }), ..self }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn as_word<S: Serializer>(reason: &Reason, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(reason.as_str())
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn as_text<S: Serializer>(payload: &Option<Bytes>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&String::from_utf8_lossy(payload.as_deref().unwrap_or_default()))
}
