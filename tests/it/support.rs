//! What every test of a broker needs: settings out of YAML, messages, a pipeline's end of the front door.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rialto::{
    broker::{Broker, Ended, House, Kind, Origin, Outgoing, Publisher, SourceError, Target},
    envelope::{Bare, Carrier, Decode, DecodeRules, Message, RawMessage, decode},
    intake::{Arrival, Closer, Door},
    outcome::{LinkDown, Outcome, Reason, Refusal, Verdict},
    telemetry::Metrics,
    written::{Node, Problems, parse},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Longer than anything healthy takes, shorter than a person's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The process that the tests pretend to be.
pub(crate) fn house() -> House {
    House::new(Arc::from("rialto"), Arc::from("rialto-test"), Arc::new(Metrics::new()))
}

/// YAML as a node.
pub(crate) fn node(yaml: &str) -> Node {
    let mut faults = Problems::default();
    let node = parse("test.yaml", yaml, &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    node.expect("a tree")
}

/// A broker from its URL or its long form.
pub(crate) fn broker(kind: &Kind, yaml: &str) -> Arc<dyn Broker> {
    let mut faults = Problems::default();
    // Where it stands says which of its keys are secrets.
    let settings = node(yaml).moved_to(&format!("brokers.there.{}", kind.name));
    let broker = (kind.read)("there", &settings, &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    broker.expect("a broker")
}

/// A source from its short or long form.
pub(crate) fn origin(broker: &dyn Broker, yaml: &str) -> Arc<dyn Origin> {
    let mut faults = Problems::default();
    let origin = broker.origin(&node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    origin.expect("an origin")
}

/// A destination from its short or long form.
pub(crate) fn target(broker: &dyn Broker, yaml: &str) -> Target {
    let mut faults = Problems::default();
    let target = broker.target(&node(yaml), &mut faults);
    assert!(faults.is_ok(), "{faults:?}");
    target.expect("a target")
}

/// A message out of a body with something beside it.
pub(crate) fn message_with(body: impl Into<Bytes>, carrier: Arc<dyn Carrier>) -> Message {
    let rules = DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 30, broker: Arc::from("test") };
    decode(RawMessage { body: body.into(), carrier }, &rules, 0).expect("JSON")
}

/// A message out of a bare body.
pub(crate) fn message(body: impl Into<Bytes>) -> Message {
    message_with(body, Arc::new(Bare))
}

/// One message to one address, as it came, nothing else.
pub(crate) fn outgoing<'a>(target: &'a Target, message: &'a Message, address: &'a str) -> Outgoing<'a> {
    let body = &message.raw().body;
    Outgoing { target, message, address, key: "", body, content_type: "", headers: &[], fields: &[], attempt: 1, timeout: PATIENCE }
}

/// Sends one batch and waits for its outcomes.
pub(crate) async fn send(publisher: &mut dyn Publisher, batch: &[Outgoing<'_>]) -> Vec<Outcome> {
    try_send(publisher, batch).await.expect("a live link")
}

/// The same where the link may die.
pub(crate) async fn try_send(publisher: &mut dyn Publisher, batch: &[Outgoing<'_>]) -> Result<Vec<Outcome>, LinkDown> {
    let confirms = timeout(PATIENCE, publisher.send(batch)).await.expect("sent in time")?;
    timeout(PATIENCE, confirms).await.expect("answers in time")
}

/// One running incarnation of a source, and what the pipeline would hold.
pub(crate) struct Running {
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) closer: Closer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ended: JoinHandle<Result<Ended, SourceError>>,
    pub(crate) door: Door,
}

impl Running {
    pub(crate) async fn open(origin: &dyn Origin, window: usize) -> Self {
        Self::open_with(origin, window, 64 << 20).await
    }

    pub(crate) async fn open_with(origin: &dyn Origin, window: usize, window_bytes: u64) -> Self {
        Self::open_in(&house(), origin, window, window_bytes).await
    }

    /// In a house of the caller's own.
    pub(crate) async fn open_in(house: &House, origin: &dyn Origin, window: usize, window_bytes: u64) -> Self {
        let metrics = Arc::clone(&house.metrics);
        let source = origin.open(house).await.expect("an open source");
        let (door, arrivals) = Door::new(window, window_bytes, origin.holds(), metrics.source("test"));
        let (intake, closer) = door.intake();
        let ended = tokio::spawn(source.run(intake));
        Self { arrivals, closer, metrics, ended, door }
    }

    /// The next batch.
    pub(crate) async fn next(&mut self) -> Arrival {
        timeout(PATIENCE, self.arrivals.recv()).await.expect("a batch in time").expect("an open intake")
    }

    /// Batches with at least `count` messages.
    pub(crate) async fn collect(&mut self, count: usize) -> Vec<Arrival> {
        let (mut batches, mut found) = (Vec::new(), 0);
        while found < count {
            let batch = self.next().await;
            found += batch.batch.len();
            batches.push(batch);
        }
        batches
    }

    /// Accepts whatever comes, for as long as the source runs.
    pub(crate) async fn accept_all(&mut self) {
        while let Some(batch) = self.arrivals.recv().await {
            accept(&batch);
        }
    }

    /// Closes the intake and waits for the end.
    pub(crate) async fn close(self) -> Result<Ended, SourceError> {
        self.closer.close();
        self.end().await
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Result<Ended, SourceError> {
        timeout(PATIENCE, self.ended).await.expect("an end in time").expect("no panic")
    }
}

/// Accepts every message of a batch.
pub(crate) fn accept(arrival: &Arrival) {
    for index in 0..arrival.batch.len() {
        arrival.ticket.settle(index as u32, Verdict::Accepted);
    }
}

/// The bodies of batches, in order.
pub(crate) fn bodies<'a>(batches: impl IntoIterator<Item = &'a Arrival>) -> Vec<String> {
    let all = batches.into_iter().flat_map(|batch| &batch.batch);
    all.map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

/// A verdict with a reason that no test asks for.
pub(crate) fn rejected() -> Verdict {
    Verdict::Rejected(Arc::new(Refusal::new(Reason::Refused, "no")))
}
