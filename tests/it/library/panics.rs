//! A handler that panics harms nobody: it is caught, told with its stack, and tried again by the same rules.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rialto::{
    embed::{BoxError, Event, Handling},
    report::{ErrorReporter, Report, What},
    testkit::{Memory, TestEvent},
};

use super::{Seen, bridge, never};

/// Notes reports.
struct Notes(Seen);

#[async_trait]
impl ErrorReporter for Notes {
    async fn report(&self, report: &Report) -> Result<(), BoxError> {
        let stack = report.stack.as_deref().is_some_and(|stack| stack.contains("the_one_that_panics"));
        let whose = report.whose.as_ref().map_or("", |whose| &whose.message_id);
        assert!(report.payload.is_none(), "nobody asked for payloads");
        self.0.note(format!("{} {} {whose} {} stack={stack}", report.what.as_str(), report.about.destination, report.attempts));
        if report.what == What::Panic {
            assert!(report.error.contains("panicked at tests/it/library/panics.rs"), "{}", report.error);
            assert!(report.error.contains("no mail today"), "{}", report.error);
        }
        Ok(())
    }
}

#[inline(never)]
async fn the_one_that_panics(event: Event) -> Result<(), BoxError> {
    tokio::task::yield_now().await;
    assert!(event.name() != "Panics", "no mail today");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_told_with_its_stack_and_tried_again_by_the_same_rules() {
    let (memory, notes, seen) = (Memory::new(), Seen::default(), Seen::default());
    let rules =
        Handling::by(the_one_that_panics).named("mail").max_errors(3).backoff(Duration::from_millis(1), Duration::from_millis(2));
    let running =
        bridge(&memory).on("*", rules).on("*", seen.handler("other", never)).report_to(Notes(notes.clone())).start().await.unwrap();
    memory.put("in", TestEvent::domain("Panics").id("p"));
    memory.put("in", TestEvent::domain("Fine").id("f"));
    let dead = memory.expect("dead", 1).await;
    assert_eq!((dead[0].header("rialto-dead-reason"), dead[0].header("rialto-dead-attempts")), (Some("panic"), Some("3")));
    memory.expect_settled("in").await;
    assert_eq!(seen.all().len(), 2, "the other handler got both");
    let told = notes.wait(4).await;
    assert_eq!(
        told,
        [
            "panic handler/mail p 1 stack=true",
            "panic handler/mail p 2 stack=true",
            "panic handler/mail p 3 stack=true",
            "dead_letter mail p 3 stack=false"
        ]
    );
    running.drain().await;
}

#[tokio::test]
async fn a_panic_before_the_first_await_is_caught_too() {
    let memory = Memory::new();
    let handler = |event: Event| {
        assert!(event.name() != "Panics", "at once");
        async { Ok::<_, String>(()) }
    };
    let running = bridge(&memory).on("*", Handling::by(handler).max_errors(1)).start().await.unwrap();
    memory.put("in", TestEvent::domain("Panics"));
    memory.expect("dead", 1).await;
    memory.put("in", TestEvent::domain("Fine"));
    memory.expect_settled("in").await;
    running.drain().await;
}

/// The hook of the program is called as before: it is what writes panics to standard error.
#[tokio::test]
async fn the_programs_own_panic_hook_is_called_as_before() {
    static CALLED: AtomicBool = AtomicBool::new(false);
    let memory = Memory::new();
    let first = bridge(&memory).on("*", |_: Event| async { Ok::<_, String>(()) }).start().await.unwrap();
    first.drain().await;
    let before = std::panic::take_hook();
    let called = Arc::new(move |info: &std::panic::PanicHookInfo<'_>| {
        if info.payload_as_str() == Some("of this test") {
            CALLED.store(true, Ordering::SeqCst);
        }
        before(info);
    });
    std::panic::set_hook(Box::new(move |info| called(info)));
    let handler = |_: Event| async { if CALLED.load(Ordering::SeqCst) { Ok(()) } else { panic!("of this test") } };
    let handler = move |event: Event| async move { handler(event).await.map_err(|error: String| error) };
    let rules = Handling::by(handler).backoff(Duration::from_millis(1), Duration::from_millis(2));
    let running = bridge(&memory).on("*", rules).start().await.unwrap();
    memory.put("in", TestEvent::domain("Once"));
    memory.expect_settled("in").await;
    assert!(CALLED.load(Ordering::SeqCst));
    assert!(memory.published("dead").is_empty(), "the second try was fine");
    running.drain().await;
}
