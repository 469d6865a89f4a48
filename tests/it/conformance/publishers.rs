//! What every publisher promises.

use std::time::Duration;

use futures_util::future::join_all;
use rialto::{broker::Outgoing, outcome::Outcome};
use tokio::time::{Instant, sleep, timeout};

use super::{Scene, Stand, eventually, for_every_kind, numbered};
use crate::support::{self, PATIENCE, message, outgoing, send, try_send};

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
                        if let Some(scene) = Scene::<$stand>::set(|promises| promises.publisher && asked(promises)).await {
                            super::$promise(scene).await;
                        }
                    }
                };
            }
            promise!(batches_in_flight_keep_the_order_of_their_sends);
            promise!(one_refusal_is_one_refusal);
            promise!(ids_and_headers_go_with_the_body, |promises| promises.headers);
            promise!(the_largest_message_goes_whole);
            promise!(a_lost_link_answers_for_everything_and_calls_nothing_delivered_that_is_not, |promises| promises.network);
            promise!(a_closed_link_has_sent_all);
            promise!(a_dropped_link_sends_nothing_more, |promises| promises.network);
            promise!(a_dropped_link_is_off_the_network_at_once, |promises| promises.network);
            promise!(a_frozen_link_holds_its_batches_and_finishes_them_later, |promises| promises.network);
            promise!(a_ping_tells_the_living_from_the_dead, |promises| promises.network);
        }
    };
}
for_every_kind!(suite);

async fn batches_in_flight_keep_the_order_of_their_sends<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let written = numbered(1000);
    let messages: Vec<_> = written.iter().map(|body| message(body.clone())).collect();
    let mut confirms = Vec::new();
    // Where messages travel side by side, those of one key do not.
    let key = if scene.promises().ordered { "" } else { "one key" };
    for chunk in messages.chunks(37) {
        let one = |message| Outgoing { key, ..outgoing(&target, message, &scene.place.address) };
        let batch: Vec<_> = chunk.iter().map(one).collect();
        confirms.push(link.send(&batch).await.expect("a live link"));
    }
    // Awaited backwards: the order is that of `send`.
    confirms.reverse();
    for answers in timeout(PATIENCE, join_all(confirms)).await.expect("answers in time") {
        for outcome in answers.expect("a live link") {
            assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
        }
    }
    let found: Vec<_> = scene.found().await.iter().map(super::Found::text).collect();
    assert_eq!(found, written);
}

async fn one_refusal_is_one_refusal<S: Stand>(scene: Scene<S>) {
    let picky = scene.stand.picky().await;
    let target = support::target(&*scene.broker, &picky.target);
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let messages: Vec<_> = numbered(30).into_iter().map(message).collect();
    let is_bad = |place: usize| place % 7 == 3;
    let address = |place: usize| if is_bad(place) { &picky.bad } else { &picky.good };
    let batch: Vec<_> = messages.iter().enumerate().map(|(place, message)| outgoing(&target, message, address(place))).collect();
    let outcomes = send(&mut *link, &batch).await;
    assert_eq!(outcomes.len(), 30);
    for (place, outcome) in outcomes.iter().enumerate() {
        let as_promised = match outcome {
            Outcome::Delivered(_) => !is_bad(place),
            Outcome::Refused(_) => is_bad(place),
            _ => false,
        };
        assert!(as_promised, "{place}: {outcome:?}");
    }
    // The link lives on.
    let again = send(&mut *link, &batch[..1]).await;
    assert!(matches!(again[0], Outcome::Delivered(_)), "{again:?}");
}

async fn ids_and_headers_go_with_the_body<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let written = message(r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"id-7","payload":{"n":1}}"#);
    let mut out = outgoing(&target, &written, &scene.place.address);
    out.headers = &[("traceparent", "00-1"), ("x-tenant", "blau")];
    send(&mut *link, &[out]).await;
    let found = scene.found().await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.as_deref(), found[0].name.as_deref()), (Some("id-7"), Some("Paid")));
    assert_eq!(found[0].headers.get("traceparent").map(String::as_str), Some("00-1"));
    assert_eq!(found[0].headers.get("x-tenant").map(String::as_str), Some("blau"));
}

async fn the_largest_message_goes_whole<S: Stand>(scene: Scene<S>) {
    let bytes = scene.promises().message_bytes_max.min(16 << 20);
    let body = format!("\"{}\"", "x".repeat(bytes - 2));
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let large = message(body.clone());
    let outcomes = send(&mut *link, &[outgoing(&target, &large, &scene.place.address)]).await;
    assert!(matches!(outcomes[0], Outcome::Delivered(_)), "{outcomes:?}");
    let found = scene.found().await;
    assert!(found.len() == 1 && found[0].body == body.as_bytes(), "changed on the way");
}

async fn a_lost_link_answers_for_everything_and_calls_nothing_delivered_that_is_not<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let messages: Vec<_> = numbered(2000).into_iter().map(message).collect();
    let mut confirms = Vec::new();
    let mut lost = false;
    for (number, chunk) in messages.chunks(20).enumerate() {
        if number == 40 {
            scene.cable.cut();
        }
        let batch: Vec<_> = chunk.iter().map(|message| outgoing(&target, message, &scene.place.address)).collect();
        let Ok(answer) = timeout(PATIENCE, link.send(&batch)).await.expect("sent in time") else {
            lost = true;
            break;
        };
        confirms.push(answer);
        // Lets some of them be answered.
        if number % 10 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let (mut delivered, mut number) = (Vec::new(), 0);
    for answer in confirms {
        let size = 20;
        match timeout(PATIENCE, answer).await.expect("no batch is left without an answer") {
            Ok(outcomes) => {
                assert_eq!(outcomes.len(), size);
                lost |= outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unknown(_)));
                let called = outcomes.iter().enumerate().filter(|(_, outcome)| matches!(outcome, Outcome::Delivered(_)));
                delivered.extend(called.map(|(at, _)| format!("{{\"event_id\":\"{:06}\"}}", number + at)));
            }
            Err(_) => lost = true,
        }
        number += size;
    }
    // A client may mend a cut by itself, without writing anything twice; then nothing is lost by it.
    assert!(lost || delivered.len() == messages.len(), "a cut cable must be told");
    drop(link);
    sleep(Duration::from_millis(300)).await;
    let found: Vec<_> = scene.found().await.iter().map(super::Found::text).collect();
    let missing: Vec<_> = delivered.iter().filter(|body| !found.contains(body)).collect();
    assert!(missing.is_empty(), "called delivered and not there: {missing:?}");
}

async fn a_closed_link_has_sent_all<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let messages: Vec<_> = numbered(500).into_iter().map(message).collect();
    let mut confirms = Vec::new();
    for chunk in messages.chunks(100) {
        let batch: Vec<_> = chunk.iter().map(|message| outgoing(&target, message, &scene.place.address)).collect();
        confirms.push(link.send(&batch).await.expect("a live link"));
    }
    timeout(PATIENCE, link.close()).await.expect("closed in time");
    for answer in confirms {
        let outcomes = timeout(PATIENCE, answer).await.expect("answers in time").expect("answers, as the link was flushed");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))));
    }
    assert_eq!(scene.found().await.len(), 500);
    eventually("its connection is closed", || async { scene.cable.open() == 0 }).await;
}

async fn a_dropped_link_sends_nothing_more<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    // Nothing passes, so that all is still to be sent when the link is dropped.
    scene.cable.freeze();
    let large = "x".repeat(64 << 10);
    let messages: Vec<_> = (0..200).map(|n| message(format!("{{\"event_id\":\"{n}\",\"x\":\"{large}\"}}"))).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &scene.place.address)).collect();
    // Half sent or all sent: either way it ends with the link.
    let _ = timeout(Duration::from_millis(300), link.send(&batch)).await;
    drop(link);
    let dropped = Instant::now();
    scene.cable.thaw();
    eventually("its connection is closed", || async { scene.cable.open() == 0 }).await;
    assert!(dropped.elapsed() < Duration::from_secs(5), "closed after {:?}", dropped.elapsed());
    let found = scene.found().await.len();
    assert!(found < 200, "all {found} messages of a dropped link were sent");
}

/// Naive: a client library's farewell waits for an answer, and the old socket still delivers beside the new one.
async fn a_dropped_link_is_off_the_network_at_once<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let one = message("{}");
    send(&mut *link, &[outgoing(&target, &one, &scene.place.address)]).await;
    sleep(Duration::from_millis(100)).await;
    scene.cable.freeze();
    drop(link);
    let off = eventually("its sockets are closed", || async { scene.cable.open() == 0 });
    timeout(Duration::from_secs(1), off).await.expect("at once, whatever the server answers");
}

async fn a_frozen_link_holds_its_batches_and_finishes_them_later<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    let messages: Vec<_> = numbered(40).into_iter().map(message).collect();
    scene.cable.freeze();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &scene.place.address)).collect();
    let answer = timeout(PATIENCE, link.send(&batch)).await.expect("sent in time").expect("a live link");
    let mut answer = Box::pin(answer);
    assert!(timeout(Duration::from_millis(500), &mut answer).await.is_err(), "nothing can have been confirmed");
    scene.cable.thaw();
    let outcomes = timeout(PATIENCE, answer).await.expect("answers in time").expect("a live link");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))), "{outcomes:?}");
    assert_eq!(scene.found().await.len(), 40);
}

async fn a_ping_tells_the_living_from_the_dead<S: Stand>(scene: Scene<S>) {
    let target = scene.target();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link");
    timeout(PATIENCE, link.ping()).await.expect("an answer").expect("alive");
    scene.cable.unplug();
    let dead = async {
        while link.ping().await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), dead).await.expect("a dead link is noticed");
    let one = message("{}");
    assert!(try_send(&mut *link, &[outgoing(&target, &one, &scene.place.address)]).await.is_err());
    scene.cable.plug();
    let mut link = scene.broker.link(&target.link, &scene.house()).await.expect("a link again");
    send(&mut *link, &[outgoing(&target, &one, &scene.place.address)]).await;
    assert!(scene.cable.opened() >= 2, "a new link is a new connection");
}
