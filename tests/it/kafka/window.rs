//! What a killed source may read again: a window of each partition. And that commits, which keep it so, hold nothing up.

use std::{collections::BTreeMap, time::Duration};

use rialto::{broker::kafka::KIND, intake::Arrival, outcome::Verdict};
use tokio::time::{Instant, sleep, timeout};

use super::{Scene, relay::Relay};
use crate::{
    conformance::{
        kafka::{address, put},
        numbered,
    },
    support::{self, Running, accept},
};

const PARTITIONS: i32 = 3;
const WINDOW: usize = 200;

/// Nothing more comes once this much time has passed without anything.
const QUIET: Duration = Duration::from_secs(1);

/// A topic with so many records in each partition, and a source of it behind a relay.
async fn behind_a_relay(records: usize) -> (Scene, Relay, Running) {
    let scene = Scene::with(PARTITIONS).await;
    for partition in 0..PARTITIONS {
        put(&scene.topic, partition, &numbered(records)).await;
    }
    let relay = Relay::to(&address()).await;
    let broker = support::broker(&KIND, &format!("kafka://{}", relay.address()));
    let topic = &scene.topic;
    let origin = support::origin(&*broker, &format!("{{ topic: {topic}, group: {topic}, start: earliest }}"));
    let running = Running::open(&*origin, WINDOW).await;
    (scene, relay, running)
}

/// Takes what comes until nothing does, and settles it with `settle`; answers how much came.
async fn take_all(running: &mut Running, mut settle: impl FnMut(Arrival)) -> usize {
    let mut taken = 0;
    while let Ok(Some(arrival)) = timeout(QUIET, running.arrivals.recv()).await {
        taken += arrival.batch.len();
        settle(arrival);
    }
    taken
}

fn sum(offsets: &[i64]) -> usize {
    usize::try_from(offsets.iter().map(|offset| (*offset).max(0)).sum::<i64>()).expect("offsets")
}

#[tokio::test]
async fn what_is_settled_and_not_committed_counts_against_the_window() {
    let (mut scene, relay, mut running) = behind_a_relay(1000).await;
    let mut taken = running.collect(WINDOW / 2).await.iter().map(|arrival| (accept(arrival), arrival.batch.len()).1).sum::<usize>();
    relay.hold_commits(true);
    taken += take_all(&mut running, |arrival| accept(&arrival)).await;
    // All of it is settled, and the group hears of none: a kill now would repeat this much.
    let uncommitted = taken - sum(&scene.committed().await);
    let most = WINDOW * PARTITIONS as usize;
    assert!(uncommitted <= most, "{uncommitted} would be repeated");
    assert!(uncommitted > WINDOW / 2, "{uncommitted}: the window is not used");
    relay.hold_commits(false);
    let start = Instant::now();
    while taken < 3000 {
        let arrival = running.next().await;
        taken += arrival.batch.len();
        accept(&arrival);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "flow came back and stays: {:?}", start.elapsed());
    scene.is_read_up(Duration::from_secs(5)).await;
    running.close().await.expect("drained");
}

#[tokio::test]
async fn commits_hold_up_nothing() {
    // Were one waited for now and then until its time comes, this would last for minutes.
    let (mut scene, _relay, mut running) = behind_a_relay(10_000).await;
    let (mut taken, start) = (0, Instant::now());
    while taken < 30_000 {
        let arrival = running.next().await;
        taken += arrival.batch.len();
        accept(&arrival);
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    running.close().await.expect("drained");
    assert_eq!(sum(&scene.committed().await), 30_000, "the end is a commit of all that settled");
}

#[tokio::test]
async fn what_settles_behind_a_message_that_waits_holds_up_nobody() {
    let (mut scene, _relay, mut running) = behind_a_relay(1000).await;
    let mut waiting = BTreeMap::new();
    // The first record of each partition waits.
    let taken = take_all(&mut running, |arrival| {
        let partition = arrival.batch[0].carrier.word("partition").expect("a place").into_owned();
        let first = usize::from(!waiting.contains_key(&partition));
        for index in first..arrival.batch.len() {
            arrival.ticket.settle(index as u32, Verdict::Accepted);
        }
        if first == 1 {
            waiting.insert(partition, arrival);
        }
    });
    assert_eq!(taken.await, 3000, "the others went by");
    assert_eq!(sum(&scene.committed().await), 0);
    for arrival in waiting.values() {
        arrival.ticket.settle(0, Verdict::Accepted);
    }
    scene.is_read_up(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_partition_is_given_back_though_its_last_commit_is_not_answered() {
    let (scene, relay, mut running) = behind_a_relay(1000).await;
    running.collect(WINDOW / 2).await.iter().for_each(accept);
    relay.hold_commits(true);
    let other = Running::open_in(&super::house("other"), &*scene.origin(""), 1000, 64 << 20).await;
    // The group cannot be told: what was settled comes again, at whoever reads it then, and nobody waits for ever.
    let (start, mut arrivals) = (Instant::now(), other.arrivals);
    sleep(Duration::from_secs(1)).await;
    while timeout(QUIET, arrivals.recv()).await.is_err() {
        while let Ok(arrival) = running.arrivals.try_recv() {
            accept(&arrival);
        }
        assert!(start.elapsed() < Duration::from_secs(45), "the other one never read");
    }
    relay.hold_commits(false);
}
