//! What goes out over HTTPS and is read over AMQP, through the stand-in, which has both faces over one store.

use rialto::{
    broker::{Outgoing, service_bus::KIND},
    envelope::HeaderValue,
    outcome::Outcome,
};
use serde_json::json;

use super::stand_in::StandIn;
use crate::support::{self, Running, accept, house};

/// Bodies that no JSON text can carry, one that looks as if it had been encoded, and one that is text.
const BODIES: [&[u8]; 5] = [&[0xff, 0x00, 0xfe], "{\"a\":\"ä\"}".as_bytes(), &[0xc3, 0x28], b"aGVsbG8=", b""];

#[tokio::test]
async fn a_body_arrives_as_the_bytes_that_it_was() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = support::broker(&KIND, &stand_in.settings_over_https());
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let message = support::message("{}");
    // What another hop had to say of its own encoding is not said of ours.
    let headers = [("rialto-encoding", "base64"), ("tenant", "blau")];
    let batch: Vec<_> =
        BODIES.iter().map(|body| Outgoing { body, headers: &headers, ..support::outgoing(&target, &message, &queue) }).collect();
    let outcomes = support::send(&mut *link, &batch).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))), "{outcomes:?}");

    let mut running = Running::open(&*support::origin(&*broker, &queue), 100).await;
    let arrivals = running.collect(BODIES.len()).await;
    let read: Vec<_> = arrivals.iter().flat_map(|arrival| &arrival.batch).collect();
    assert_eq!(read.iter().map(|message| &*message.body).collect::<Vec<_>>(), BODIES);
    for message in read {
        assert_eq!(message.carrier.refused(), None);
        assert!(message.carrier.header("rialto-encoding").is_none(), "the bytes are themselves again");
        assert_eq!(message.carrier.header("tenant").and_then(HeaderValue::to_text).as_deref(), Some("blau"));
    }
    arrivals.iter().for_each(accept);
    running.close().await.expect("an orderly end");
}

#[tokio::test]
async fn a_body_that_claims_an_encoding_that_it_has_not_is_refused_as_it_came() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let says = |encoding: &str| json!({ "rialto-encoding": encoding });
    let messages = json!([
        { "Body": "{\"no\":\"base64\"}", "UserProperties": says("base64") },
        { "Body": "aGVsbG8=", "UserProperties": says("another") },
    ]);
    stand_in.put_messages(&queue, messages).await;
    let broker = support::broker(&KIND, &stand_in.settings());
    let mut running = Running::open(&*support::origin(&*broker, &queue), 100).await;
    let arrivals = running.collect(2).await;
    let read: Vec<_> = arrivals.iter().flat_map(|arrival| &arrival.batch).collect();
    let why = read[0].carrier.refused().expect("a reason");
    assert!(why.contains("rialto-encoding") && why.contains("base64"), "{why}");
    assert_eq!(&*read[0].body, b"{\"no\":\"base64\"}");
    assert!(read[0].carrier.header("rialto-encoding").is_some(), "its dead letter says what it said");
    assert_eq!((read[1].carrier.refused(), &*read[1].body), (None, &b"aGVsbG8="[..]), "only what we know is undone");
    arrivals.iter().for_each(accept);
    running.close().await.expect("an orderly end");
}
