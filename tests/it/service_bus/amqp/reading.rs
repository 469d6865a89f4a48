//! Reading a queue or a subscription: locks, their renewal, and what becomes of a message.

use std::{borrow::Cow, sync::Arc, time::Duration};

use rialto::{
    broker::Ended,
    envelope::Property,
    outcome::{Reason, Refusal, Verdict},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{broker, eventually, numbers};
use crate::{
    service_bus::stand_in::StandIn,
    support::{Running, accept, bodies, house, origin},
};

#[tokio::test]
async fn what_settles_is_completed_and_a_drained_source_leaves_nothing_behind() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    stand_in.put(&queue, &numbers(1000)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 5000).await;
    let batches = running.collect(1000).await;
    assert_eq!(bodies(&batches), numbers(1000));
    assert_eq!(stand_in.count(&queue, "locked").await, 1000, "nothing is completed before it is settled");
    running.closer.close();
    sleep(Duration::from_millis(100)).await;
    batches.iter().for_each(accept);
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
    assert_eq!(stand_in.waiting(&queue).await, 0);
    assert_eq!(stand_in.count(&queue, "completed").await, 1000);
}

#[tokio::test]
async fn a_lock_is_renewed_for_as_long_as_its_message_is_held() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 1 })).await;
    stand_in.put(&queue, &numbers(300)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 1000).await;
    let batches = running.collect(300).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(stand_in.count(&queue, "locked").await, 300);
    assert_eq!(stand_in.count(&queue, "lock_expired").await, 0);
    batches.iter().for_each(accept);
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
    assert_eq!(stand_in.count(&queue, "completed").await, 300);
}

#[tokio::test]
async fn a_killed_source_lets_its_locks_end_and_each_costs_one_delivery() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 1 })).await;
    stand_in.put(&queue, &numbers(10)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 100).await;
    let held = running.collect(10).await;
    running.ended.abort();
    assert!(running.ended.await.expect_err("aborted").is_cancelled());
    // Too late: the link is gone, and nothing may be settled on another.
    held.iter().for_each(accept);
    drop(held);
    let mut again = Running::open(&*origin(&*broker, &queue), 100).await;
    let batches = again.collect(10).await;
    assert_eq!(bodies(&batches), numbers(10));
    let count = batches[0].batch[0].carrier.word("delivery_count").map(Cow::into_owned);
    assert_eq!(count.as_deref(), Some("2"), "the second delivery");
    batches.iter().for_each(accept);
    again.close().await.expect("an orderly end");
    assert_eq!(stand_in.waiting(&queue).await, 0);
}

/// Naive: what lost its lock is no longer held, so there is room for more, while what came before still waits for room.
#[tokio::test]
async fn lost_locks_make_no_room_while_messages_wait_for_it() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 1, "max_delivery_count": 100 })).await;
    stand_in.put(&queue, &numbers(100)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 5).await;
    let held = running.collect(5).await;
    let messages = held.iter().flat_map(|arrival| (0..arrival.batch.len()).map(move |index| (arrival, index)));
    for (arrival, index) in messages {
        // All locks are lost, and the end of one message wakes the link.
        stand_in.expire(&queue).await;
        sleep(Duration::from_millis(1200)).await;
        arrival.ticket.settle(index as u32, Verdict::Accepted);
        sleep(Duration::from_millis(200)).await;
    }
    // Five at first, five for the first that ended, and five that wait since.
    let delivered = stand_in.count(&queue, "delivered").await;
    assert!((6..=15).contains(&delivered), "{delivered}");
    drop((held, running));
}

#[tokio::test]
async fn a_lost_lock_completes_nothing_and_the_message_comes_again() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 2 })).await;
    stand_in.put(&queue, &numbers(5)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 5).await;
    let first = running.collect(5).await;
    stand_in.expire(&queue).await;
    assert_eq!(stand_in.count(&queue, "lock_expired").await, 5);
    // The renewal hears of it before it is settled.
    sleep(Duration::from_millis(1800)).await;
    first.iter().for_each(accept);
    drop(first);
    let second = running.collect(5).await;
    assert_eq!(bodies(&second), numbers(5));
    assert_eq!(stand_in.count(&queue, "completed").await, 0);
    second.iter().for_each(accept);
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.count(&queue, "completed").await, 5);
}

#[tokio::test]
async fn a_rejected_message_is_dead_lettered_with_its_reason() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    stand_in.put(&queue, &numbers(3)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 100).await;
    let batches = running.collect(3).await;
    let refusal = Arc::new(Refusal::new(Reason::Undecodable, "ein Wort: „nein“"));
    for (number, (batch, at)) in batches.iter().flat_map(|batch| (0..batch.batch.len()).map(move |at| (batch, at))).enumerate() {
        let verdict = if number == 1 { Verdict::Rejected(Arc::clone(&refusal)) } else { Verdict::Accepted };
        batch.ticket.settle(at as u32, verdict);
    }
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.count(&queue, "completed").await, 2);
    let dead = stand_in.messages(&format!("{queue}/$DeadLetterQueue")).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body(), "1");
    let why = &dead[0].0["dead_letter"];
    assert_eq!(why["reason"], "undecodable", "{why}");
    assert_eq!(why["description"], "ein Wort: „nein“", "{why}");
}

#[tokio::test]
async fn a_full_window_asks_for_no_more_and_loses_no_lock() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 2 })).await;
    stand_in.put(&queue, &numbers(200)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 20).await;
    let mut held = running.collect(20).await;
    // Longer than a lock holds.
    while let Ok(Some(batch)) = timeout(Duration::from_secs(3), running.arrivals.recv()).await {
        held.push(batch);
    }
    let locked = stand_in.count(&queue, "locked").await;
    assert!(locked <= 40, "{locked} locked for a window of 20");
    assert_eq!(stand_in.count(&queue, "lock_expired").await, 0);
    held.iter().for_each(accept);
    let mut read = bodies(&held);
    while read.len() < 200 {
        let batch = running.next().await;
        read.extend(bodies([&batch]));
        accept(&batch);
    }
    assert_eq!(read, numbers(200));
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.count(&queue, "completed").await, 200);
}

#[tokio::test]
async fn a_closing_source_gives_back_what_it_never_offered() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 60 })).await;
    stand_in.put(&queue, &numbers(100)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let held = running.collect(10).await;
    sleep(Duration::from_millis(300)).await;
    running.closer.close();
    sleep(Duration::from_millis(100)).await;
    held.iter().for_each(accept);
    let completed = bodies(&held).len() as u64;
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
    eventually("all others wait again", || async { stand_in.count(&queue, "active").await == 100 - completed }).await;
}

#[tokio::test]
async fn a_source_that_closes_on_a_full_queue_leaves_no_message_locked() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 60 })).await;
    stand_in.put(&queue, &numbers(5000)).await;
    let broker = broker(&stand_in);
    for turn in 1..=5 {
        let mut running = Running::open(&*origin(&*broker, &queue), 500).await;
        // Settled at once, so that the source asks for more, and the service sends it while the source stops.
        running.collect(200 + turn).await.iter().for_each(accept);
        running.closer.close();
        let ended = async {
            loop {
                tokio::select! {
                    Some(batch) = running.arrivals.recv() => accept(&batch),
                    ended = &mut running.ended => break ended,
                }
            }
        };
        let ended = timeout(Duration::from_secs(10), ended).await.expect("an end in time").expect("no panic");
        assert_eq!(ended.expect("an orderly end"), Ended::Drained);
        assert_eq!(stand_in.count(&queue, "locked").await, 0, "turn {turn}");
    }
    assert_eq!(stand_in.count(&queue, "lock_expired").await, 0);
}

#[tokio::test]
async fn a_subscription_is_read_like_a_queue() {
    let stand_in = StandIn::find().await;
    let topic = stand_in.entity(json!({ "subscriptions": { "eu": {}, "us": {} } })).await;
    stand_in.put(&topic, &numbers(10)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &format!("{topic}/subscriptions/eu")), 100).await;
    let batches = running.collect(10).await;
    assert_eq!(bodies(&batches), numbers(10));
    let carrier = &batches[0].batch[0].carrier;
    assert_eq!(carrier.word("topic").as_deref(), Some(topic.as_str()));
    assert_eq!(carrier.word("subscription").as_deref(), Some("eu"));
    batches.iter().for_each(accept);
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.waiting(&format!("{topic}/Subscriptions/eu")).await, 0);
    assert_eq!(stand_in.waiting(&format!("{topic}/Subscriptions/us")).await, 10);
}

#[tokio::test]
async fn dead_letters_are_read_like_a_queue() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 1, "max_delivery_count": 1 })).await;
    stand_in.put(&queue, &["gone"]).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 1).await;
    let held = running.collect(1).await;
    stand_in.expire(&queue).await;
    running.ended.abort();
    drop(held);
    let dead = origin(&*broker, &format!("{queue}/$DeadLetterQueue"));
    assert!(!dead.rejects_natively());
    let mut running = Running::open(&*dead, 10).await;
    let batch = running.next().await;
    assert_eq!(bodies([&batch]), ["gone"]);
    let reason = batch.batch[0].carrier.header("DeadLetterReason").and_then(|reason| reason.to_text().map(Cow::into_owned));
    assert_eq!(reason.as_deref(), Some("MaxDeliveryCountExceeded"));
    accept(&batch);
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.waiting(&format!("{queue}/$DeadLetterQueue")).await, 0);
}

#[tokio::test]
async fn a_missing_queue_is_named() {
    let stand_in = StandIn::find().await;
    let broker = broker(&stand_in);
    let fault = origin(&*broker, "no-such-queue").open(&house()).await.err().expect("no such queue");
    assert_eq!(fault.reason, Reason::Unroutable, "{fault}");
    assert!(fault.detail.contains("no-such-queue"), "{fault}");
}

#[tokio::test]
async fn properties_and_words_are_read_in_place() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let message = json!([{
        "Body": "{}",
        "BrokerProperties": {
            "MessageId": "id-1", "Label": "Joined", "CorrelationId": "c-1", "ContentType": "application/json", "PartitionKey": "k-1",
        },
        "UserProperties": { "tenant": "blau", "n": 7, "ok": true, "message_type": "ecst_event", "Diagnostic-Id": "00-1-2-01" },
    }]);
    stand_in.put_messages(&queue, message).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let batch = running.next().await;
    let carrier = &batch.batch[0].carrier;
    for (property, value) in [
        (Property::Id, "id-1"),
        (Property::Name, "Joined"),
        (Property::Type, "ecst_event"),
        (Property::Key, "k-1"),
        (Property::CorrelationId, "c-1"),
    ] {
        assert_eq!(carrier.property(property).as_deref(), Some(value), "{property:?}");
    }
    let header = |name: &str| carrier.header(name).and_then(|value| value.to_text().map(Cow::into_owned));
    assert_eq!(header("tenant").as_deref(), Some("blau"));
    assert_eq!(header("n").as_deref(), Some("7"));
    assert_eq!(header("ok").as_deref(), Some("true"));
    assert_eq!(header("traceparent").as_deref(), Some("00-1-2-01"), "what Azure's clients call Diagnostic-Id");
    for (word, value) in [("queue", &*queue), ("subject", "Joined"), ("tenant", "blau"), ("delivery_count", "1")] {
        assert_eq!(carrier.word(word).as_deref(), Some(value), "{word}");
    }
    let sequence = carrier.word("sequence_number").expect("a number").into_owned();
    assert_eq!(carrier.position(), Some(format!("{queue}/{sequence}")));
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
        - carrier.time().expect("the enqueued time");
    assert!((0..60_000).contains(&age), "{age} ms old");
    accept(&batch);
    running.close().await.expect("an orderly end");
}
