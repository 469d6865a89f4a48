//! The front door. A source opens a feed, waits for room, offers batches, and reads from the feed's receipts what it may tell
//! upstream. *Waiting for room is back-pressure; waiting on the receipts is safety.*
//!
//! Settlements are coalesced over the feed, never one future per message: one message that is parked for minutes holds back nobody
//! else's acknowledgements.

use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, watch};

use crate::{envelope::RawMessage, telemetry::SourceMetrics};

mod calls;
mod feed;
mod ticket;
mod tracker;
mod window;

#[cfg(test)]
mod tests;

pub use calls::{Caller, Calls, Unanswered, calls};
pub use feed::{FeedEnd, Receipts};
pub use ticket::Ticket;
pub use tracker::{Seq, Settled};

use feed::Feed;
use window::Window;

/// Batches offered and not yet routed. Small: messages that wait here are in the window already.
const ARRIVALS: usize = 16;

/// The bridge stops, or the source is paused: stop reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the intake is closed")]
pub struct IntakeClosed;

/// The pipeline's side of the front door: it outlives the incarnations of its source, and so does the window.
#[derive(Debug, Clone)]
pub struct Door {
    window: Arc<Window>,
    arrivals: mpsc::Sender<Arrival>,
    redelivers: bool,
}

/// A batch as offered, with the ticket that settles it.
#[derive(Debug)]
pub struct Arrival {
    /// In the order in which the source read them.
    pub batch: Vec<RawMessage>,
    /// Settles each by its index in `batch`.
    pub ticket: Ticket,
}

/// A source's way in, for one incarnation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    door: Door,
    closed: watch::Receiver<bool>,
}

/// Closes the intakes of one incarnation: the source stops reading and drains.
#[derive(Debug)]
pub struct Closer(watch::Sender<bool>);

/// The offering half of a feed. Dropped: nothing more comes.
pub struct Offers {
    feed: Arc<Feed>,
    intake: Intake,
}

/// Room for one batch.
pub struct Room<'a> {
    offers: &'a Offers,
    place: mpsc::Permit<'a, Arrival>,
    messages: usize,
}

impl Door {
    /// A door whose window holds `messages` and `bytes` taken and not yet settled, and the arrivals behind it. Where the source
    /// never sends anything again (`redelivers` false: pub/sub), the end of an incarnation withdraws nothing.
    pub fn new(messages: usize, bytes: u64, redelivers: bool, metrics: SourceMetrics) -> (Self, mpsc::Receiver<Arrival>) {
        let (arrivals, received) = mpsc::channel(ARRIVALS);
        metrics.limit(messages as u64);
        (Self { window: Arc::new(Window::new(messages, bytes, metrics)), arrivals, redelivers }, received)
    }

    /// The way in for one incarnation of the source, and what closes it. A dropped closer closes too.
    pub fn intake(&self) -> (Intake, Closer) {
        let (close, closed) = watch::channel(false);
        (Intake { door: self.clone(), closed }, Closer(close))
    }

    /// Messages taken and not yet settled.
    pub fn held(&self) -> usize {
        self.window.held()
    }

    /// True while so many messages are parked that the source is not read.
    pub fn blocked(&self) -> bool {
        self.window.blocked()
    }
}

impl Closer {
    /// Sources stop reading and drain.
    pub fn close(&self) {
        self.0.send_replace(true);
    }
}

impl Intake {
    /// Opens a feed: one order domain of one incarnation (an AMQP channel, a Kafka partition, an HTTP request).
    pub fn open(&self) -> (Offers, Receipts) {
        self.feed(true)
    }

    /// A feed that tells each acceptance as soon as it is known, in any order: somebody waits for each by itself, and nothing is
    /// cheaper told together.
    pub fn open_prompt(&self) -> (Offers, Receipts) {
        self.feed(false)
    }

    fn feed(&self, patient: bool) -> (Offers, Receipts) {
        let feed = Arc::new(Feed::new(self.window(), patient, self.door.redelivers));
        (Offers { feed: Arc::clone(&feed), intake: self.clone() }, Receipts::new(feed))
    }

    /// The window's size in messages (`window`): how much a source may ask its broker for at once.
    pub fn window(&self) -> usize {
        self.door.window.messages_max()
    }

    /// The window's size in bytes (`window_bytes`).
    pub fn window_bytes(&self) -> u64 {
        self.door.window.bytes_max()
    }

    /// Where a source reports what only it can see: its lag, and that it stands by.
    pub fn metrics(&self) -> &SourceMetrics {
        self.door.window.metrics()
    }

    /// Completes when the source should stop reading. Cancel-safe.
    pub async fn closed(&self) {
        // An error means that the closer is gone, which closes as well.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow() || self.closed.has_changed().is_err()
    }
}

impl Offers {
    /// Waits for room in the window (messages and bytes). Cancel-safe: it holds nothing of the caller's.
    pub async fn room(&mut self) -> Result<Room<'_>, IntakeClosed> {
        if self.intake.is_closed() {
            return Err(IntakeClosed);
        }
        let (messages, place) = tokio::select! {
            biased;
            () = self.intake.closed() => return Err(IntakeClosed),
            both = async {
                // The place first: while it waits, the window may fill; the window is what must be true at the end.
                let place = self.intake.door.arrivals.reserve().await;
                (self.intake.door.window.room().await, place)
            } => both,
        };
        Ok(Room { offers: self, place: place.map_err(|_| IntakeClosed)?, messages })
    }
}

impl Room<'_> {
    /// Completes when the intake closes: what has nothing to offer need not keep its room. Cancel-safe.
    pub async fn closed(&self) {
        self.offers.intake.closed().await;
    }

    /// Messages that fit now, at least 1. A larger batch is taken all the same: it is in memory anyway.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Takes the batch; cannot be cancelled. Answers the number of its first message; numbers are dense in a feed.
    ///
    /// # Panics
    /// On an empty batch: a source that has nothing to offer has nothing to wait for.
    pub fn offer(self, batch: Vec<RawMessage>) -> Seq {
        assert!(!batch.is_empty(), "a source offered an empty batch");
        let sizes: Box<[u32]> = batch.iter().map(|message| u32::try_from(message.body.len()).unwrap_or(u32::MAX)).collect();
        let window = Arc::clone(&self.offers.intake.door.window);
        window.take(sizes.len(), sizes.iter().map(|size| u64::from(*size)).sum());
        let first = self.offers.feed.number(sizes.len());
        let ticket = Ticket::new(Arc::clone(&self.offers.feed), window, first, sizes);
        self.place.send(Arrival { batch, ticket });
        first
    }
}

impl Drop for Offers {
    fn drop(&mut self) {
        self.feed.no_more_offers();
    }
}

impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offers").field("feed", &self.feed).finish_non_exhaustive()
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("messages", &self.messages).finish_non_exhaustive()
    }
}
