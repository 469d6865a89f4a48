//! The entries a stream source holds: offered and not yet acknowledged.

use std::{collections::VecDeque, sync::Mutex};

use super::carrier::EntryId;
use crate::intake::{Seq, Settled};

/// Where a group whose server forgot it is created anew: everything up to here was settled by us. It outlives incarnations.
#[derive(Debug, Default)]
pub(super) struct Mark(Mutex<Known>);

/// What a mark holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Everything up to and with this id is settled; `None` before anything was read.
    pub(super) settled: Option<EntryId>,
    /// The group was found missing, or it existed once and nothing was read: it must never be created at the stream's end.
    pub(super) seen: bool,
    /// The group went missing while we read.
    pub(super) lost: bool,
}

impl Mark {
    /// What is known now.
    pub(super) fn known(&self) -> Known {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes what is known.
    pub(super) fn update(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// The ids behind a feed's numbers, from the oldest that is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The number of the first in `entries`.
    first: Seq,
    /// `None`: acknowledged past a hole.
    entries: VecDeque<Option<EntryId>>,
    /// The highest id ever offered.
    highest: Option<EntryId>,
}

impl Held {
    /// Entries that were offered, in the order of their numbers.
    pub(super) fn offered(&mut self, ids: impl Iterator<Item = EntryId>) {
        for id in ids {
            self.highest = self.highest.max(Some(id));
            self.entries.push_back(Some(id));
        }
    }

    /// The ids that may be acknowledged now. A rejected entry is acknowledged, too: Redis has no dead letters of its own, so there is
    /// nobody to hand it back to.
    pub(super) fn settled(&mut self, settled: &Settled) -> Vec<EntryId> {
        let mut ids = Vec::new();
        for (seq, _) in &settled.alone {
            let at = seq.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
                ids.extend(entry.take());
            }
        }
        if let Some(through) = settled.through {
            while self.first <= through {
                let Some(entry) = self.entries.pop_front() else { break };
                self.first += 1;
                ids.extend(entry);
            }
        }
        while self.entries.front().is_some_and(Option::is_none) {
            self.entries.pop_front();
            self.first += 1;
        }
        ids
    }

    /// What is held now.
    pub(super) fn ids(&self) -> impl Iterator<Item = EntryId> {
        self.entries.iter().flatten().copied()
    }

    /// Below this everything that was read is settled; `None` where nothing was read.
    pub(super) fn mark(&self) -> Option<EntryId> {
        self.ids().min().map(EntryId::before).or(self.highest)
    }
}
