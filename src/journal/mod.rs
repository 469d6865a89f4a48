//! The point of no loss: where a routed batch waits for its lanes, and what settles its ticket.
//!
//! `transit` keeps it in memory and settles a message when every required destination has it: no disk, lowest latency, the source
//! holds what is not delivered. Durable journals settle at their commit instead; that choice is the only difference between them.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{
    intake::Ticket,
    outcome::End,
    route::{LaneId, Routed},
};

mod entry;
pub mod transit;

pub use entry::{Batch, Burial, Entry, Position};

/// Where routed batches wait for their lanes.
#[async_trait]
pub trait Journal: Debug + Send + Sync {
    /// Takes a batch; waits while the journal is full. The ticket is settled when this journal's promise holds, never by returning.
    async fn append(&self, batch: Routed, ticket: Ticket);

    /// What waits for these lanes: all lanes of one link. One reader a lane.
    fn backlog(&self, lanes: &[LaneId]) -> Box<dyn Backlog>;
}

/// The lanes of one link as their worker reads them.
#[async_trait]
pub trait Backlog: Debug + Send {
    /// The next entries of the open lanes, oldest first in each, at most `room` in all and at most the lane's own room; waits while
    /// there are none. Cancel-safe: what it takes it answers.
    async fn take(&mut self, open: &[(LaneId, usize)], room: usize) -> Vec<Entry>;

    /// Ends an entry of a lane. In any order, once for each entry.
    fn settle(&mut self, entry: &Entry, end: End);

    /// Moves an entry to a dead-letter lane of the same pipeline; it ends as dead-lettered when that lane has delivered it.
    fn bury(&mut self, entry: &Entry, burial: Burial);

    /// Entries of a lane that have not ended: waiting, parked or on the wire.
    fn pending(&self, lane: LaneId) -> usize;
}
