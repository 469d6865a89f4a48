//! The front door. A source opens a feed, waits for room, offers batches, and reads from the feed's receipts what it may tell
//! upstream. *Waiting for room is back-pressure; waiting on the receipts is safety.*

use crate::{envelope::RawMessage, outcome::Verdict};

/// A message's number in its feed: dense, from 0.
pub type Seq = u64;

/// A source's way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {}

/// The offering half of a feed. Dropped: nothing more comes.
#[derive(Debug)]
pub struct Offers {}

/// The settling half of a feed. Dropped: everything unsettled is withdrawn.
#[derive(Debug)]
pub struct Receipts {}

/// Room for one batch.
#[derive(Debug)]
pub struct Room<'a> {
    offers: &'a mut Offers,
}

/// The bridge stops, or the source is paused: stop reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the intake is closed")]
pub struct IntakeClosed;

/// What may be told upstream now, coalesced over the feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// First, one by one: rejections, and acceptances past a hole that is old or large.
    pub alone: Vec<(Seq, Verdict)>,
    /// Then with `multiple`: all up to and with this one are settled, and this one was never named in `alone`.
    pub through: Option<Seq>,
    /// Every number below has its verdict: what an offset commit may say.
    pub prefix: Seq,
}

/// A feed has nothing more to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedEnd {
    /// The offers were dropped and all that was offered is settled and told.
    Drained,
    /// A message was dropped without a verdict: it counts as not delivered. End the incarnation, so that it comes again.
    Abandoned,
}

impl Intake {
    /// Opens a feed: one order domain of one incarnation (an AMQP channel, a Kafka partition, an HTTP request).
    pub fn open(&self) -> (Offers, Receipts) {
        unimplemented!()
    }
    /// The window's size in messages (`window`): how much a source may ask its broker for at once.
    pub fn window(&self) -> usize {
        unimplemented!()
    }
    /// The window's size in bytes (`window_bytes`).
    pub fn window_bytes(&self) -> u64 {
        unimplemented!()
    }
    /// Completes when the source should stop reading. Cancel-safe.
    pub async fn closed(&self) {
        unimplemented!()
    }
}

impl Offers {
    /// Waits for room in the window (messages and bytes). Cancel-safe: it holds nothing of the caller's.
    pub async fn room(&mut self) -> Result<Room<'_>, IntakeClosed> {
        unimplemented!()
    }
}

impl Room<'_> {
    /// Messages that fit now, at least 1. A larger batch is taken all the same: it is in memory anyway.
    pub fn messages(&self) -> usize {
        unimplemented!()
    }
    /// Takes the batch (not empty); cannot be cancelled. Answers the number of its first message.
    pub fn offer(self, batch: Vec<RawMessage>) -> Seq {
        let _ = (self.offers, batch);
        unimplemented!()
    }
}

impl Receipts {
    /// What may be told upstream now; waits when there is nothing new. Cancel-safe.
    pub async fn next(&mut self) -> Result<Settled, FeedEnd> {
        unimplemented!()
    }
}
