//! What a cluster answers, and what becomes of it: librdkafka's mock cluster errs on demand.

use std::time::Duration;

use rdkafka::types::RDKafkaRespErr;
use rialto::outcome::{LinkDown, Outcome, Proof, Reason};
use tokio::time::{Instant, sleep};

use super::mock::{Mock, TOPIC};
use crate::{
    conformance::numbered,
    support::{message, outgoing, send, try_send},
};

const DELIVERED: Outcome = Outcome::Delivered(Proof::Confirmed);

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.reason),
        Outcome::Throttled { .. } => Some(Reason::Throttled),
        Outcome::Unknown(reason) => Some(*reason),
        Outcome::Delivered(_) | Outcome::Unsent => None,
    }
}

/// Sends `count` messages in one batch to the mock's topic.
async fn try_batch(mock: &Mock, link: &mut dyn rialto::broker::Publisher, count: usize) -> Result<Vec<Outcome>, LinkDown> {
    let target = mock.target(TOPIC);
    let messages: Vec<_> = numbered(count).into_iter().map(message).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, TOPIC)).collect();
    try_send(link, &batch).await
}

#[tokio::test]
async fn what_passes_by_itself_is_nobodys_business_and_is_written_once_and_in_order() {
    let mock = Mock::with(1);
    let target = mock.target(TOPIC);
    let mut link = mock.link(&target).await;
    let written = numbered(3_000);
    let messages: Vec<_> = written.iter().map(|body| message(body.clone())).collect();
    mock.produce_errors(&[
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    ]);
    let mut answers = Vec::new();
    for chunk in messages.chunks(100) {
        let batch: Vec<_> = chunk.iter().map(|message| outgoing(&target, message, TOPIC)).collect();
        answers.push(link.send(&batch).await.expect("a live link"));
    }
    for answer in answers {
        assert!(answer.await.expect("a live link").iter().all(|outcome| *outcome == DELIVERED));
    }
    let seen: Vec<_> = mock.seen().iter().map(|record| record.text().to_owned()).collect();
    assert!(seen == written, "{} records for {} messages", seen.len(), written.len());
}

#[tokio::test]
async fn a_topic_that_is_not_ours_to_write_is_refused_and_taken_again_once_it_is() {
    let mock = Mock::with(1);
    let mut link = mock.link(&mock.target(TOPIC)).await;
    mock.produce_errors(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let refused = try_batch(&mock, &mut *link, 5).await.expect("the link lives");
    assert!(refused.iter().all(|outcome| reason(outcome) == Some(Reason::Forbidden)), "{refused:?}");
    let taken = try_batch(&mock, &mut *link, 5).await.expect("the link lives");
    assert!(taken.iter().all(|outcome| *outcome == DELIVERED), "{taken:?}");
    assert_eq!(mock.seen().len(), 5);
}

#[tokio::test]
async fn a_record_that_no_broker_will_have_is_refused_for_good() {
    let mock = Mock::with(1);
    let mut link = mock.link(&mock.target(TOPIC)).await;
    for error in [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD, RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP] {
        mock.produce_errors(&[error]);
        let refused = try_batch(&mock, &mut *link, 1).await.expect("the link lives");
        assert_eq!(reason(&refused[0]), Some(Reason::Final), "{refused:?}");
    }
    assert_eq!(try_batch(&mock, &mut *link, 1).await.expect("the link lives"), [DELIVERED]);
}

/// Naive: what failed is sent again by the same producer, behind what it had queued after it, of the same key.
#[tokio::test]
async fn too_few_replicas_end_the_link_once_and_are_patience_from_then_on() {
    let mock = Mock::with(1);
    let scarce = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 9];
    let mut link = mock.link(&mock.target(TOPIC)).await;
    mock.produce_errors(&scarce);
    let start = Instant::now();
    let down = try_batch(&mock, &mut *link, 3).await.expect_err("what is in flight goes again in its order");
    assert_eq!(down.reason, Reason::Throttled, "{down}");
    assert!(start.elapsed() < Duration::from_secs(12), "within the time that a destination gives: {:?}", start.elapsed());
    let mut link = mock.link(&mock.target(TOPIC)).await;
    mock.produce_errors(&scarce);
    let held = try_batch(&mock, &mut *link, 3).await.expect("the link lives, for the other topics on it");
    assert!(held.iter().all(|outcome| reason(outcome) == Some(Reason::Throttled)), "{held:?}");
    let taken = try_batch(&mock, &mut *link, 3).await.expect("the link lives");
    assert!(taken.iter().all(|outcome| *outcome == DELIVERED), "{taken:?}");
    mock.produce_errors(&scarce);
    let again = try_batch(&mock, &mut *link, 3).await.expect_err("it was well meanwhile");
    assert_eq!(again.reason, Reason::Throttled, "{again}");
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_made_smaller_and_a_message_that_is_too_large_is_refused() {
    let mock = Mock::with(1);
    let mut link = mock.link(&mock.target(TOPIC)).await;
    mock.produce_errors(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let down = try_batch(&mock, &mut *link, 3).await.expect_err("nobody can say which of them it was");
    assert!(down.detail.contains("250000"), "{down}");
    let mut link = mock.link(&mock.target(TOPIC)).await;
    mock.produce_errors(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let refused = try_batch(&mock, &mut *link, 1).await.expect("the link lives");
    assert_eq!(reason(&refused[0]), Some(Reason::TooLarge), "{refused:?}");
    assert_eq!(try_batch(&mock, &mut *link, 2).await.expect("the link lives"), [DELIVERED, DELIVERED]);
}

#[tokio::test]
async fn a_fatal_error_ends_the_link_and_a_new_one_goes_on() {
    let mock = Mock::with(1);
    let mut link = mock.link(&mock.target(TOPIC)).await;
    assert_eq!(try_batch(&mock, &mut *link, 1).await.expect("the link lives"), [DELIVERED]);
    mock.produce_errors(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let down = try_batch(&mock, &mut *link, 10).await.expect_err("an idempotent producer cannot go on");
    assert_eq!(down.reason, Reason::Link, "{down}");
    assert!(try_batch(&mock, &mut *link, 1).await.is_err(), "not on this link");
    assert!(link.ping().await.is_err(), "and it says so");
    drop(link);
    let mut link = mock.link(&mock.target(TOPIC)).await;
    let again = try_batch(&mock, &mut *link, 10).await.expect("a new link");
    assert!(again.iter().all(|outcome| *outcome == DELIVERED), "{again:?}");
    assert_eq!(mock.seen().len(), 11, "what was unknown is written once here");
}

/// Naive: librdkafka makes a topic by asking for it, where the cluster lets it; and it forgets for minutes to ask again.
#[tokio::test]
async fn a_missing_topic_is_named_made_by_nobody_and_found_once_it_is_there() {
    let mock = Mock::with(1);
    let target = mock.target("topic: later");
    let mut link = mock.link(&target).await;
    let one = message("{}");
    for _ in 0..2 {
        let refused = send(&mut *link, &[outgoing(&target, &one, "later"), outgoing(&target, &one, TOPIC)]).await;
        assert_eq!((reason(&refused[0]), &refused[1]), (Some(Reason::Unroutable), &DELIVERED), "{refused:?}");
    }
    mock.cluster.create_topic("later", 1, 1).expect("a topic");
    let created = Instant::now();
    while send(&mut *link, &[outgoing(&target, &one, "later")]).await != [DELIVERED] {
        assert!(created.elapsed() < Duration::from_secs(5), "flow resumes within five seconds");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_by_its_cause() {
    let mock = Mock::with(1);
    let target = mock.target(TOPIC);
    mock.cluster.broker_down(-1).expect("down");
    let start = Instant::now();
    let Err(error) = mock.broker.link(&target.link, &crate::support::house()).await else { panic!("nobody is there") };
    assert_eq!(error.reason, Reason::Link, "{error}");
    assert!(error.detail.contains("127.0.0.1"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    mock.cluster.broker_up(-1).expect("up");
    let mut link = mock.link(&target).await;
    assert_eq!(try_batch(&mock, &mut *link, 1).await.expect("a live link"), [DELIVERED]);
}
