//! Redis at both ends, against servers that the tests start and break.

use std::sync::Arc;

use rialto::{
    broker::{Broker, Outgoing, Target, redis::KIND},
    envelope::Message,
};

use crate::support;
pub(crate) use crate::support::{house, origin, send, target};

mod cluster;
mod doors;
mod pipeline;
mod publisher;
mod pubsub;
mod replicas;
mod server;
mod stream;
mod trouble;

pub(crate) use server::{Server, free_port};

/// A broker from its URL or its long form.
pub(crate) fn broker(yaml: &str) -> Arc<dyn Broker> {
    support::broker(&KIND, yaml)
}

/// A message out of a bare body.
pub(crate) fn message(body: &str) -> Message {
    support::message(body.to_owned())
}

/// One message to one address, nothing else.
pub(crate) fn outgoing<'a>(target: &'a Target, message: &'a Message, address: &'a str, body: &'a str) -> Outgoing<'a> {
    Outgoing { body: body.as_bytes(), ..support::outgoing(target, message, address) }
}

/// Waits until something has become true.
pub(crate) async fn until(mut true_by_then: impl FnMut() -> bool) {
    for _ in 0..500 {
        if true_by_then() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it did not become true within ten seconds");
}
