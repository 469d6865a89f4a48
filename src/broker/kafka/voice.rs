//! What a client of librdkafka says of itself beside its messages: its log, and what is wrong with all of it.

use rdkafka::{
    client::ClientContext, config::RDKafkaLogLevel, error::KafkaError, message::DeliveryResult, producer::ProducerContext,
};
use tokio::sync::watch;

use super::fault::Fault;

/// One client's voice. Kafka's clients tell of a failed connection as an event of the client, not as an answer to anything that was
/// asked: whoever opens a client, or waits for it, listens here.
#[derive(Debug)]
pub(super) struct Voice {
    /// The last fault of the whole client; `None` until there is one.
    last: watch::Sender<Option<Fault>>,
}

impl Voice {
    /// A client that has not said anything.
    pub(super) fn new() -> Self {
        Self { last: watch::Sender::new(None) }
    }

    /// The last fault that it told of, and those to come.
    pub(super) fn listen(&self) -> watch::Receiver<Option<Fault>> {
        self.last.subscribe()
    }
}

/// Errors are told once, by the link or source that they end. What librdkafka logs of its own tries to connect says the same again
/// with every try, so all of it is for who debugs.
impl ClientContext for Voice {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "rialto::kafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let fault = Fault::of_client(&error, reason);
        tracing::debug!(target: "rialto::kafka", reason = %fault.reason, "{}", fault.detail);
        self.last.send_modify(|last| {
            // That all brokers are down is true of every failure: the one before it says why.
            let keeps = fault.is_sum && last.is_some();
            let before = last.take().filter(|_| keeps);
            *last = Some(before.map_or(fault, Fault::with_sum));
        });
    }
}

/// For a client that only asks, and sends nothing that could be reported.
impl ProducerContext for Voice {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
