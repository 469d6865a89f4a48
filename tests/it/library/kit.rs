//! The kit fails as it is told to, loses nothing by itself, and says what it saw.

use std::time::Duration;

use futures_util::FutureExt;
use rialto::{
    bridge::Bridge,
    testkit::{Memory, TestEvent},
};
use tokio::time::Instant;

async fn pass(memory: &Memory) -> rialto::embed::Running {
    let yaml =
        "routes: [{ from: mq/in, to: { broker: mq, queue: out, backoff: { initial: 5ms, max: 10ms } }, dead_letter: native }]";
    Bridge::builder().yaml(yaml).broker("mq", memory.broker()).start().await.unwrap()
}

#[tokio::test]
async fn every_form_of_an_event_is_read_as_one() {
    let memory = Memory::new();
    let running = pass(&memory).await;
    let event = || TestEvent::of("ecst_event", "Paid").id("p-1").payload(r#"{"n":1}"#);
    memory.put("in", event());
    memory.put("in", event().as_cloud_event("/shop"));
    memory.put("in", event().bare().header("message_name", "Paid"));
    let out = memory.expect("out", 3).await;
    for published in &out {
        assert_eq!((published.name(), published.payload()["n"].as_u64()), ("Paid", Some(1)), "{}", published.text());
    }
    memory.put("in", TestEvent::body("no JSON"));
    memory.expect_settled("in").await;
    assert_eq!(memory.rejected("in").len(), 1);
    running.drain().await;
}

#[tokio::test]
async fn a_cut_loses_nothing_and_repeats_at_most_what_was_unsettled() {
    let memory = Memory::new();
    let running = pass(&memory).await;
    for round in 0..5 {
        (0..100).for_each(|number| memory.put("in", TestEvent::domain("Step").id(format!("{round}-{number:03}")).key("k")));
        tokio::time::sleep(Duration::from_millis(5)).await;
        memory.cut();
        tokio::time::sleep(Duration::from_millis(20)).await;
        memory.mend();
    }
    memory.expect_settled("in").await;
    let mut ids: Vec<_> = memory.published("out").iter().map(|published| published.id().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 500);
    running.drain().await;
}

#[tokio::test]
async fn a_throttled_queue_is_waited_for_and_counts_no_try() {
    let memory = Memory::new();
    let running = pass(&memory).await;
    memory.throttle("out", Duration::from_millis(200));
    let start = Instant::now();
    memory.put("in", TestEvent::domain("Step"));
    memory.expect("out", 1).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(memory.rejected("in").is_empty());
    running.drain().await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_rejected_to_its_source() {
    let memory = Memory::new();
    let running = pass(&memory).await;
    memory.refuse("out", 5);
    memory.put("in", TestEvent::domain("Step").id("s"));
    memory.expect_settled("in").await;
    assert_eq!(memory.rejected("in")[0].id(), "s");
    assert!(memory.published("out").is_empty());
    running.drain().await;
}

#[tokio::test]
async fn a_failed_expectation_shows_what_there_is() {
    let memory = Memory::new().patient(Duration::from_millis(50));
    memory.put("in", TestEvent::domain("Step"));
    let failed = std::panic::AssertUnwindSafe(memory.expect("out", 2)).catch_unwind().await.unwrap_err();
    let said = failed.downcast_ref::<String>().unwrap();
    assert!(said.contains("0 of 2 messages came to `out` within 50ms"), "{said}");
    assert!(said.contains("in: 0 published, 1 waiting, 0 unsettled"), "{said}");
}
