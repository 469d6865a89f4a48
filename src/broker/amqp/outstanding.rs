//! How much a channel has delivered that the broker was told nothing about yet: all of it comes again after a crash.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

use crate::intake::{Seq, Settled};

/// Counted up by the half that reads, down by the half that tells.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// The last tag seen.
    delivered: AtomicU64,
    told: AtomicU64,
    fell: Notify,
}

impl Outstanding {
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Deliveries are dense: a tag is the count of them.
    pub(super) fn saw(&self, tag: u64) {
        self.delivered.store(tag, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.delivered().saturating_sub(self.told.load(Ordering::Relaxed))
    }

    /// Waits until the broker was told about everything. Cancel-safe.
    pub(super) async fn none(&self) {
        loop {
            let fell = self.fell.notified();
            if self.count() == 0 {
                return;
            }
            fell.await;
        }
    }
}

/// What was told, as exactly as it was: everything below a number, and some alone above it.
#[derive(Debug)]
pub(super) struct Told<'a> {
    outstanding: &'a Outstanding,
    below: Seq,
    alone: BTreeSet<Seq>,
}

impl<'a> Told<'a> {
    pub(super) fn new(outstanding: &'a Outstanding) -> Self {
        Self { outstanding, below: 0, alone: BTreeSet::new() }
    }

    pub(super) fn note(&mut self, settled: &Settled) {
        self.alone.extend(settled.alone.iter().map(|(seq, _)| *seq));
        if let Some(seq) = settled.through {
            self.below = seq + 1;
            if !self.alone.is_empty() {
                self.alone = self.alone.split_off(&self.below);
            }
        }
        self.outstanding.told.store(self.below + self.alone.len() as u64, Ordering::Relaxed);
        self.outstanding.fell.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Verdict;

    fn settled(alone: &[Seq], through: Option<Seq>) -> Settled {
        Settled { alone: alone.iter().map(|seq| (*seq, Verdict::Accepted)).collect(), through, ..Settled::default() }
    }

    #[test]
    fn each_message_is_told_once_however_it_was_told() {
        let outstanding = Outstanding::default();
        let mut told = Told::new(&outstanding);
        outstanding.saw(10);
        assert_eq!(outstanding.count(), 10);
        told.note(&settled(&[], Some(1)));
        assert_eq!(outstanding.count(), 8);
        told.note(&settled(&[3, 5], None));
        assert_eq!(outstanding.count(), 6);
        // Through 4: 2, 3 and 4, of which 3 was told already.
        told.note(&settled(&[], Some(4)));
        assert_eq!(outstanding.count(), 4);
        told.note(&settled(&[7], Some(9)));
        assert_eq!(outstanding.count(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_one_told() {
        let outstanding = Outstanding::default();
        outstanding.saw(1);
        let mut told = Told::new(&outstanding);
        let mut none = std::pin::pin!(outstanding.none());
        assert!(futures_util::poll!(none.as_mut()).is_pending());
        told.note(&settled(&[0], None));
        none.await;
    }
}
