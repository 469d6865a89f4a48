//! Both ends of the measurement, so that no contestant measures itself.
//!
//! `meter fill AMQP_URL QUEUE COUNT BYTES`: declares and purges the queue, then publishes persistent, confirmed messages.
//! `meter count REDIS_URL COUNT`: subscribes, prints `ready`, counts to COUNT, prints a line of JSON.
//! `meter paced AMQP_URL QUEUE REDIS_URL RATE SECONDS BYTES`: publishes at RATE while subscribed; prints the latencies as JSON.
//!
//! A payload is `{"key":"7","seq":12,"sent":MICROS,"pad":"…"}`: `seq` is dense for each key, so that loss, repetition and order show.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::FieldTable,
};
use serde::Deserialize;

const KEYS: u64 = 100;
const CONFIRMS_IN_FLIGHT: usize = 1000;

/// Nobody waits longer than this for the next message.
const SILENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["fill", amqp, queue, count, bytes] => fill(amqp, queue, count.parse().unwrap(), bytes.parse().unwrap()).await,
        ["count", redis, count] => count_all(redis, count.parse().unwrap()).await,
        ["paced", amqp, queue, redis, rate, seconds, bytes] => {
            paced(amqp, queue, redis, rate.parse().unwrap(), seconds.parse().unwrap(), bytes.parse().unwrap()).await;
        }
        _ => panic!("meter fill … | meter count … | meter paced …"),
    }
}

async fn queue(amqp: &str, queue: &str) -> Channel {
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    std::mem::forget(connection);
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

async fn fill(amqp: &str, name: &str, count: u64, bytes: usize) {
    let channel = queue(amqp, name).await;
    let mut confirms = VecDeque::new();
    for number in 0..count {
        confirms.push_back(publish(&channel, name, number, bytes).await);
        if confirms.len() == CONFIRMS_IN_FLIGHT {
            confirms.pop_front().unwrap().await.unwrap();
        }
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
}

async fn publish(
    channel: &Channel,
    queue: &str,
    number: u64,
    bytes: usize,
) -> impl Future<Output = lapin::Result<lapin::Confirmation>> + use<> {
    let head = format!(r#"{{"key":"{}","seq":{},"sent":{},"pad":""#, number % KEYS, number / KEYS, micros());
    let body = format!("{head}{}\"}}", "x".repeat(bytes.saturating_sub(head.len() + 2)));
    let id = uuid::Uuid::from_u64_pair(0x6265_6e63_6800_4000, 0x8000_0000_0000_0000 | number).to_string();
    let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(id.into()).with_type("Bench".into());
    channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), body.as_bytes(), properties).await.unwrap()
}

#[derive(Deserialize)]
struct Envelope {
    message_type: String,
    message_name: String,
    message_id: String,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    key: String,
    seq: u64,
    sent: u64,
}

/// What a subscriber saw.
#[derive(Default)]
struct Tally {
    next: HashMap<String, u64>,
    seen: HashSet<(String, u64)>,
    distinct: u64,
    repeated: u64,
    out_of_order: u64,
}

impl Tally {
    fn take(&mut self, channel: &str, body: &[u8]) -> Payload {
        let Envelope { message_type, message_name, message_id, payload } = serde_json::from_slice(body).unwrap();
        assert_eq!((message_type.as_str(), message_name.as_str()), ("notification_event", "Bench"));
        assert_eq!(channel.strip_prefix("bench:notification_event:"), Some(message_id.as_str()));
        let next = self.next.entry(payload.key.clone()).or_default();
        if payload.seq == *next && self.seen.is_empty() {
            *next += 1;
            self.distinct += 1;
            return payload;
        }
        // The slow path, once anything is out of the ordinary: remember everything from here on.
        if payload.seq < *next || !self.seen.insert((payload.key.clone(), payload.seq)) {
            self.repeated += 1;
        } else {
            self.distinct += 1;
            self.out_of_order += u64::from(payload.seq != *next);
            *next = payload.seq + 1;
        }
        payload
    }
}

async fn count_all(redis: &str, count: u64) {
    let mut pubsub = redis::Client::open(redis).unwrap().get_async_pubsub().await.unwrap();
    pubsub.psubscribe("bench:*").await.unwrap();
    println!("ready");
    let mut tally = Tally::default();
    let (mut first, mut last) = (None, Instant::now());
    let mut messages = pubsub.on_message();
    while tally.distinct < count {
        let Ok(Some(message)) = tokio::time::timeout(SILENCE, messages.next()).await else { break };
        last = Instant::now();
        first.get_or_insert_with(|| (last, micros()));
        tally.take(message.get_channel_name(), message.get_payload_bytes());
    }
    let (first, first_at) = first.unwrap_or((last, 0));
    let seconds = last.duration_since(first).as_secs_f64();
    println!(
        r#"{{"received":{},"lost":{},"repeated":{},"out_of_order":{},"seconds":{seconds:.4},"first_at_us":{first_at}}}"#,
        tally.distinct,
        count - tally.distinct,
        tally.repeated,
        tally.out_of_order
    );
}

async fn paced(amqp: &str, name: &str, redis: &str, rate: u64, seconds: u64, bytes: usize) {
    let channel = queue(amqp, name).await;
    let mut pubsub = redis::Client::open(redis).unwrap().get_async_pubsub().await.unwrap();
    pubsub.psubscribe("bench:*").await.unwrap();
    println!("ready");
    // The contestant starts on this word.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let count = rate * seconds;
    let name = name.to_owned();
    let publishing = tokio::spawn(async move {
        let start = Instant::now();
        for number in 0..count {
            let due = start + Duration::from_secs_f64(number as f64 / rate as f64);
            tokio::time::sleep_until(due.into()).await;
            drop(publish(&channel, &name, number, bytes).await);
        }
    });
    let (mut tally, mut latencies) = (Tally::default(), Vec::new());
    let mut messages = pubsub.on_message();
    while tally.distinct < count {
        let Ok(Some(message)) = tokio::time::timeout(SILENCE, messages.next()).await else { break };
        let payload = tally.take(message.get_channel_name(), message.get_payload_bytes());
        latencies.push(micros().saturating_sub(payload.sent));
    }
    publishing.await.unwrap();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100] as f64 / 1000.0;
    println!(
        r#"{{"received":{},"lost":{},"repeated":{},"out_of_order":{},"p50_ms":{:.2},"p99_ms":{:.2},"max_ms":{:.2}}}"#,
        tally.distinct,
        count - tally.distinct,
        tally.repeated,
        tally.out_of_order,
        at(50),
        at(99),
        at(100)
    );
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}
