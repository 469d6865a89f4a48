//! What every source promises.

use std::{collections::BTreeSet, time::Duration};

use rialto::{broker::Ended, envelope::Property, outcome::Verdict};
use tokio::time::{Instant, sleep, timeout};

use super::{Scene, Stand, eventually, for_every_kind, numbered};
use crate::support::{accept, bodies, message, outgoing, send};

/// A dead connection is noticed within this, also without traffic.
const NOTICED: Duration = Duration::from_secs(5);

macro_rules! suite {
    ($kind:ident, $stand:ty) => {
        mod $kind {
            use rialto::broker::Promises;

            use super::Scene;

            macro_rules! promise {
                ($promise:ident) => {
                    promise!($promise, |_| true);
                };
                ($promise:ident, $asked:expr) => {
                    #[tokio::test]
                    async fn $promise() {
                        let asked: fn(&Promises) -> bool = $asked;
                        if let Some(scene) = Scene::<$stand>::set(|promises| promises.source && asked(promises)).await {
                            super::$promise(scene).await;
                        }
                    }
                };
            }
            promise!(messages_come_in_their_order_byte_for_byte);
            promise!(nothing_is_lost_over_lost_connections, |promises| promises.network && promises.redelivers);
            promise!(what_was_accepted_never_comes_again, |promises| promises.network && promises.redelivers);
            promise!(a_full_window_stops_the_reading_and_settling_resumes_it);
            promise!(ids_and_headers_come_with_the_body, |promises| promises.headers && promises.publisher);
            promise!(the_largest_message_comes_whole);
            promise!(a_dropped_source_acknowledges_nothing_more, |promises| promises.network && promises.redelivers);
            promise!(a_dropped_source_is_off_the_network_at_once, |promises| promises.network);
            promise!(a_closed_source_drains_and_repeats_nothing);
            promise!(a_lost_connection_is_noticed_while_idle, |promises| promises.network);
            promise!(a_lost_connection_is_noticed_while_the_window_is_full, |promises| promises.network);
            promise!(old_settlements_never_touch_new_deliveries, |promises| promises.network && promises.redelivers);
        }
    };
}
for_every_kind!(suite);

async fn messages_come_in_their_order_byte_for_byte<S: Stand>(scene: Scene<S>) {
    let written: Vec<_> = (0..500).map(|n| format!("{{\"n\": {n}e0,\n \"text\":\"\u{2028}ü\\u0000\",\"n\":-0.0}}")).collect();
    let written: Vec<_> = written.into_iter().map(|body| scene.stand.spelled(body)).collect();
    scene.put(&written).await;
    let mut running = scene.running(1000).await;
    let batches = running.collect(500).await;
    let read = bodies(&batches);
    batches.iter().for_each(accept);
    if scene.promises().ordered {
        assert_eq!(read, written);
    } else {
        assert_eq!(read.iter().collect::<BTreeSet<_>>(), written.iter().collect());
    }
    scene.is_read_up().await;
}

async fn nothing_is_lost_over_lost_connections<S: Stand>(scene: Scene<S>) {
    let written = numbered(2000);
    scene.put(&written).await;
    let mut accepted = BTreeSet::new();
    for round in 0.. {
        assert!(round < 100, "no end: {} of {} accepted", accepted.len(), written.len());
        let mut running = scene.running(300).await;
        // A few batches, all but the last accepted, then the cable is cut in the middle of it.
        for _ in 0..10 {
            let Ok(Some(batch)) = timeout(Duration::from_secs(1), running.arrivals.recv()).await else { break };
            accepted.extend(bodies([&batch]));
            accept(&batch);
        }
        scene.cable.cut();
        let ended = running.end().await;
        if accepted.len() == written.len() {
            break;
        }
        assert!(ended.is_err(), "a cut cable is no orderly end: {ended:?}");
    }
    assert_eq!(accepted, written.into_iter().collect());
    // What was accepted in the last moment before a cut may come once more, as late as the server gives up on the dead connection.
    let mut last = scene.running(5000).await;
    tokio::select! {
        () = scene.is_read_up() => {}
        () = last.accept_all() => panic!("the source ended"),
    }
}

async fn what_was_accepted_never_comes_again<S: Stand>(scene: Scene<S>) {
    scene.put(&numbered(100)).await;
    let mut running = scene.running(1000).await;
    let batches = running.collect(100).await;
    // Every third of the later ones is left open, so that the settled ones stand behind holes.
    let mut expected = Vec::new();
    for (number, (batch, index)) in each(&batches).enumerate() {
        let open = number >= 40 && number % 3 == 0;
        // Where what is accepted is one number, all from the first hole on comes again.
        if open || (number >= 40 && !expected.is_empty() && !scene.stand.settles_singly()) {
            expected.push(bodies([&batches[batch]])[index as usize].clone());
        }
        if !open {
            batches[batch].ticket.settle(index, Verdict::Accepted);
        }
    }
    eventually("all but the open ones are accepted", || async { scene.stand.waiting(&scene.place).await == expected.len() }).await;
    scene.cable.cut();
    running.ended.await.expect("no panic").expect_err("the cable was cut");
    drop(batches);

    let mut again = scene.running(1000).await;
    let batches = again.collect(expected.len()).await;
    assert_eq!(sorted(bodies(&batches)), expected);
    batches.iter().for_each(accept);
    scene.is_read_up().await;
}

async fn a_full_window_stops_the_reading_and_settling_resumes_it<S: Stand>(scene: Scene<S>) {
    const WINDOW: usize = 50;
    scene.put(&numbered(600)).await;
    let mut running = scene.running(WINDOW).await;
    let mut held = Vec::new();
    while let Ok(Some(batch)) = timeout(Duration::from_millis(500), running.arrivals.recv()).await {
        held.push(batch);
    }
    let taken = running.door.held();
    // The window may be passed by the batch that was in hand.
    assert!((WINDOW..=2 * WINDOW).contains(&taken), "{taken} messages taken into a window of {WINDOW}");
    let mut read = bodies(&held);
    held.iter().for_each(accept);
    while read.len() < 600 {
        let batch = running.next().await;
        read.extend(bodies([&batch]));
        accept(&batch);
    }
    assert_eq!(sorted(read), numbered(600));
    scene.is_read_up().await;
}

async fn ids_and_headers_come_with_the_body<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let written = message(r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"id-7","payload":{"n":1}}"#);
    let mut out = outgoing(&target, &written, &scene.place.address);
    out.headers = &[("traceparent", "00-1"), ("x-tenant", "blau")];
    send(&mut *link, &[out]).await;
    let mut running = scene.running(10).await;
    let batch = running.next().await;
    let carrier = &batch.batch[0].carrier;
    assert_eq!(carrier.property(Property::Id).as_deref(), Some("id-7"));
    assert_eq!(carrier.property(Property::Name).as_deref(), Some("Paid"));
    assert_eq!(carrier.property(Property::Type).as_deref(), Some("ecst_event"));
    let header = |name: &str| carrier.header(name).and_then(|value| value.to_text().map(std::borrow::Cow::into_owned));
    assert_eq!(header("traceparent").as_deref(), Some("00-1"));
    assert_eq!(header("x-tenant").as_deref(), Some("blau"));
    let mut named = BTreeSet::new();
    carrier.headers(&mut |name, _| _ = named.insert(name.to_owned()));
    assert!(named.contains("traceparent") && named.contains("x-tenant"), "{named:?}");
    accept(&batch);
}

async fn the_largest_message_comes_whole<S: Stand>(scene: Scene<S>) {
    // What servers take by default is more than a test should move around on every run.
    let bytes = scene.promises().message_bytes_max.min(16 << 20);
    let body = format!("\"{}\"", "x".repeat(bytes - 2));
    scene.put(std::slice::from_ref(&body)).await;
    let mut running = scene.running_with(10, 1 << 20).await;
    let batch = running.next().await;
    assert_eq!(batch.batch[0].body.len(), bytes);
    assert!(batch.batch[0].body == body, "changed on the way");
    accept(&batch);
    scene.is_read_up().await;
}

async fn a_dropped_source_acknowledges_nothing_more<S: Stand>(scene: Scene<S>) {
    scene.put(&numbered(100)).await;
    let mut running = scene.running(1000).await;
    let batches = running.collect(100).await;
    running.ended.abort();
    assert!(running.ended.await.expect_err("aborted").is_cancelled());
    // Too late: the incarnation is gone.
    batches.iter().for_each(accept);
    eventually("its connection is closed", || async { scene.cable.open() == 0 }).await;
    drop(batches);
    let mut again = scene.running(1000).await;
    let batches = again.collect(100).await;
    assert_eq!(sorted(bodies(&batches)), numbered(100));
    batches.iter().for_each(accept);
    scene.is_read_up().await;
}

async fn a_dropped_source_is_off_the_network_at_once<S: Stand>(scene: Scene<S>) {
    let running = scene.running(10).await;
    sleep(Duration::from_millis(300)).await;
    scene.cable.freeze();
    running.ended.abort();
    let off = eventually("its sockets are closed", || async { scene.cable.open() == 0 });
    timeout(Duration::from_secs(1), off).await.expect("at once, whatever the server answers");
}

async fn a_closed_source_drains_and_repeats_nothing<S: Stand>(scene: Scene<S>) {
    scene.put(&numbered(2000)).await;
    let mut running = scene.running(500).await;
    let held = running.collect(300).await;
    running.closer.close();
    // What waits in the arrivals was offered before the close: it is delivered too.
    sleep(Duration::from_millis(200)).await;
    let mut read = bodies(&held);
    held.iter().for_each(accept);
    while let Some(batch) = timeout(Duration::from_secs(5), running.arrivals.recv()).await.unwrap_or(None) {
        read.extend(bodies([&batch]));
        accept(&batch);
        if running.ended.is_finished() {
            break;
        }
    }
    assert_eq!(running.end().await.expect("an orderly end"), Ended::Drained);
    assert!(read.len() < 2000, "the close came too late to show anything");
    eventually("its connection is closed", || async { scene.cable.open() == 0 }).await;
    if !scene.promises().redelivers {
        return;
    }
    let mut again = scene.running(5000).await;
    while read.len() < 2000 {
        let batch = again.next().await;
        read.extend(bodies([&batch]));
        accept(&batch);
    }
    assert_eq!(sorted(read), numbered(2000), "something was repeated or lost");
    scene.is_read_up().await;
}

async fn a_lost_connection_is_noticed_while_idle<S: Stand>(scene: Scene<S>) {
    let running = scene.running(10).await;
    sleep(Duration::from_millis(200)).await;
    let cut = Instant::now();
    scene.cable.cut();
    running.end().await.expect_err("the cable was cut");
    assert!(cut.elapsed() < NOTICED, "noticed after {:?}", cut.elapsed());
}

async fn a_lost_connection_is_noticed_while_the_window_is_full<S: Stand>(scene: Scene<S>) {
    scene.put(&numbered(200)).await;
    let mut running = scene.running(5).await;
    let _held = running.next().await;
    sleep(Duration::from_millis(300)).await;
    let cut = Instant::now();
    scene.cable.cut();
    timeout(NOTICED, running.ended).await.expect("noticed in time").expect("no panic").expect_err("the cable was cut");
    assert!(cut.elapsed() < NOTICED, "noticed after {:?}", cut.elapsed());
}

async fn old_settlements_never_touch_new_deliveries<S: Stand>(scene: Scene<S>) {
    scene.put(&numbered(20)).await;
    let mut first = scene.running(100).await;
    let old = first.collect(20).await;
    scene.cable.cut();
    first.ended.await.expect("no panic").expect_err("the cable was cut");

    let mut second = scene.running(100).await;
    let new = second.collect(20).await;
    // The same numbers as the new deliveries': acknowledged there, they would be lost.
    old.iter().for_each(accept);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(scene.stand.waiting(&scene.place).await, 20);
    new.iter().for_each(accept);
    scene.is_read_up().await;
}

/// (batch, index) of every message.
fn each(batches: &[rialto::intake::Arrival]) -> impl Iterator<Item = (usize, u32)> {
    batches.iter().enumerate().flat_map(|(at, batch)| (0..batch.batch.len() as u32).map(move |index| (at, index)))
}

fn sorted(mut bodies: Vec<String>) -> Vec<String> {
    bodies.sort();
    bodies
}
