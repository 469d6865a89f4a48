//! Those who do not keep to the protocol.

use super::*;

const TEXT: u8 = 0x81;
const TEXT_PART: u8 = 0x01;
const MORE: u8 = 0x00;
const MASKED: u8 = 0x80;

/// A client's frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(MASKED | length as u8),
        length @ 126..65536 => {
            frame.push(MASKED | 0x7e);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 0x7f);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Reads what the server says last; answers the close code.
async fn close_code(stream: &mut TcpStream) -> Option<u16> {
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("an end in time");
    let at = said.windows(2).position(|two| two[0] == 0x88 && two[1] >= 2)?;
    Some(u16::from_be_bytes([said[at + 2], said[at + 3]]))
}

async fn dropped_for(bytes: Vec<u8>) -> Option<u16> {
    let doors = Opening::default().open();
    let (_, mut stream) = doors.shake(&[]).await;
    // The server may hang up before it has read all.
    let _ = stream.write_all(&bytes).await;
    let code = close_code(&mut stream).await;
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="websocket",reason="protocol"} 1"#).await;
    code
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_by_its_length() {
    let mut announced = vec![TEXT, MASKED | 0x7f];
    announced.extend_from_slice(&u64::to_be_bytes(1 << 40));
    announced.extend_from_slice(&[0; 4]);
    assert_eq!(dropped_for(announced).await, Some(1009));
}

#[tokio::test]
async fn who_is_still_sending_hears_the_code() {
    let doors = Opening::default().open();
    let (_, mut stream) = doors.shake(&[]).await;
    stream.write_all(&frame(TEXT, &vec![b'x'; 16 << 20])).await.expect("the connection is not reset");
    assert_eq!(close_code(&mut stream).await, Some(1009));
}

#[tokio::test]
async fn many_small_fragments_do_not_make_a_large_message() {
    let mut fragments = frame(TEXT_PART, &[b'x'; 1024]);
    for _ in 0..1024 {
        fragments.extend(frame(MORE, &[b'x'; 1024]));
    }
    assert_eq!(dropped_for(fragments).await, Some(1009));
}

#[tokio::test]
async fn a_message_in_ever_more_empty_fragments_is_not_waited_for() {
    let doors = Opening { pace: Pace { ping: Duration::from_millis(200), ..Pace::default() }, ..Opening::default() }.open();
    let (_, stream) = doors.shake(&[]).await;
    let (mut reader, mut writer) = stream.into_split();
    let bomb = tokio::spawn(async move {
        let _ = writer.write_all(&frame(TEXT_PART, b"{")).await;
        let empty = frame(MORE, b"").repeat(500);
        while writer.write_all(&empty).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, reader.read_to_end(&mut said)).await.expect("it ends");
    bomb.abort();
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="websocket",reason="idle"} 1"#).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_an_unmasked_frame_and_a_reserved_bit_end_the_conversation() {
    assert_eq!(dropped_for(frame(TEXT, &[0xff, 0xfe])).await, Some(1007));
    assert_eq!(dropped_for(vec![TEXT, 2, b'{', b'}']).await, Some(1002));
    assert_eq!(dropped_for(frame(TEXT | 0x40, b"{}")).await, Some(1002));
    assert_eq!(dropped_for(frame(MORE, b"{}")).await, Some(1002), "a part of nothing");
    assert_eq!(dropped_for(frame(0x83, b"{}")).await, Some(1002), "an opcode that does not exist");
    assert_eq!(dropped_for(frame(0x89, &[0; 126])).await, Some(1002), "a ping that is too long");
}

#[tokio::test]
async fn junk_is_answered_with_an_error_that_says_what_is_wrong() {
    let doors = Opening::default().open();
    let mut client = doors.socket().await;
    for (junk, says) in [
        ("", "not a request"),
        ("[]", "not a request"),
        ("{", "not a request"),
        (r#"{"op":"subscribe"}"#, "`patterns` or `channels`"),
        (r#"{"op":"subscribe","id":1,"pattern":["x"]}"#, "unknown field `pattern`"),
        (r#"{"op":"subscribe","patterns":"x"}"#, "expected a sequence"),
        (r#"{"op":"subscribe","patterns":["x"],"since":"yesterday"}"#, "EPOCH-SEQ"),
        (r#"{"op":"shout"}"#, "unknown variant `shout`"),
        (r#"{"op":"publish","message":1}"#, "`channel` is missing"),
        (r#"{"op":"publish","channel":"x"}"#, "`message` is missing"),
        (r#"{"op":"ping","since":"1-1"}"#, "`since` has no meaning in this op"),
        (r#"{"op":"ping","id":{"a":[]}}"#, "`id` is a number or a string"),
        (r#"{"op":"ping","op":"ping"}"#, "duplicate field `op`"),
    ] {
        let answer = client.ask(junk).await;
        assert!(answer.starts_with(r#"{"op":"error","#) && answer.contains(r#""code":"bad_request""#), "{junk}: {answer}");
        assert!(answer.contains(says), "{junk}: {answer}");
    }
    let names: Vec<_> = (0..=10_000).map(|number| format!("\"{number}\"")).collect();
    let many = format!(r#"{{"op":"subscribe","id":7,"patterns":[{}]}}"#, names.join(","));
    assert!(client.ask(&many).await.contains(r#""id":7,"code":"too_many""#));
    assert_eq!(doors.hub.subscriptions(), 0, "all of them or none");
    assert_eq!(client.ask(r#"{"op":"ping"}"#).await, r#"{"op":"ok"}"#, "it is still served");
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused() {
    let doors = Opening::default().open();
    let without = |name: &str| UPGRADE.iter().copied().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    assert_eq!(doors.status("/ws", &without("Sec-WebSocket-Key")).await, 400);
    assert_eq!(doors.status("/ws", &without("Sec-WebSocket-Version")).await, 400);
    assert_eq!(doors.status("/ws", &without("Connection")).await, 400);
    assert_eq!(doors.status("/ws", &[]).await, 426);
    let with = |name: &str, value: &'static str| {
        let mut headers = without(name);
        let name = UPGRADE.iter().find(|(other, _)| *other == name).unwrap().0;
        headers.push((name, value));
        headers
    };
    assert_eq!(doors.status("/ws", &with("Sec-WebSocket-Version", "8")).await, 426);
    assert_eq!(doors.status("/ws", &with("Sec-WebSocket-Key", "short")).await, 400);
}

#[tokio::test]
async fn clients_that_never_read_are_sent_away_and_others_hear_everything() {
    let pace = Pace { stall: Duration::from_millis(300), farewell: Duration::from_millis(50), ..Pace::default() };
    let doors = Opening { buffer: 64 << 10, pace, ..Opening::default() }.open();
    let mut quick = doors.socket().await;
    quick.ask(r#"{"op":"subscribe","patterns":["*"]}"#).await;
    let mut stuck = Vec::new();
    for _ in 0..10 {
        let mut client = doors.socket().await;
        client.ask(r#"{"op":"subscribe","patterns":["*"]}"#).await;
        stuck.push(client);
    }
    let body = "x".repeat(8 << 10);
    for number in 1..=3000_u64 {
        doors.publish("c", &body);
        let heard = quick.hear_text().await;
        assert!(heard.contains(&format!("\"{EPOCH}-{number}\"")), "{number}");
    }
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="websocket",reason="slow"} 10"#).await;
    doors.counted(r#"rialto_gateway_clients{protocol="websocket"} 1"#).await;
}
