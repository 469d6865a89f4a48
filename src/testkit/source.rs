//! Reads a queue in memory.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{broker::down, event::Stored, memory::Shared};
use crate::{
    broker::{Ended, OpenError, Source, SourceError},
    intake::{Intake, Offers, Seq, Settled},
    outcome::{Reason, Verdict},
};

/// One incarnation. Dropped, what it holds unsettled is back at the head of the queue, in its old order.
pub(super) struct MemorySource {
    shared: Arc<Shared>,
    queue: String,
    cuts: u64,
    changes: watch::Receiver<u64>,
    held: BTreeMap<Seq, Stored>,
}

impl MemorySource {
    pub(super) fn open(shared: Arc<Shared>, queue: String) -> Result<Self, OpenError> {
        let cuts = shared.with(|state| (!state.cut).then_some(state.cuts)).ok_or_else(down)?;
        let changes = shared.watch();
        Ok(Self { shared, queue, cuts, changes, held: BTreeMap::new() })
    }

    /// Tells the queue what is settled.
    fn settle(&mut self, settled: &Settled) {
        let mut ended: Vec<(Stored, bool)> = Vec::new();
        for (seq, verdict) in &settled.alone {
            let accepted = matches!(verdict, Verdict::Accepted);
            ended.extend(self.held.remove(seq).map(|stored| (stored, accepted)));
        }
        if let Some(through) = settled.through {
            let later = self.held.split_off(&(through + 1));
            ended.extend(std::mem::replace(&mut self.held, later).into_values().map(|stored| (stored, true)));
        }
        self.shared.with(|state| {
            let queue = state.queue(&self.queue);
            queue.unsettled -= ended.len();
            for (stored, accepted) in ended {
                if accepted { queue.accepted += 1 } else { queue.rejected.push(stored) }
            }
        });
    }

    /// Waits for messages and offers them; `None` once nothing more may be offered.
    async fn read(&mut self, offers: Option<&mut Offers>) -> Option<()> {
        let Some(offers) = offers else { return std::future::pending().await };
        let room = offers.room().await.ok()?;
        loop {
            // Taken and offered without an await between: a dropped future loses none.
            let taken = self.shared.with_silence(|state| {
                let queue = state.queue(&self.queue);
                let count = queue.waiting.len().min(room.messages());
                queue.unsettled += count;
                queue.waiting.drain(..count).collect::<Vec<_>>()
            });
            if !taken.is_empty() {
                let first = room.offer(taken.iter().map(Stored::raw).collect());
                self.held.extend((first..).zip(taken));
                return Some(());
            }
            tokio::select! {
                () = room.closed() => return None,
                changed = self.changes.changed() => changed.ok()?,
            }
        }
    }

    fn is_dead(&self) -> bool {
        self.shared.with_silence(|state| state.cut || state.cuts != self.cuts)
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn run(mut self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, mut receipts) = intake.open();
        let mut offers = Some(offers);
        let mut cut = self.shared.watch();
        loop {
            if self.is_dead() {
                return Err(SourceError { reason: Reason::Link, detail: down().detail });
            }
            tokio::select! {
                biased;
                settled = receipts.next() => match settled {
                    Ok(settled) => self.settle(&settled),
                    Err(end) => return Ok(end.into()),
                },
                _ = cut.changed() => {}
                read = self.read(offers.as_mut()) => if read.is_none() {
                    drop(offers.take());
                },
            }
        }
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.shared.with(|state| {
            let queue = state.queue(&self.queue);
            queue.unsettled -= held.len();
            for stored in held.into_values().rev() {
                queue.waiting.push_front(stored);
            }
        });
    }
}
