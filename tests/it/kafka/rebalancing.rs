//! Partitions that come and go: nothing is lost, nothing unsettled is committed, and nobody is put out of its group.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rialto::{intake::Arrival, outcome::Verdict};
use tokio::time::{sleep, timeout};

use super::{Scene, house};
use crate::{
    conformance::{
        kafka::{address, put},
        numbered,
    },
    kafka::wire::Wire,
    support::{Running, accept, bodies},
};

/// (partition, offset) of what was accepted.
type Accepted = Arc<Mutex<HashSet<(i32, i64)>>>;

/// Accepts what comes, out of order and late, and notes it first.
async fn take(mut arrivals: tokio::sync::mpsc::Receiver<Arrival>, accepted: Accepted) {
    let mut nth = 0_u64;
    while let Some(arrival) = arrivals.recv().await {
        let (arrival, accepted) = (Arc::new(arrival), Arc::clone(&accepted));
        for index in 0..arrival.batch.len() as u32 {
            // From 0 to 200 ms, in no order that the partitions have.
            nth = nth.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (arrival, accepted, wait) = (Arc::clone(&arrival), Arc::clone(&accepted), Duration::from_millis((nth >> 33) % 200));
            tokio::spawn(async move {
                sleep(wait).await;
                let carrier = &arrival.batch[index as usize].carrier;
                let number = |word| carrier.word(word).expect("a place").parse::<i64>().expect("a number");
                accepted.lock().unwrap().insert((number("partition") as i32, number("offset")));
                arrival.ticket.settle(index, Verdict::Accepted);
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebalances_every_three_seconds_lose_nothing_and_commit_only_what_is_contiguous() {
    const PARTITIONS: i32 = 6;
    let mut scene = Scene::with(PARTITIONS).await;
    let (accepted, filling) = (Accepted::default(), Arc::new(AtomicBool::new(true)));
    let mut members = Vec::new();
    for instance in ["one", "two"] {
        let running = Running::open_in(&house(instance), &*scene.origin("session_timeout: 6s"), 500, 1 << 20).await;
        tokio::spawn(take(running.arrivals, Arc::clone(&accepted)));
        members.push((running.closer, running.ended));
    }
    let producer = tokio::spawn({
        let (topic, filling) = (scene.topic.clone(), Arc::clone(&filling));
        async move {
            while filling.load(Ordering::Relaxed) {
                for partition in 0..PARTITIONS {
                    put(&topic, partition, &numbered(100)).await;
                }
            }
        }
    });
    // Looks behind: whatever is committed was accepted before.
    let looker = tokio::spawn({
        let (topic, accepted, filling) = (scene.topic.clone(), Arc::clone(&accepted), Arc::clone(&filling));
        async move {
            let (mut wire, mut looks) = (Wire::to(&address()).await, 0);
            while filling.load(Ordering::Relaxed) {
                let committed = wire.committed(&topic, &topic, PARTITIONS).await;
                let accepted = accepted.lock().unwrap().clone();
                for (partition, committed) in (0..).zip(committed) {
                    let missing = (0..committed).find(|offset| !accepted.contains(&(partition, *offset)));
                    assert_eq!(missing, None, "{committed} is committed of partition {partition}");
                }
                looks += 1;
                sleep(Duration::from_millis(100)).await;
            }
            looks
        }
    });
    for guest in 0..4 {
        // A static member that leaves is missed only after its session: each of these is a rebalance now and another one later.
        let running =
            Running::open_in(&house(&format!("guest-{guest}")), &*scene.origin("session_timeout: 6s"), 500, 1 << 20).await;
        tokio::spawn(take(running.arrivals, Arc::clone(&accepted)));
        sleep(Duration::from_secs(3)).await;
        running.closer.close();
        timeout(Duration::from_secs(15), running.ended).await.expect("an end").expect("no panic").expect("an orderly end");
    }
    filling.store(false, Ordering::Relaxed);
    producer.await.expect("no panic");
    assert!(looker.await.expect("only what was accepted is committed") > 20);
    scene.is_read_up(Duration::from_secs(40)).await;
    let accepted = accepted.lock().unwrap().clone();
    for (partition, end) in (0..).zip(scene.ends().await) {
        assert!(end > 100);
        assert_eq!((0..end).find(|offset| !accepted.contains(&(partition, *offset))), None, "lost of partition {partition}");
    }
    for (closer, ended) in members {
        assert!(!ended.is_finished(), "no member was put out");
        closer.close();
        timeout(Duration::from_secs(15), ended).await.expect("an end").expect("no panic").expect("an orderly end");
    }
}

#[tokio::test]
async fn a_source_without_room_stays_in_its_group_beyond_the_poll_interval() {
    let mut scene = Scene::with(2).await;
    for partition in 0..2 {
        put(&scene.topic, partition, &numbered(1000)).await;
    }
    let origin = scene.origin("session_timeout: 6s, poll_interval_max: 6s");
    let mut running = Running::open(&*origin, 20).await;
    let mut batches = vec![running.next().await];
    // Longer than both: a consumer that does not poll would be put out, and its messages given again.
    let full = tokio::time::Instant::now();
    while full.elapsed() < Duration::from_secs(10) {
        if let Ok(batch) = timeout(Duration::from_millis(500), running.arrivals.recv()).await {
            batches.push(batch.expect("an open intake"));
        }
    }
    assert!(!running.ended.is_finished());
    let mut places = BTreeSet::new();
    loop {
        for batch in batches.drain(..) {
            for message in &batch.batch {
                let place = message.carrier.position().expect("a place");
                assert!(places.insert(place.clone()), "{place} came twice");
            }
            accept(&batch);
        }
        if places.len() == 2000 {
            break;
        }
        batches.push(running.next().await);
    }
    scene.is_read_up(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn two_processes_of_one_name_are_told_so() {
    let scene = Scene::with(1).await;
    let first = Running::open(&*scene.origin(""), 10).await;
    sleep(Duration::from_secs(2)).await;
    let second = Running::open(&*scene.origin(""), 10).await;
    let error = first.end().await.expect_err("the second took its place");
    assert!(error.detail.contains("group.instance.id"), "{error}");
    assert!(!second.ended.is_finished());
}

/// A member with everything in flight, and one that joins.
async fn joined(scene: &Scene) -> (Running, Vec<Arrival>, Running) {
    for partition in 0..2 {
        put(&scene.topic, partition, &numbered(100)).await;
    }
    let mut first = Running::open_in(&house("first"), &*scene.origin(""), 1000, 1 << 20).await;
    let held = first.collect(200).await;
    let second = Running::open_in(&house("second"), &*scene.origin(""), 1000, 1 << 20).await;
    (first, held, second)
}

#[tokio::test]
async fn what_settles_in_time_is_committed_before_its_partition_is_given_back() {
    let mut scene = Scene::with(2).await;
    let (mut first, held, mut second) = joined(&scene).await;
    assert!(timeout(Duration::from_secs(2), second.arrivals.recv()).await.is_err(), "the partition is still drained");
    held.iter().for_each(accept);
    scene.is_read_up(Duration::from_secs(5)).await;
    // Each has one partition now, and gets what is new and nothing else.
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        let new = [format!("\"{round}-0\""), format!("\"{round}-1\"")];
        for partition in 0..2 {
            put(&scene.topic, partition, &new[partition as usize..=partition as usize]).await;
        }
        sleep(Duration::from_millis(300)).await;
        let mut shares = [0, 0];
        for (running, share) in [&mut first, &mut second].into_iter().zip(&mut shares) {
            while let Ok(batch) = running.arrivals.try_recv() {
                *share += batch.batch.len();
                for body in bodies([&batch]) {
                    assert!(body.contains('-'), "{body} was settled before");
                    seen.insert(body);
                }
                accept(&batch);
            }
        }
        if shares == [1, 1] {
            scene.is_read_up(Duration::from_secs(5)).await;
            assert_eq!(seen.len(), 2 * (round + 1));
            return;
        }
    }
    panic!("the partitions were never shared");
}

#[tokio::test]
async fn what_does_not_settle_in_time_is_withdrawn_and_comes_to_the_next_reader() {
    let mut scene = Scene::with(2).await;
    let (first, held, mut second) = joined(&scene).await;
    let again = second.collect(100).await;
    assert_eq!(bodies(&again), numbered(100));
    // Too late, and no longer ours: it neither counts nor is committed for the other.
    held.iter().for_each(accept);
    sleep(Duration::from_secs(1)).await;
    let mut committed = scene.committed().await;
    committed.sort_unstable();
    assert_eq!(committed, [0, 100]);
    again.iter().for_each(accept);
    scene.is_read_up(Duration::from_secs(5)).await;
    drop(first);
}

#[tokio::test]
async fn a_partition_that_left_while_there_was_no_room_is_read_when_it_comes_back() {
    let mut scene = Scene::with(2).await;
    for partition in 0..2 {
        put(&scene.topic, partition, &numbered(500)).await;
    }
    let (origin, mut held) = (scene.origin("session_timeout: 6s"), Vec::new());
    let mut first = Running::open_in(&house("first"), &*origin, 50, 1 << 20).await;
    held.extend(first.collect(50).await);
    // Without room for longer than the source waits before it pauses its partitions, and until one of them was taken from it.
    sleep(Duration::from_secs(1)).await;
    let mut second = Running::open_in(&house("second"), &*origin, 50, 1 << 20).await;
    let theirs = second.next().await;
    drop(theirs);
    second.closer.close();
    tokio::spawn(async move {
        held.iter().for_each(accept);
        while let Some(batch) = first.arrivals.recv().await {
            accept(&batch);
        }
    });
    // The first one reads both once the group no longer waits for the second.
    scene.is_read_up(Duration::from_secs(25)).await;
}
