//! WebSocket.

use super::*;
use crate::{
    intake::{Door, calls},
    live::hub::Topic,
    outcome::{Reason, Refusal, Verdict},
};

#[tokio::test]
async fn a_subscriber_hears_what_is_published_as_it_was_published() {
    let doors = Opening::default().open();
    let mut client = doors.socket().await;
    let ok = client.ask(r#"{"op":"subscribe","id":1,"patterns":["app:*"]}"#).await;
    assert_eq!(ok, format!(r#"{{"op":"ok","id":1,"seq":"{EPOCH}-0"}}"#));
    doors.publish("other", "1");
    let body = r#"{"b": 12345678901234567890.10, "b":2}"#;
    let seq = doors.publish("app:x", body);
    let expected = format!(r#"{{"op":"message","seq":"{seq}","pattern":"app:*","channel":"app:x","message":{body}}}"#);
    assert_eq!(client.hear_text().await, expected);
    doors.counted(r#"rialto_gateway_clients{protocol="websocket"} 1"#).await;
    drop(client);
    doors.counted(r#"rialto_gateway_clients{protocol="websocket"} 0"#).await;
}

#[tokio::test]
async fn what_is_no_json_is_a_string_and_what_is_no_text_is_base64() {
    let doors = Opening::default().open();
    let mut client = doors.socket().await;
    client.ask(r#"{"op":"subscribe","channels":["c"]}"#).await;
    doors.publish("c", "no \"json\"\n");
    assert!(client.hear_text().await.ends_with(r#","channel":"c","message":"no \"json\"\n"}"#));
    doors.publish("c", "[1, 2");
    assert!(client.hear_text().await.ends_with(r#","message":"[1, 2"}"#));
    doors.hub.publish("c".into(), bytes::Bytes::from_static(&[0xff, 0]), "");
    assert!(client.hear_text().await.ends_with(r#","encoding":"base64","message":"/wA="}"#));
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_in_order_and_hears_of_a_hole() {
    let doors = Opening::default().open();
    for (channel, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5")] {
        doors.publish(channel, body);
    }
    let mut client = doors.socket().await;
    client.ask(&format!(r#"{{"op":"subscribe","patterns":["b"],"channels":["a"],"since":"{EPOCH}-1"}}"#)).await;
    for body in ["2", "3", "5"] {
        assert!(client.hear_text().await.ends_with(&format!(r#""message":{body}}}"#)));
    }
    let mut stranger = doors.socket().await;
    stranger.ask(r#"{"op":"subscribe","patterns":["*"],"since":"7-9"}"#).await;
    assert_eq!(stranger.hear_text().await, format!(r#"{{"op":"gap","from":"7-9","to":"{EPOCH}-0"}}"#));
    assert!(stranger.hear_text().await.contains(&format!(r#""seq":"{EPOCH}-1""#)));
}

#[tokio::test]
async fn unsubscribed_is_silence() {
    let doors = Opening::default().open();
    let mut client = doors.socket().await;
    client.ask(r#"{"op":"subscribe","patterns":["a","b"],"channels":["c"]}"#).await;
    client.ask(r#"{"op":"unsubscribe","patterns":["a"]}"#).await;
    doors.publish("a", "1");
    doors.publish("b", "2");
    assert!(client.hear_text().await.contains(r#""channel":"b""#));
    client.ask(r#"{"op":"unsubscribe"}"#).await;
    doors.publish("c", "3");
    assert_eq!(client.ask(r#"{"op":"ping","id":"x"}"#).await, r#"{"op":"ok","id":"x"}"#);
}

#[tokio::test]
async fn a_publish_is_heard_and_counted() {
    let doors = Opening::default().open();
    let (mut one, mut two) = (doors.socket().await, doors.socket().await);
    one.ask(r#"{"op":"subscribe","patterns":["in:*"]}"#).await;
    let answer = two.ask(r#"{"op":"publish","id":2,"channel":"in:x","message":{"a" : 1}}"#).await;
    assert_eq!(answer, r#"{"op":"ok","id":2,"receivers":1}"#);
    assert!(one.hear_text().await.ends_with(r#""channel":"in:x","message":{"a" : 1}}"#));
}

/// A source that reads `in:*` and answers each message with what `verdict` makes of its body.
fn source(doors: &Doors, verdict: fn(&[u8]) -> Verdict) -> impl Sized {
    let (door, mut arrivals) = Door::new(100, 1 << 20, false, doors.metrics.source("in"));
    let (intake, closer) = door.intake();
    let (caller, calls) = calls(16);
    let reading = doors.hub.read(Topic::Pattern("in:*".into()), caller);
    tokio::spawn(async move { calls.serve(&intake).await });
    tokio::spawn(async move {
        while let Some(arrival) = arrivals.recv().await {
            for (at, message) in (0..).zip(&arrival.batch) {
                arrival.ticket.settle(at, verdict(&message.body));
            }
        }
    });
    (reading, door, closer)
}

#[tokio::test]
async fn a_publish_is_answered_with_what_the_sources_made_of_it() {
    let doors = Opening::default().open();
    let _source = source(&doors, |body| match body {
        b"1" => Verdict::Rejected(Arc::new(Refusal::new(Reason::Schema, "a number is no event"))),
        _ => Verdict::Accepted,
    });
    let mut client = doors.socket().await;
    let refused = client.ask(r#"{"op":"publish","id":1,"channel":"in:x","message":1}"#).await;
    let why = "the bridge refused it: schema: a number is no event";
    assert_eq!(refused, format!(r#"{{"op":"error","id":1,"code":"rejected","message":"{why}"}}"#));
    for number in 2..200 {
        client.say(&format!(r#"{{"op":"publish","id":{number},"channel":"in:x","message":{{}}}}"#)).await;
    }
    for number in 2..200 {
        assert_eq!(client.hear_text().await, format!(r#"{{"op":"ok","id":{number},"receivers":1}}"#));
    }
}

#[tokio::test]
async fn a_publish_that_nobody_can_answer_says_that_it_may_have_been_taken() {
    let doors = Opening::default().open();
    let (caller, calls) = calls(1);
    let _reading = doors.hub.read(Topic::Pattern("in:*".into()), caller);
    drop(calls);
    let mut client = doors.socket().await;
    let answer = client.ask(r#"{"op":"publish","id":1,"channel":"in:x","message":1}"#).await;
    assert!(answer.starts_with(r#"{"op":"error","id":1,"code":"unanswered""#), "{answer}");
}

#[tokio::test]
async fn who_was_far_behind_comes_back_with_a_buffer_smaller_than_what_it_missed() {
    let doors = Opening { buffer: 10 << 10, ..Opening::default() }.open();
    let body = "x".repeat(1 << 10);
    for _ in 0..500 {
        doors.publish("c", &body);
    }
    let mut client = doors.socket().await;
    client.ask(&format!(r#"{{"op":"subscribe","patterns":["*"],"since":"{EPOCH}-0"}}"#)).await;
    for number in 1..=500 {
        assert!(client.hear_text().await.contains(&format!("\"{EPOCH}-{number}\"")));
    }
}

#[tokio::test]
async fn doors_that_close_say_so_after_what_was_published() {
    let doors = Opening::default().open();
    let mut client = doors.socket().await;
    client.ask(r#"{"op":"subscribe","patterns":["*"]}"#).await;
    doors.publish("c", "1");
    doors.closing.cancel();
    assert!(client.hear_text().await.ends_with(r#""message":1}"#));
    assert!(matches!(client.hear().await, Message::Close(Some(close)) if u16::from(close.code) == 1001));
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_sent_away_and_who_does_stays() {
    let doors = Opening { pace: Pace { ping: Duration::from_millis(100), ..Pace::default() }, ..Opening::default() }.open();
    let mut lively = doors.socket().await;
    // Its library answers pings only while somebody listens.
    let mut silent = doors.socket().await;
    tokio::spawn(async move {
        loop {
            lively.hear().await;
        }
    });
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="websocket",reason="idle"} 1"#).await;
    assert!(matches!(silent.hear().await, Message::Close(Some(close)) if u16::from(close.code) == 1008));
    tokio::time::sleep(Duration::from_millis(400)).await;
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="websocket",reason="idle"} 1"#).await;
    doors.counted(r#"rialto_gateway_clients{protocol="websocket"} 1"#).await;
}
