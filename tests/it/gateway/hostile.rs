//! Clients that mean no good, and those that are only slow: memory stays bounded, and the others notice nothing.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout},
};

use super::Doors;
use crate::{conformance::eventually, support::PATIENCE};

#[tokio::test]
async fn bombs_are_refused_by_what_they_announce() {
    let doors = Doors::open();
    let nested = "*1\r\n".repeat(100_000);
    for (bytes, words) in [
        (nested.as_str(), "-ERR Protocol error: expected '$', got '*'\r\n"),
        ("*2147483647\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$2147483647\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$-9223372036854775808\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("$5\r\nhello\r\n", "-ERR unknown command '$5', with args beginning with: \r\n"),
    ] {
        let mut client = doors.client().await;
        // It may be sent away before it has said all.
        let _ = client.0.write_all(bytes.as_bytes()).await;
        client.hears(words).await;
    }
    let mut endless = doors.client().await;
    let _ = endless.0.write_all(&vec![b'a'; 100 << 10]).await;
    endless.hears("-ERR Protocol error: too big inline request\r\n").await;
    eventually("each is counted", || async { doors.dropped("protocol") == 5 }).await;
    doors.client().await.ask("PING", "+PONG\r\n").await;
}

/// A page in a browser can make it post to any port of its own machine.
#[tokio::test]
async fn a_browser_is_not_talked_to() {
    let doors = Doors::open();
    for request in ["POST / HTTP/1.1\r\nHost: x\r\n\r\nPUBLISH a b\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nPUBLISH a b\r\n"] {
        let mut client = doors.client().await;
        client.say(request).await;
        let heard = client.rest().await;
        assert!(!heard.contains(':') || !heard.contains("\r\n:"), "{heard:?}");
    }
    assert_eq!(doors.house.hub.last().number, 0, "it published");
}

/// A thousand clients announce four mebibytes each, and send most of it.
#[tokio::test]
async fn half_commands_have_a_bound_over_all_clients() {
    let doors = Doors::open();
    let mut clients = Vec::new();
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..24 {
        let mut client = doors.client().await;
        client.say("*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4194304\r\n").await;
        for _ in 0..2 {
            if client.0.write_all(&piece).await.is_err() {
                break;
            }
        }
        clients.push(client);
    }
    // 64 MiB are for all of them: 15 of 4 MiB find room.
    eventually("the others are sent away", || async { doors.dropped("full") == 9 }).await;
    doors.client().await.ask("PING", "+PONG\r\n").await;
    drop(clients);
    let large = "x".repeat(4 << 20);
    let mut client = doors.client().await;
    let command = format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n${}\r\n{large}\r\n", large.len());
    eventually("their room is free again", || async { doors.house.hub.subscriptions() == 0 }).await;
    sleep(Duration::from_millis(200)).await;
    client.say(command).await;
    client.hears(":0\r\n").await;
}

#[tokio::test]
async fn a_slow_client_is_sent_away_and_counted_and_the_others_are_not_disturbed() {
    const MESSAGES: usize = 20_000;
    let doors = Doors::open();
    let mut slow = doors.client().await;
    slow.ask("PSUBSCRIBE *", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n").await;
    let mut quick = doors.client().await;
    quick.ask("PSUBSCRIBE *", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n").await;
    let body = "x".repeat(1000);
    let frame = format!("*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1000\r\n{body}\r\n");
    let hub = doors.house.hub.clone();
    let publisher = async {
        for number in 0..MESSAGES {
            hub.publish("c".into(), body.clone().into(), "");
            if number % 100 == 0 {
                // Far slower than a healthy client reads.
                sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let reader = async {
        let started = Instant::now();
        for _ in 0..MESSAGES {
            quick.hears(&frame).await;
        }
        started.elapsed()
    };
    let ((), took) = tokio::join!(publisher, reader);
    assert!(took < PATIENCE);
    eventually("the slow one is sent away", || async { doors.dropped("slow") == 1 }).await;
    assert_eq!(doors.house.hub.subscriptions(), 1);
    // The hole is visible: its connection has ended, however much it reads now.
    slow.rest().await;
}

/// Replies that nobody reads hold back the commands, and not more than a buffer of them.
#[tokio::test]
async fn who_does_not_read_its_replies_is_not_read_from() {
    let doors = Doors::open();
    let mut client = doors.client().await;
    let lines = "INFO\r\n".repeat(10_000);
    let mut sent = 0;
    while sent < 64 << 20 {
        match timeout(Duration::from_millis(500), client.0.write(lines.as_bytes())).await {
            Ok(Ok(bytes)) => sent += bytes,
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
    }
    assert!(sent < 64 << 20, "the door reads on without an end");
    doors.client().await.ask("PING", "+PONG\r\n").await;
}
