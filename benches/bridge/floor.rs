//! The floor that the bridge is measured against: the least code that does the whole job on the same crates, and a bare loop that
//! only consumes and acknowledges.
//!
//! `floor wrap AMQP_URL QUEUE REDIS_URL`: queue → envelope → `PUBLISH`, acknowledged after Redis replied.
//! `floor bare AMQP_URL QUEUE COUNT`: queue → acknowledgement; prints the seconds from the first message to the last.
//!
//! It has no routes, no retries, no order under failure, no metrics; it unwraps. What it has is the shape that is fast.

use std::{collections::VecDeque, time::Instant};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use redis::aio::MultiplexedConnection;
use serde_json::value::RawValue;

const PREFETCH: u16 = 1000;
const CHUNK: usize = 256;
const CHUNKS_IN_FLIGHT: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bare", amqp, queue, count] => bare(amqp, queue, count.parse().unwrap()).await,
        ["wrap", amqp, queue, redis] => wrap(amqp, queue, redis).await,
        _ => panic!("floor bare AMQP_URL QUEUE COUNT | floor wrap AMQP_URL QUEUE REDIS_URL"),
    }
}

async fn bare(amqp: &str, queue: &str, count: u64) {
    let (channel, consumer) = consume(amqp, queue).await;
    let mut chunks = consumer.ready_chunks(CHUNK);
    let mut first = None;
    while let Some(chunk) = chunks.next().await {
        let first = *first.get_or_insert_with(Instant::now);
        let tag = chunk.last().unwrap().as_ref().unwrap().delivery_tag;
        acknowledge(&channel, tag);
        if tag == count {
            println!(r#"{{"seconds":{:.4}}}"#, first.elapsed().as_secs_f64());
        }
    }
}

async fn wrap(amqp: &str, queue: &str, redis: &str) {
    let redis = redis::Client::open(redis).unwrap().get_multiplexed_async_connection().await.unwrap();
    let (channel, consumer) = consume(amqp, queue).await;
    let mut chunks = consumer.ready_chunks(CHUNK);
    let mut in_flight: VecDeque<(u64, BoxFuture<'static, ()>)> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            () = oldest(&mut in_flight) => {
                let (tag, _) = in_flight.pop_front().unwrap();
                acknowledge(&channel, tag);
            }
            Some(chunk) = chunks.next(), if in_flight.len() < CHUNKS_IN_FLIGHT => {
                let chunk: Vec<Delivery> = chunk.into_iter().map(Result::unwrap).collect();
                let tag = chunk.last().unwrap().delivery_tag;
                let mut sent = publish(redis.clone(), &chunk);
                // Polled once, it has its place in the connection's queue.
                assert!(sent.as_mut().now_or_never().is_none());
                in_flight.push_back((tag, sent));
            }
        }
    }
}

async fn oldest(in_flight: &mut VecDeque<(u64, BoxFuture<'static, ()>)>) {
    match in_flight.front_mut() {
        Some((_, done)) => done.await,
        None => std::future::pending().await,
    }
}

fn publish(mut redis: MultiplexedConnection, chunk: &[Delivery]) -> BoxFuture<'static, ()> {
    let mut pipeline = redis::Pipeline::with_capacity(chunk.len());
    let (mut body, mut address) = (Vec::new(), String::new());
    for delivery in chunk {
        let payload: &RawValue = serde_json::from_slice(&delivery.data).unwrap();
        let id = delivery.properties.message_id().as_ref().unwrap().as_str();
        let name = delivery.properties.kind().as_ref().unwrap().as_str();
        body.clear();
        body.extend_from_slice(br#"{"message_type":"notification_event","message_name":"#);
        serde_json::to_writer(&mut body, name).unwrap();
        body.extend_from_slice(br#","message_id":"#);
        serde_json::to_writer(&mut body, id).unwrap();
        body.extend_from_slice(br#","payload":"#);
        body.extend_from_slice(payload.get().as_bytes());
        body.push(b'}');
        address.clear();
        address.push_str("bench:notification_event:");
        address.push_str(id);
        pipeline.cmd("PUBLISH").arg(&address).arg(&body).ignore();
    }
    Box::pin(async move { pipeline.exec_async(&mut redis).await.unwrap() })
}

async fn consume(amqp: &str, queue: &str) -> (Channel, lapin::Consumer) {
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
    let consumer =
        channel.basic_consume(queue.into(), "floor".into(), BasicConsumeOptions::default(), FieldTable::default()).await.unwrap();
    // The connection lives as long as the process.
    std::mem::forget(connection);
    (channel, consumer)
}

/// The first poll queues the frame; waiting for each costs seven times the CPU.
fn acknowledge(channel: &Channel, tag: u64) {
    if let Some(told) = channel.basic_ack(tag, BasicAckOptions { multiple: true }).now_or_never() {
        told.unwrap();
    }
}
