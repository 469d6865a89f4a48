//! The journal that is none: batches wait in memory, bounded by their source's window, and a message settles when every required
//! destination has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Backlog, Batch, Burial, Entry, Journal};
use crate::{
    intake::Ticket,
    outcome::End,
    route::{Idle, LaneId, Routed},
    telemetry::{LaneMetrics, SourceAction, SourceMetrics},
};

#[cfg(feature = "planted-bugs")]
mod planted;
mod queue;

use queue::Queue;

/// What the journal knows of a lane.
#[derive(Debug, Clone)]
pub struct Lane {
    /// A message settles only after this lane ended it.
    pub required: bool,
    /// Where it counts.
    pub metrics: LaneMetrics,
}

/// The memory of one pipeline. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    source: SourceMetrics,
    /// Most that an optional lane may hold, messages and bytes: it holds nobody back, so it is bounded by dropping.
    optional_max: (usize, u64),
}

#[derive(Debug)]
struct Queues {
    lanes: Vec<Queue>,
    batches: u64,
}

/// One link's reader.
#[derive(Debug)]
struct TransitBacklog {
    shared: Arc<Shared>,
    filled: Arc<Notify>,
    /// Where the next round begins, so that no lane starves the others.
    turn: usize,
}

impl Transit {
    /// A journal for lanes `0..lanes.len()`. An optional lane holds at most a window.
    pub fn new(lanes: Vec<Lane>, window: usize, window_bytes: u64, source: SourceMetrics) -> Self {
        let queues = Queues { lanes: lanes.into_iter().map(Queue::new).collect(), batches: 0 };
        Self { shared: Arc::new(Shared { queues: Mutex::new(queues), source, optional_max: (window, window_bytes) }) }
    }

    /// Entries that have not ended, over all lanes.
    pub fn pending(&self) -> usize {
        self.shared.lock().lanes.iter().map(Queue::pending).sum()
    }
}

#[async_trait]
impl Journal for Transit {
    async fn append(&self, routed: Routed, ticket: Ticket) {
        #[cfg(feature = "planted-bugs")]
        planted::early_ack(&ticket).await;
        self.shared.append(routed, ticket);
    }

    fn backlog(&self, lanes: &[LaneId]) -> Box<dyn Backlog> {
        let filled = Arc::new(Notify::new());
        let mut queues = self.shared.lock();
        for lane in lanes {
            queues.lanes[lane.0 as usize].read_by(Arc::clone(&filled));
        }
        drop(queues);
        Box::new(TransitBacklog { shared: Arc::clone(&self.shared), filled, turn: 0 })
    }
}

impl Shared {
    fn append(&self, routed: Routed, ticket: Ticket) {
        let mut queues = self.lock();
        let Queues { lanes, batches } = &mut *queues;
        *batches += 1;
        let batch = Arc::new(Batch::new(*batches, routed, ticket, |lane| lanes[lane.0 as usize].required()));
        for (message, lane, idle) in &batch.routed().aside {
            let end = match idle {
                Idle::Rejected(why) => End::Rejected(Arc::clone(why)),
                _ => End::Dropped,
            };
            let queue = &mut lanes[lane.0 as usize];
            queue.routed();
            queue.ended(&end);
            batch.set_aside(*message, &end);
        }
        self.settle_unheld(&batch);
        let mut woken = 0_u64;
        for (index, copy) in (0..).zip(&batch.routed().copies) {
            let queue = &mut lanes[copy.lane.0 as usize];
            queue.routed();
            if !queue.required() && queue.full(self.optional_max) {
                queue.ended(&End::Dropped);
                continue;
            }
            queue.push(Entry::new(&batch, index));
            // One wake a lane and batch; beyond 64 lanes a spurious wake costs less than a set.
            let bit = 1 << (copy.lane.0 % 64);
            if woken & bit == 0 || lanes.len() > 64 {
                woken |= bit;
                lanes[copy.lane.0 as usize].wake();
            }
        }
    }

    /// Settles the messages that nothing holds: filtered, unrouted, dropped or rejected ones, and those of optional lanes only.
    fn settle_unheld(&self, batch: &Batch) {
        let idle = &batch.routed().idle;
        for message in batch.unheld() {
            let idle = idle.iter().find(|(index, _)| *index == message).map(|(_, idle)| idle);
            match idle {
                Some(Idle::Rejected(why)) => batch.set_aside(message, &End::Rejected(Arc::clone(why))),
                Some(Idle::Dropped(_)) => batch.set_aside(message, &End::Dropped),
                Some(Idle::Filtered | Idle::Unrouted) | None => {}
            }
            let action = batch.settle(message);
            let action = match idle {
                Some(Idle::Filtered) => SourceAction::Filtered,
                Some(Idle::Unrouted) => SourceAction::Unrouted,
                _ => action,
            };
            self.source.settled(action, 1);
        }
    }

    fn settle(&self, queues: &mut Queues, entry: &Entry, end: End) {
        let (lane, home) = (entry.lane(), entry.copy().lane);
        let lanes = &mut queues.lanes;
        lanes[lane.0 as usize].ended(&end);
        // What a dead-letter lane delivered is dead-lettered for the lane it came from and for its source.
        let end = match end {
            End::Delivered(_) if entry.death().is_some() => End::DeadLettered,
            end => end,
        };
        if lane != home {
            lanes[home.0 as usize].ended(&end);
        }
        if lanes[home.0 as usize].required()
            && let Some(action) = entry.batch().end(entry.copy().message, &end)
        {
            self.source.settled(action, 1);
        }
    }

    fn bury(&self, entry: &Entry, burial: Burial) {
        let mut queues = self.lock();
        let optional = !queues.lanes[entry.copy().lane.0 as usize].required();
        let grave = &mut queues.lanes[burial.lane.0 as usize];
        if optional && grave.full(self.optional_max) {
            self.settle(&mut queues, entry, End::Dropped);
            return;
        }
        grave.routed();
        grave.push(entry.buried(burial));
        grave.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backlog for TransitBacklog {
    async fn take(&mut self, open: &[(LaneId, usize)], room: usize) -> Vec<Entry> {
        loop {
            let filled = self.filled.notified();
            let mut taken = Vec::new();
            {
                let mut queues = self.shared.lock();
                for at in 0..open.len() {
                    let (lane, lane_room) = open[(self.turn + at) % open.len()];
                    let full = (taken.len() + lane_room).min(room);
                    while taken.len() < full {
                        let Some(entry) = queues.lanes[lane.0 as usize].pop() else { break };
                        if entry.withdrawn() {
                            self.shared.settle(&mut queues, &entry, End::Withdrawn);
                        } else {
                            taken.push(entry);
                        }
                    }
                }
            }
            if !taken.is_empty() {
                self.turn = self.turn.wrapping_add(1);
                return taken;
            }
            filled.await;
        }
    }

    fn settle(&mut self, entry: &Entry, end: End) {
        self.shared.settle(&mut self.shared.lock(), entry, end);
    }

    fn bury(&mut self, entry: &Entry, burial: Burial) {
        self.shared.bury(entry, burial);
    }

    fn pending(&self, lane: LaneId) -> usize {
        self.shared.lock().lanes[lane.0 as usize].pending()
    }
}
