//! What a client of librdkafka says of itself beside its messages: its log, what is wrong with all of it, and that it needs a token.

use std::error::Error;

use rdkafka::{
    client::{ClientContext, OAuthToken},
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::KafkaError,
    message::DeliveryResult,
    producer::ProducerContext,
};
use tokio::sync::watch;

use super::{fault::Fault, settings::Settings, token::Tokens};
use crate::{
    broker::{House, OpenError},
    outcome::Reason,
};

/// One client's voice. Kafka's clients tell of a failed connection as an event of the client, not as an answer to anything that was
/// asked: whoever opens a client, or waits for it, listens here.
#[derive(Debug)]
pub(super) struct Voice {
    /// The last fault of the whole client; `None` until there is one.
    last: watch::Sender<Option<Fault>>,
    /// Where it logs in by a token.
    tokens: Option<Tokens>,
}

impl Voice {
    /// The voice of a client that is about to be made, with the token that it will ask for.
    pub(super) async fn of(settings: &Settings, house: &House) -> Result<Self, OpenError> {
        let tokens = match settings.security.bearer() {
            Some(bearer) => Some(Tokens::fetch(bearer, house).await?),
            None => None,
        };
        Ok(Self { last: watch::Sender::new(None), tokens })
    }

    /// The last fault that it told of, and those to come.
    pub(super) fn listen(&self) -> watch::Receiver<Option<Fault>> {
        self.last.subscribe()
    }
}

/// Errors are told once, by the link or source that they end. What librdkafka logs of its own tries to connect says the same again
/// with every try, so all of it is for who debugs.
impl ClientContext for Voice {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "rialto::kafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let fault = Fault::of_client(&error, reason);
        tracing::debug!(target: "rialto::kafka", reason = %fault.reason, "{}", fault.detail);
        if let Some(tokens) = self.tokens.as_ref().filter(|_| fault.reason == Reason::Unauthenticated) {
            tokens.refused();
        }
        self.last.send_modify(|last| {
            // That all brokers are down is true of every failure: the one before it says why.
            let keeps = fault.is_sum && last.is_some();
            let before = last.take().filter(|_| keeps);
            *last = Some(before.map_or(fault, Fault::with_sum));
        });
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.as_ref().map(Tokens::at_hand).ok_or_else(|| "no token is configured".into())
    }
}

/// For a client that only asks what a group has.
impl ConsumerContext for Voice {}

/// For a client that only asks, and sends nothing that could be reported.
impl ProducerContext for Voice {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
