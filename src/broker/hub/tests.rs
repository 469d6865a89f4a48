//! The hub's settings, and a publisher with sources behind it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use super::*;
use crate::{
    broker::Outgoing,
    envelope::{Bare, Decode, DecodeRules, Message, RawMessage, decode},
    intake::{Arrival, Door},
    live::hub::Topic,
    outcome::{Outcome, Proof, Reason, Refusal, Verdict},
    telemetry::{Metrics, SourceMetrics},
    written::parse,
};

fn node(yaml: &str) -> Node {
    let mut faults = Problems::default();
    parse("test.yaml", yaml, &mut faults).expect("a tree")
}

fn broker(yaml: &str) -> Result<Arc<dyn Broker>, String> {
    let mut faults = Problems::default();
    let broker = read("live", &node(yaml), &mut faults);
    if faults.is_ok() { broker.ok_or_else(String::new) } else { Err(format!("{faults:?}")) }
}

fn origin(yaml: &str) -> Option<Arc<dyn Origin>> {
    let mut faults = Problems::default();
    broker("hub://").ok()?.origin(&node(yaml), &mut faults).filter(|_| faults.is_ok())
}

fn target(yaml: &str) -> Target {
    let mut faults = Problems::default();
    broker("hub://").unwrap().target(&node(yaml), &mut faults).expect("a target")
}

fn house() -> House {
    House::new(Arc::from("rialto"), Arc::from("test"), Arc::new(Metrics::new()))
}

fn message(body: &'static str) -> Message {
    let rules = DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: Arc::from("test") };
    decode(RawMessage { body: Bytes::from_static(body.as_bytes()), carrier: Arc::new(Bare) }, &rules, 0).expect("JSON")
}

fn outgoing<'a>(target: &'a Target, message: &'a Message, address: &'a str) -> Outgoing<'a> {
    let body = &message.raw().body;
    Outgoing {
        target,
        message,
        address,
        key: "",
        body,
        content_type: "",
        headers: &[],
        fields: &[],
        attempt: 1,
        timeout: Duration::from_secs(5),
    }
}

#[test]
fn it_is_written_as_a_url_or_an_empty_map() {
    assert!(broker("hub://").is_ok() && broker("{}").is_ok());
    assert!(broker("hub://host").unwrap_err().contains("nothing else"));
    assert!(broker("{ url: hub:// }").unwrap_err().contains("url"));
}

#[test]
fn a_source_is_a_channel_or_a_pattern_and_reads_what_it_matches() {
    for (written, reads, passes) in [
        ("app:x", "app:x", "app:y"),
        ("'app:*'", "app:{message_id}", "other:x"),
        ("{ channel: 'a*' }", "a*", "ab"),
        ("{ pattern: 'a?' }", "ab", "abc"),
    ] {
        let origin = origin(written).expect(written);
        assert!(origin.reads(&target(&format!("'{reads}'"))), "{written} reads {reads}");
        assert!(!origin.reads(&target(&format!("{{ channel: '{passes}' }}"))), "{written} reads {passes}");
        assert!(origin.answers() && !origin.holds() && origin.inlet().is_none());
    }
    assert!(origin("{ channel: a, pattern: b }").is_none());
    assert!(origin("{}").is_none());
}

#[tokio::test]
async fn a_batch_is_in_the_ring_before_send_returns_and_counts_who_heard_it() {
    let house = house();
    let target = target("app:x");
    let mut link = broker("hub://").unwrap().link(&target.link, &house).await.unwrap();
    let mut subscriber = house.hub.subscriber(1 << 20);
    subscriber.subscribe(Topic::Pattern("app:*".into()));
    let written = message(r#"{"n":1}"#);
    let batch = [outgoing(&target, &written, "app:x"), outgoing(&target, &written, "other")];
    let confirms = link.send(&batch).await.unwrap();
    assert_eq!(house.hub.last().number, 2);
    let outcomes = confirms.await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Delivered(Proof::Receivers(1))), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Delivered(Proof::Receivers(0))), "{outcomes:?}");
    let heard = subscriber.next().await.unwrap();
    assert_eq!((heard.len(), &heard[0].message.body[..], &*heard[0].message.name), (1, &br#"{"n":1}"#[..], written.name()));
}

/// A source of the hub, and what a pipeline would hold.
async fn reading(house: &House, pattern: &str) -> (tokio::sync::mpsc::Receiver<Arrival>, Door, crate::intake::Closer) {
    let source = origin(pattern).unwrap().open(house).await.unwrap();
    let (door, arrivals) = Door::new(100, 1 << 20, false, SourceMetrics::default());
    let (intake, closer) = door.intake();
    tokio::spawn(source.run(intake));
    (arrivals, door, closer)
}

#[tokio::test]
async fn where_a_source_reads_the_channel_its_verdict_is_the_outcome() {
    let house = house();
    let target = target("app:x");
    let mut link = broker("hub://").unwrap().link(&target.link, &house).await.unwrap();
    let (mut arrivals, _door, _closer) = reading(&house, "'app:*'").await;
    let written: Vec<_> = [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#].into_iter().map(message).collect();
    let batch: Vec<_> = written.iter().map(|message| outgoing(&target, message, "app:x")).collect();
    let mut confirms = link.send(&batch).await.unwrap();
    let arrival = arrivals.recv().await.unwrap();
    assert!(timeout(Duration::from_millis(50), &mut confirms).await.is_err(), "delivered before its source settled it");
    assert!(link.held().is_some(), "the wait would count as a timeout, and everybody would be told again");
    let hops = arrival.batch[0].carrier.header("rialto-hops").and_then(|value| value.to_text().map(std::borrow::Cow::into_owned));
    assert_eq!(hops.as_deref(), Some("1"), "a circle of routes would never end");
    let no = |reason| Verdict::Rejected(Arc::new(Refusal::new(reason, "no")));
    arrival.ticket.settle(0, Verdict::Accepted);
    arrival.ticket.settle(1, no(Reason::Refused));
    arrival.ticket.settle(2, no(Reason::Unrouted));
    arrival.ticket.settle(3, Verdict::Accepted);
    let outcomes = timeout(Duration::from_secs(5), confirms).await.unwrap().unwrap();
    let delivered: Vec<_> = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Delivered(Proof::Receivers(1)))).collect();
    assert_eq!(delivered, [true, false, true, true], "{outcomes:?}");
    assert!(link.held().is_none());
}

#[tokio::test]
async fn a_source_that_went_away_answers_nobody_and_nothing_is_called_delivered() {
    let house = house();
    let target = target("app:x");
    let mut link = broker("hub://").unwrap().link(&target.link, &house).await.unwrap();
    let (arrivals, door, closer) = reading(&house, "'app:*'").await;
    closer.close();
    drop((arrivals, door));
    let written = message("{}");
    let unknown = async {
        loop {
            let outcomes = link.send(&[outgoing(&target, &written, "app:x")]).await.unwrap().await.unwrap();
            match outcomes[0] {
                Outcome::Unknown(_) => return,
                Outcome::Delivered(_) => panic!("delivered to nobody"),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(Duration::from_secs(5), unknown).await.unwrap();
}

/// Naive: what is published before the source is open goes past it, and counts as delivered.
#[tokio::test]
async fn what_is_published_before_an_announced_source_is_open_is_not_called_delivered() {
    let house = house();
    let target = target("app:x");
    let mut link = broker("hub://").unwrap().link(&target.link, &house).await.unwrap();
    origin("'app:*'").unwrap().announce(&house);
    let written = message("{}");
    let early = link.send(&[outgoing(&target, &written, "app:x")]).await.unwrap().await.unwrap();
    assert!(matches!(early[0], Outcome::Unknown(_)), "{early:?}");
    let (mut arrivals, _door, _closer) = reading(&house, "'app:*'").await;
    let again = link.send(&[outgoing(&target, &written, "app:x")]).await.unwrap();
    let arrival = arrivals.recv().await.unwrap();
    arrival.ticket.settle(0, Verdict::Accepted);
    let again = timeout(Duration::from_secs(5), again).await.unwrap().unwrap();
    assert!(matches!(again[0], Outcome::Delivered(_)), "{again:?}");
}
