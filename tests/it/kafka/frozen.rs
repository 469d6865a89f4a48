//! A broker that answers nothing for longer than a session.

use std::{collections::BTreeSet, time::Duration};

use rialto::broker::kafka::KIND;
use tokio::time::{Instant, sleep, timeout};

use super::{Scene, relay::Relay};
use crate::{
    conformance::{
        Cable,
        kafka::{address, put},
        numbered,
    },
    support::{self, Running, accept, bodies},
};

/// Longer than the session, so that the group gives the partitions up meanwhile.
const FROZEN: Duration = Duration::from_secs(12);

#[tokio::test]
async fn a_broker_frozen_for_longer_than_a_session_loses_nothing() {
    let mut scene = Scene::with(2).await;
    let relay = Relay::to(&address()).await;
    let cable = Cable::to(&relay.address().to_string()).await;
    relay.advertise(cable.address());
    let broker = support::broker(&KIND, &format!("kafka://{}", cable.address()));
    let topic = scene.topic.clone();
    let origin = support::origin(&*broker, &format!("{{ topic: {topic}, group: {topic}, session_timeout: 6s }}"));
    for partition in 0..2 {
        put(&topic, partition, &numbered(500)).await;
    }
    let mut running = Running::open(&*origin, 400).await;
    let held = running.collect(200).await;
    cable.freeze();
    let mut read: BTreeSet<String> = bodies(&held).into_iter().collect();
    // What settles meanwhile can be told to nobody.
    held.iter().for_each(accept);
    sleep(FROZEN).await;
    cable.thaw();
    let (start, mut reopened) = (Instant::now(), 0);
    loop {
        while let Ok(Some(batch)) = timeout(Duration::from_millis(200), running.arrivals.recv()).await {
            read.extend(bodies([&batch]));
            accept(&batch);
        }
        if scene.committed().await == scene.ends().await {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{:?} committed, opened again {reopened} times",
            scene.committed().await
        );
        // An incarnation may end by it; the pipeline opens the next.
        if running.ended.is_finished() {
            reopened += 1;
            running = Running::open(&*origin, 400).await;
        }
    }
    assert_eq!(read, numbered(500).into_iter().collect(), "both partitions have the same bodies");
}
