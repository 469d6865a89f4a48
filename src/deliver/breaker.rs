//! When failures are the destination's and not the messages'.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use crate::route::Breaker as Rules;

/// Opens after `failures` in a row over at least `keys` different keys, and lets one message through every `probe` until one is
/// delivered. While it is open nothing counts as a try. Pure: time is passed in.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    failures: u32,
    keys: HashSet<u64>,
    hasher: RandomState,
    probe_at: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, failures: 0, keys: HashSet::new(), hasher: RandomState::new(), probe_at: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// When the next probe may go; `None` while closed.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        self.probe_at
    }

    /// A probe went out.
    pub(super) fn probed(&mut self, now: Instant) {
        self.probe_at = Some(now + self.rules.probe);
    }

    /// A try of this key failed by the destination's word. Answers true where this opened the breaker.
    pub(super) fn failed(&mut self, key: impl std::hash::Hash, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        // Enough keys to decide are enough to keep.
        if (self.keys.len() as u32) < self.rules.keys {
            self.keys.insert(self.hasher.hash_one(key));
        }
        let opens = !self.is_open() && self.failures >= self.rules.failures && self.keys.len() as u32 >= self.rules.keys;
        if opens {
            self.probed(now);
        }
        opens
    }

    /// A message was delivered. Answers true where this closed the breaker.
    pub(super) fn delivered(&mut self) -> bool {
        if self.failures > 0 {
            self.failures = 0;
            self.keys.clear();
        }
        self.probe_at.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn breaker() -> Breaker {
        Breaker::new(Rules { failures: 3, keys: 2, probe: Duration::from_secs(5) })
    }

    #[test]
    fn one_bad_key_never_opens_it() {
        let mut breaker = breaker();
        for _ in 0..100 {
            assert!(!breaker.failed("a", Instant::now()));
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn failures_over_keys_open_it_and_a_delivery_closes_it() {
        let mut breaker = breaker();
        let now = Instant::now();
        assert!(!breaker.failed("a", now));
        assert!(!breaker.failed("b", now));
        assert!(breaker.failed("a", now));
        assert_eq!(breaker.probe_at(), Some(now + Duration::from_secs(5)));
        assert!(breaker.delivered());
        assert!(!breaker.is_open());
        assert!(!breaker.failed("a", now), "it counts anew");
    }
}
