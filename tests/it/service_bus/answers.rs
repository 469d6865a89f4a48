//! What becomes of a batch, by what the namespace answers.

use std::time::Duration;

use rialto::outcome::{LinkDown, Outcome, Reason};
use tokio::time::timeout;

use super::{Namespace, Rig, namespace::messages_of, reason};
use crate::{
    support::{self, PATIENCE},
    webhook::server::{Answer, Post},
};

fn delivered(outcomes: &[Outcome]) -> Vec<bool> {
    outcomes.iter().map(|outcome| matches!(outcome, Outcome::Delivered(_))).collect()
}

/// The bodies of a request's messages.
fn bodies(post: &Post) -> Vec<String> {
    messages_of(post).iter().map(|message| String::from_utf8(message.body()).expect("text")).collect()
}

#[tokio::test]
async fn a_batch_is_one_request_and_201_delivers_all_of_it() {
    let mut rig = Rig::to(Namespace::start().await).await;
    let outcomes = rig.send(&["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]).await;
    assert_eq!(delivered(&outcomes), [true; 3], "{outcomes:?}");
    let posts = rig.namespace.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(bodies(&posts[0]), ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
}

/// Naive: a captive portal or a proxy answers 200, and the message is gone.
#[tokio::test]
async fn nothing_but_201_is_delivered() {
    for (status, due) in [
        (200, Reason::Unroutable),
        (202, Reason::Unroutable),
        (302, Reason::Unroutable),
        (403, Reason::Forbidden),
        (404, Reason::Unroutable),
        (410, Reason::Unroutable),
        (429, Reason::Throttled),
        (503, Reason::Throttled),
    ] {
        let mut rig = Rig::to(Namespace::answering(move |_, _| Answer::status(status)).await).await;
        let outcomes = rig.send(&["1", "2"]).await;
        assert!(outcomes.iter().all(|outcome| reason(outcome) == Some(due)), "{status}: {outcomes:?}");
        assert_eq!(rig.namespace.posts().len(), 1, "{status}: nobody's message is at fault");
    }
}

#[tokio::test]
async fn patience_is_asked_for_in_seconds() {
    let answer = |_: &Post, _| Answer::Status(429, vec![("retry-after", "7".to_owned())]);
    let mut rig = Rig::to(Namespace::answering(answer).await).await;
    let outcomes = rig.send(&["1"]).await;
    let Outcome::Throttled { after, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(*after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn one_message_that_is_refused_is_found_among_the_others() {
    for (status, due) in [(400, Reason::Final), (413, Reason::TooLarge)] {
        // No id, which is hexadecimal, has these letters.
        let answer = move |post: &Post, _| Answer::status(if post.text().contains("wrong") { status } else { 201 });
        let mut rig = Rig::to(Namespace::answering(answer).await).await;
        let written: Vec<String> = (0..40).map(|n| if n == 17 { "\"wrong\"".into() } else { format!("{n}") }).collect();
        let outcomes = rig.send(&written.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for (place, outcome) in outcomes.iter().enumerate() {
            assert_eq!(reason(outcome), (place == 17).then_some(due), "{status}, {place}: {outcome:?}");
        }
        let taken = rig.namespace.posts().into_iter().filter(|post| !post.text().contains("wrong"));
        let taken: Vec<_> = taken.flat_map(|post| bodies(&post)).collect();
        let others: Vec<_> = written.into_iter().filter(|body| body != "\"wrong\"").collect();
        assert_eq!(taken, others, "each of the others once, in their order");
    }
}

/// Naive: a namespace that is down is asked once for each message, and each of them is a step nearer to the dead letter.
#[tokio::test]
async fn a_namespace_that_fails_costs_one_message_a_try_and_the_others_nothing() {
    let mut rig = Rig::to(Namespace::answering(|_, _| Answer::status(500)).await).await;
    let written: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    let outcomes = rig.send(&written.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(matches!(&outcomes[0], Outcome::Refused(refusal) if refusal.reason == Reason::Refused), "{:?}", outcomes[0]);
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "{outcomes:?}");
    assert_eq!(rig.namespace.posts().len(), 7, "64, 32, 16, 8, 4, 2, 1");
}

#[tokio::test]
async fn a_batch_is_cut_into_requests_that_fit() {
    let mut rig = Rig::with(Namespace::start().await, "batch_bytes: 4KiB", "queue: orders").await;
    let written: Vec<String> = (0..50).map(|n| format!("\"{n}{}\"", "x".repeat(500))).collect();
    let outcomes = rig.send(&written.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(delivered(&outcomes), [true; 50]);
    let posts = rig.namespace.posts();
    assert!(posts.len() > 5 && posts.iter().all(|post| post.body.len() <= 4096), "{}", posts.len());
    assert_eq!(posts.iter().flat_map(bodies).collect::<Vec<_>>(), written);
}

#[tokio::test]
async fn one_message_over_the_limit_is_for_the_namespace_to_judge() {
    let mut rig = Rig::with(Namespace::start().await, "batch_bytes: 4KiB", "queue: orders").await;
    let outcomes = rig.send(&["1", &format!("\"{}\"", "x".repeat(9000)), "3"]).await;
    assert_eq!(delivered(&outcomes), [true; 3]);
    assert_eq!(rig.namespace.posts().len(), 3);
}

#[tokio::test]
async fn a_connection_that_breaks_half_way_is_a_lost_link_and_nobodys_fault() {
    let mut rig = Rig::to(Namespace::answering(|_, _| Answer::Close).await).await;
    let message = support::message("1");
    let batch = [support::outgoing(&rig.target, &message, "orders")];
    let answered: Result<Vec<Outcome>, LinkDown> = support::try_send(&mut *rig.link, &batch).await;
    let down = answered.expect_err("nobody can say whether it arrived");
    assert_eq!(down.reason, Reason::Link, "{down}");
    assert!(support::try_send(&mut *rig.link, &batch).await.is_err(), "the link is over");
    assert_eq!(rig.namespace.posts().len(), 1, "nothing more is sent on it, and nothing again");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_and_called_nothing() {
    let mut rig = Rig::to(Namespace::answering(|_, _| Answer::Hang).await).await;
    let message = support::message("1");
    let confirms = {
        let batch = [support::outgoing(&rig.target, &message, "orders")];
        timeout(PATIENCE, rig.link.send(&batch)).await.expect("handed over").expect("a live link")
    };
    assert!(timeout(Duration::from_millis(300), confirms).await.is_err(), "an answer to a question that was not answered");
}

/// An answer's head alone is no answer: 201 with a body that breaks off.
#[tokio::test]
async fn a_flood_in_place_of_an_answer_ends() {
    let mut rig = Rig::to(Namespace::answering(|_, _| Answer::Flood).await).await;
    let outcomes = timeout(PATIENCE, rig.send(&["1"])).await.expect("not read for ever");
    assert_eq!(reason(&outcomes[0]), Some(Reason::Unroutable), "it began with 200");
}
