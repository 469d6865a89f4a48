//! Queues in memory, and how they fail.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Published, TestEvent, broker::MemoryBroker, event::Stored};
use crate::broker::Broker;

/// Longer than anything healthy takes: how long expectations wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Queues by name. A queue is there as soon as it is named; what is published to it waits there for a source, or for the test to look.
/// Cloning it is another handle of the same.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    patience: Duration,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Counts every change, for those who wait for one.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queues: BTreeMap<String, Queue>,
    /// True while nothing can be reached.
    pub(super) cut: bool,
    /// Counts the cuts: what was opened before one is dead.
    pub(super) cuts: u64,
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Not taken by a source.
    pub(super) waiting: VecDeque<Stored>,
    /// Taken by a source, and not settled.
    pub(super) unsettled: usize,
    /// Acknowledged by a source.
    pub(super) accepted: usize,
    /// Rejected by a source: its own dead letters.
    pub(super) rejected: Vec<Stored>,
    /// All that was ever published to it, in order.
    pub(super) published: Vec<Stored>,
    /// The next messages published to it are refused.
    pub(super) refuse: u32,
    /// Messages to it are throttled until then.
    pub(super) throttled: Option<Instant>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), changes: watch::channel(0).0 }
    }
}

impl Shared {
    /// The same where nobody waits for what changes: a source that takes what it was woken for.
    pub(super) fn with_silence<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.lock())
    }

    /// Looks, or changes what is there, and tells those who wait.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let acted = act(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        acted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of changes from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl State {
    pub(super) fn queue(&mut self, name: &str) -> &mut Queue {
        if !self.queues.contains_key(name) {
            self.queues.insert(name.to_owned(), Queue::default());
        }
        self.queues.get_mut(name).unwrap_or_else(|| unreachable!("it was just put there"))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { shared: Arc::default(), patience: PATIENCE }
    }
}

impl Memory {
    /// Without any queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expectations wait so long, instead of ten seconds.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The broker, for [`crate::embed::Builder::broker`]. Sources and destinations are `NAME/QUEUE`.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(MemoryBroker::new(self.shared.clone()))
    }

    /// Puts an event into a queue, as a producer would.
    pub fn put(&self, queue: &str, event: TestEvent) {
        let stored = event.message();
        self.shared.with(|state| state.queue(queue).waiting.push_back(stored));
    }

    /// The next `count` messages that are published to a queue are refused, each once.
    pub fn refuse(&self, queue: &str, count: u32) {
        self.shared.with(|state| state.queue(queue).refuse = count);
    }

    /// A queue has no room for so long.
    pub fn throttle(&self, queue: &str, time: Duration) {
        self.shared.with(|state| state.queue(queue).throttled = Some(Instant::now() + time));
    }

    /// Cuts every connection, as a broker that dies: what was taken and is not settled comes again, and nothing can be reached until
    /// [`Memory::mend`].
    pub fn cut(&self) {
        self.shared.with(|state| {
            state.cut = true;
            state.cuts += 1;
        });
    }

    /// The broker is back.
    pub fn mend(&self) {
        self.shared.with(|state| state.cut = false);
    }

    /// All that was published to a queue so far.
    pub fn published(&self, queue: &str) -> Vec<Published> {
        let stored = self.shared.lock().queues.get(queue).map(|queue| queue.published.clone());
        stored.unwrap_or_default().into_iter().map(Published::of).collect()
    }

    /// What a source has rejected to the queue's own dead letters (`dead_letter: native`).
    pub fn rejected(&self, queue: &str) -> Vec<Published> {
        let stored = self.shared.lock().queues.get(queue).map(|queue| queue.rejected.clone());
        stored.unwrap_or_default().into_iter().map(Published::of).collect()
    }

    /// Waits until `count` messages were published to a queue, and answers all of them.
    ///
    /// # Panics
    /// When its patience is over, or where more came; the message shows every queue.
    pub async fn expect(&self, queue: &str, count: usize) -> Vec<Published> {
        let there = || self.shared.lock().queues.get(queue).map_or(0, |queue| queue.published.len());
        let came = self.within(self.patience, || there() >= count).await;
        assert!(came, "{} of {count} messages came to `{queue}` within {:?}\n{}", there(), self.patience, self.picture());
        let published = self.published(queue);
        assert!(
            published.len() == count,
            "{} messages came to `{queue}`, and {count} were expected\n{}",
            published.len(),
            self.picture()
        );
        published
    }

    /// Waits until all that is in a queue was taken and settled: delivered, or dead.
    ///
    /// # Panics
    /// When its patience is over; the message shows every queue.
    pub async fn expect_settled(&self, queue: &str) {
        let settled = || self.shared.lock().queues.get(queue).is_none_or(|queue| queue.waiting.is_empty() && queue.unsettled == 0);
        let is_settled = self.within(self.patience, settled).await;
        assert!(is_settled, "`{queue}` is not settled within {:?}\n{}", self.patience, self.picture());
    }

    /// Watches for so long that nothing more than `count` messages comes to a queue.
    ///
    /// # Panics
    /// Where it does.
    pub async fn expect_no_more(&self, queue: &str, count: usize, time: Duration) {
        let more = || self.shared.lock().queues.get(queue).is_some_and(|queue| queue.published.len() > count);
        let came = self.within(time, more).await;
        assert!(!came, "more than {count} messages came to `{queue}`\n{}", self.picture());
    }

    /// True as soon as it holds; false where it did not in time.
    async fn within(&self, time: Duration, holds: impl Fn() -> bool) -> bool {
        let (mut changes, until) = (self.shared.watch(), Instant::now() + time);
        loop {
            if holds() {
                return true;
            }
            if !matches!(timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
                return holds();
            }
        }
    }

    /// Every queue, with the messages that came to it.
    fn picture(&self) -> String {
        let mut out = String::new();
        for (name, queue) in &self.shared.lock().queues {
            let Queue { waiting, unsettled, accepted, rejected, published, .. } = queue;
            _ = writeln!(
                out,
                "  {name}: {} published, {} waiting, {unsettled} unsettled, {accepted} accepted, {} rejected",
                published.len(),
                waiting.len(),
                rejected.len()
            );
            for stored in published.iter().take(SHOWN_MAX) {
                _ = writeln!(out, "    {}", shown(&stored.body));
            }
        }
        out
    }
}

/// Messages of a queue that a failed assertion shows.
const SHOWN_MAX: usize = 5;

fn shown(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    text.escape_debug().to_string()
}
