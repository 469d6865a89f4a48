//! A real RabbitMQ, seen by a client that is not Rialto's: plain lapin, and `rabbitmqctl`.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    message::BasicGetMessage,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use rialto::broker::{Broker, amqp::KIND};
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    task::spawn_blocking,
};

use crate::support;

/// Told to whoever runs the tests without servers: nothing is ever skipped.
const HOW: &str = "start the servers with `eval \"$(tests/brokers/up)\"`, or run `tests/run`";

/// What is done to the whole server is done while no other test uses it.
static WHOLE: RwLock<()> = RwLock::const_new(());

/// The server's URL, and a channel of the test's own.
pub(crate) struct Rabbit {
    pub(crate) url: String,
    pub(crate) channel: Channel,
    connection: Connection,
    _share: Share,
}

enum Share {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Whole { _guard: RwLockWriteGuard<'static, ()> },
}

impl Rabbit {
    /// Shares the server with other tests.
    pub(crate) async fn connect() -> Self {
        Self::with(Share::Shared { _guard: WHOLE.read().await }).await
    }

    /// Has the server alone.
    pub(crate) async fn alone() -> Self {
        Self::with(Share::Whole { _guard: WHOLE.write().await }).await
    }

    async fn with(share: Share) -> Self {
        let url = std::env::var("RIALTO_TEST_AMQP_URL").unwrap_or_else(|_| panic!("RIALTO_TEST_AMQP_URL is not set: {HOW}"));
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("RabbitMQ answers");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { url, channel, connection, _share: share }
    }

    /// A further channel: for what may close it.
    pub(crate) async fn another_channel(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    /// The same server, as Rialto is told of it.
    pub(crate) fn broker(&self) -> Arc<dyn Broker> {
        support::broker(&KIND, &self.url)
    }

    /// A fresh durable queue.
    pub(crate) async fn queue(&self) -> String {
        let name = unique("queue");
        self.declare(&name).await;
        name
    }

    /// A fresh queue that keeps nothing on disk.
    pub(crate) async fn transient_queue(&self) -> String {
        let name = unique("queue");
        let options = QueueDeclareOptions::default();
        self.channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.expect("a queue");
        name
    }

    pub(crate) async fn declare(&self, name: &str) {
        self.declare_with(name, &[]).await;
    }

    /// A durable queue with arguments.
    pub(crate) async fn declare_with(&self, name: &str, arguments: &[(&str, AMQPValue)]) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        self.channel.queue_declare(name.into(), options, table).await.expect("a queue");
    }

    /// A fresh exchange.
    pub(crate) async fn exchange(&self, kind: ExchangeKind) -> String {
        let name = unique("exchange");
        self.declare_exchange(&name, kind).await;
        name
    }

    pub(crate) async fn declare_exchange(&self, name: &str, kind: ExchangeKind) {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        self.channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await.expect("an exchange");
    }

    pub(crate) async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
            .expect("a binding");
    }

    /// Publishes to a queue, confirmed.
    pub(crate) async fn put(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let confirm = self.channel.basic_publish("".into(), queue.into(), options, body, properties.with_delivery_mode(2)).await;
        assert!(confirm.expect("published").await.expect("confirmed").is_ack());
    }

    /// Publishes bodies to a queue, in order, confirmed.
    pub(crate) async fn fill(&self, queue: &str, bodies: &[String]) {
        let mut confirms = Vec::with_capacity(bodies.len());
        for body in bodies {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let confirm = self.channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await;
            confirms.push(confirm.expect("published"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("confirmed").is_ack());
        }
    }

    /// Takes one message out of a queue.
    pub(crate) async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.expect("basic.get")
    }

    /// Takes all there is.
    pub(crate) async fn drain(&self, queue: &str) -> Vec<BasicGetMessage> {
        let mut found = Vec::new();
        while let Some(message) = self.get(queue).await {
            found.push(message);
        }
        found
    }

    /// Messages ready in a queue.
    pub(crate) async fn ready(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("the queue").message_count()
    }

    /// Messages in a queue, those that a consumer holds among them.
    pub(crate) async fn held(&self, queue: &str) -> usize {
        let counts = rabbitmqctl(&["list_queues", "--quiet", "--no-table-headers", "name", "messages"]).await;
        let line = counts.lines().find_map(|line| line.strip_prefix(queue)?.strip_prefix('\t')).expect("the queue");
        line.trim().parse().expect("a number")
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        let url = url::Url::parse(&self.url).expect("a URL");
        format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5672))
    }

    /// The server's URL with another `host:port`.
    pub(crate) fn url_at(&self, authority: &str) -> String {
        self.url.replacen(&self.authority(), authority, 1)
    }

    pub(crate) async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await.expect("deleted");
    }
}

/// Runs `rabbitmqctl` against the test's node, beside the test's other tasks.
pub(crate) async fn rabbitmqctl(arguments: &[&str]) -> String {
    let program = std::env::var("RIALTO_TEST_RABBITMQCTL").unwrap_or_else(|_| panic!("RIALTO_TEST_RABBITMQCTL is not set: {HOW}"));
    let mut command = Command::new(program);
    command.args(arguments);
    let output = spawn_blocking(move || command.output()).await.expect("no panic").expect("rabbitmqctl runs");
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A name that no other test has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test.{what}.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
