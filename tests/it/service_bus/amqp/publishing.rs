//! Publishing with `transport: amqp`.

use rialto::{
    broker::{Outgoing, Target},
    outcome::{Outcome, Proof, Reason},
};
use serde_json::json;

use super::{broker, numbers};
use crate::{
    service_bus::stand_in::{StandIn, Stored, unique},
    support::{self, house, message, outgoing, send},
};

fn delivered(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Delivered(Proof::Confirmed))
}

#[tokio::test]
async fn a_batch_is_one_transfer_and_keeps_its_order() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages: Vec<_> = numbers(500).into_iter().map(message).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &queue)).collect();
    let before = transfers(&stand_in).await;
    assert!(delivered(&send(&mut *link, &batch).await));
    let spent = transfers(&stand_in).await - before;
    let stored = stand_in.take(&queue).await;
    assert_eq!(stored.iter().map(Stored::body).collect::<Vec<_>>(), numbers(500));
    // Other tests transfer beside this one, but not hundreds of messages of this queue.
    assert!(spent < 400, "{spent} transfers for a batch of 500");
}

async fn transfers(stand_in: &StandIn) -> u64 {
    stand_in.get("").await["counters"]["amqp"]["transfers"].as_u64().expect("a number")
}

#[tokio::test]
async fn properties_travel_as_service_bus_has_them() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let text = r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"id-7","payload":{"n":1}}"#;
    let written = message(text);
    let headers = [("tenant", "blau"), ("traceparent", "00-1-2-01")];
    let out = Outgoing { headers: &headers, key: "k-1", content_type: "application/json", ..outgoing(&target, &written, &queue) };
    assert!(delivered(&send(&mut *link, &[out]).await));
    let stored = stand_in.take(&queue).await;
    let stored = &stored[0];
    assert_eq!(stored.body(), text);
    for (name, value) in
        [("message_id", "id-7"), ("subject", "Paid"), ("content_type", "application/json"), ("partition_key", "k-1")]
    {
        assert_eq!(stored.text(name), Some(value), "{name}: {stored:?}");
    }
    let properties = &stored.0["application_properties"];
    for (name, value) in
        [("tenant", "blau"), ("traceparent", "00-1-2-01"), ("Diagnostic-Id", "00-1-2-01"), ("message_type", "ecst_event")]
    {
        assert_eq!(properties[name], value, "{properties}");
    }
}

#[tokio::test]
async fn sessions_and_times_are_the_destinations() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true })).await;
    let broker = broker(&stand_in);
    let yaml = format!("{{ queue: {queue}, session_id: '{{payload.customer}}', scheduled_at: '{{payload.at}}' }}");
    let target = support::target(&*broker, &yaml);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let written = message("{}");
    let far = "2096-01-02T03:04:05Z";
    let one = |session, at| [Some(session), at];
    let fields = [one("s-1", None), one("s-1", None), one("s-2", None), one("s-2", Some(far))];
    let batch: Vec<_> = fields.iter().map(|fields| Outgoing { fields, ..outgoing(&target, &written, &queue) }).collect();
    assert!(delivered(&send(&mut *link, &batch).await));
    let stored = stand_in.messages(&queue).await;
    let sessions: Vec<_> = stored.iter().map(|message| message.text("session_id").unwrap_or_default()).collect();
    assert_eq!(sessions, ["s-1", "s-1", "s-2", "s-2"]);
    assert_eq!(stored[3].text("state"), Some("scheduled"), "{stored:?}");
    assert_eq!(stored[3].0["scheduled_at"], 3_976_311_845_000_u64);
    assert!(stored[..3].iter().all(|message| message.text("state") != Some("scheduled")));
}

#[tokio::test]
async fn a_missing_queue_refuses_its_own_messages_alone() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, "queue: '{payload.event_id}'");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let written = message("{}");
    let to = |address| outgoing(&target, &written, address);
    let outcomes = send(&mut *link, &[to(&*queue), to("no-such-queue"), to(&*queue)]).await;
    assert!(matches!(&outcomes[1], Outcome::Refused(refusal) if refusal.reason == Reason::Unroutable), "{outcomes:?}");
    assert!(delivered(&[outcomes[0].clone(), outcomes[2].clone()]), "{outcomes:?}");
    assert_eq!(stand_in.waiting(&queue).await, 2);
}

#[tokio::test]
async fn what_is_too_large_is_refused_alone() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "max_message_bytes": 65_536 })).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let large = format!("\"{}\"", "x".repeat(100_000));
    let messages: Vec<_> = ["1", &large, "3"].into_iter().map(|body| message(body.to_owned())).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &queue)).collect();
    let outcomes = send(&mut *link, &batch).await;
    assert!(matches!(&outcomes[1], Outcome::Refused(refusal) if refusal.reason == Reason::TooLarge), "{outcomes:?}");
    assert!(delivered(&[outcomes[0].clone(), outcomes[2].clone()]), "{outcomes:?}");
    assert_eq!(stand_in.take(&queue).await.iter().map(Stored::body).collect::<Vec<_>>(), ["1", "3"]);
}

#[tokio::test]
async fn a_refused_batch_blames_nobody_until_messages_travel_alone() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let messages: Vec<_> = numbers(3).into_iter().map(message).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &queue)).collect();
    // The second is in nobody's table: tried for ever, it would stand in the way of its key.
    for (condition, reason) in [("com.microsoft:argument-error", Reason::Final), ("amqp:internal-error", Reason::Refused)] {
        let mut link = broker.link(&target.link, &house()).await.expect("a link");
        let refuse = || json!({ "kind": "error", "count": 1, "entity": queue, "face": "amqp", "condition": condition });
        stand_in.post("faults", refuse()).await;
        let outcomes = send(&mut *link, &batch).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Unknown(reason)), "{outcomes:?}");
        stand_in.post("faults", refuse()).await;
        let outcomes = send(&mut *link, &batch).await;
        assert!(matches!(&outcomes[0], Outcome::Refused(refusal) if refusal.reason == reason), "{outcomes:?}");
        assert!(delivered(&outcomes[1..]), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_for_its_queue_is_refused_whole() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages: Vec<_> = numbers(10).into_iter().map(message).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &queue)).collect();
    for (condition, reason) in [
        ("com.microsoft:entity-disabled", Reason::Forbidden),
        ("amqp:not-found", Reason::Unroutable),
        ("amqp:unauthorized-access", Reason::Unauthenticated),
    ] {
        let refuse = json!({ "kind": "error", "count": 1, "entity": queue, "face": "amqp", "condition": condition });
        stand_in.post("faults", refuse).await;
        let outcomes = send(&mut *link, &batch).await;
        let so = |outcome: &Outcome| matches!(outcome, Outcome::Refused(refusal) if refusal.reason == reason);
        assert!(outcomes.iter().all(so), "{outcomes:?}");
    }
    assert!(delivered(&send(&mut *link, &batch).await));
}

/// Naive: the first batch cannot be written, and the next one, which was handed over behind it, can.
#[tokio::test]
async fn what_could_not_be_written_is_not_overtaken() {
    let stand_in = StandIn::find().await;
    let (queue, other) = (stand_in.entity(json!({})).await, stand_in.entity(json!({})).await);
    let busy = json!({ "kind": "refuse_attach", "count": 1, "entity": queue, "condition": "com.microsoft:server-busy" });
    stand_in.post("faults", busy).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, "queue: '{payload.event_id}'");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages = ["1", "2", "3"].map(message);
    let mut confirms = Vec::new();
    for (message, address) in messages.iter().zip([&queue, &queue, &other]) {
        confirms.push(link.send(&[outgoing(&target, message, address)]).await.expect("a live link"));
    }
    let outcomes: Vec<_> = futures_util::future::try_join_all(confirms).await.expect("a live link").concat();
    assert!(outcomes[..2].iter().all(|outcome| matches!(outcome, Outcome::Throttled { .. })), "{outcomes:?}");
    assert!(delivered(&outcomes[2..]), "another queue goes on: {outcomes:?}");
    for message in &messages[..2] {
        assert!(delivered(&send(&mut *link, &[outgoing(&target, message, &queue)]).await));
    }
    assert_eq!(stand_in.take(&queue).await.iter().map(Stored::body).collect::<Vec<_>>(), ["1", "2"]);
}

/// Naive: the token of every name that a template ever made is put again, for ever, and one that is refused ends the link.
#[tokio::test]
async fn a_name_without_a_queue_is_forgotten() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, "queue: '{payload.event_id}'");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let (written, missing) = (message("{}"), unique("missing"));
    let outcomes = send(&mut *link, &[outgoing(&target, &written, &missing)]).await;
    assert!(matches!(&outcomes[0], Outcome::Refused(refusal) if refusal.reason == Reason::Unroutable), "{outcomes:?}");
    stand_in.post("faults", json!({ "kind": "refuse_auth", "count": 1, "entity": missing, "face": "amqp" })).await;
    link.ping().await.expect("nobody asks for a token of it");
    assert!(delivered(&send(&mut *link, &[outgoing(&target, &written, &queue)]).await));
}

#[tokio::test]
async fn a_topic_is_published_to_like_a_queue() {
    let stand_in = StandIn::find().await;
    let topic = stand_in.entity(json!({ "subscriptions": { "a": {}, "b": {} } })).await;
    let broker = broker(&stand_in);
    let target: Target = support::target(&*broker, &format!("topic: {topic}"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let written = message("{}");
    assert!(delivered(&send(&mut *link, &[outgoing(&target, &written, &topic)]).await));
    for subscription in ["a", "b"] {
        assert_eq!(stand_in.waiting(&format!("{topic}/Subscriptions/{subscription}")).await, 1);
    }
}
