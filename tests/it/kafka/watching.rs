//! What is told of a source on Kafka: how far it is behind, that it stands by, and what `check --connect` finds without joining.

use std::{thread, time::Duration};

use rialto::{
    broker::{Probe, kafka::KIND},
    telemetry::SourceState,
};
use tokio::time::{Instant, sleep};

use super::{Scene, house};
use crate::{
    cli::{Place, Running as Bridge, get, metric, until},
    conformance::{
        kafka::{address, put, unique},
        numbered,
    },
    redis::{Server, free_port},
    support::{self, PATIENCE, Running, accept},
};

/// One without progress is called stalled after 45 s.
const STALLED_AFTER: Duration = Duration::from_secs(47);

fn lag(running: &Running) -> Option<u64> {
    let text = running.metrics.encode().expect("metrics");
    let lines = text.lines().find_map(|line| line.strip_prefix(r#"rialto_source_lag_messages{source="test"} "#));
    lines.map(|value| value.parse().expect("a number"))
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn lag_is_what_is_there_and_not_settled() {
    let scene = Scene::with(2).await;
    put(&scene.topic, 0, &numbered(30)).await;
    put(&scene.topic, 1, &numbered(20)).await;
    let mut running = Running::open(&*scene.origin(""), 10).await;
    let mut batches = vec![running.next().await];
    eventually("all of it is behind, also what is not read yet", || lag(&running) == Some(50)).await;
    let mut settled = 0;
    while settled < 25 {
        for batch in batches.drain(..) {
            settled += batch.batch.len() as u64;
            accept(&batch);
        }
        if settled < 25 {
            batches.push(running.next().await);
        }
    }
    eventually("what is settled is not behind", || lag(&running) == Some(50 - settled)).await;
    while settled < 50 {
        let batch = running.next().await;
        settled += batch.batch.len() as u64;
        accept(&batch);
    }
    eventually("nothing is behind", || lag(&running) == Some(0)).await;
    // What comes while it is idle is behind until it is settled.
    put(&scene.topic, 1, &numbered(7)).await;
    let mut held = running.collect(7).await;
    eventually("the new ones are", || lag(&running) == Some(7)).await;
    held.drain(..).for_each(|batch| accept(&batch));
    eventually("nothing is behind again", || lag(&running) == Some(0)).await;
}

#[tokio::test]
async fn a_member_without_partitions_stands_by_and_takes_over() {
    let scene = Scene::with(1).await;
    put(&scene.topic, 0, &numbered(5)).await;
    let mut first = Running::open_in(&house("first"), &*scene.origin("session_timeout: 6s"), 100, 1 << 20).await;
    first.collect(5).await.iter().for_each(accept);
    let mut second = Running::open_in(&house("second"), &*scene.origin("session_timeout: 6s"), 100, 1 << 20).await;
    let metrics = second.metrics.source("test");
    metrics.state(SourceState::Running);
    eventually("the second stands by", || metrics.current() == SourceState::Standby).await;
    assert_eq!(lag(&second).unwrap_or(0), 0, "what is another's is not behind here");
    first.close().await.expect("drained");
    put(&scene.topic, 0, &numbered(3)).await;
    second.collect(3).await.iter().for_each(accept);
    eventually("it runs", || metrics.current() == SourceState::Running).await;
}

/// A bridge of its own `instance` from the topic to the stream `out`.
fn member(instance: &str, topic: &str, redis: &Server) -> (Place, Bridge, u16) {
    let port = free_port();
    let place = Place::with(&format!(
        "
name: shared
instance: {instance}
telemetry: {{ listen: '127.0.0.1:{port}' }}
brokers: {{ log: 'kafka://{}', live: {} }}
sources:
  in: {{ broker: log, topic: {topic}, group: {topic}, session_timeout: 6s, dead_letter: {{ broker: live, stream: dead }} }}
routes:
  - {{ name: out, from: in, to: {{ broker: live, stream: out }} }}
",
        address(),
        redis.url()
    ));
    let bridge = place.start(&["run"]);
    (place, bridge, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stands_by_is_ready_and_never_stalled() {
    let scene = Scene::with(1).await;
    let redis = Server::start(&[]);
    put(&scene.topic, 0, &numbered(10)).await;
    let came = || redis.run::<usize>(&["XLEN", "out"]);
    let (_one, mut active, port) = member("one", &scene.topic, &redis);
    until("the first reads", || (came() == 10).then_some(()));
    let (_two, standby, other) = member("two", &scene.topic, &redis);
    let is = |port, state: &str| metric(port, &format!(r#"rialto_source_state{{source="in",state="{state}"}}"#));
    until("the second stands by", || is(other, "standby").filter(|value| *value > 0.5));
    assert_eq!(is(port, "running"), Some(1.0));
    let end = std::time::Instant::now() + STALLED_AFTER;
    let mut sent = 10;
    while std::time::Instant::now() < end {
        put(&scene.topic, 0, &numbered(1)).await;
        sent += 1;
        assert_eq!(metric(other, r#"rialto_route_stalled{route="out"}"#), Some(0.0));
        assert_eq!(get(other, "/readyz").map(|(status, _)| status), Some(200), "{}", standby.err());
        thread::sleep(Duration::from_secs(1));
    }
    until("the first has read on", || (came() == sent).then_some(()));
    active.kill();
    put(&scene.topic, 0, &numbered(5)).await;
    until("the second took over", || (came() >= sent + 5).then_some(()));
    assert_eq!(is(other, "running"), Some(1.0));
    assert_eq!(redis.run::<u64>(&["XLEN", "dead"]), 0);
}

#[tokio::test]
async fn a_probe_looks_at_topics_and_group_and_changes_neither() {
    let mut scene = Scene::with(1).await;
    put(&scene.topic, 0, &numbered(5)).await;
    let broker = support::broker(&KIND, &format!("kafka://{}", address()));
    let ask = async |yaml: &str| {
        let origin = support::origin(&*broker, yaml);
        broker.probe(&Probe::Origin(&*origin), &support::house()).await
    };
    let topic = scene.topic.clone();
    assert_eq!(ask(&format!("{{ topic: {topic}, group: {topic} }}")).await, Vec::<String>::new());
    assert_eq!(scene.committed().await, [-1], "the group begins when it reads, not when it is asked for");
    let missing = unique("missing");
    let said = ask(&format!("{{ topics: [{topic}, {missing}], group: {topic} }}")).await;
    assert!(said.len() == 1 && said[0].contains(&missing), "{said:?}");
    let pattern = ask(&format!("{{ topics_regex: '{missing}.*', group: {topic} }}")).await;
    assert_eq!(pattern, Vec::<String>::new(), "a pattern may wait for its first topic");
    // Nor is a member who reads disturbed.
    let mut running = Running::open(&*scene.origin(""), 100).await;
    running.collect(5).await.iter().for_each(accept);
    ask(&format!("{{ topic: {topic}, group: {topic} }}")).await;
    put(&topic, 0, &numbered(2)).await;
    running.collect(2).await.iter().for_each(accept);
    assert!(!running.ended.is_finished());
    running.close().await.expect("drained");
}

#[tokio::test]
async fn a_probe_of_a_cluster_that_is_not_there_says_so() {
    let broker = support::broker(&KIND, "kafka://127.0.0.1:1");
    let origin = support::origin(&*broker, "{ topic: t, group: g }");
    let said = broker.probe(&Probe::Origin(&*origin), &support::house()).await;
    assert!(said.len() == 1 && said[0].contains("127.0.0.1:1"), "{said:?}");
}
