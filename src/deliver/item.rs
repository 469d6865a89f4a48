//! An entry on its way through a link worker, with the story of its tries.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::policy::Trial;
use crate::{
    journal::{Entry, Position},
    outcome::Reason,
    route::{DeliveryRules, Ordering},
};

/// An entry and what became of it so far. Most never fail: their story is a null pointer.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) story: Option<Box<Story>>,
}

/// The failed tries of an entry.
#[derive(Debug, Clone)]
pub(super) struct Story {
    /// Tries that counted.
    pub(super) counted: u32,
    /// All of them.
    pub(super) failures: u32,
    /// Milliseconds since the Unix epoch.
    pub(super) first_failed_at: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) last_failed_at: i64,
    /// The last failure's.
    pub(super) reason: Reason,
    /// In the broker's words.
    pub(super) detail: String,
}

impl Item {
    pub(super) fn new(entry: Entry) -> Self {
        Self { entry, story: None }
    }

    pub(super) fn position(&self) -> Position {
        self.entry.position()
    }

    /// Which try the next one is, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.story.as_ref().map_or(1, |story| story.failures.saturating_add(1))
    }

    /// Its ordering key under these rules, where it has one.
    pub(super) fn key(&self, rules: &DeliveryRules) -> Option<&str> {
        let key = self.entry.key();
        (!key.is_empty() && rules.ordering != Ordering::None).then_some(key)
    }

    /// What the policy asks about it. A deadline runs from the transport's time, else from first sight.
    pub(super) fn trial(&self, rules: &DeliveryRules, breaker_open: bool, now: Instant) -> Trial {
        let (counted, failures) = self.story.as_ref().map_or((0, 0), |story| (story.counted, story.failures));
        let deadline = rules.deadline.map(|deadline| {
            let age = self.entry.message().time_ms().and_then(|sent| u64::try_from(wall_ms() - sent).ok());
            let since_sight = self.entry.held(now);
            let age = age.map_or(since_sight, std::time::Duration::from_millis).max(since_sight);
            now + deadline.saturating_sub(age)
        });
        Trial { counted, failures, deadline, breaker_open }
    }

    /// Adds a failed try to its story.
    pub(super) fn failed(&mut self, counted: bool, reason: Reason, detail: &str) {
        let now = wall_ms();
        let story = self.story.get_or_insert_with(|| {
            let detail = String::new();
            Box::new(Story { counted: 0, failures: 0, first_failed_at: now, last_failed_at: now, reason, detail })
        });
        story.counted += u32::from(counted);
        story.failures = story.failures.saturating_add(1);
        story.last_failed_at = now;
        story.reason = reason;
        detail.clone_into(&mut story.detail);
    }
}

/// The wall clock, for what people read and for deadlines that count from a producer's time.
pub(super) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
