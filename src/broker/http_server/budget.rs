//! How many bytes of requests may be in memory at once: as many as the window holds (`window_bytes`), from the first byte read of a
//! body until its last message is let go.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What a message costs beside its body: its carrier, its place in the pipeline.
const MESSAGE_BYTES: u64 = 512;

/// The bytes of one source.
#[derive(Debug)]
pub(super) struct Budget {
    max: u64,
    used: AtomicU64,
}

/// What one request has taken; dropped, it is given back.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicU64::new(0) })
    }

    /// Nothing taken yet.
    pub(super) fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Charge {
    /// Takes so many bytes; false, and nothing taken, where there is no room for them. A request alone always has room: it is bounded
    /// by itself, and refused for its size it would be refused for ever.
    #[must_use]
    pub(super) fn add(&mut self, bytes: u64) -> bool {
        let (max, own) = (self.budget.max, self.bytes);
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= max || used == own);
        let added = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if added {
            self.bytes += bytes;
        }
        added
    }

    /// The same for what so many messages cost beside their bodies.
    #[must_use]
    pub(super) fn messages(&mut self, count: usize) -> bool {
        self.add(MESSAGE_BYTES.saturating_mul(count as u64))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let budget = Budget::new(100);
        let mut one = budget.charge();
        assert!(one.add(60));
        let mut other = budget.charge();
        assert!(!other.add(41) && other.add(40) && !other.add(1) && !one.add(1));
        drop(one);
        assert!(other.add(60));
        drop(other);
        assert!(budget.charge().add(100));
        let mut alone = budget.charge();
        assert!(alone.add(60) && alone.add(60), "nobody else is there");
        assert!(!budget.charge().add(1));
    }
}
