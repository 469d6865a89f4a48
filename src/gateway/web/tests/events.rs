//! Server-Sent Events: how they stand on the wire, and the stream over a real socket.

use proptest::{collection::vec, prelude::*};

use super::{super::event, *};
use crate::live::hub::{Gap, Published, Seq};

/// What an `EventSource` makes of a stream.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Heard {
    name: String,
    data: String,
    last_id: String,
}

/// The parser of WHATWG HTML, "Interpreting an event stream", over a stream that is all there.
fn parse(stream: &[u8]) -> (Vec<Heard>, String) {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut name, mut data, mut id) = (Vec::new(), String::new(), String::new(), String::new());
    // What follows the last line end is no line yet.
    let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    for line in complete.lines() {
        if line.is_empty() {
            if !data.is_empty() {
                let data = data.strip_suffix('\n').unwrap_or(&data).to_owned();
                let name = if name.is_empty() { "message".to_owned() } else { name.clone() };
                events.push(Heard { name, data, last_id: id.clone() });
            }
            (name, data) = (String::new(), String::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data = data + value + "\n",
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            _ => {}
        }
    }
    (events, id)
}

/// What text is after a stream: every end of a line is LF, what is no UTF-8 is U+FFFD.
fn as_heard(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace("\r\n", "\n").replace('\r', "\n")
}

fn published(number: u64, name: &str, body: &[u8]) -> Published {
    let seq = Seq { epoch: EPOCH, number };
    Published { seq, channel: "c".into(), body: body.to_vec().into(), name: name.into() }
}

/// Bytes in which line ends, colons and the words of the format are frequent.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        prop_oneof![
            Just("\n"),
            Just("\r"),
            Just("\r\n"),
            Just("\n\n"),
            Just(":"),
            Just(" "),
            Just("\0"),
            Just("\u{2028}"),
            Just("\u{feff}"),
            Just("data: x"),
            Just("id: 9"),
            Just("event: e"),
            Just("retry: 1"),
            Just("{\"a\":1}"),
        ]
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_one_event_each_with_their_own_place(bodies in vec(body(), 1..8), name in "[A-Za-z.:]{0,8}") {
        let mut wire = Vec::new();
        event::retry(1, &mut wire);
        for (number, body) in (1..).zip(&bodies) {
            event::heartbeat(&mut wire);
            event::message(&published(number, &name, body), &mut wire);
        }
        let expected = if name.is_empty() || name == "open" || name == "error" || name == "gap" { "message" } else { &name };
        let (events, last) = parse(&wire);
        prop_assert_eq!(last, format!("{EPOCH}-{}", bodies.len()));
        prop_assert_eq!(events.len(), bodies.len());
        for ((number, body), heard) in (1..).zip(&bodies).zip(events) {
            let last_id = format!("{EPOCH}-{number}");
            prop_assert_eq!(heard, Heard { name: expected.to_owned(), data: as_heard(body), last_id });
        }
    }

    #[test]
    fn a_name_never_makes_a_second_event(name in "[ -~\r\n\0\u{2028}]{0,16}") {
        let mut wire = Vec::new();
        event::message(&published(1, &name, b"x"), &mut wire);
        let (events, _) = parse(&wire);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(&events[0].data, "x");
    }
}

#[test]
fn a_place_is_no_event_and_a_gap_is_one_with_the_place_behind_it() {
    let (mut wire, seq) = (Vec::new(), |number| Seq { epoch: EPOCH, number });
    event::place(seq(7), &mut wire);
    assert_eq!(parse(&wire), (Vec::new(), format!("{EPOCH}-7")));
    event::gap(Gap { from: seq(8), to: seq(9) }, &mut wire);
    let (events, last) = parse(&wire);
    assert_eq!((events[0].name.as_str(), last), ("gap", format!("{EPOCH}-9")));
    assert_eq!(events[0].data, format!(r#"{{"from":"{EPOCH}-8","to":"{EPOCH}-9"}}"#));
}

/// Reads a stream, out of its chunks, until `events` events have come.
async fn read(stream: &mut TcpStream, events: usize) -> (Vec<Heard>, String) {
    let (mut wire, mut body) = (Vec::new(), Vec::new());
    loop {
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an event in time").unwrap();
        assert_ne!(read, 0, "the stream ended: {}", String::from_utf8_lossy(&wire));
        wire.extend_from_slice(&buffer[..read]);
        while let Some(end) = wire.windows(2).position(|two| two == b"\r\n") {
            let length = usize::from_str_radix(std::str::from_utf8(&wire[..end]).unwrap(), 16).unwrap();
            if wire.len() < end + length + 4 {
                break;
            }
            body.extend_from_slice(&wire[end + 2..end + 2 + length]);
            wire.drain(..end + length + 4);
        }
        let (heard, last) = parse(&body);
        if heard.len() >= events {
            return (heard, last);
        }
    }
}

#[tokio::test]
async fn a_stream_begins_where_the_hub_stands_and_brings_what_matches_once() {
    let doors = Opening::default().open();
    doors.publish("app:x", "before");
    let (head, mut stream) = doors.ask("/subscribe?pattern=app:*&channel=app:x&pattern=other", &[]).await;
    for line in ["HTTP/1.1 200 OK", "content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(head.lines().any(|other| other == line), "no `{line}` in {head}");
    }
    assert!(!head.contains("access-control"), "{head}");
    let (none, last) = read(&mut stream, 0).await;
    assert_eq!((none.len(), last), (0, format!("{EPOCH}-1")));
    doors.publish("app:x", "one\ntwo");
    doors.publish("nobody's", "x");
    doors.hub.publish("app:y".into(), "{}".into(), "UserJoined");
    let (events, _) = read(&mut stream, 2).await;
    let said: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.data.as_str(), event.last_id.as_str())).collect();
    let places = [format!("{EPOCH}-2"), format!("{EPOCH}-4")];
    assert_eq!(said, [("message", "one\ntwo", &*places[0]), ("UserJoined", "{}", &*places[1])]);
    doors.counted(r#"rialto_gateway_clients{protocol="sse"} 1"#).await;
}

#[tokio::test]
async fn a_reconnecting_browser_gets_what_it_missed_in_order_and_hears_of_a_hole() {
    let doors = Opening::default().open();
    for (channel, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("a", "5")] {
        doors.publish(channel, body);
    }
    let since = format!("{EPOCH}-1");
    for (target, headers) in [
        ("/subscribe?pattern=b&pattern=a".to_owned(), vec![("Last-Event-ID", &*since)]),
        (format!("/subscribe?pattern=b&pattern=a&since={since}"), vec![]),
        // What the browser says is newer than the address that it was given.
        (format!("/subscribe?pattern=b&pattern=a&since={EPOCH}-4"), vec![("Last-Event-ID", &*since)]),
    ] {
        let (_, mut stream) = doors.ask(&target, &headers).await;
        let (events, _) = read(&mut stream, 4).await;
        let bodies: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(bodies, ["2", "3", "4", "5"], "{target}");
    }
    let (_, mut stream) = doors.ask("/subscribe?pattern=*", &[("Last-Event-ID", "5-5")]).await;
    let (events, _) = read(&mut stream, 6).await;
    assert_eq!((events[0].name.as_str(), events[0].last_id.clone()), ("gap", format!("{EPOCH}-0")));
}

#[tokio::test]
async fn a_request_that_asks_for_nothing_or_nonsense_is_told_so() {
    let doors = Opening::default().open();
    for target in ["/subscribe", "/subscribe?pattern=*&since=x", "/subscribe?patern=*", "/subscribe?pattern=*&since=1-2-3"] {
        assert_eq!(doors.status(target, &[]).await, 400, "{target}");
    }
    assert_eq!(doors.status("/subscribe?pattern=*", &[("Last-Event-ID", "nonsense")]).await, 400);
    let long = "/subscribe?pattern=".to_owned() + &"x".repeat(5_000);
    assert_eq!(doors.status(&long, &[]).await, 400);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_counted_and_one_whose_doors_close_ends() {
    let doors = Opening { buffer: 64 << 10, ..Opening::default() }.open();
    let (_, stuck) = doors.ask("/subscribe?pattern=*", &[]).await;
    let (_, mut quick) = doors.ask("/subscribe?pattern=other", &[]).await;
    let body = "x".repeat(64 << 10);
    for _ in 0..400 {
        doors.publish("c", &body);
        tokio::task::yield_now().await;
    }
    // The listener gives up a connection that takes nothing; here the client itself goes.
    drop(stuck);
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="sse",reason="slow"} 1"#).await;
    doors.publish("other", "last");
    doors.closing.cancel();
    assert_eq!(read(&mut quick, 1).await.0[0].data, "last");
    doors.counted(r#"rialto_gateway_clients{protocol="sse"} 0"#).await;
}
