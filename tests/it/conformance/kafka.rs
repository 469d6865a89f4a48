//! Kafka's stand: a topic of one partition for each place. kcat puts and finds, and the protocol by hand tells what a group has
//! committed.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use async_trait::async_trait;
use rialto::broker::{Kind, kafka::KIND};
use tokio::sync::Mutex;

use super::{Found, Picky, Place, Stand};
use crate::kafka::{relay::Relay, wire::Wire};

/// Told to whoever runs the tests without servers: nothing is ever skipped.
const HOW: &str = "start the servers with `eval \"$(tests/brokers/up)\"`, or run `tests/run`";

/// Between two messages for kcat: no JSON text holds it.
const BETWEEN: char = '\u{1e}';

/// A broker, and a relay that says it is somewhere else.
pub(crate) struct Kafka {
    address: String,
    relay: Relay,
    wire: Mutex<Wire>,
}

/// `host:port` of the broker.
pub(crate) fn address() -> String {
    std::env::var("RIALTO_TEST_KAFKA").unwrap_or_else(|_| panic!("RIALTO_TEST_KAFKA is not set: {HOW}"))
}

/// A name that no other test uses, of a topic or a group.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    // The servers outlive a run of the tests, and process ids come again.
    format!("rialto-test.{what}.{now}.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// kcat on the broker, with a bound on its life.
pub(crate) fn kcat(options: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", "kcat", "-q", "-b", &address(), "-X", "broker.address.family=v4", "-X", "message.max.bytes=20000000"]);
    command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// Runs kcat with something to read; answers what it printed.
pub(crate) async fn run(mut command: Command, input: &[u8]) -> Vec<u8> {
    let input = input.to_vec();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("kcat is installed");
        let mut stdin = child.stdin.take().expect("piped");
        let writing = thread::spawn(move || stdin.write_all(&input).expect("kcat reads"));
        let output = child.wait_with_output().expect("kcat ends");
        writing.join().expect("written");
        assert!(output.status.success(), "kcat: {}", output.status);
        output.stdout
    });
    running.await.expect("no panic")
}

/// Puts messages at a partition's end, in order.
pub(crate) async fn put(topic: &str, partition: i32, bodies: &[String]) {
    let partition = partition.to_string();
    let between = BETWEEN.to_string();
    let command = kcat(&["-P", "-t", topic, "-p", &partition, "-D", &between, "-X", "acks=all", "-X", "linger.ms=5"]);
    run(command, bodies.join(&between).as_bytes()).await;
}

#[async_trait]
impl Stand for Kafka {
    async fn start() -> Self {
        let address = address();
        let (relay, wire) = (Relay::to(&address).await, Mutex::new(Wire::to(&address).await));
        Self { address, relay, wire }
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        self.relay.address().to_string()
    }

    fn settings(&self, address: &str) -> String {
        self.relay.advertise(address.parse().expect("an address"));
        format!("kafka://{address}")
    }

    async fn place(&self) -> Place {
        let topic = unique("place");
        self.wire.lock().await.create(&topic, 1).await;
        Place { origin: format!("{{ topic: {topic}, group: {topic} }}"), target: format!("topic: {topic}"), address: topic }
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        put(&place.address, 0, bodies).await;
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let printed = run(kcat(&["-C", "-t", &place.address, "-p", "0", "-o", "beginning", "-e", "-J"]), b"").await;
        let mut wire = self.wire.lock().await;
        let end = wire.ends(&place.address, 1).await[0];
        wire.trim(&place.address, 0, end).await;
        String::from_utf8(printed).expect("JSON").lines().map(found).collect()
    }

    async fn waiting(&self, place: &Place) -> usize {
        let mut wire = self.wire.lock().await;
        let committed = wire.committed(&place.address, &place.address, 1).await[0];
        let begin = wire.begins(&place.address, 1).await[0];
        (wire.ends(&place.address, 1).await[0] - committed.max(begin)) as usize
    }

    fn settles_singly(&self) -> bool {
        // A partition's progress is one number.
        false
    }

    async fn picky(&self) -> Picky {
        let (good, bad) = (unique("good"), unique("missing"));
        Wire::to(&self.address).await.create(&good, 1).await;
        Picky { target: "topic: '{payload.event_id}'".into(), good, bad }
    }
}

/// A line of `kcat -J`.
fn found(line: &str) -> Found {
    let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let pairs: Vec<&str> = record["headers"].as_array().into_iter().flatten().filter_map(|text| text.as_str()).collect();
    let mut headers: BTreeMap<String, String> =
        pairs.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
    let body = record["payload"].as_str().unwrap_or_default().as_bytes().to_vec();
    Found { body, id: headers.remove("message_id"), name: headers.remove("message_name"), headers }
}
