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
    assert_eq!(answer, format!(r#"{{"op":"ok","id":2,"seq":"{EPOCH}-1","receivers":1}}"#));
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
async fn a_publish_that_a_source_will_not_have_is_an_error_and_nobody_hears_it() {
    let doors = Opening::default().open();
    let _source = source(&doors, |body| match body {
        b"1" => Verdict::Rejected(Arc::new(Refusal::new(Reason::Schema, "a number is no event"))),
        _ => Verdict::Accepted,
    });
    let mut client = doors.socket().await;
    client.ask(r#"{"op":"subscribe","patterns":["*"]}"#).await;
    let refused = client.ask(r#"{"op":"publish","id":1,"channel":"in:x","message":1}"#).await;
    assert_eq!(refused, r#"{"op":"error","id":1,"code":"rejected","message":"schema: a number is no event"}"#);
    // Nothing was heard of the first before the second.
    client.say(r#"{"op":"publish","id":2,"channel":"in:x","message":{}}"#).await;
    let mut both = [client.hear_text().await, client.hear_text().await];
    both.sort();
    assert!(both[0].starts_with(r#"{"op":"message""#) && both[0].ends_with(r#""message":{}}"#), "{both:?}");
    assert!(both[1].starts_with(r#"{"op":"ok","id":2,"#), "{both:?}");
}

#[tokio::test]
async fn a_publish_without_a_verdict_in_time_may_still_be_delivered_and_says_so() {
    let doors = Opening { pace: Pace { verdict: Duration::from_millis(50), ..Pace::default() }, ..Opening::default() }.open();
    let (caller, _calls) = calls(1);
    let _reading = doors.hub.read(Topic::Pattern("in:*".into()), caller);
    let mut client = doors.socket().await;
    let answer = client.ask(r#"{"op":"publish","id":1,"channel":"in:x","message":1}"#).await;
    assert!(answer.starts_with(r#"{"op":"error","id":1,"code":"timeout""#), "{answer}");
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
