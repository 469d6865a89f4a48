//! Where a group begins and goes on, and what becomes of records.

use std::time::Duration;

use rialto::{envelope::Property, outcome::Reason};
use tokio::time::{sleep, timeout};

use super::{Scene, house, origin};
use crate::{
    conformance::{
        kafka::{address, kcat, put, run, unique},
        numbered,
    },
    kafka::wire::Wire,
    support::{self, Running, accept, bodies},
};

/// Nothing more comes within this.
const QUIET: Duration = Duration::from_secs(2);

async fn open(scene: &Scene, more: &str) -> Running {
    Running::open(&*scene.origin(more), 1000).await
}

#[tokio::test]
async fn where_latest_begins_is_committed_before_anything_is_read() {
    let mut scene = Scene::with(1).await;
    put(&scene.topic, 0, &numbered(10)).await;
    let first = open(&scene, "start: latest").await;
    while scene.committed().await != [10] {
        sleep(Duration::from_millis(20)).await;
    }
    // It dies before it has read anything, and meanwhile something comes.
    first.ended.abort();
    let between = vec!["\"between\"".to_owned()];
    put(&scene.topic, 0, &between).await;
    let mut again = open(&scene, "start: latest").await;
    let batch = again.next().await;
    assert_eq!(bodies([&batch]), between);
    accept(&batch);
    scene.is_read_up(QUIET).await;
}

#[tokio::test]
async fn earliest_begins_with_what_is_there_and_a_restart_goes_on_where_it_was() {
    let mut scene = Scene::with(1).await;
    put(&scene.topic, 0, &numbered(100)).await;
    let mut first = open(&scene, "").await;
    let batches = first.collect(100).await;
    assert_eq!(bodies(&batches), numbered(100));
    batches.iter().for_each(accept);
    first.close().await.expect("drained");
    assert_eq!(scene.committed().await, [100], "the end of a source is the commit of all that settled");
    let more = vec!["\"more\"".to_owned()];
    put(&scene.topic, 0, &more).await;
    let mut second = open(&scene, "").await;
    let batch = second.next().await;
    assert_eq!(bodies([&batch]), more);
    accept(&batch);
}

#[tokio::test]
async fn a_position_that_is_gone_is_an_error_and_never_a_jump() {
    let mut scene = Scene::with(1).await;
    put(&scene.topic, 0, &numbered(20)).await;
    assert_eq!(scene.wire.commit(&scene.topic, &scene.topic, 0, 5).await, 0);
    scene.wire.trim(&scene.topic, 0, 12).await;
    let running = open(&scene, "").await;
    let error = running.end().await.expect_err("what lies between was never read");
    assert_eq!(error.reason, Reason::Refused);
    assert!(error.detail.contains("position is gone"), "{error}");
    assert_eq!(scene.committed().await, [5]);
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named() {
    let missing = unique("missing");
    let error = origin(&format!("{{ topic: {missing}, group: {missing} }}")).open(&support::house()).await;
    let error = error.err().expect("there is no such topic");
    assert_eq!(error.reason, Reason::Unroutable);
    assert!(error.detail.contains(&missing), "{error}");
}

/// Three records, the second without a value.
async fn with_a_tombstone() -> Scene {
    let mut scene = Scene::with(1).await;
    run(kcat(&["-P", "-Z", "-K:", "-t", &scene.topic, "-p", "0"]), b"1:{\"a\":1}\n2:\n3:{\"b\":2}\n").await;
    assert_eq!(scene.ends().await, [3]);
    scene
}

#[tokio::test]
async fn a_tombstone_is_forwarded_as_null() {
    let scene = with_a_tombstone().await;
    let mut running = open(&scene, "").await;
    let batches = running.collect(3).await;
    assert_eq!(bodies(&batches), ["{\"a\":1}", "null", "{\"b\":2}"]);
    let carriers: Vec<_> = batches.iter().flat_map(|batch| &batch.batch).map(|message| &message.carrier).collect();
    assert_eq!(carriers.iter().map(|carrier| carrier.word("tombstone").is_some()).collect::<Vec<_>>(), [false, true, false]);
    assert!(carriers.iter().all(|carrier| carrier.refused().is_none()));
}

#[tokio::test]
async fn a_tombstone_is_skipped_and_committed_as_if_it_had_been_read() {
    let mut scene = with_a_tombstone().await;
    run(kcat(&["-P", "-Z", "-K:", "-t", &scene.topic, "-p", "0"]), b"4:\n5:\n6:\n").await;
    assert_eq!(scene.ends().await, [6]);
    let mut running = open(&scene, "tombstone: skip").await;
    let batches = running.collect(2).await;
    assert_eq!(bodies(&batches), ["{\"a\":1}", "{\"b\":2}"]);
    sleep(Duration::from_millis(700)).await;
    assert_eq!(scene.committed().await, [0], "what is skipped at the end is not past what is unsettled before it");
    batches.iter().for_each(accept);
    scene.is_read_up(QUIET).await;
}

#[tokio::test]
async fn a_tombstone_is_refused_for_the_dead_letter() {
    let scene = with_a_tombstone().await;
    let mut running = open(&scene, "tombstone: dead_letter").await;
    let batches = running.collect(3).await;
    let refused = |message: &rialto::envelope::RawMessage| message.carrier.refused().is_some();
    assert_eq!(batches.iter().flat_map(|batch| &batch.batch).map(refused).collect::<Vec<_>>(), [false, true, false]);
}

#[tokio::test]
async fn a_topic_that_a_pattern_takes_is_read_from_its_beginning_when_it_is_made() {
    let (family, mut wire) = (unique("family"), Wire::to(&address()).await);
    let topic = |name: &str| format!("{family}.{name}");
    for name in ["one", "one.dead"] {
        wire.create(&topic(name), 1).await;
        put(&topic(name), 0, &[format!("\"{name}\"")]).await;
    }
    // `latest` is for what was there before; what is made later has nothing old.
    let pattern =
        origin(&format!("{{ topics_regex: '{family}[.].*', topics_exclude: '.*[.]dead', group: {family}, start: latest }}"));
    assert!(pattern.inlet().is_none());
    let mut running = Running::open(&*pattern, 100).await;
    while wire.committed(&family, &topic("one"), 1).await != [1] {
        sleep(Duration::from_millis(50)).await;
    }
    wire.create(&topic("two"), 2).await;
    put(&topic("two"), 1, &["\"first of two\"".to_owned()]).await;
    let batch = running.next().await;
    assert_eq!(bodies([&batch]), ["\"first of two\""]);
    accept(&batch);
    put(&topic("one"), 0, &["\"second of one\"".to_owned()]).await;
    let batch = running.next().await;
    assert_eq!(bodies([&batch]), ["\"second of one\""]);
    assert_eq!(wire.committed(&family, &topic("one.dead"), 1).await, [-1]);
}

#[tokio::test]
async fn key_headers_and_place_come_with_the_record() {
    let scene = Scene::with(3).await;
    let headers =
        ["-H", "message_id=id-1", "-H", "message_name=Paid", "-H", "twice=a", "-H", "twice=b", "-H", "content-type=text/x"];
    let mut options = vec!["-P", "-t", &*scene.topic, "-p", "2", "-k", "customer-7"];
    options.extend(headers);
    run(kcat(&options), b"{}").await;
    let mut running = open(&scene, "").await;
    let batch = running.next().await;
    let carrier = &batch.batch[0].carrier;
    let property = |property| carrier.property(property).map(std::borrow::Cow::into_owned);
    assert_eq!(property(Property::Key).as_deref(), Some("customer-7"));
    assert_eq!(property(Property::Id).as_deref(), Some("id-1"));
    assert_eq!(property(Property::Name).as_deref(), Some("Paid"));
    assert_eq!(property(Property::ContentType).as_deref(), Some("text/x"));
    assert_eq!(carrier.header("twice").and_then(|value| value.to_text().map(std::borrow::Cow::into_owned)).as_deref(), Some("b"));
    let mut all = Vec::new();
    carrier.headers(&mut |name, value| all.push((name.to_owned(), value.to_text().unwrap_or_default().into_owned())));
    assert_eq!(all, [("twice".to_owned(), "a".to_owned()), ("twice".to_owned(), "b".to_owned())]);
    let word = |name| carrier.word(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    assert_eq!((word("topic"), word("partition"), word("offset")), (scene.topic.clone(), "2".to_owned(), "0".to_owned()));
    assert_eq!(carrier.position(), Some(format!("{}/2/0", scene.topic)));
    assert!(carrier.time().is_some_and(|time| time > 1_700_000_000_000));
}

#[tokio::test]
async fn the_prefix_of_a_schema_registry_is_taken_off_and_its_id_is_a_header() {
    let scene = Scene::with(1).await;
    let values = [&b"\0\0\0\x01\x02{\"a\":1}"[..], b"{\"plain\":1}"].join(&b"|"[..]);
    run(kcat(&["-P", "-t", &scene.topic, "-p", "0", "-D", "|"]), &values).await;
    let mut running = open(&scene, "schema_prefix: confluent").await;
    let batches = running.collect(2).await;
    assert_eq!(bodies(&batches), ["{\"a\":1}", "{\"plain\":1}"]);
    let ids: Vec<_> =
        batches.iter().flat_map(|batch| &batch.batch).map(|message| message.carrier.header("rialto-schema-id")).collect();
    assert_eq!(ids, [Some(rialto::envelope::HeaderValue::Int(258)), None]);
}

#[tokio::test]
async fn a_tap_sees_what_comes_from_now_on_and_takes_nothing() {
    let mut scene = Scene::with(2).await;
    put(&scene.topic, 0, &numbered(3)).await;
    let broker = support::broker(&rialto::broker::kafka::KIND, &format!("kafka://{}", address()));
    let target = support::target(&*broker, &format!("topic: {}", scene.topic));
    let tap = broker.tap(&target).expect("a named topic");
    let mut running = Running::open(&*tap, 10).await;
    // Where the partitions end is looked up after the opening.
    sleep(Duration::from_secs(1)).await;
    put(&scene.topic, 1, &["\"seen\"".to_owned()]).await;
    let batch = running.next().await;
    assert_eq!(bodies([&batch]), ["\"seen\""]);
    accept(&batch);
    assert!(timeout(QUIET, running.arrivals.recv()).await.is_err(), "what was there before is not shown");
    for group in ["rialto-tap", &scene.topic.clone()] {
        assert_eq!(scene.wire.committed(group, &scene.topic, 2).await, [-1, -1]);
    }
}

#[tokio::test]
async fn the_new_group_protocol_reads_and_commits_as_the_old_one_does() {
    let mut scene = Scene::with(4).await;
    for partition in 0..4 {
        put(&scene.topic, partition, &numbered(50)).await;
    }
    let (topic, more) = (scene.topic.clone(), "protocol: consumer");
    let mut running = Running::open_in(&house("new-1"), &*scene.origin(more), 1000, 1 << 20).await;
    let batches = running.collect(200).await;
    batches.iter().for_each(accept);
    scene.is_read_up(QUIET).await;
    // A second member gets its share.
    let mut other = Running::open_in(&house("new-2"), &*scene.origin(more), 1000, 1 << 20).await;
    let mut shares = [0, 0];
    while shares.contains(&0) {
        for partition in 0..4 {
            put(&topic, partition, &["\"again\"".to_owned()]).await;
        }
        for (side, share) in [&mut running, &mut other].into_iter().zip(&mut shares) {
            while let Ok(Some(batch)) = timeout(Duration::from_millis(300), side.arrivals.recv()).await {
                *share += batch.batch.len();
                accept(&batch);
            }
        }
    }
    tokio::spawn(async move {
        while let Some(batch) = running.arrivals.recv().await {
            accept(&batch);
        }
    });
    tokio::spawn(async move {
        while let Some(batch) = other.arrivals.recv().await {
            accept(&batch);
        }
    });
    scene.is_read_up(Duration::from_secs(20)).await;
}
