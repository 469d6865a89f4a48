//! The bare loops that the bridge is measured against: the least code that moves messages from one broker to the other by the same
//! clients, and tells the source only what the destination has.
//!
//! `bare topic-stream SERVERS TOPIC GROUP REDIS_URL STREAM`
//! `bare queue-topic AMQP_URL QUEUE SERVERS TOPIC`
//! `bare topic-topic SERVERS TOPIC GROUP SERVERS TOPIC`
//!
//! What they write is what the bridge writes: the body as it came, the key, and id, name and type beside it. They have no routes, no
//! decoding, no retries, no order under failure, no metrics; they unwrap. They run until they are killed.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, DeliveryResult, Header, Headers, OwnedHeaders},
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PREFETCH: u16 = 5000;
const CHUNK: usize = 256;
const CHUNKS_IN_FLIGHT: usize = 4;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Partition and offset of each message of a chunk.
type Places = Vec<(i32, i64)>;

/// What the bridge writes beside a body, in its order.
const HEADERS: [&str; 3] = ["message_id", "message_name", "message_type"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["topic-stream", servers, topic, group, redis, stream] => topic_to_stream(servers, topic, group, redis, stream).await,
        ["queue-topic", amqp, queue, servers, topic] => queue_to_topic(amqp, queue, servers, topic).await,
        ["topic-topic", servers, topic, group, to, out] => topic_to_topic(servers, topic, group, to, out),
        _ => panic!("bare topic-stream … | bare queue-topic … | bare topic-topic …"),
    }
}

async fn topic_to_stream(servers: &str, topic: &str, group: &str, redis: &str, stream: &str) {
    let redis = redis::Client::open(redis).unwrap().get_multiplexed_async_connection().await.unwrap();
    let consumer: StreamConsumer = consuming(servers, group).create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut chunks = consumer.stream().ready_chunks(CHUNK);
    let mut in_flight: VecDeque<(Places, BoxFuture<'static, ()>)> = VecDeque::new();
    let mut settled = Settled::new();
    loop {
        tokio::select! {
            biased;
            () = oldest(&mut in_flight) => {
                let (places, _) = in_flight.pop_front().unwrap();
                for (partition, offset) in places {
                    settled.next.insert(partition, offset + 1);
                }
                settled.commit_sometimes(&consumer, topic);
            }
            Some(chunk) = chunks.next(), if in_flight.len() < CHUNKS_IN_FLIGHT => {
                let chunk: Vec<BorrowedMessage> = chunk.into_iter().map(Result::unwrap).collect();
                let places = chunk.iter().map(|message| (message.partition(), message.offset())).collect();
                let mut sent = add(redis.clone(), stream, &chunk);
                // Polled once, it has its place in the connection's queue.
                assert!(sent.as_mut().now_or_never().is_none());
                in_flight.push_back((places, sent));
            }
        }
    }
}

fn add(mut redis: MultiplexedConnection, stream: &str, chunk: &[BorrowedMessage]) -> BoxFuture<'static, ()> {
    let mut pipeline = redis::Pipeline::with_capacity(chunk.len());
    for message in chunk {
        let command = pipeline.cmd("XADD").arg(stream).arg("*").arg("body").arg(message.payload().unwrap());
        let headers = message.headers().unwrap();
        for (header, name) in headers.iter().zip(HEADERS) {
            assert_eq!(header.key, name);
            command.arg(name).arg(header.value.unwrap());
        }
        command.arg("key").arg(message.key().unwrap()).ignore();
    }
    Box::pin(async move { pipeline.exec_async(&mut redis).await.unwrap() })
}

async fn oldest<T>(in_flight: &mut VecDeque<(T, BoxFuture<'static, ()>)>) {
    match in_flight.front_mut() {
        Some((_, done)) => done.await,
        None => std::future::pending().await,
    }
}

async fn queue_to_topic(amqp: &str, queue: &str, servers: &str, topic: &str) {
    let (producer, mut reports) = producing(servers);
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue.into(), "bare".into(), options, FieldTable::default()).await.unwrap();
    let mut chunks = consumer.ready_chunks(CHUNK);
    let mut line = Line { next: 1, done: VecDeque::new() };
    loop {
        tokio::select! {
            biased;
            Some(tag) = reports.recv() => {
                let mut through = line.settle(tag as u64);
                while let Ok(tag) = reports.try_recv() {
                    through = line.settle(tag as u64).or(through);
                }
                if let Some(through) = through {
                    acknowledge(&channel, through);
                }
            }
            Some(chunk) = chunks.next() => {
                for delivery in chunk {
                    let delivery: Delivery = delivery.unwrap();
                    line.open(delivery.delivery_tag);
                    let properties = &delivery.properties;
                    let long = |name: &str| properties.headers().as_ref().unwrap().inner().get(name).unwrap().as_long_string().unwrap();
                    let (id, name) = (properties.message_id().as_ref().unwrap(), properties.kind().as_ref().unwrap());
                    let values = [id.as_str().as_bytes(), name.as_str().as_bytes(), long("message_type").as_bytes()];
                    let headers = headers(HEADERS.into_iter().zip(values));
                    send(&producer, topic, long("key").as_bytes(), &delivery.data, headers, delivery.delivery_tag as usize);
                }
            }
        }
    }
}

/// The first poll queues the frame.
fn acknowledge(channel: &Channel, tag: u64) {
    if let Some(told) = channel.basic_ack(tag, BasicAckOptions { multiple: true }).now_or_never() {
        told.unwrap();
    }
}

fn topic_to_topic(servers: &str, topic: &str, group: &str, to: &str, out: &str) {
    let consumer: BaseConsumer = consuming(servers, group).create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let (producer, mut reports) = producing(to);
    let mut lines: HashMap<i32, Line> = HashMap::new();
    let mut settled = Settled::new();
    loop {
        if let Some(message) = consumer.poll(Duration::from_millis(5)) {
            let message = message.unwrap();
            let (partition, offset) = (message.partition(), message.offset().cast_unsigned());
            lines.entry(partition).or_insert_with(|| Line { next: offset, done: VecDeque::new() }).open(offset);
            let carried = message.headers().unwrap();
            let headers = headers(carried.iter().map(|header| (header.key, header.value.unwrap())));
            // An offset of a benchmark has no more than 48 bits.
            let place = (partition.cast_unsigned() as usize) << 48 | offset as usize;
            send(&producer, out, message.key().unwrap(), message.payload().unwrap(), headers, place);
        }
        while let Ok(place) = reports.try_recv() {
            let (partition, offset) = (((place >> 48) as u32).cast_signed(), (place & ((1 << 48) - 1)) as u64);
            if let Some(through) = lines.get_mut(&partition).unwrap().settle(offset) {
                settled.next.insert(partition, through.cast_signed() + 1);
            }
        }
        settled.commit_sometimes(&consumer, topic);
    }
}

fn headers<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(HEADERS.len());
    pairs.fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

fn send(producer: &ThreadedProducer<Reports>, topic: &str, key: &[u8], body: &[u8], headers: OwnedHeaders, place: usize) {
    let mut record = BaseRecord::with_opaque_to(topic, place).key(key).payload(body).headers(headers);
    while let Err((error, back)) = producer.send(record) {
        assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
        std::thread::sleep(Duration::from_millis(1));
        record = back;
    }
}

/// What is settled of one partition or channel, in its order.
struct Line {
    next: u64,
    done: VecDeque<bool>,
}

impl Line {
    fn open(&mut self, place: u64) {
        assert_eq!(place, self.next + self.done.len() as u64);
        self.done.push_back(false);
    }

    /// The highest place below which all are settled, where it has moved.
    fn settle(&mut self, place: u64) -> Option<u64> {
        self.done[(place - self.next) as usize] = true;
        let before = self.next;
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.next += 1;
        }
        (self.next > before).then_some(self.next - 1)
    }
}

/// The next offset of each partition, committed once a second.
struct Settled {
    next: HashMap<i32, i64>,
    last: Instant,
}

impl Settled {
    fn new() -> Self {
        Self { next: HashMap::new(), last: Instant::now() }
    }

    fn commit_sometimes<C: ConsumerContext>(&mut self, consumer: &impl Consumer<C>, topic: &str) {
        if self.next.is_empty() || self.last.elapsed() < COMMIT_EVERY {
            return;
        }
        self.last = Instant::now();
        let mut list = TopicPartitionList::new();
        for (partition, next) in self.next.drain() {
            list.add_partition_offset(topic, partition, Offset::Offset(next)).unwrap();
        }
        consumer.commit(&list, CommitMode::Async).unwrap();
    }
}

/// The producer's context: passes on which messages are there.
struct Reports(UnboundedSender<usize>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        result.as_ref().unwrap();
        self.0.send(place).unwrap();
    }
}

/// As the bridge's own producer is set.
fn producing(servers: &str) -> (ThreadedProducer<Reports>, UnboundedReceiver<usize>) {
    let (sender, receiver) = unbounded_channel();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("enable.idempotence", "true").set("acks", "all").set("compression.type", "zstd");
    config.set("partitioner", "murmur2_random").set("linger.ms", "5");
    (config.create_with_context(Reports(sender)).unwrap(), receiver)
}

fn consuming(servers: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", group).set("auto.offset.reset", "earliest");
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "false");
    config
}
