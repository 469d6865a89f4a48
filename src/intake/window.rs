//! How much of a source may be in the bridge at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::telemetry::SourceMetrics;

/// Messages and bytes taken from one source and not yet settled, over all its incarnations: what an old one left behind takes room
/// from a new one, because it is still in memory.
#[derive(Debug)]
pub(super) struct Window {
    messages_max: usize,
    bytes_max: u64,
    held: Mutex<Held>,
    freed: Notify,
    metrics: SourceMetrics,
}

#[derive(Debug, Default)]
struct Held {
    messages: usize,
    bytes: u64,
    parked: usize,
}

impl Window {
    pub(super) fn new(messages_max: usize, bytes_max: u64, metrics: SourceMetrics) -> Self {
        Self { messages_max, bytes_max, held: Mutex::default(), freed: Notify::new(), metrics }
    }

    pub(super) fn messages_max(&self) -> usize {
        self.messages_max
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(super) fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    pub(super) fn held(&self) -> usize {
        self.lock().messages
    }

    pub(super) fn blocked(&self) -> bool {
        self.full_of_parked(&self.lock())
    }

    /// Waits until at least one message may be taken; answers how many. Cancel-safe: nothing is reserved.
    pub(super) async fn room(&self) -> usize {
        loop {
            let freed = self.freed.notified();
            {
                let held = self.lock();
                if held.messages < self.messages_max && held.bytes < self.bytes_max && !self.full_of_parked(&held) {
                    return self.messages_max - held.messages;
                }
            }
            freed.await;
        }
    }

    /// Counts a batch in; it may overshoot by that batch, which was in memory before.
    pub(super) fn take(&self, messages: usize, bytes: u64) {
        let mut held = self.lock();
        held.messages += messages;
        held.bytes += bytes;
        self.metrics.received(messages as u64);
        self.metrics.inflight(held.messages as u64);
    }

    /// Counts messages out.
    pub(super) fn give_back(&self, messages: usize, bytes: u64) {
        let mut held = self.lock();
        held.messages -= messages;
        held.bytes -= bytes;
        self.metrics.inflight(held.messages as u64);
        drop(held);
        self.freed.notify_waiters();
    }

    /// Counts messages that are let go unsettled, for their source to send again.
    pub(super) fn release(&self, messages: usize, bytes: u64) {
        self.give_back(messages, bytes);
        self.metrics.released(messages as u64);
    }

    pub(super) fn park(&self) {
        self.lock().parked += 1;
    }

    pub(super) fn unpark(&self) {
        self.lock().parked -= 1;
        self.freed.notify_waiters();
    }

    /// Parked messages may fill half of the window: the other half keeps the other keys flowing (guarantees, G7).
    fn full_of_parked(&self, held: &Held) -> bool {
        held.parked >= (self.messages_max / 2).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Three counters that are valid after each statement: a poisoned lock is as good as a whole one.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
