//! The order among events of a key, under failure too; and the order among the handlers of an event.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rialto::{
    embed::{Event, Handling},
    testkit::{Memory, TestEvent},
};
use tokio::time::sleep;

use super::{Seen, bridge, never};

/// Every second try fails; whatever happens, events of a key are handled in their order, never two at once, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_are_handled_one_after_the_other_in_order_under_failure() {
    const KEYS: usize = 5;
    const EVENTS: usize = 200;
    let memory = Memory::new();
    let done: Arc<Mutex<BTreeMap<String, Vec<usize>>>> = Arc::default();
    let busy: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (finished, working) = (done.clone(), busy.clone());
    let handler = move |event: Event| {
        let (done, busy) = (finished.clone(), working.clone());
        async move {
            let (key, number) = event.id().split_once('-').map(|(key, number)| (key.to_owned(), number.parse().unwrap())).unwrap();
            let running = {
                let mut busy = busy.lock().unwrap();
                let running = busy.entry(key.clone()).or_default();
                *running += 1;
                *running
            };
            sleep(Duration::from_millis(fastrand::u64(0..3))).await;
            *busy.lock().unwrap().get_mut(&key).unwrap() -= 1;
            if running > 1 {
                return {
                    let _: () = done.lock().unwrap().entry(format!("{key}: two at once")).or_default().push(number);
                    Ok(())
                };
            }
            if event.attempt() == 1 && fastrand::bool() {
                return Err("not this time".to_owned());
            }
            done.lock().unwrap().entry(key).or_default().push(number);
            Ok(())
        }
    };
    let rules = Handling::by(handler).backoff(Duration::from_millis(1), Duration::from_millis(10)).concurrency(8).max_errors(50);
    let running = bridge(&memory).set("defaults.breaker.failures", 1000).on("*", rules).start().await.unwrap();
    for number in 0..EVENTS {
        let key = format!("k{}", number % KEYS);
        memory.put("in", TestEvent::domain("Step").id(format!("{key}-{number}")).key(key));
    }
    memory.expect_settled("in").await;
    let done = done.lock().unwrap().clone();
    let due: BTreeMap<String, Vec<usize>> =
        (0..KEYS).map(|key| (format!("k{key}"), (0..EVENTS).filter(|number| number % KEYS == key).collect())).collect();
    assert_eq!(done, due);
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handlers_of_an_event_begin_in_the_order_of_their_priority() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let ranked = |name: &'static str, priority| Handling::by(seen.handler(name, never)).named(name).priority(priority);
    let running = bridge(&memory)
        .on("*", ranked("last", 90))
        .on("*", seen.handler("usual", never))
        .on("*", ranked("first", 1))
        .on("*", ranked("second", 10))
        .start()
        .await
        .unwrap();
    for number in 0..50 {
        memory.put("in", TestEvent::domain("Step").id("e"));
        let all = seen.wait((number + 1) * 4).await;
        let names: Vec<_> = all[number * 4..].iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["first", "second", "usual", "last"], "event {number}");
    }
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_with_one_call_at_a_time_keeps_the_order_of_its_source() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let running = bridge(&memory).on("*", Handling::by(seen.handler("h", never)).concurrency(1)).start().await.unwrap();
    (0..300).for_each(|number| memory.put("in", TestEvent::domain("Step").id(number.to_string())));
    let all = seen.wait(300).await;
    let due: Vec<_> = (0..300).map(|number| format!("h {number} 1")).collect();
    assert_eq!(all, due);
    running.drain().await;
}
