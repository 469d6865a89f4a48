//! How large a batch may be, as its topics turned out to take it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of messages that go out as one batch. A broker refuses a *batch* that is larger than its topic's `max.message.bytes`, and with
/// it messages that are not: then the next link of the same broker makes smaller ones.
#[derive(Debug)]
pub(super) struct BatchSize(AtomicUsize);

impl Default for BatchSize {
    fn default() -> Self {
        Self(AtomicUsize::new(1_000_000))
    }
}

impl BatchSize {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A quarter of `was`, unless somebody has found less already.
    pub(super) fn shrink(&self, was: usize) -> usize {
        self.0.fetch_min((was / 4).max(1), Ordering::Relaxed).min((was / 4).max(1))
    }
}
