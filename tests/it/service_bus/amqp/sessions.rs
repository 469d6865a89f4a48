//! Reading an entity with sessions: each is an order domain, several are read at once, and one that is lost is lost alone.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use rialto::{broker::Ended, envelope::Property, intake::Arrival};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{broker, eventually};
use crate::{
    service_bus::stand_in::StandIn,
    support::{self, Running, accept, origin},
};

/// `count` messages for each of `sessions`, dealt out one by one.
async fn fill(stand_in: &StandIn, queue: &str, sessions: usize, count: usize) {
    let message = |number: usize| {
        let (session, turn) = (number % sessions, number / sessions);
        json!({ "Body": format!("s{session}:{turn}"), "BrokerProperties": { "SessionId": format!("s{session}") } })
    };
    let messages: Vec<Value> = (0..sessions * count).map(message).collect();
    stand_in.put_messages(queue, Value::Array(messages)).await;
}

fn sessions_of(queue: &str, most: usize) -> String {
    format!("{{ queue: {queue}, sessions: true, sessions_max: {most} }}")
}

/// Bodies by their session, in the order of arrival.
fn by_session<'a>(batches: impl IntoIterator<Item = &'a Arrival>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in batches.into_iter().flat_map(|batch| &batch.batch) {
        let key = message.carrier.property(Property::Key).expect("the session is the key").into_owned();
        found.entry(key).or_default().push(String::from_utf8(message.body.to_vec()).unwrap());
    }
    found
}

#[tokio::test]
async fn every_session_is_read_in_its_order_by_few_links() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true })).await;
    fill(&stand_in, &queue, 5, 40).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &sessions_of(&queue, 2)), 1000).await;
    let mut read = Vec::new();
    // Two links for five sessions: the others come when the first are idle.
    while read.iter().map(|batch: &Arrival| batch.batch.len()).sum::<usize>() < 200 {
        let batch = running.next().await;
        accept(&batch);
        read.push(batch);
    }
    let found = by_session(&read);
    assert_eq!(found.len(), 5);
    for (session, bodies) in found {
        let expected: Vec<_> = (0..40).map(|turn| format!("{session}:{turn}")).collect();
        assert_eq!(bodies, expected);
    }
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
    eventually("all is completed", || async { stand_in.count(&queue, "completed").await == 200 }).await;
}

/// Carries each way so much later. Ends with the test.
async fn far_from(server: &str, way: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, server) = (listener.local_addr().expect("an address"), server.to_owned());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.expect("the stand-in");
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(late(near_in, far_out, way));
            tokio::spawn(late(far_in, near_out, way));
        }
    });
    address
}

async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Duration) {
    let (sent, mut on_the_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = on_the_way.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if sent.send((Instant::now() + way, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_hundred_sessions_at_once_are_read_from_afar() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true })).await;
    fill(&stand_in, &queue, 20, 2).await;
    let address = far_from(&stand_in.amqp, Duration::from_millis(30)).await;
    let broker = support::broker(&super::KIND, &stand_in.settings_at(&address.to_string()));
    let mut running = Running::open(&*origin(&*broker, &sessions_of(&queue, 100)), 1000).await;
    // At the same time: nothing is settled before all are read.
    let batches = running.collect(40).await;
    assert_eq!(by_session(&batches).len(), 20);
    batches.iter().for_each(accept);
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
}

#[tokio::test]
async fn a_sessions_lock_is_renewed_while_its_messages_are_held() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true, "lock_seconds": 1 })).await;
    fill(&stand_in, &queue, 3, 5).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &sessions_of(&queue, 4)), 100).await;
    let held = running.collect(15).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(stand_in.count(&queue, "lock_expired").await, 0);
    held.iter().for_each(accept);
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
    eventually("all is completed", || async { stand_in.count(&queue, "completed").await == 15 }).await;
}

#[tokio::test]
async fn a_lost_session_comes_again_and_the_others_go_on() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true, "lock_seconds": 30 })).await;
    fill(&stand_in, &queue, 1, 5).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &sessions_of(&queue, 2)), 100).await;
    let first = running.collect(5).await;
    stand_in.expire(&queue).await;
    let second = running.collect(5).await;
    // Told too late, on a feed that is gone: nothing may be completed for it.
    first.iter().for_each(accept);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(stand_in.count(&queue, "completed").await, 0);
    assert_eq!(by_session(&second), by_session(&first));
    second.iter().for_each(accept);
    eventually("all is completed", || async { stand_in.count(&queue, "completed").await == 5 }).await;
    assert_eq!(running.close().await.expect("an orderly end"), Ended::Drained);
}

#[tokio::test]
async fn a_source_that_waits_for_a_session_closes_at_once() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true })).await;
    let broker = broker(&stand_in);
    let running = Running::open(&*origin(&*broker, &sessions_of(&queue, 2)), 100).await;
    sleep(Duration::from_millis(300)).await;
    let ended = timeout(Duration::from_secs(5), running.close()).await.expect("no waiting for a session");
    assert_eq!(ended.expect("an orderly end"), Ended::Drained);
}

#[tokio::test]
async fn an_entity_with_sessions_is_not_read_without_them() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "sessions": true })).await;
    let broker = broker(&stand_in);
    let fault = origin(&*broker, &queue).open(&crate::support::house()).await.err().expect("not allowed");
    assert_eq!(fault.reason, rialto::outcome::Reason::Unroutable, "{fault}");
    assert!(fault.detail.contains("amqp:not-allowed"), "{fault}");
}
