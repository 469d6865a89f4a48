//! What a client publishes where a route reads: an event like any other, settled before the reply.

use rialto::outcome::Verdict;

use super::{Doors, hello};
use crate::support::{accept, bodies, rejected};

#[tokio::test]
async fn a_publish_that_a_source_reads_is_settled_before_its_reply_and_subscribers_do_not_wait() {
    let doors = Doors::open();
    let mut source = doors.source("in:*").await;
    let (mut client, mut subscriber) = (doors.client().await, doors.client().await);
    subscriber.ask("SUBSCRIBE in:x", "*3\r\n$9\r\nsubscribe\r\n$4\r\nin:x\r\n:1\r\n").await;
    client.say("PUBLISH in:x '{\"n\":1}'\r\nPING\r\n").await;
    subscriber.hears("*3\r\n$7\r\nmessage\r\n$4\r\nin:x\r\n$7\r\n{\"n\":1}\r\n").await;
    let arrival = source.next().await;
    assert_eq!(bodies([&arrival]), ["{\"n\":1}"]);
    assert_eq!(arrival.batch[0].carrier.word("channel").as_deref(), Some("in:x"));
    client.hears_nothing().await;
    accept(&arrival);
    client.hears(":2\r\n+PONG\r\n").await;
    client.say("PUBLISH in:x no\r\n").await;
    source.next().await.ticket.settle(0, rejected());
    client.hears("-ERR the bridge refused it: refused: no\r\n").await;
    // Where no source reads, nothing is waited for.
    client.ask("PUBLISH out:x 1", ":0\r\n").await;
}

#[tokio::test]
async fn publishes_in_a_row_wait_together_and_are_answered_in_their_order() {
    let doors = Doors::open();
    let mut source = doors.source("in:*").await;
    let mut client = doors.client().await;
    let line = |n| format!("PUBLISH {}:x {n}\r\n", if n % 3 == 0 { "out" } else { "in" });
    let lines = (0..500).map(line).collect::<Vec<_>>().concat();
    client.say(&lines).await;
    let mut arrivals = Vec::new();
    let mut found = 0;
    while found < 333 {
        let arrival = source.next().await;
        found += arrival.batch.len();
        arrivals.push(arrival);
    }
    assert!(arrivals.len() < 20, "{} batches: they were taken one by one", arrivals.len());
    // The last ones first.
    for arrival in arrivals.iter().rev() {
        for index in (0..arrival.batch.len()).rev() {
            let verdict = if arrival.batch[index].body.ends_with(b"7") { rejected() } else { Verdict::Accepted };
            arrival.ticket.settle(index as u32, verdict);
        }
    }
    let expected: String = (0..500)
        .map(|n| match n {
            n if n % 3 == 0 => ":0\r\n",
            n if n % 10 == 7 => "-ERR the bridge refused it: refused: no\r\n",
            _ => ":1\r\n",
        })
        .collect();
    client.hears(&expected).await;
}

#[tokio::test]
async fn a_publish_that_nobody_can_settle_is_an_error_and_says_so() {
    let doors = Doors::open();
    let mut source = doors.source("in:*").await;
    let mut client = doors.client().await;
    client.say("PUBLISH in:x 1\r\n").await;
    accept(&source.next().await);
    client.hears(":1\r\n").await;
    drop(source.closer.take());
    drop(source);
    let answer = "-ERR the bridge is stopping or starting again; the messages may or may not have been taken\r\n";
    client.ask("PUBLISH in:x 2", answer).await;
}

/// A subscription is confirmed before its first message, also behind publishes that wait.
#[tokio::test]
async fn other_commands_wait_for_the_publishes_before_them() {
    let doors = Doors::open();
    let mut source = doors.source("in:*").await;
    let mut client = doors.client().await;
    client.ask("HELLO 3", &hello(1)).await;
    client.say("PUBLISH in:x 1\r\nSUBSCRIBE c\r\nPUBLISH c 2\r\n").await;
    let arrival = source.next().await;
    doors.house.hub.publish("c".into(), "too early".into(), "");
    client.hears_nothing().await;
    accept(&arrival);
    client.hears(":1\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n2\r\n").await;
}
