//! The order of what is sent to one queue or topic.

use std::{sync::Arc, time::Duration};

use rialto::{
    broker::{Confirms, Outgoing},
    outcome::{Outcome, Reason},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{Namespace, Rig, reason};
use crate::{
    support::{self, PATIENCE},
    webhook::server::{Answer, Post},
};

/// Hands one message over to a queue and does not wait for its answer.
async fn hand_over(rig: &mut Rig, queue: &str, body: &str) -> Confirms {
    let message = support::message(body.to_owned());
    let batch = [support::outgoing(&rig.target, &message, queue)];
    timeout(PATIENCE, rig.link.send(&batch)).await.expect("handed over").expect("a live link")
}

async fn answer(confirms: Confirms) -> Outcome {
    timeout(PATIENCE, confirms).await.expect("an answer").expect("a live link").remove(0)
}

#[tokio::test]
async fn one_request_at_a_time_goes_to_one_queue_and_others_go_beside_it() {
    let slow = |_: &Post, _| Answer::Slow(201, Duration::from_millis(200));
    let mut rig = Rig::with(Namespace::answering(slow).await, "", "queue: '{payload.q}'").await;
    let first = [hand_over(&mut rig, "a", "1").await, hand_over(&mut rig, "a", "2").await, hand_over(&mut rig, "A", "3").await];
    for confirms in first {
        assert!(matches!(answer(confirms).await, Outcome::Delivered(_)));
    }
    assert_eq!((rig.namespace.posts().len(), rig.namespace.0.busiest()), (3, 1), "names mean the same in either case");
    let side_by_side = [hand_over(&mut rig, "b", "1").await, hand_over(&mut rig, "c", "2").await];
    for confirms in side_by_side {
        assert!(matches!(answer(confirms).await, Outcome::Delivered(_)));
    }
    assert_eq!(rig.namespace.0.busiest(), 2);
}

/// Naive: a batch that was handed over while the one before it was throttled overtakes it.
#[tokio::test]
async fn what_is_sent_again_is_not_overtaken_by_what_was_handed_over_behind_it() {
    let gate = Arc::new(Semaphore::new(0));
    let script = {
        let gate = Arc::clone(&gate);
        move |_: &Post, _| if gate.available_permits() == 0 { Answer::status(503) } else { Answer::status(201) }
    };
    let mut rig = Rig::to(Namespace::answering(script).await).await;
    let first = hand_over(&mut rig, "orders", "1").await;
    let second = hand_over(&mut rig, "orders", "2").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.add_permits(1);
    // The namespace has room again, but nobody has read yet that the first is to be sent again.
    let third = hand_over(&mut rig, "orders", "3").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.namespace.posts().len(), 1);
    for confirms in [first, second, third] {
        let outcome = answer(confirms).await;
        assert_eq!(reason(&outcome), Some(Reason::Throttled), "{outcome:?}");
    }
    let again = hand_over(&mut rig, "orders", "1").await;
    assert!(matches!(answer(again).await, Outcome::Delivered(_)), "all were read");
    assert_eq!(rig.namespace.posts().len(), 2);
}

/// Naive: the second batch asks whether it is held back when its turn comes, and by then the answer to the first has been read.
#[tokio::test]
async fn what_is_sent_again_is_not_overtaken_where_its_answer_is_read_at_once() {
    for (status, due) in [(503, Reason::Throttled), (500, Reason::Refused), (404, Reason::Unroutable)] {
        // The first question was whether the namespace is there.
        let script = move |_: &Post, before: usize| {
            if before == 1 { Answer::Slow(status, Duration::from_millis(100)) } else { Answer::status(201) }
        };
        let mut rig = Rig::to(Namespace::answering(script).await).await;
        let first = tokio::spawn(answer(hand_over(&mut rig, "orders", "1").await));
        let second = tokio::spawn(answer(hand_over(&mut rig, "orders", "2").await));
        let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
        assert_eq!((reason(&first), reason(&second)), (Some(due), Some(due)), "{first:?} {second:?}");
        assert_eq!(rig.namespace.posts().len(), 1, "{status}: the second was not sent");
        for body in ["1", "2"] {
            let again = hand_over(&mut rig, "orders", body).await;
            assert!(matches!(answer(again).await, Outcome::Delivered(_)), "{status}");
        }
    }
}

/// Naive: the time of one answer is the time of a batch, and one of large messages is given up and sent again, for ever.
#[tokio::test]
async fn a_batch_of_many_requests_is_late_when_one_of_them_is() {
    // The first question was whether the namespace is there.
    let script = |_: &Post, before: usize| if before <= 5 { Answer::Slow(201, Duration::from_millis(100)) } else { Answer::Hang };
    let mut rig = Rig::with(Namespace::answering(script).await, "batch_bytes: 1KiB", "queue: orders").await;
    let messages: Vec<_> = (0..8).map(|_| support::message(format!("\"{}\"", "x".repeat(900)))).collect();
    let timeout = Duration::from_secs(1);
    let batch: Vec<_> =
        messages.iter().map(|message| Outgoing { timeout, ..support::outgoing(&rig.target, message, "orders") }).collect();
    let confirms = rig.link.send(&batch).await.expect("handed over");
    assert_eq!(rig.link.held(), None, "the first request has the time of all");
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(rig.link.held().is_some(), "it goes on");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(rig.link.held(), None, "the sixth is late");
    assert_eq!(rig.namespace.posts().len(), 6);
    drop(confirms);
}

#[tokio::test]
async fn a_queue_that_holds_back_holds_nobody_else_back() {
    let script = |post: &Post, _| if post.path.starts_with("/full") { Answer::status(503) } else { Answer::status(201) };
    let mut rig = Rig::with(Namespace::answering(script).await, "", "queue: '{payload.q}'").await;
    let full = hand_over(&mut rig, "full", "1").await;
    let other = hand_over(&mut rig, "other", "2").await;
    assert!(matches!(answer(other).await, Outcome::Delivered(_)));
    assert!(matches!(answer(full).await, Outcome::Throttled { .. }));
}
