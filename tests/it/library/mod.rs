//! Rialto inside a program: handlers, brokers of one's own, reporters, and the kit to test with.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rialto::{
    bridge::Bridge,
    embed::{BoxError, Builder, Event},
    testkit::Memory,
};
use tokio::time::{Instant, sleep};

use crate::support::PATIENCE;

mod builder;
mod drain;
mod examples;
mod handlers;
mod kit;
mod order;
mod panics;
mod reporters;

/// A bridge whose domain events go to whoever is bound, from the queue `in`.
fn bridge(memory: &Memory) -> Builder {
    Bridge::builder().yaml("routes: [{ from: mq/in, dead_letter: mq/dead, ordering: key }]").broker("mq", memory.broker())
}

/// What handlers saw, in the order in which they saw it.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn wait(&self, count: usize) -> Vec<String> {
        let start = Instant::now();
        while self.0.lock().unwrap().len() < count {
            assert!(start.elapsed() < PATIENCE, "{count} were expected within {PATIENCE:?}: {:?}", self.all());
            sleep(Duration::from_millis(5)).await;
        }
        self.all()
    }

    /// A handler that notes each event under a name, and fails where `fails` says why.
    fn handler(
        &self,
        name: &'static str,
        fails: impl Fn(&Event) -> Option<BoxError> + Clone + Send + Sync + 'static,
    ) -> impl Fn(Event) -> std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync + 'static {
        let (seen, fails) = (self.clone(), fails);
        move |event| {
            let (seen, fails) = (seen.clone(), fails.clone());
            Box::pin(async move {
                seen.note(format!("{name} {} {}", event.id(), event.attempt()));
                fails(&event).map_or(Ok(()), Err)
            })
        }
    }
}

/// Fails never.
fn never(_: &Event) -> Option<BoxError> {
    None
}
