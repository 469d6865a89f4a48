//! Both ends of the measurement, so that no contestant measures itself.
//!
//! `meter topic SERVERS TOPIC PARTITIONS`: makes the topic anew; the broker stamps what is appended.
//! `meter fill-topic SERVERS TOPIC COUNT BYTES`, `meter fill-queue AMQP_URL QUEUE COUNT BYTES`: envelopes of that size.
//! `meter tally-topic SERVERS TOPIC COUNT`, `meter tally-stream REDIS_URL STREAM COUNT`: waits until COUNT are there or nothing comes
//! any more, prints `done`, reads them all and prints a line of JSON. The time is from the first to the last stamp of the broker.
//!
//! A payload is `{"key":"7","seq":12,"pad":"…"}`: `seq` is dense for each key, so that loss, repetition and order show.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    metadata::MetadataPartition,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde::Deserialize;

const KEYS: u64 = 100;
const CONFIRMS_IN_FLIGHT: usize = 1000;
const NAME: &str = "Bench";
const TYPE: &str = "notification_event";

/// Nobody waits longer than this for the next message, nor for a broker's answer.
const SILENCE: Duration = Duration::from_secs(20);

/// So long nothing came: what was counted is all.
const QUIET: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["topic", servers, topic, partitions] => make(servers, topic, partitions.parse().unwrap()).await,
        ["fill-topic", servers, topic, count, bytes] => fill_topic(servers, topic, count.parse().unwrap(), bytes.parse().unwrap()),
        ["fill-queue", amqp, queue, count, bytes] => fill_queue(amqp, queue, count.parse().unwrap(), bytes.parse().unwrap()).await,
        ["tally-topic", servers, topic, count] => tally_topic(servers, topic, count.parse().unwrap()),
        ["tally-stream", redis, stream, count] => tally_stream(redis, stream, count.parse().unwrap()).await,
        _ => panic!("meter topic … | fill-topic … | fill-queue … | tally-topic … | tally-stream …"),
    }
}

fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

async fn make(servers: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(servers).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(SILENCE));
    let gone = admin.delete_topics(&[topic], &options).await.unwrap();
    assert!(matches!(gone[0], Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))), "{gone:?}");
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("message.timestamp.type", "LogAppendTime");
    let end = Instant::now() + SILENCE;
    loop {
        match &admin.create_topics([&new], &options).await.unwrap()[0] {
            Ok(_) => return,
            // It is still being deleted.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

struct Numbered {
    id: String,
    key: String,
    body: String,
}

impl Numbered {
    fn new(number: u64, bytes: usize) -> Self {
        let id = uuid::Uuid::from_u64_pair(0x6265_6e63_6800_4000, 0x8000_0000_0000_0000 | number).to_string();
        let key = (number % KEYS).to_string();
        let head = format!(
            r#"{{"message_type":"{TYPE}","message_name":"{NAME}","message_id":"{id}","payload":{{"key":"{key}","seq":{},"pad":""#,
            number / KEYS
        );
        let body = format!("{head}{}\"}}}}", "x".repeat(bytes.saturating_sub(head.len() + 3)));
        Self { id, key, body }
    }
}

fn fill_topic(servers: &str, topic: &str, count: u64, bytes: usize) {
    let mut config = client(servers);
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "zstd")
        .set("linger.ms", "20");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    for number in 0..count {
        let message = Numbered::new(number, bytes);
        let headers = [("message_id", message.id.as_str()), ("message_name", NAME), ("message_type", TYPE)];
        let headers = headers
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut record = BaseRecord::to(topic).key(&message.key).payload(&message.body).headers(headers);
        while let Err((error, back)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            std::thread::sleep(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(SILENCE).unwrap();
    let consumer: BaseConsumer = client(servers).create().unwrap();
    assert_eq!(ends(&consumer, topic).values().sum::<i64>(), count.cast_signed(), "every record arrived");
}

async fn fill_queue(amqp: &str, queue: &str, count: u64, bytes: usize) {
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut confirms = VecDeque::new();
    for number in 0..count {
        let message = Numbered::new(number, bytes);
        let mut headers = FieldTable::default();
        headers.insert("message_type".into(), AMQPValue::LongString(TYPE.into()));
        headers.insert("key".into(), AMQPValue::LongString(message.key.into()));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(message.id.into())
            .with_type(NAME.into())
            .with_headers(headers);
        let options = BasicPublishOptions::default();
        confirms
            .push_back(channel.basic_publish("".into(), queue.into(), options, message.body.as_bytes(), properties).await.unwrap());
        if confirms.len() == CONFIRMS_IN_FLIGHT {
            confirms.pop_front().unwrap().await.unwrap();
        }
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    message_id: &'a str,
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    key: &'a str,
    seq: u64,
}

/// What arrived, in the order in which the broker holds it for each key.
#[derive(Default)]
struct Tally {
    next: HashMap<String, u64>,
    seen: HashSet<String>,
    repeated: u64,
    out_of_order: u64,
    span: Option<(i64, i64)>,
}

impl Tally {
    fn take(&mut self, body: &[u8], millis: i64) {
        let envelope: Envelope = serde_json::from_slice(body).unwrap();
        let (first, last) = self.span.unwrap_or((millis, millis));
        self.span = Some((first.min(millis), last.max(millis)));
        if !self.seen.insert(envelope.message_id.to_owned()) {
            self.repeated += 1;
            return;
        }
        let next = self.next.entry(envelope.payload.key.to_owned()).or_default();
        self.out_of_order += u64::from(envelope.payload.seq != *next);
        *next = envelope.payload.seq + 1;
    }

    fn print(&self, count: u64) {
        let (first, last) = self.span.unwrap_or_default();
        println!(
            r#"{{"received":{},"lost":{},"repeated":{},"out_of_order":{},"seconds":{:.3}}}"#,
            self.seen.len(),
            count - self.seen.len() as u64,
            self.repeated,
            self.out_of_order,
            (last - first) as f64 / 1000.0
        );
    }
}

/// Until `count` are there and no more come for `quiet`, or nothing comes any more.
struct Patience {
    count: u64,
    quiet: Duration,
    seen: u64,
    since: Instant,
}

impl Patience {
    fn new(count: u64, quiet: Duration) -> Self {
        Self { count, quiet, seen: 0, since: Instant::now() }
    }

    fn is_over(&mut self, now: u64) -> bool {
        if now != self.seen {
            (self.seen, self.since) = (now, Instant::now());
        }
        self.since.elapsed() > if now >= self.count { self.quiet } else { SILENCE }
    }
}

fn ends(consumer: &BaseConsumer, topic: &str) -> HashMap<i32, i64> {
    let metadata = consumer.fetch_metadata(Some(topic), SILENCE).unwrap();
    let partitions = metadata.topics()[0].partitions().iter().map(MetadataPartition::id);
    partitions.map(|id| (id, consumer.fetch_watermarks(topic, id, SILENCE).unwrap().1)).collect()
}

fn tally_topic(servers: &str, topic: &str, count: u64) {
    let mut config = client(servers);
    config.set("group.id", "meter").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    // The end of a transaction is a record, too: there are more than `count` of them then.
    let mut patience = Patience::new(count, QUIET);
    while !patience.is_over(ends(&consumer, topic).values().sum::<i64>() as u64) {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("done");
    let mut left = ends(&consumer, topic);
    left.retain(|_, end| *end > 0);
    let mut list = TopicPartitionList::new();
    for id in left.keys() {
        list.add_partition_offset(topic, *id, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut tally = Tally::default();
    while !left.is_empty() {
        match consumer.poll(SILENCE).expect("a record before the end") {
            Ok(message) => tally.take(message.payload().unwrap(), message.timestamp().to_millis().unwrap()),
            Err(KafkaError::PartitionEOF(id)) => left.retain(|own, _| *own != id),
            Err(error) => panic!("{error}"),
        }
    }
    tally.print(count);
}

async fn tally_stream(redis: &str, stream: &str, count: u64) {
    let mut redis = redis::Client::open(redis).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut patience = Patience::new(count, Duration::ZERO);
    while !patience.is_over(redis::cmd("XLEN").arg(stream).query_async(&mut redis).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("done");
    let (mut tally, mut start) = (Tally::default(), "-".to_owned());
    loop {
        let mut range = redis::cmd("XRANGE");
        range.arg(stream).arg(&start).arg("+").arg("COUNT").arg(5000);
        let page: Vec<(String, HashMap<String, Vec<u8>>)> = range.query_async(&mut redis).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        start = format!("({last}");
        for (id, fields) in &page {
            tally.take(&fields["body"], id.split_once('-').unwrap().0.parse().unwrap());
        }
    }
    tally.print(count);
}
