//! What goes to the thread, and what comes back of it: copies of messages, and reports on them.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use rdkafka::{
    client::{ClientContext, OAuthToken},
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{DeliveryResult, OwnedHeaders},
    producer::ProducerContext,
};

use super::relay::Assigned;
use crate::{
    broker::kafka::{fault::of_code, ledger::Slot, voice::Voice},
    outcome::{Outcome, Reason, Refusal},
};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Send these.
    Send(Vec<Copy>),
    /// What waits may have its turn now.
    Look,
    /// Commit what can be, and end.
    Close,
}

/// One message on its way, and the record it stands for.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) source: Assigned,
    pub(super) offset: i64,
    pub(super) slot: Slot,
    /// When it came to wait for its turn.
    pub(super) since: Instant,
    pub(super) topic: String,
    /// The topic's name came out of the message itself: where there is none, that is this message's fault, and not its destination's.
    pub(super) own_topic: bool,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: Option<i64>,
    pub(super) headers: OwnedHeaders,
    /// It cannot be a record at all.
    pub(super) refusal: Option<Refusal>,
}

/// Why a copy is not in the transaction.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) slot: Slot,
    pub(super) reason: Reason,
    pub(super) words: String,
}

impl Failure {
    pub(super) fn of(slot: Slot, error: &KafkaError) -> Self {
        Self { slot, reason: error.rdkafka_error_code().map_or(Reason::Link, of_code), words: error.to_string() }
    }

    /// True where the record is at fault, and not the transaction.
    pub(super) fn is_the_records(&self) -> bool {
        matches!(self.reason, Reason::TooLarge | Reason::Final | Reason::Refused | Reason::Unroutable | Reason::Forbidden)
    }

    /// True where the record is blamed, and may only have travelled with the one at fault.
    pub(super) fn may_be_anothers(&self) -> bool {
        matches!(self.reason, Reason::Final | Reason::Refused)
    }

    /// True where the topic cannot be had at all.
    pub(super) fn is_the_topics(&self) -> bool {
        matches!(self.reason, Reason::Unroutable | Reason::Forbidden)
    }

    /// A record that is refused holds back its partition: what the broker will not have is not asked again and again.
    pub(super) fn outcome(self) -> Outcome {
        let reason = if self.reason == Reason::TooLarge { self.reason } else { Reason::Final };
        Outcome::Refused(Refusal::new(reason, self.words))
    }
}

/// A producer's voice, and which copies of the open transaction were refused.
#[derive(Debug)]
pub(super) struct Reports {
    voice: Voice,
    failed: Mutex<Vec<Failure>>,
}

impl Reports {
    pub(super) fn new(voice: Voice) -> Self {
        Self { voice, failed: Mutex::default() }
    }

    pub(super) fn take(&self) -> Vec<Failure> {
        std::mem::take(&mut self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Voice::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.voice.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.voice.generate_oauth_token(config)
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, word: usize) {
        if let Err((error, _)) = result {
            let failure = Failure::of(Slot::of_word(word), error);
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
        }
    }
}
