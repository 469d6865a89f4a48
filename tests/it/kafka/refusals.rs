//! `exactly_once` where the cluster will not have something: a record, or a whole topic.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    exactly_once::{behind, committed},
    mock::Mock,
    wire::Wire,
};
use crate::{
    cli::Place,
    conformance::kafka::{address, kcat, put, run, unique},
    support,
};

const KEY: &str = "key: '{payload.key}',";

/// A bridge from one topic to another with dead letters in a third.
fn bridge(once: bool, input: &str, output: &str, more: &str, dead: &str) -> Place {
    Place::with(&format!(
        "name: once
telemetry: off
brokers: {{ log: 'kafka://{address}' }}
sources:
  in: {{ broker: log, topic: {input}, group: {input}, dead_letter: log/{dead} }}
routes:
  - from: in
    exactly_once: {once}
    to: {{ broker: log, topic: '{output}', {more} envelope: payload }}
",
        address = address(),
    ))
}

async fn finished(wire: &mut Wire, topic: &str, within: Duration) -> bool {
    let until = Instant::now() + within;
    while behind(wire, topic, 1).await > 0 {
        if Instant::now() > until {
            return false;
        }
        sleep(Duration::from_millis(100)).await;
    }
    true
}

/// 6,000 records for a topic that refuses eight of them, alone or among others.
async fn with_bad_ones(once: bool) {
    let (input, output, dead) = (unique("in"), unique("out"), unique("dead"));
    let mut wire = Wire::to(&address()).await;
    wire.create(&input, 1).await;
    wire.create(&dead, 1).await;
    // Such a topic refuses a record without a key, and no other.
    wire.create_with(&output, 1, &[("cleanup.policy", "compact")]).await;
    let is_bad = |number: u32| number % 700 == 500;
    let body = |number: u32| format!("{{\"number\":{number},\"bad\":{}}}", is_bad(number));
    let keyed = |number: u32| if is_bad(number) { body(number) } else { format!("k{}|{}", number % 5, body(number)) };
    let bodies: Vec<_> = (0..6_000).map(body).collect();
    let lines: Vec<_> = (0..6_000).map(keyed).collect();
    run(kcat(&["-P", "-t", &input, "-p", "0", "-K", "|", "-X", "acks=all"]), lines.join("\n").as_bytes()).await;
    let place = bridge(once, &input, &output, "", &dead);
    let mut running = place.start(&["run", "-c", "rialto.yaml"]);
    assert!(finished(&mut wire, &input, Duration::from_secs(60)).await, "{}", running.err());
    let (mut sent, mut buried) = (committed(&output).await, committed(&dead).await);
    if !once {
        // Order is a key's, and a refused one's successors on the wire may precede it.
        let number = |body: &String| body.split([':', ',']).nth(1).and_then(|digits| digits.parse::<u32>().ok());
        sent.sort_by_key(number);
        buried.sort_by_key(number);
    }
    let (refused, taken): (Vec<_>, Vec<_>) = bodies.into_iter().partition(|body| body.contains("true"));
    assert!(sent == taken, "each once, in the order of their partition: {} of {}", sent.len(), taken.len());
    assert_eq!(buried, refused, "and nobody for another's sake");
    let said = running.err();
    assert!(!said.contains("link lost"), "nobody waited for what could not come: {said}");
    running.stop();
}

/// Naive: what is behind a refused record in its batch is handed back, and what is behind that, in another batch, waits for it, while
/// the destination waits for all that is in flight before it sends anything again. And where one record of a batch is at fault, librdkafka
/// reports all of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_holds_up_its_partition_no_longer_than_its_dead_letter_takes() {
    with_bad_ones(true).await;
}

/// Naive: the reports are believed, and thousands are dead letters for one.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_for_who_travelled_with_him() {
    with_bad_ones(false).await;
}

/// Naive: a client that was told that there is no such topic asks again after half a minute, and the link is given up before that, as
/// if it were silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_and_waited_for() {
    let (input, output, dead) = (unique("in"), unique("out"), unique("dead"));
    let mut wire = Wire::to(&address()).await;
    wire.create(&input, 1).await;
    wire.create(&dead, 1).await;
    let bodies: Vec<_> = (0..50).map(|number| format!("{{\"key\":\"k\",\"number\":{number}}}")).collect();
    put(&input, 0, &bodies).await;
    let place = bridge(true, &input, &output, KEY, &dead);
    let mut running = place.start(&["run", "-c", "rialto.yaml"]);
    let until = Instant::now() + Duration::from_secs(12);
    while !running.err().contains("unroutable") {
        assert!(Instant::now() < until, "{}", running.err());
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(10)).await;
    wire.create(&output, 1).await;
    assert!(finished(&mut wire, &input, Duration::from_secs(8)).await, "flow resumes: {}", running.err());
    assert_eq!(committed(&output).await, bodies);
    assert_eq!(committed(&dead).await, [""; 0], "a missing topic is no message's fault");
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_template_made_and_that_is_missing_is_its_messages_fault() {
    let (input, output, dead) = (unique("in"), unique("out"), unique("dead"));
    let mut wire = Wire::to(&address()).await;
    for topic in [&input, &output, &dead] {
        wire.create(topic, 1).await;
    }
    let nowhere = unique("nowhere");
    let body = |number: u32| {
        let topic = if number == 7 { &nowhere } else { &output };
        format!("{{\"key\":\"k\",\"topic\":\"{topic}\",\"number\":{number}}}")
    };
    let bodies: Vec<_> = (0..50).map(body).collect();
    put(&input, 0, &bodies).await;
    let place = bridge(true, &input, "{payload.topic}", KEY, &dead);
    let mut running = place.start(&["run", "-c", "rialto.yaml"]);
    assert!(finished(&mut wire, &input, Duration::from_secs(12)).await, "{}", running.err());
    let (lost, found): (Vec<_>, Vec<_>) = bodies.into_iter().partition(|body| body.contains(&nowhere));
    assert_eq!(committed(&output).await, found);
    assert_eq!(committed(&dead).await, lost);
    running.stop();
}

/// Naive: the thread of a link looks once a second whether it is still wanted, and the next link waits for its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_dropped_is_reopened_at_once() {
    let mock = Mock::with(1);
    let origin = support::origin(&*mock.broker, "{ topic: orders, group: copies }");
    let relayed = mock.broker.relay(origin.as_ref(), &[mock.target("topic: copies")]).expect("one Kafka");
    let mut opened = Vec::new();
    for _ in 0..4 {
        let start = Instant::now();
        drop(mock.link(&relayed.targets[0]).await);
        opened.push(start.elapsed());
    }
    let again: Duration = opened[1..].iter().sum();
    assert!(again < 3 * opened[0] + Duration::from_millis(750), "{opened:?}");
}
