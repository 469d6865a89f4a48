//! What waits for one lane.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

use super::Lane;
use crate::{journal::Entry, outcome::End, telemetry::LaneOutcome};

/// A lane's entries in order, and the count of those that have not ended.
#[derive(Debug)]
pub(super) struct Queue {
    lane: Lane,
    waiting: VecDeque<Entry>,
    waiting_bytes: u64,
    pending: usize,
    /// Withdrawn entries that their source will send again. They stay pending, so that at any time `routed` is what ended and what
    /// is pending (guarantees, G19), and a redelivery is not counted as routed twice.
    owed: usize,
    reader: Option<Arc<Notify>>,
}

impl Queue {
    pub(super) fn new(lane: Lane) -> Self {
        Self { lane, waiting: VecDeque::new(), waiting_bytes: 0, pending: 0, owed: 0, reader: None }
    }

    pub(super) fn required(&self) -> bool {
        self.lane.required
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    pub(super) fn read_by(&mut self, reader: Arc<Notify>) {
        self.reader = Some(reader);
    }

    /// Counts an entry that will wait here or in this lane's grave.
    pub(super) fn routed(&mut self) {
        self.pending += 1;
        if self.owed > 0 {
            self.owed -= 1;
        } else {
            self.lane.metrics.routed(1);
        }
        self.show_pending();
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting_bytes += size(&entry);
        self.waiting.push_back(entry);
    }

    pub(super) fn full(&self, (messages, bytes): (usize, u64)) -> bool {
        self.waiting.len() >= messages || self.waiting_bytes >= bytes
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.waiting.pop_front()?;
        self.waiting_bytes -= size(&entry);
        Some(entry)
    }

    /// Wakes the reader after a push.
    pub(super) fn wake(&self) {
        if let Some(reader) = &self.reader {
            reader.notify_one();
        }
    }

    /// Counts the end of an entry of this lane.
    pub(super) fn ended(&mut self, end: &End) {
        self.pending -= 1;
        let outcome = match end {
            End::Delivered(_) => LaneOutcome::Delivered,
            End::DeadLettered | End::Rejected(_) => LaneOutcome::DeadLettered,
            End::Dropped => LaneOutcome::Dropped,
            End::Withdrawn => {
                self.owed += 1;
                return;
            }
        };
        self.lane.metrics.settled(outcome, 1);
        self.show_pending();
    }

    fn show_pending(&self) {
        self.lane.metrics.pending((self.pending + self.owed) as u64);
    }
}

fn size(entry: &Entry) -> u64 {
    entry.original().raw().body.len() as u64
}
