//! RabbitMQ at both ends, and the traps of its client library.

use std::{sync::Arc, time::Duration};

use rialto::{
    broker::{Broker, Ended, House, Origin, Outgoing, Publisher, SourceError, Target, amqp::KIND},
    envelope::{Bare, Carrier, Decode, DecodeRules, Message, RawMessage, decode},
    intake::{Arrival, Closer, Door},
    outcome::Outcome,
    telemetry::Metrics,
    written::{Node, Problems, parse},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

mod publishing;
mod reading;
mod server;

pub(crate) use server::{Rabbit, unique};

/// The process that the tests pretend to be.
pub(crate) fn house(instance: &str) -> House {
    House { name: Arc::from("rialto"), instance: Arc::from(instance), metrics: Arc::new(Metrics::new()) }
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
    let broker = (KIND.read)("mq", &node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    broker.expect("a broker")
}

pub(crate) fn origin(broker: &dyn Broker, yaml: &str) -> Arc<dyn Origin> {
    let mut faults = Problems::default();
    let origin = broker.origin(&node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    origin.expect("an origin")
}

pub(crate) fn target(broker: &dyn Broker, yaml: &str) -> Target {
    let mut faults = Problems::default();
    let target = broker.target(&node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    target.expect("a target")
}

/// A message out of a body with something beside it.
pub(crate) fn message_with(body: &str, carrier: Arc<dyn Carrier>) -> Message {
    let raw = RawMessage { body: bytes::Bytes::copy_from_slice(body.as_bytes()), carrier };
    let rules = DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 30, broker: Arc::from("test") };
    decode(raw, &rules, 0).expect("JSON")
}

/// A message out of a bare body.
pub(crate) fn message(body: &str) -> Message {
    message_with(body, Arc::new(Bare))
}

/// One message to one address, nothing else.
pub(crate) fn outgoing<'a>(target: &'a Target, message: &'a Message, address: &'a str, body: &'a str) -> Outgoing<'a> {
    Outgoing { target, message, address, key: "", body: body.as_bytes(), content_type: "", headers: &[], fields: &[] }
}

/// Sends one batch and waits for its outcomes.
pub(crate) async fn send(publisher: &mut dyn Publisher, batch: &[Outgoing<'_>]) -> Vec<Outcome> {
    let confirms = publisher.send(batch).await.expect("a live link");
    timeout(Duration::from_secs(20), confirms).await.expect("answers in time").expect("a live link")
}

/// One running incarnation of a source, and what the pipeline would hold.
pub(crate) struct Running {
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) closer: Closer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ended: JoinHandle<Result<Ended, SourceError>>,
    _door: Door,
}

impl Running {
    pub(crate) async fn open(origin: &dyn Origin, window: usize) -> Self {
        Self::open_with(origin, window, 64 << 20).await
    }

    pub(crate) async fn open_with(origin: &dyn Origin, window: usize, window_bytes: u64) -> Self {
        let house = house("rialto-test");
        let metrics = Arc::clone(&house.metrics);
        let source = origin.open(&house).await.expect("an open source");
        let (door, arrivals) = Door::new(window, window_bytes, true, metrics.source("test"));
        let (intake, closer) = door.intake();
        let ended = tokio::spawn(source.run(intake));
        Self { arrivals, closer, metrics, ended, _door: door }
    }

    /// The next batch, within 10 s.
    pub(crate) async fn next(&mut self) -> Arrival {
        timeout(Duration::from_secs(10), self.arrivals.recv()).await.expect("a batch in time").expect("an open intake")
    }

    /// At least `count` messages.
    pub(crate) async fn collect(&mut self, count: usize) -> Vec<Arrival> {
        let (mut batches, mut found) = (Vec::new(), 0);
        while found < count {
            let batch = self.next().await;
            found += batch.batch.len();
            batches.push(batch);
        }
        batches
    }

    pub(crate) async fn end(self) -> Result<Ended, SourceError> {
        self.closer.close();
        timeout(Duration::from_secs(10), self.ended).await.expect("an end in time").expect("no panic")
    }
}

/// The bodies of batches, in order.
pub(crate) fn bodies(batches: &[Arrival]) -> Vec<String> {
    let all = batches.iter().flat_map(|batch| &batch.batch);
    all.map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}
