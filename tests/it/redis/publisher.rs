//! Publishing: one outcome a message, in the order of `send`, whatever Redis answers.

use std::collections::BTreeMap;

use redis::Value;
use rialto::outcome::{Outcome, Proof, Reason, Refusal};

use super::{Server, broker, house, message, outgoing, send, target};

#[tokio::test]
async fn a_channels_message_arrives_byte_for_byte_and_is_counted_by_its_receivers() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "app:{message_type}:{message_id}");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let body = "{\"n\":1e400,\"text\":\"\u{2028}ü\"}";
    let message = message(body);

    let unheard = send(&mut *publisher, &[outgoing(&target, &message, "app:a:1", body)]).await;
    assert_eq!(unheard, [Outcome::Delivered(Proof::Receivers(0))]);

    let mut listener = server.control();
    let mut listener = listener.as_pubsub();
    listener.psubscribe("app:*").expect("a subscription");
    let heard = send(&mut *publisher, &[outgoing(&target, &message, "app:a:2", body)]).await;
    assert_eq!(heard, [Outcome::Delivered(Proof::Receivers(1))]);
    let arrived = listener.get_message().expect("a message");
    assert_eq!(arrived.get_channel_name(), "app:a:2");
    assert_eq!(arrived.get_payload_bytes(), body.as_bytes());
}

#[tokio::test]
async fn a_streams_entry_has_the_fields_of_the_wire_page() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: orders, maxlen: 1000 }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let body = r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"7","payload":{}}"#;
    let message = message(body);
    let mut out = outgoing(&target, &message, "orders", body);
    out.key = "customer-1";
    out.headers = &[("traceparent", "00-1"), ("message_id", "ignored: the field is the message's own")];
    assert_eq!(send(&mut *publisher, &[out]).await, [Outcome::Delivered(Proof::Confirmed)]);

    let entries: Vec<(String, BTreeMap<String, String>)> = server.run(&["XRANGE", "orders", "-", "+"]);
    let expected = [
        ("body", body),
        ("message_id", "7"),
        ("message_name", "Paid"),
        ("message_type", "ecst_event"),
        ("key", "customer-1"),
        ("traceparent", "00-1"),
    ];
    let expected: BTreeMap<String, String> = expected.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    assert_eq!(entries[0].1, expected);
}

#[tokio::test]
async fn a_channel_and_a_stream_are_both_written() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ channel: told, stream: kept }");
    assert_eq!(target.fields[0].name, "stream");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let mut out = outgoing(&target, &message, "told", "{}");
    out.fields = &[Some("kept")];
    assert_eq!(send(&mut *publisher, &[out]).await, [Outcome::Delivered(Proof::Receivers(0))]);
    assert_eq!(server.run::<u64>(&["XLEN", "kept"]), 1);

    let _: () = server.run(&["SET", "wrong", "type"]);
    out.fields = &[Some("wrong")];
    let outcomes = send(&mut *publisher, &[out]).await;
    assert!(matches!(&outcomes[0], Outcome::Refused(refusal) if refusal.detail.starts_with("WRONGTYPE")), "{outcomes:?}");
}

/// The naive way, one error for a pipeline, would refuse or repeat the neighbours of a bad message.
#[tokio::test]
async fn a_partly_failed_pipeline_has_an_outcome_for_each_message() {
    let server = Server::start(&[]);
    let _: () = server.run(&["SET", "wrong", "type"]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: '{payload.s}' }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let batch: Vec<_> = ["a", "wrong", "b"].iter().map(|key| outgoing(&target, &message, key, "{}")).collect();
    let outcomes = send(&mut *publisher, &batch).await;
    assert_eq!(outcomes[0], Outcome::Delivered(Proof::Confirmed));
    assert!(matches!(&outcomes[1], Outcome::Refused(Refusal { reason: Reason::Refused, .. })), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Delivered(Proof::Confirmed));
    assert_eq!(server.run::<u64>(&["XLEN", "a"]), 1);
    assert_eq!(server.run::<u64>(&["XLEN", "b"]), 1);
}

/// Awaiting the answers backwards, as the naive way would send them, inverts the order: a future of the crate sends when it is first
/// polled.
#[tokio::test]
async fn the_order_on_the_wire_is_the_order_of_send() {
    const BATCHES: usize = 400;
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: ordered }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let bodies: Vec<String> = (0..BATCHES * 4).map(|number| number.to_string()).collect();
    for window in bodies.chunks(4 * 8) {
        let mut answers = Vec::new();
        for batch in window.chunks(4) {
            let batch: Vec<_> = batch.iter().map(|body| outgoing(&target, &message, "ordered", body)).collect();
            answers.push(publisher.send(&batch).await.expect("a live link"));
        }
        for answer in answers.into_iter().rev() {
            assert_eq!(answer.await.expect("answers").len(), 4);
        }
    }
    let entries: Vec<(String, BTreeMap<String, String>)> = server.run(&["XRANGE", "ordered", "-", "+"]);
    let arrived: Vec<&String> = entries.iter().map(|(_, fields)| &fields["body"]).collect();
    assert_eq!(arrived, bodies.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_without_memory_throttles_and_takes_again() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: s }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let _: () = server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let outcomes = send(&mut *publisher, &[outgoing(&target, &message, "s", "{}")]).await;
    assert!(matches!(&outcomes[0], Outcome::Throttled { detail, .. } if detail.starts_with("OOM")), "{outcomes:?}");
    let _: () = server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "s", "{}")]).await, [Outcome::Delivered(Proof::Confirmed)]);
}

#[tokio::test]
async fn a_lost_connection_ends_the_link_and_leaves_the_batch_unknown() {
    let mut server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "c");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let _: Value = server.run(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let message = message("{}");
    let stream = self::target(&*broker, "{ stream: s }");
    let waiting = publisher.send(&[outgoing(&stream, &message, "s", "{}")]).await.expect("a live link");
    server.kill();
    let down = waiting.await.expect_err("nobody can say whether it arrived");
    assert_eq!(down.reason, Reason::Link, "{down}");
    publisher.send(&[outgoing(&target, &message, "c", "{}")]).await.err().expect("the link stays down");
    let error = broker.link(&target.link, &house()).await.err().expect("nobody listens");
    assert_eq!(error.reason, Reason::Link, "{error}");

    server.start_again();
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let outcomes = send(&mut *publisher, &[outgoing(&target, &message, "c", "{}")]).await;
    assert_eq!(outcomes, [Outcome::Delivered(Proof::Receivers(0))]);
}
