//! What goes wrong on the way: connections and links that end, tokens that are refused or over, a service that is busy.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rialto::{
    broker::Ended,
    outcome::{Outcome, Reason},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{broker, numbers};
use crate::{
    conformance::Cable,
    service_bus::stand_in::StandIn,
    support::{self, Running, accept, bodies, house, message, origin, outgoing, send, try_send},
};

/// How the service ends what was healthy.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Detach,
    Close,
    Drop,
}

impl Blow {
    async fn fall(self, stand_in: &StandIn, queue: &str) {
        match self {
            Self::Detach => {
                let what =
                    json!({ "entity": queue, "role": "receiver", "condition": "amqp:link:detach-forced", "description": "moved" });
                stand_in.post("detach", what).await;
            }
            Self::Close => {
                let what = json!({ "entity": queue, "condition": "amqp:connection:forced", "description": "upgraded" });
                stand_in.post("close", what).await;
            }
            Self::Drop => {
                stand_in.post("drop", json!({ "entity": queue })).await;
            }
        }
    }
}

async fn nothing_is_lost_over(blow: Blow) {
    const COUNT: usize = 2000;
    const WINDOW: usize = 100;
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 1, "max_delivery_count": 100 })).await;
    stand_in.put(&queue, &numbers(COUNT)).await;
    let broker = broker(&stand_in);
    let origin = origin(&*broker, &queue);
    let (mut read, mut rounds) = (0, 0);
    let mut accepted = BTreeSet::new();
    while accepted.len() < COUNT {
        rounds += 1;
        assert!(rounds < 60, "no end: {} of {COUNT} after {rounds} rounds", accepted.len());
        let mut running = Running::open(&*origin, WINDOW).await;
        for _ in 0..8 {
            let Ok(Some(batch)) = timeout(Duration::from_secs(2), running.arrivals.recv()).await else { break };
            read += batch.batch.len();
            accepted.extend(bodies([&batch]));
            accept(&batch);
        }
        if accepted.len() == COUNT {
            running.close().await.expect("an orderly end");
            break;
        }
        blow.fall(&stand_in, &queue).await;
        let fault = running.end().await.expect_err("no orderly end");
        assert_eq!(fault.reason, Reason::Link, "{fault}");
    }
    let repeated = read - COUNT;
    assert!(repeated <= (rounds - 1) * 2 * WINDOW, "{repeated} repeated in {rounds} rounds of a window of {WINDOW}");
    // What was accepted in the last moment before a blow comes once more.
    let mut last = Running::open(&*origin, WINDOW).await;
    while stand_in.waiting(&queue).await > 0 {
        let Ok(Some(batch)) = timeout(Duration::from_millis(500), last.arrivals.recv()).await else { continue };
        accept(&batch);
    }
    last.close().await.expect("an orderly end");
    assert_eq!(stand_in.count(&format!("{queue}/$DeadLetterQueue"), "active").await, 0);
}

#[tokio::test]
async fn nothing_is_lost_over_forced_detaches() {
    nothing_is_lost_over(Blow::Detach).await;
}

#[tokio::test]
async fn nothing_is_lost_over_closed_connections() {
    nothing_is_lost_over(Blow::Close).await;
}

#[tokio::test]
async fn nothing_is_lost_over_cut_connections() {
    nothing_is_lost_over(Blow::Drop).await;
}

#[tokio::test]
async fn a_wrong_key_is_named_and_nothing_is_taken() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    stand_in.put(&queue, &numbers(3)).await;
    let wrong = support::broker(&super::KIND, &StandIn::settings_as(&stand_in.amqp, "RootManageSharedAccessKey", "d3Jvbmc="));
    let fault = origin(&*wrong, &queue).open(&house()).await.err().expect("a wrong key");
    assert_eq!(fault.reason, Reason::Unauthenticated, "{fault}");
    assert!(fault.detail.contains("$cbs") && fault.detail.contains("signature"), "{fault}");
    let target = support::target(&*wrong, &queue);
    let mut link = wrong.link(&target.link, &house()).await.expect("a connection");
    let written = message("{}");
    let down = try_send(&mut *link, &[outgoing(&target, &written, &queue)]).await.expect_err("a wrong key");
    assert_eq!(down.reason, Reason::Unauthenticated, "{down}");
    assert_eq!(stand_in.waiting(&queue).await, 3);
    assert_eq!(stand_in.count(&format!("{queue}/$DeadLetterQueue"), "active").await, 0);
}

#[tokio::test]
async fn a_missing_claim_is_forbidden() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let policy = crate::service_bus::stand_in::unique("send-only");
    stand_in.post("policies", json!({ "name": policy, "key": "a2V5", "rights": ["Send"] })).await;
    let sender = support::broker(&super::KIND, &StandIn::settings_as(&stand_in.amqp, &policy, "a2V5"));
    let fault = origin(&*sender, &queue).open(&house()).await.err().expect("no right to listen");
    assert_eq!(fault.reason, Reason::Forbidden, "{fault}");
    assert!(fault.detail.contains("Listen"), "{fault}");
}

#[tokio::test]
async fn an_expired_token_pauses_and_dead_letters_nothing() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 2 })).await;
    stand_in.put(&queue, &numbers(5)).await;
    let broker = broker(&stand_in);
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let held = running.collect(5).await;
    stand_in.post("expire_tokens", json!({ "entity": queue })).await;
    let fault = running.end().await.expect_err("the token is over");
    assert_eq!(fault.reason, Reason::Unauthenticated, "{fault}");
    held.iter().for_each(accept);
    drop(held);
    // The next incarnation puts a new one.
    let mut again = Running::open(&*origin(&*broker, &queue), 10).await;
    let batches = again.collect(5).await;
    batches.iter().for_each(accept);
    assert_eq!(again.close().await.expect("an orderly end"), Ended::Drained);
    assert_eq!(stand_in.waiting(&queue).await, 0);
    assert_eq!(stand_in.count(&format!("{queue}/$DeadLetterQueue"), "active").await, 0);
}

#[tokio::test]
async fn a_busy_service_throttles_and_costs_no_try() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    stand_in.post("faults", json!({ "kind": "throttle", "count": 1, "entity": queue, "face": "amqp" })).await;
    let written = message("{}");
    let outcomes = send(&mut *link, &[outgoing(&target, &written, &queue)]).await;
    assert!(matches!(outcomes[0], Outcome::Throttled { after: Some(_), .. }), "{outcomes:?}");
    let outcomes = send(&mut *link, &[outgoing(&target, &written, &queue)]).await;
    assert!(matches!(outcomes[0], Outcome::Delivered(_)), "{outcomes:?}");
}

#[tokio::test]
async fn a_busy_service_at_the_opening_is_throttling() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let busy = json!({ "kind": "refuse_attach", "count": 1, "entity": queue, "condition": "com.microsoft:server-busy" });
    stand_in.post("faults", busy).await;
    let broker = broker(&stand_in);
    let fault = origin(&*broker, &queue).open(&house()).await.err().expect("busy");
    assert_eq!(fault.reason, Reason::Throttled, "{fault}");
}

#[tokio::test]
async fn a_frozen_service_ends_the_incarnation_whose_locks_it_does_not_renew() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({ "lock_seconds": 2 })).await;
    stand_in.put(&queue, &numbers(5)).await;
    let cable = Cable::to(&stand_in.amqp).await;
    let broker = support::broker(&super::KIND, &stand_in.settings_at(&cable.address().to_string()));
    let mut running = Running::open(&*origin(&*broker, &queue), 10).await;
    let held = running.collect(5).await;
    cable.freeze();
    let ended = timeout(Duration::from_secs(15), &mut running.ended).await.expect("noticed in time").expect("no panic");
    assert_eq!(ended.expect_err("no answer").reason, Reason::Timeout);
    drop(held);
    sleep(Duration::from_millis(100)).await;
    let direct = super::broker(&stand_in);
    let mut again = Running::open(&*origin(&*direct, &queue), 10).await;
    let batches = again.collect(5).await;
    assert_eq!(bodies(&batches), numbers(5));
    batches.iter().for_each(accept);
    again.close().await.expect("an orderly end");
}

/// Naive: a link that has no token yet is well because nobody said otherwise.
#[tokio::test]
async fn a_link_that_sent_nothing_yet_asks_whether_the_service_is_there() {
    let stand_in = StandIn::find().await;
    let cable = Cable::to(&stand_in.amqp).await;
    let broker = support::broker(&super::KIND, &stand_in.settings_at(&cable.address().to_string()));
    let mut link = broker.link(&support::target(&*broker, "orders").link, &house()).await.expect("a link");
    link.ping().await.expect("an answer");
    cable.freeze();
    assert!(timeout(Duration::from_secs(1), link.ping()).await.is_err(), "nobody answered");
}

#[tokio::test]
async fn a_link_that_was_idle_for_long_is_attached_again() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    let broker = broker(&stand_in);
    let target = support::target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let written = Arc::new(message("{}"));
    send(&mut *link, &[outgoing(&target, &written, &queue)]).await;
    let idle =
        json!({ "entity": queue, "role": "sender", "condition": "amqp:link:detach-forced", "description": "idle for 10 minutes" });
    stand_in.post("detach", idle).await;
    sleep(Duration::from_millis(200)).await;
    let outcomes = send(&mut *link, &[outgoing(&target, &written, &queue)]).await;
    assert!(matches!(outcomes[0], Outcome::Delivered(_)), "{outcomes:?}");
    assert_eq!(stand_in.waiting(&queue).await, 2);
}
