//! redis-rs against the RESP door: a client that somebody else wrote.

use std::time::Duration;

use futures_util::StreamExt;
use redis::{AsyncCommands, Client, PushInfo, PushKind, Value};
use tokio::time::timeout;

use super::{Doors, tokens};
use crate::support::PATIENCE;

#[tokio::test]
async fn redis_rs_publishes_and_subscribes_in_resp2() {
    let doors = Doors::open();
    let client = Client::open(format!("redis://{}/", doors.address())).expect("a URL");
    let mut pubsub = client.get_async_pubsub().await.expect("connected");
    pubsub.psubscribe("app:*").await.expect("subscribed");
    pubsub.subscribe(&[0xff_u8, 0, b'\r', b'\n'][..]).await.expect("subscribed");
    let mut publisher = client.get_multiplexed_async_connection().await.expect("connected");
    let heard: u64 = publisher.publish("app:x", &b"\0\r\n\xff"[..]).await.expect("published");
    assert_eq!(heard, 1);
    let binary: u64 = publisher.publish(&[0xff_u8, 0, b'\r', b'\n'][..], "2").await.expect("published");
    assert_eq!(binary, 1);
    let mut messages = pubsub.on_message();
    let first = timeout(PATIENCE, messages.next()).await.expect("in time").expect("a message");
    assert_eq!((first.get_channel_name(), first.get_payload_bytes()), ("app:x", &b"\0\r\n\xff"[..]));
    let second = timeout(PATIENCE, messages.next()).await.expect("in time").expect("a message");
    assert_eq!(second.get_payload_bytes(), b"2");
    let mut pipe = redis::pipe();
    for number in 0..1000 {
        pipe.publish("nobody", number);
    }
    let counts: Vec<u64> = pipe.query_async(&mut publisher).await.expect("published");
    assert_eq!(counts, vec![0; 1000]);
}

#[tokio::test]
async fn redis_rs_gets_pushes_in_resp3_and_logs_in() {
    let (_kept, tokens) = tokens("secret app:*\n");
    let doors = Doors::with(|settings| settings.tokens = Some(tokens.clone()));
    let stranger = Client::open(format!("redis://{}/?protocol=resp3", doors.address())).expect("a URL");
    assert!(stranger.get_multiplexed_async_connection().await.is_err());
    let client = Client::open(format!("redis://:secret@{}/?protocol=resp3", doors.address())).expect("a URL");
    let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
    let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.expect("connected");
    connection.psubscribe("app:*").await.expect("subscribed");
    let refused = connection.publish::<_, _, u64>("other", "1").await.expect_err("not allowed");
    assert_eq!(refused.code(), Some("NOPERM"));
    let heard: u64 = connection.publish("app:y", "1").await.expect("published");
    assert_eq!(heard, 1);
    let message = loop {
        let push: PushInfo = timeout(Duration::from_secs(5), pushes.recv()).await.expect("in time").expect("a push");
        if push.kind == PushKind::PMessage {
            break push.data;
        }
    };
    assert_eq!(message[1..], [Value::BulkString(b"app:y".to_vec()), Value::BulkString(b"1".to_vec())]);
}
