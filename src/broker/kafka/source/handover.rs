//! Between the thread that polls and the pipeline's side: a few batches, never more, and what both must hear of at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::partition::Partition;
use crate::envelope::RawMessage;

/// Batches polled and not taken. Each is at most a window or 256 messages.
const BATCHES: usize = 4;

/// Consecutive records of one partition.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) partition: Arc<Partition>,
    /// In the order of their offsets. Empty where all were skipped.
    pub(super) messages: Vec<RawMessage>,
    /// Index and offset wherever an offset is not its predecessor plus one; the first message among them.
    pub(super) runs: Vec<(usize, i64)>,
    /// The offset after the last record seen.
    pub(super) position: i64,
}

/// A partition that was taken from us.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) partition: Arc<Partition>,
    /// Until when what is in flight may settle; `None`: somebody else reads it already.
    pub(super) until: Option<Instant>,
}

/// What the polling thread is to do, the later the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Read.
    Read,
    /// Read nothing more; keep the place in the group and commit what settles.
    Drain,
    /// All is settled: commit it, leave.
    Finish,
    /// Go at once, and commit nothing.
    Abandon,
}

/// Shared by both sides.
#[derive(Debug)]
pub(super) struct Handover {
    inner: Mutex<Inner>,
    /// For the pipeline's side: a batch, or a partition that leaves.
    news: Notify,
    /// For the thread: room for a batch, a released partition, an order.
    turn: Condvar,
}

#[derive(Debug)]
struct Inner {
    batches: VecDeque<Batch>,
    /// At most one entry for each partition that was assigned.
    leaving: Vec<Leaving>,
    order: Order,
}

impl Handover {
    pub(super) fn new() -> Self {
        let inner = Inner { batches: VecDeque::with_capacity(BATCHES), leaving: Vec::new(), order: Order::Read };
        Self { inner: Mutex::new(inner), news: Notify::new(), turn: Condvar::new() }
    }

    // The thread's side.

    /// Hands a batch over; gives it back where there is no room for so long, or another order came.
    pub(super) fn push(&self, batch: Batch, patience: Duration) -> Result<(), Batch> {
        let until = Instant::now() + patience;
        let mut inner = self.lock();
        while inner.batches.len() >= BATCHES && inner.order == Order::Read {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(batch);
            }
            inner = self.turn.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if inner.order == Order::Read {
            inner.batches.push_back(batch);
            drop(inner);
            self.news.notify_one();
        }
        // Under any other order it is dropped: it was never offered, and comes again.
        Ok(())
    }

    /// Partitions are taken from us.
    pub(super) fn leave(&self, leaving: impl IntoIterator<Item = Leaving>) {
        let mut inner = self.lock();
        for one in leaving {
            one.partition.leave();
            inner.leaving.push(one);
        }
        inner.batches.retain(|batch| !batch.partition.is_leaving());
        drop(inner);
        self.news.notify_one();
    }

    /// What is to be done.
    pub(super) fn order(&self) -> Order {
        self.lock().order
    }

    // The pipeline's side.

    /// The next batch; waits while there is none. Cancel-safe.
    pub(super) async fn next(&self) -> Taken {
        loop {
            let news = self.news.notified();
            if let Some(taken) = self.take() {
                return taken;
            }
            news.await;
        }
    }

    /// Partitions that leave; waits while there are none. Cancel-safe.
    pub(super) async fn leaving(&self) -> Vec<Leaving> {
        loop {
            let news = self.news.notified();
            let leaving = std::mem::take(&mut self.lock().leaving);
            if !leaving.is_empty() {
                return leaving;
            }
            news.await;
        }
    }

    /// Partitions that leave before batches: none of theirs is offered any more.
    fn take(&self) -> Option<Taken> {
        let mut inner = self.lock();
        if !inner.leaving.is_empty() {
            return Some(Taken::Leaving(std::mem::take(&mut inner.leaving)));
        }
        let batch = inner.batches.pop_front()?;
        drop(inner);
        self.turn.notify_one();
        Some(Taken::Batch(batch))
    }

    /// Tells the thread what to do; a lesser order than the one that stands is ignored.
    pub(super) fn tell(&self, order: Order) {
        let mut inner = self.lock();
        inner.order = inner.order.max(order);
        inner.batches.clear();
        drop(inner);
        self.turn.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after each statement.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pipeline's side gets.
#[derive(Debug)]
pub(super) enum Taken {
    Batch(Batch),
    Leaving(Vec<Leaving>),
}
