//! What RabbitMQ and lapin do that a naive client gets wrong, seen from the reading end. Each was reproduced before it was avoided.

use std::time::Duration;

use lapin::{
    options::{BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use rialto::{outcome::Verdict, telemetry::SourceState};
use tokio::time::{Instant, sleep, timeout};

use super::{Rabbit, numbers, server::rabbitmqctl, unique};
use crate::{
    conformance::{Cable, eventually},
    support::{Running, accept, bodies, broker, house, origin, rejected},
};

/// Naive: `basic_ack(5, multiple)` after 4 and 5 were acknowledged alone closes the channel, and 3 is never acknowledged.
#[tokio::test]
async fn closing_a_hole_whose_neighbours_were_told_alone_keeps_the_channel() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    rabbit.fill(&queue, &numbers(5)).await;
    let broker = rabbit.broker();
    let mut running = Running::open(&*origin(&*broker, &queue), 100).await;
    let batches = running.collect(5).await;
    let settle = |number: usize| {
        let mut left = number;
        for batch in &batches {
            if left < batch.batch.len() {
                return batch.ticket.settle(left as u32, Verdict::Accepted);
            }
            left -= batch.batch.len();
        }
    };
    for number in [0, 1, 3, 4] {
        settle(number);
    }
    // Old enough to be told alone.
    sleep(Duration::from_millis(500)).await;
    settle(2);
    rabbit.fill(&queue, &numbers(3)).await;
    let more = running.collect(3).await;
    more.iter().for_each(accept);
    eventually("all is acknowledged", || async { rabbit.held(&queue).await == 0 }).await;
    running.close().await.expect("the channel lived on");
}

/// Naive: `basic.qos` on a live consumer changes nothing, so a prefetch that was chosen for large messages stays.
#[tokio::test]
async fn the_prefetch_opens_up_for_small_messages_and_old_tags_stay_valid() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    rabbit.fill(&queue, &numbers(1500)).await;
    let broker = rabbit.broker();
    // 64 MiB of window and 1 MiB of message_max: 64 at first.
    let mut running = Running::open(&*origin(&*broker, &format!("queue: {queue}")), 1000).await;
    let batches = running.collect(1000).await;
    assert_eq!(bodies(&batches)[..1000], numbers(1500)[..1000]);
    batches.iter().for_each(accept);
    let rest = running.collect(1500 - bodies(&batches).len()).await;
    rest.iter().for_each(accept);
    eventually("all is acknowledged", || async { rabbit.held(&queue).await == 0 }).await;
    running.close().await.expect("one channel all along");
}

/// Naive: a prefetch of 1,000 takes 1,000 messages of any size into memory before their bytes are counted.
#[tokio::test]
async fn the_prefetch_keeps_large_messages_out_of_memory() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let large = vec!["x".repeat(100 << 10); 200];
    rabbit.fill(&queue, &large).await;
    let broker = rabbit.broker();
    let yaml = format!("{{ queue: {queue}, message_max: 128KiB }}");
    let mut running = Running::open_with(&*origin(&*broker, &yaml), 1000, 1 << 20).await;
    let _first = running.next().await;
    sleep(Duration::from_secs(1)).await;
    let taken = 200 - rabbit.ready(&queue).await;
    assert!((8..=30).contains(&taken), "{taken} messages of 100 KiB taken for a window of 1 MiB");
    drop(running);
}

/// A channel can die without a word (its process ended): only an operation meets it. Naive: waiting for deliveries, for ever.
#[tokio::test]
async fn a_channel_that_dies_in_silence_is_noticed_within_five_seconds() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let instance = unique("instance");
    let house = rialto::broker::House { instance: instance.as_str().into(), ..house() };
    let source = origin(&*broker, &queue).open(&house).await.expect("an open source");
    let (door, _arrivals) = rialto::intake::Door::new(10, 1 << 20, true, house.metrics.source("test"));
    let (intake, _closer) = door.intake();
    let running = tokio::spawn(source.run(intake));
    // The consumer's tag is our instance: it names the channel.
    let mut channel = String::new();
    while channel.is_empty() {
        let consumers = rabbitmqctl(&["list_consumers", "--quiet", "--no-table-headers", "channel_pid", "consumer_tag"]).await;
        channel = consumers.lines().find_map(|line| line.strip_suffix(&instance)).unwrap_or_default().trim().to_owned();
    }
    rabbitmqctl(&["eval", &format!("rabbit_channel:shutdown(rabbit_misc:string_to_pid(\"{channel}\")).")]).await;
    let killed = Instant::now();
    timeout(Duration::from_secs(5), running).await.expect("noticed in time").expect("no panic").expect_err("the channel is gone");
    assert!(killed.elapsed() < Duration::from_secs(5));
}

/// The network is there and carries nothing: two heartbeats.
#[tokio::test]
async fn a_half_open_connection_is_noticed_within_two_heartbeats() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let cable = Cable::to(&rabbit.authority()).await;
    let url = rabbit.url_at(&cable.address().to_string());
    let broker = broker(&rialto::broker::amqp::KIND, &format!("{{ url: '{url}', heartbeat: 1s }}"));
    let running = Running::open(&*origin(&*broker, &queue), 10).await;
    sleep(Duration::from_millis(200)).await;
    cable.freeze();
    timeout(Duration::from_secs(5), running.ended).await.expect("noticed in time").expect("no panic").expect_err("half-open");
}

/// Naive: `nack(requeue)` is redelivered at once, for ever; a rejection goes to the queue's own dead letters.
#[tokio::test]
async fn a_rejection_goes_to_the_queues_dead_letters_once() {
    let rabbit = Rabbit::connect().await;
    let (queue, dead) = (unique("queue"), rabbit.queue().await);
    let text = |text: &str| AMQPValue::LongString(text.into());
    let arguments = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&dead))];
    rabbit.declare_with(&queue, &arguments).await;
    rabbit.fill(&queue, &numbers(3)).await;
    let broker = rabbit.broker();
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let batches = running.collect(3).await;
    let mut verdicts = [Verdict::Accepted, rejected(), Verdict::Accepted].into_iter();
    for batch in &batches {
        for index in 0..batch.batch.len() {
            batch.ticket.settle(index as u32, verdicts.next().expect("three"));
        }
    }
    eventually("the rejected one is dead", || async { rabbit.ready(&dead).await == 1 }).await;
    assert_eq!(rabbit.get(&dead).await.expect("a dead letter").delivery.data, b"1");
    eventually("the others are accepted", || async { rabbit.held(&queue).await == 0 }).await;
    running.close().await.expect("an orderly end");
}

/// A source ends once per outage, and with it the delivery count rises once; the count itself is the broker's, and not a header.
#[tokio::test]
async fn an_ended_incarnation_costs_one_delivery() {
    let rabbit = Rabbit::connect().await;
    let queue = unique("queue");
    rabbit.declare_with(&queue, &[("x-queue-type", AMQPValue::LongString("quorum".into()))]).await;
    rabbit.fill(&queue, &numbers(1)).await;
    let broker = rabbit.broker();
    let origin = origin(&*broker, &queue);
    let mut running = Running::open(&*origin, 10).await;
    let batch = running.next().await;
    running.closer.close();
    drop(batch);
    running.end().await.expect("an orderly end");
    let mut again = Running::open(&*origin, 10).await;
    let batch = again.next().await;
    assert_eq!(batch.batch[0].carrier.header("x-delivery-count"), None);
    again.closer.close();
    drop(batch);
    again.end().await.expect("an orderly end");
    eventually("it is back", || async { rabbit.ready(&queue).await == 1 }).await;
    let message = rabbit.get(&queue).await.expect("the message");
    let headers = message.delivery.properties.headers().clone().expect("headers");
    assert_eq!(headers.inner().get("x-delivery-count"), Some(&AMQPValue::LongLongInt(2)), "two ended incarnations");
}

/// With a single active consumer the others get nothing: a standby, not a stalled source.
#[tokio::test]
async fn a_standby_says_so_and_takes_over() {
    let rabbit = Rabbit::connect().await;
    let queue = unique("queue");
    rabbit.declare_with(&queue, &[("x-single-active-consumer", AMQPValue::Boolean(true))]).await;
    // Somebody else is active and holds one message.
    let other = rabbit.another_channel().await;
    other.basic_qos(1, BasicQosOptions::default()).await.expect("qos");
    let active = other
        .basic_consume(queue.as_str().into(), "other".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .expect("a consumer");
    rabbit.fill(&queue, &numbers(5)).await;
    let broker = rabbit.broker();
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let metrics = running.metrics.source("test");
    metrics.state(SourceState::Running);
    eventually("it stands by", || async { metrics.current() == SourceState::Standby }).await;
    assert!(running.arrivals.try_recv().is_err(), "the other is active");
    drop(active);
    other.close(200, "OK".into()).await.expect("closed");
    let batches = running.collect(5).await;
    assert_eq!(bodies(&batches), numbers(5));
    eventually("it runs", || async { metrics.current() == SourceState::Running }).await;
    batches.iter().for_each(accept);
    running.close().await.expect("an orderly end");
}
