//! One order domain of one incarnation of a source: its numbers, and what may be told upstream about them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::tracker::{Seq, Settled, Tracker};
use crate::outcome::Verdict;

/// What the two halves and the tickets share.
#[derive(Debug)]
pub(super) struct Feed {
    tracker: Mutex<Tracker>,
    changed: Notify,
    redelivers: bool,
    withdrawn: AtomicBool,
    abandoned: AtomicBool,
    no_more_offers: AtomicBool,
}

/// The settling half of a feed. Dropped: everything unsettled is withdrawn.
#[derive(Debug)]
pub struct Receipts {
    feed: Arc<Feed>,
}

/// A feed has nothing more to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedEnd {
    /// The offers were dropped and all that was offered is settled and told.
    Drained,
    /// A message was dropped without a verdict: it counts as not delivered. End the incarnation, so that it comes again.
    Abandoned,
}

impl Feed {
    pub(super) fn new(window: usize, patient: bool, redelivers: bool) -> Self {
        Self {
            tracker: Mutex::new(Tracker::new(window, patient)),
            changed: Notify::new(),
            redelivers,
            withdrawn: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            no_more_offers: AtomicBool::new(false),
        }
    }

    pub(super) fn number(&self, messages: usize) -> Seq {
        self.lock().number(messages)
    }

    pub(super) fn settle(&self, seq: Seq, verdict: Verdict) {
        self.lock().settle(seq, verdict);
        self.changed.notify_one();
    }

    pub(super) fn withdrawn(&self) -> bool {
        self.redelivers && self.withdrawn.load(Ordering::Acquire)
    }

    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn no_more_offers(&self) {
        self.no_more_offers.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Tracker> {
        // The tracker does not panic, and each of its steps leaves it whole.
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipts {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        Self { feed }
    }

    /// What may be told upstream now; waits while there is nothing new. Cancel-safe: what it answers is told exactly once, and
    /// nothing is taken before it answers.
    pub async fn next(&mut self) -> Result<Settled, FeedEnd> {
        loop {
            let changed = self.feed.changed.notified();
            let due = {
                // Read before the tracker: a verdict that came before the end is told before the end.
                let abandoned = self.feed.abandoned.load(Ordering::Acquire);
                let no_more = self.feed.no_more_offers.load(Ordering::Acquire);
                let now = Instant::now();
                let mut tracker = self.feed.lock();
                if abandoned {
                    tracker.wait_no_longer();
                }
                if let Some(settled) = tracker.collect(now) {
                    return Ok(settled);
                }
                if abandoned {
                    return Err(FeedEnd::Abandoned);
                }
                if no_more && tracker.outstanding() == 0 {
                    return Err(FeedEnd::Drained);
                }
                tracker.due()
            };
            match due {
                Some(due) => drop(tokio::time::timeout_at(due.into(), changed).await),
                None => changed.await,
            }
        }
    }
}

impl Drop for Receipts {
    fn drop(&mut self) {
        self.feed.withdrawn.store(true, Ordering::Release);
    }
}
