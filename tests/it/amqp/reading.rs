//! Reading a queue.

use std::time::Duration;

use lapin::BasicProperties;
use rialto::{
    broker::Ended,
    outcome::{Reason, Verdict},
};
use tokio::time::{Instant, sleep, timeout};

use super::{Rabbit, numbers, unique};
use crate::support::{Running, accept, bodies, house, origin};

#[tokio::test]
async fn what_settles_is_gone_and_what_does_not_comes_again() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    rabbit.fill(&queue, &numbers(10)).await;
    let broker = rabbit.broker();
    let origin = origin(&*broker, &queue);

    let mut running = Running::open(&*origin, 100).await;
    let batches = running.collect(10).await;
    assert_eq!(bodies(&batches), numbers(10));
    let mut index = 0;
    for batch in batches {
        for at in 0..batch.batch.len() {
            if index % 2 == 0 {
                batch.ticket.settle(at as u32, Verdict::Accepted);
            }
            index += 1;
        }
        drop(batch);
    }
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Abandoned);

    let left: Vec<_> = rabbit.drain(&queue).await.into_iter().map(|m| String::from_utf8(m.delivery.data).unwrap()).collect();
    assert_eq!(left, ["1", "3", "5", "7", "9"]);
}

#[tokio::test]
async fn a_drained_source_leaves_nothing_behind() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    rabbit.fill(&queue, &numbers(1000)).await;
    let broker = rabbit.broker();
    let origin = origin(&*broker, &queue);
    let mut running = Running::open(&*origin, 5000).await;
    let batches = running.collect(1000).await;
    running.closer.close();
    sleep(Duration::from_millis(100)).await;
    for batch in batches {
        accept(&batch);
    }
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
    assert_eq!(rabbit.ready(&queue).await, 0);
}

#[tokio::test]
async fn a_missing_queue_is_named() {
    let rabbit = Rabbit::connect().await;
    let broker = rabbit.broker();
    let missing = unique("missing");
    let fault = origin(&*broker, &missing).open(&house()).await.err().expect("no such queue");
    assert_eq!(fault.reason, Reason::Unroutable, "{fault}");
    assert!(fault.detail.contains(&missing), "{fault}");
}

#[tokio::test]
async fn a_deleted_queue_ends_the_incarnation_within_five_seconds() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let running = Running::open(&*origin(&*broker, &queue), 10).await;
    sleep(Duration::from_millis(300)).await;
    let deleted = Instant::now();
    rabbit.delete(&queue).await;
    let ended = timeout(Duration::from_secs(5), running.ended).await.expect("noticed in time").expect("no panic");
    let fault = ended.expect_err("the queue is gone");
    assert_eq!(fault.reason, Reason::Unroutable, "{fault} after {:?}", deleted.elapsed());
}

#[tokio::test]
async fn properties_and_words_are_read_in_place() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let properties =
        BasicProperties::default().with_message_id("id-1".into()).with_type("Joined".into()).with_timestamp(1_700_000_000);
    rabbit.put(&queue, b"{}", properties).await;
    let broker = rabbit.broker();
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let batch = running.next().await;
    let carrier = &batch.batch[0].carrier;
    assert_eq!(carrier.property(rialto::envelope::Property::Id).as_deref(), Some("id-1"));
    assert_eq!(carrier.property(rialto::envelope::Property::Name).as_deref(), Some("Joined"));
    assert_eq!(carrier.word("queue").as_deref(), Some(queue.as_str()));
    assert_eq!(carrier.word("routing_key").as_deref(), Some(queue.as_str()));
    assert_eq!(carrier.word("exchange").as_deref(), Some(""));
    assert_eq!(carrier.word("type").as_deref(), Some("Joined"));
    assert_eq!(carrier.time(), Some(1_700_000_000_000));
}
