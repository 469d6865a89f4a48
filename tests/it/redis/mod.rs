//! Redis at both ends, against servers that the tests start and break.

use std::sync::Arc;

use rialto::{
    broker::{Broker, House, Origin, Outgoing, Publisher, Target, redis::KIND},
    envelope::{Bare, Decode, DecodeRules, Message, RawMessage, decode},
    outcome::Outcome,
    telemetry::Metrics,
    written::{Node, Problems, parse},
};

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

/// The process that the tests pretend to be.
pub(crate) fn house() -> House {
    House { name: Arc::from("rialto"), instance: Arc::from("rialto-test"), metrics: Arc::new(Metrics::new()) }
}

/// YAML as a node.
pub(crate) fn node(yaml: &str) -> Node {
    let mut faults = Problems::default();
    let node = parse("test.yaml", yaml, &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    node.expect("a tree")
}

/// A broker from its URL or its long form.
pub(crate) fn broker(yaml: &str) -> Arc<dyn Broker> {
    let mut faults = Problems::default();
    let broker = (KIND.read)("live", &node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    broker.expect("a broker")
}

/// A destination from its short or long form.
pub(crate) fn target(broker: &dyn Broker, yaml: &str) -> Target {
    let mut faults = Problems::default();
    let target = broker.target(&node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    target.expect("a target")
}

/// A source from its short or long form.
pub(crate) fn origin(broker: &dyn Broker, yaml: &str) -> Arc<dyn Origin> {
    let mut faults = Problems::default();
    let origin = broker.origin(&node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    origin.expect("an origin")
}

/// A message out of a bare body.
pub(crate) fn message(body: &str) -> Message {
    let raw = RawMessage { body: bytes::Bytes::copy_from_slice(body.as_bytes()), carrier: Arc::new(Bare) };
    let rules = DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 30, broker: Arc::from("test") };
    decode(raw, &rules, 0).expect("JSON")
}

/// One message to one address, nothing else.
pub(crate) fn outgoing<'a>(target: &'a Target, message: &'a Message, address: &'a str, body: &'a str) -> Outgoing<'a> {
    Outgoing { target, message, address, key: "", body: body.as_bytes(), content_type: "", headers: &[], fields: &[] }
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

/// Sends one batch and waits for its outcomes.
pub(crate) async fn send(publisher: &mut dyn Publisher, batch: &[Outgoing<'_>]) -> Vec<Outcome> {
    publisher.send(batch).await.expect("a live link").await.expect("answers")
}
