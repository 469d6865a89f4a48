//! Each handler is a lane of its own: its tries, its times, its dead letter.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rialto::{
    embed::{Event, Handling, Permanent},
    testkit::{Memory, TestEvent},
};
use serde::Deserialize;
use tokio::time::sleep;

use super::{Seen, bridge, never};

#[derive(Debug, Deserialize, PartialEq)]
struct User {
    name: String,
}

#[tokio::test]
async fn a_handler_gets_the_whole_event() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let noted = seen.clone();
    let handler = move |event: Event| {
        let seen = noted.clone();
        async move {
            assert_eq!((event.message_type(), event.name(), event.id(), event.attempt()), ("domain_event", "UserJoined", "u-1", 1));
            assert_eq!(event.json::<User>()?, User { name: "ada".into() });
            assert_eq!(event.payload(), br#"{"name":"ada"}"#);
            assert_eq!(event.header("x-tenant").as_deref(), Some("blau"));
            assert!(event.headers().contains(&("x-tenant".to_owned(), "blau".to_owned())), "{:?}", event.headers());
            assert_eq!(event.correlation_id().as_deref(), Some("c-7"));
            assert!(!format!("{event:?}").contains("ada"), "a payload is in no log");
            seen.note(event.id());
            Ok::<_, serde_json::Error>(())
        }
    };
    let running = bridge(&memory).on("User*", handler).start().await.unwrap();
    let event = TestEvent::domain("UserJoined").id("u-1").payload(r#"{"name":"ada"}"#);
    memory.put("in", event.header("x-tenant", "blau").header("correlation_id", "c-7"));
    memory.expect_settled("in").await;
    assert_eq!(seen.all(), ["u-1"]);
    running.drain().await;
}

#[tokio::test]
async fn several_handlers_of_one_event_fail_each_for_itself() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let quick = |handling: Handling| handling.backoff(Duration::from_millis(1), Duration::from_millis(5));
    let running = bridge(&memory)
        .on("UserJoined", seen.handler("well", never))
        .on("UserJoined", quick(Handling::by(seen.handler("thrice", |_| Some("no".into()))).named("thrice").max_errors(3)))
        .on("UserJoined", quick(Handling::by(seen.handler("once", |_| Some("no".into()))).named("once").max_errors(1)))
        .start()
        .await
        .unwrap();
    memory.put("in", TestEvent::domain("UserJoined").id("u-1"));
    let dead = memory.expect("dead", 2).await;
    memory.expect_settled("in").await;
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let all = seen.all();
    for line in &all {
        *counted.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    assert_eq!(counted, BTreeMap::from([("well", 1), ("thrice", 3), ("once", 1)]), "{all:?}");
    let mut deaths: Vec<_> = dead
        .iter()
        .map(|dead| (dead.header("rialto-dead-destination").unwrap(), dead.header("rialto-dead-attempts").unwrap()))
        .collect();
    deaths.sort_unstable();
    assert_eq!(deaths, [("once", "1"), ("thrice", "3")]);
    assert_eq!(dead[0].header("rialto-dead-error"), Some("no"));
    running.drain().await;
}

#[tokio::test]
async fn a_timeout_counts_as_a_try_and_drops_the_call() {
    let (memory, ended) = (Memory::new(), Arc::new(AtomicUsize::new(0)));
    let counter = ended.clone();
    let handler = move |_: Event| {
        let ended = counter.clone();
        async move {
            sleep(Duration::from_secs(60)).await;
            ended.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(())
        }
    };
    let rules = Handling::by(handler).max_errors(2).timeout(Duration::from_millis(50));
    let rules = rules.backoff(Duration::from_millis(1), Duration::from_millis(2));
    let running = bridge(&memory).on("*", rules).start().await.unwrap();
    memory.put("in", TestEvent::domain("Slow"));
    let dead = memory.expect("dead", 1).await;
    assert_eq!((dead[0].header("rialto-dead-reason"), dead[0].header("rialto-dead-attempts")), (Some("timeout"), Some("2")));
    assert_eq!(ended.load(Ordering::Relaxed), 0);
    running.drain().await;
}

#[derive(Debug, thiserror::Error)]
#[error("the order is unknown")]
struct Unknown(#[source] Permanent);

#[tokio::test]
async fn a_permanent_error_goes_to_the_dead_letter_at_once() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let fails = |event: &Event| match event.name() {
        "Plain" => Some(Permanent::new("no such order").into()),
        _ => Some(Unknown(Permanent::new("no such order")).into()),
    };
    let running = bridge(&memory).on("*", seen.handler("h", fails)).start().await.unwrap();
    memory.put("in", TestEvent::domain("Plain"));
    memory.put("in", TestEvent::domain("Inside"));
    let dead = memory.expect("dead", 2).await;
    for dead in &dead {
        assert_eq!((dead.header("rialto-dead-reason"), dead.header("rialto-dead-attempts")), (Some("final"), Some("1")));
    }
    let mut errors: Vec<_> = dead.iter().map(|dead| dead.header("rialto-dead-error").unwrap()).collect();
    errors.sort_unstable();
    assert_eq!(errors, ["no such order", "the order is unknown: no such order"]);
    assert_eq!(seen.all().len(), 2);
    running.drain().await;
}

#[tokio::test]
async fn a_slow_handler_holds_back_nobody_but_itself() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let stuck = |_: Event| async {
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    };
    let running = bridge(&memory)
        .set("shutdown.timeout", "100ms")
        .on("*", Handling::by(stuck).named("stuck").concurrency(1))
        .on("*", seen.handler("quick", never))
        .start()
        .await
        .unwrap();
    (0..100).for_each(|number| memory.put("in", TestEvent::domain("Tick").id(number.to_string())));
    seen.wait(100).await;
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_are_bounded_and_reach_the_bound() {
    let (memory, now, most) = (Memory::new(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen_most) = (now.clone(), most.clone());
    let handler = move |_: Event| {
        let (now, most) = (counted.clone(), seen_most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(10)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, String>(())
        }
    };
    let running = bridge(&memory).on("*", Handling::by(handler).concurrency(4)).start().await.unwrap();
    (0..60).for_each(|_| memory.put("in", TestEvent::domain("Tick")));
    memory.expect_settled("in").await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    running.drain().await;
}

#[tokio::test]
async fn a_named_handler_is_a_destination_like_any_other() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let yaml = "
routes:
  - from: mq/in
    dead_letter: mq/dead
    to:
      - handler/audit
      - { broker: handler, name: mail, match: { message_name: Joined }, max_errors: 1, headers: { x-route: '{name}' } }";
    let noted = seen.clone();
    let mail = move |event: Event| {
        noted.note(format!("mail {} {}", event.name(), event.header("x-route").unwrap()));
        async { Err::<(), _>("no mail today") }
    };
    let builder = rialto::bridge::Bridge::builder().yaml(yaml).broker("mq", memory.broker());
    let running = builder.handler("audit", seen.handler("audit", never)).handler("mail", mail).start().await.unwrap();
    memory.put("in", TestEvent::notification("Left").id("1"));
    memory.put("in", TestEvent::notification("Joined").id("2"));
    memory.expect("dead", 1).await;
    let mut all = seen.wait(3).await;
    all.sort_unstable();
    assert_eq!(all, ["audit 1 1", "audit 2 1", "mail Joined rialto"]);
    running.drain().await;
}
