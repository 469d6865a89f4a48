//! `exactly_once`: whoever reads what is committed sees every message once, in the order of its partition, however often the process
//! is killed in the middle.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::wire::Wire;
use crate::{
    cli::{Place, Running},
    conformance::kafka::{address, kcat, put, run, unique},
};

const PARTITIONS: i32 = 3;

/// Messages of one partition.
const MESSAGES: u32 = 8_000;

/// What is in every so many messages no JSON, and what is not wanted.
const BAD: u32 = 97;
const UNWANTED: u32 = 10;

#[derive(Clone)]
struct Topics {
    input: String,
    output: String,
    dead: String,
}

impl Topics {
    async fn made() -> (Self, Wire) {
        let topics = Self { input: unique("in"), output: unique("out"), dead: unique("dead") };
        let mut wire = Wire::to(&address()).await;
        for (topic, partitions) in [(&topics.input, PARTITIONS), (&topics.output, PARTITIONS), (&topics.dead, 1)] {
            wire.create(topic, partitions).await;
        }
        (topics, wire)
    }

    fn bridge(&self) -> Place {
        Place::with(&format!(
            "name: once
telemetry: off
brokers: {{ log: 'kafka://{address}' }}
sources:
  in: {{ broker: log, topic: {input}, group: {input}, window: 500, dead_letter: log/{dead} }}
routes:
  - from: in
    exactly_once: true
    when: .payload.wanted
    to: {{ broker: log, topic: {output}, key: '{{partition}}', envelope: payload }}
",
            address = address(),
            input = self.input,
            output = self.output,
            dead = self.dead,
        ))
    }

    async fn fill(&self) {
        for partition in 0..PARTITIONS {
            let bodies: Vec<_> = (0..MESSAGES).map(|number| body(partition, number)).collect();
            put(&self.input, partition, &bodies).await;
        }
    }

    async fn behind(&self, wire: &mut Wire) -> i64 {
        behind(wire, &self.input, PARTITIONS).await
    }
}

/// What the group of a topic's own name has not committed of it.
pub(super) async fn behind(wire: &mut Wire, topic: &str, partitions: i32) -> i64 {
    let ends: i64 = wire.ends(topic, partitions).await.iter().sum();
    ends - wire.committed(topic, topic, partitions).await.iter().map(|offset| offset.max(&0)).sum::<i64>()
}

fn body(partition: i32, number: u32) -> String {
    match number {
        number if number % BAD == 1 => format!("bad {partition} {number}"),
        number => format!("{{\"partition\":{partition},\"number\":{number},\"wanted\":{}}}", number % UNWANTED != 3),
    }
}

/// What is committed, as somebody else's client reads it.
pub(super) async fn committed(topic: &str) -> Vec<String> {
    let printed = run(kcat(&["-C", "-t", topic, "-o", "beginning", "-e", "-X", "isolation.level=read_committed"]), b"").await;
    String::from_utf8(printed).expect("text").lines().map(str::to_owned).collect()
}

async fn all_is_there_once(topics: &Topics) {
    let mut numbers: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for line in committed(&topics.output).await {
        let payload: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let number = |key: &str| payload[key].as_u64().expect("a number");
        numbers.entry(number("partition") as i32).or_default().push(number("number") as u32);
    }
    for partition in 0..PARTITIONS {
        let expected: Vec<_> = (0..MESSAGES).filter(|number| number % BAD != 1 && number % UNWANTED != 3).collect();
        let found = numbers.remove(&partition).unwrap_or_default();
        let first = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert!(
            found == expected,
            "partition {partition}: {} of {}, the first wrong one at {first:?}",
            found.len(),
            expected.len()
        );
    }
    let mut dead = committed(&topics.dead).await;
    let mut expected: Vec<_> =
        (0..PARTITIONS).flat_map(|partition| (0..MESSAGES).filter(|n| n % BAD == 1).map(move |n| body(partition, n))).collect();
    dead.sort();
    expected.sort();
    assert!(dead == expected, "dead letters: {} of {}", dead.len(), expected.len());
}

/// Until everything is committed; true where it was in time.
async fn finishes(topics: &Topics, wire: &mut Wire, within: Duration) -> bool {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if topics.behind(wire).await == 0 {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_nothing_is_lost_and_nothing_is_there_twice() {
    let (topics, mut wire) = Topics::made().await;
    topics.fill().await;
    let place = topics.bridge();
    let mut killed_under_way = 0;
    for _ in 0..12 {
        let mut running = place.start(&["run", "-c", "rialto.yaml"]);
        let before = topics.behind(&mut wire).await;
        // Once it has begun, somewhere in the middle.
        let until = Instant::now() + Duration::from_secs(20);
        while topics.behind(&mut wire).await == before && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_millis(fastrand(150))).await;
        running.kill();
        killed_under_way += u32::from(topics.behind(&mut wire).await > 0);
    }
    assert!(killed_under_way > 2, "too fast to be killed in the middle: {killed_under_way}");
    let mut running: Running = place.start(&["run", "-c", "rialto.yaml"]);
    assert!(finishes(&topics, &mut wire, Duration::from_secs(60)).await, "{}", running.err());
    all_is_there_once(&topics).await;
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work_and_one_that_leaves_repeats_nothing() {
    let (topics, mut wire) = Topics::made().await;
    let place = topics.bridge();
    let other = topics.bridge();
    let start =
        |place: &Place, instance: &str| place.start(&["run", "-c", "rialto.yaml", "--set", &format!("instance={instance}")]);
    let mut first = start(&place, "one");
    let mut second = start(&other, "two");
    topics.fill().await;
    sleep(Duration::from_millis(300)).await;
    second.stop();
    let mut third = start(&other, "three");
    assert!(finishes(&topics, &mut wire, Duration::from_secs(60)).await, "{}", first.err());
    all_is_there_once(&topics).await;
    first.stop();
    third.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_is_dead_lettered_in_its_turn() {
    let (topics, mut wire) = Topics::made().await;
    let small = unique("small");
    wire.create_with(&small, 1, &[("max.message.bytes", "20000")]).await;
    let numbered = |number: u32| {
        format!("{{\"number\":{number},\"wanted\":true,\"pad\":\"{}\"}}", noise(if number % 50 == 7 { 60_000 } else { 10 }))
    };
    let bodies: Vec<_> = (0..300).map(numbered).collect();
    put(&topics.input, 0, &bodies).await;
    let place = Topics { output: small.clone(), ..topics.clone() }.bridge();
    let mut running = place.start(&["run", "-c", "rialto.yaml"]);
    assert!(finishes(&topics, &mut wire, Duration::from_secs(60)).await, "{}", running.err());
    let (large, fits): (Vec<_>, Vec<_>) = bodies.into_iter().partition(|body| body.len() > 20_000);
    assert_eq!(committed(&small).await, fits);
    assert_eq!(committed(&topics.dead).await, large);
    running.stop();
}

/// What no compression makes smaller, as digits.
fn noise(length: usize) -> String {
    let mut state: u64 = 88_172_645_463_325_252;
    let mut digit = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    (0..length).map(|_| digit()).filter(|c| !matches!(c, '"' | '\\')).collect()
}

/// Some milliseconds below a bound.
fn fastrand(below: u32) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    u64::from(now.subsec_micros() % below)
}
