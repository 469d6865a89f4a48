//! Destinations that would have nothing for a while.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;

#[tokio::test]
async fn a_link_that_its_broker_holds_back_is_not_late() {
    let mut rig = Rig::start(quick(), script(vec![|_| Answer::Silence]));
    rig.held.store(true, Relaxed);
    let _receipts = rig.append(&["a1"]).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(rig.seen(), ["open", "a1"], "three times its timeout");
    rig.held.store(false, Relaxed);
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1", "open", "a1"]);
}

#[tokio::test]
async fn throttling_pauses_the_lane_without_counting_and_keeps_the_order() {
    let mut times = 0;
    let mut rig = Rig::start(DeliveryRules { max_errors: Some(1), ..quick() }, move |bodies| {
        times += 1;
        if times > 3 {
            return delivered(bodies);
        }
        let throttled = Outcome::Throttled { after: Some(Duration::from_millis(5)), detail: "OOM".into() };
        Answer::Outcomes(vec![throttled; bodies.len()])
    });
    let _receipts = rig.append(&["a1", "b1", "a2"]).await;
    rig.settled().await;
    let seen = rig.seen();
    assert_eq!(seen[seen.len() - 3..], ["a1", "b1", "a2"]);
    assert!(!seen.iter().any(|body| body.starts_with("grave")), "{seen:?}");
}

#[tokio::test]
async fn what_was_not_sent_goes_again_at_once_in_its_place_without_counting() {
    let mut times = 0;
    let mut rig = Rig::start(DeliveryRules { max_errors: Some(1), ..quick() }, move |bodies| {
        times += 1;
        if times > 1 {
            return delivered(bodies);
        }
        let mut outcomes = vec![Outcome::Unsent; bodies.len()];
        outcomes[0] = refusal(Reason::Final);
        Answer::Outcomes(outcomes)
    });
    let _receipts = rig.append(&["a1", "a2", "b1", "a3"]).await;
    rig.settled().await;
    let lane: Vec<_> = rig.seen().into_iter().filter(|body| body != "open" && !body.starts_with("grave")).collect();
    assert_eq!(lane, ["a1", "a2", "b1", "a3", "a2", "b1", "a3"], "all that goes again goes side by side");
}

#[tokio::test]
async fn a_paused_lane_keeps_one_withdrawn_message_to_ask_with() {
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let mut rig = Rig::start(quick(), move |bodies| {
        if opened.load(Relaxed) {
            return delivered(bodies);
        }
        Answer::Outcomes(vec![refusal(Reason::Unauthenticated); bodies.len()])
    });
    let receipts = rig.append(&["a1", "b1", "c1"]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(receipts);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(rig.journal.pending(), 1, "one asks, the others come again from their source");
    open.store(true, Relaxed);
    rig.settled().await;
}

#[tokio::test]
async fn a_link_that_is_closed_for_what_we_are_not_is_no_message_s_fault() {
    let mut deaths = 0;
    let mut rig = Rig::start(DeliveryRules { max_errors: Some(1), ..quick() }, move |bodies| {
        deaths += 1;
        if deaths > 5 { delivered(bodies) } else { Answer::Dies(Reason::Forbidden) }
    });
    let start = std::time::Instant::now();
    let _receipts = rig.append(&["a1"]).await;
    rig.settled().await;
    let seen = rig.seen();
    assert_eq!(seen.iter().filter(|body| *body == "a1").count(), 6, "{seen:?}");
    assert!(!seen.iter().any(|body| body.starts_with("grave")), "{seen:?}");
    assert!(start.elapsed() > Duration::from_millis(750), "the pause grows, though each opening succeeds: {:?}", start.elapsed());
}

#[tokio::test]
async fn a_link_that_opens_only_to_be_closed_pauses_what_was_on_it() {
    let mended = Arc::new(AtomicBool::new(false));
    let ours = Arc::clone(&mended);
    let mut rig =
        Rig::start(quick(), move |bodies| if ours.load(Relaxed) { delivered(bodies) } else { Answer::Dies(Reason::Forbidden) });
    let receipts = rig.append(&["a1", "b1", "c1"]).await;
    while rig.seen().iter().filter(|said| *said == "open").count() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..100 {
        assert!(rig.board.paused(LANE), "each opening succeeds, and is no news");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(receipts);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(rig.journal.pending(), 1, "one asks, the others come again from their source");
    mended.store(true, Relaxed);
    rig.settled().await;
    assert!(!rig.board.paused(LANE));
}
