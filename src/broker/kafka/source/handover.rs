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

impl Batch {
    /// Takes the first messages off, fewer than there are.
    pub(super) fn split_off_first(&mut self, count: usize) -> Self {
        let rest = self.messages.split_off(count);
        let at = self.runs.partition_point(|&(index, _)| index <= count);
        let mut runs: Vec<_> = self.runs.drain(at..).map(|(index, offset)| (index - count, offset)).collect();
        // The run that goes on in the rest, if only by its first message.
        let (index, offset) = self.runs[at - 1];
        let position = offset + ((count - index) as u64).cast_signed();
        runs.insert(0, (0, position));
        self.runs.truncate(if index == count { at - 1 } else { at });
        Self {
            partition: Arc::clone(&self.partition),
            messages: std::mem::replace(&mut self.messages, rest),
            runs: std::mem::replace(&mut self.runs, runs),
            position,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Bare;

    #[test]
    fn both_parts_of_a_batch_know_their_offsets() {
        let partition = Partition::for_tests("orders");
        let message = || RawMessage { body: "{}".into(), carrier: Arc::new(Bare) };
        // Offsets 4, 5, 9, 10, and something behind them that was skipped.
        let whole = |runs: &[(usize, i64)]| Batch {
            partition: Arc::clone(&partition),
            messages: (0..4).map(|_| message()).collect(),
            runs: runs.to_vec(),
            position: 12,
        };
        for (count, first, second) in [
            (1, (vec![(0, 4)], 5), vec![(0, 5), (1, 9)]),
            (2, (vec![(0, 4)], 9), vec![(0, 9)]),
            (3, (vec![(0, 4), (2, 9)], 10), vec![(0, 10)]),
        ] {
            let mut rest = whole(&[(0, 4), (2, 9)]);
            let head = rest.split_off_first(count);
            assert_eq!((head.messages.len(), rest.messages.len()), (count, 4 - count));
            assert_eq!((head.runs, head.position), first);
            assert_eq!((rest.runs, rest.position), (second, 12));
        }
    }
}
