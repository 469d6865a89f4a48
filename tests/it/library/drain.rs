//! The end of a bridge inside a program: what was begun is finished, what was not comes again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use rialto::{
    bridge::Stopped,
    embed::Event,
    testkit::{Memory, TestEvent},
};
use tokio::time::{Instant, sleep};

use super::{Seen, bridge};

type Handled = BoxFuture<'static, Result<(), String>>;

/// Counts calls that began and calls that ended.
fn slow(time: Duration) -> (impl Fn(Event) -> Handled + Send + Sync, Arc<AtomicUsize>, Seen) {
    let (ended, begun) = (Arc::new(AtomicUsize::new(0)), Seen::default());
    let (counted, noted) = (ended.clone(), begun.clone());
    let handler = move |event: Event| {
        let (ended, begun) = (counted.clone(), noted.clone());
        let call: Handled = Box::pin(async move {
            begun.note(event.id());
            sleep(time).await;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        call
    };
    (handler, ended, begun)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_the_handlers_that_run() {
    let memory = Memory::new();
    let (handler, ended, begun) = slow(Duration::from_millis(400));
    let running = bridge(&memory).on("*", handler).start().await.unwrap();
    (0..3).for_each(|number| memory.put("in", TestEvent::domain("Long").id(number.to_string())));
    begun.wait(3).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    assert_eq!(running.drain().await, Stopped::Drained);
    assert_eq!(ended.load(Ordering::SeqCst), 3, "a drain is over when the handlers are");
    memory.expect_settled("in").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_drain_could_not_wait_for_comes_again() {
    let memory = Memory::new();
    let (handler, ended, begun) = slow(Duration::from_secs(60));
    let running = bridge(&memory).set("shutdown.timeout", "200ms").on("*", handler).start().await.unwrap();
    memory.put("in", TestEvent::domain("Endless").id("e"));
    begun.wait(1).await;
    let start = Instant::now();
    assert_eq!(running.drain().await, Stopped::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    let (handler, ended, begun) = slow(Duration::ZERO);
    let running = bridge(&memory).on("*", handler).start().await.unwrap();
    assert_eq!(begun.wait(1).await, ["e"]);
    memory.expect_settled("in").await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_is_dropped_drains_by_itself() {
    let memory = Memory::new();
    let (handler, ended, begun) = slow(Duration::from_millis(100));
    let running = bridge(&memory).on("*", handler).start().await.unwrap();
    memory.put("in", TestEvent::domain("Long"));
    begun.wait(1).await;
    drop(running);
    memory.expect_settled("in").await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}
