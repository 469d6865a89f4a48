//! What settles a batch.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Seq, feed::Feed, window::Window};
use crate::outcome::Verdict;

/// One per batch, owned by the journal. Dropped with messages unsettled, it says **not delivered**: the feed ends as abandoned, and
/// the source sends them again. (A token whose drop means success is how bridges lose messages.)
pub struct Ticket {
    feed: Arc<Feed>,
    window: Arc<Window>,
    first: Seq,
    sizes: Box<[u32]>,
    settled: Box<[AtomicBool]>,
}

impl Ticket {
    pub(super) fn new(feed: Arc<Feed>, window: Arc<Window>, first: Seq, sizes: Box<[u32]>) -> Self {
        let settled = sizes.iter().map(|_| AtomicBool::new(false)).collect();
        Self { feed, window, first, sizes, settled }
    }

    /// Messages in the batch.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Never: a batch has a message.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Settles the message at `index` of the batch. A second verdict for the same message is ignored.
    pub fn settle(&self, index: u32, verdict: Verdict) {
        let at = index as usize;
        if self.settled[at].swap(true, Ordering::Relaxed) {
            return;
        }
        self.window.give_back(1, u64::from(self.sizes[at]));
        self.feed.settle(self.first + u64::from(index), verdict);
    }

    /// True once the source's incarnation is over: what is not on a wire yet need not be sent, since it will come again.
    pub fn withdrawn(&self) -> bool {
        self.feed.withdrawn()
    }

    /// A message of this batch waits for its retry; many of them stop the reading of the source.
    pub fn park(&self) {
        self.window.park();
    }

    /// A parked message flows again or ended.
    pub fn unpark(&self) {
        self.window.unpark();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (mut messages, mut bytes) = (0, 0);
        for (settled, size) in self.settled.iter_mut().zip(&self.sizes) {
            if !*settled.get_mut() {
                messages += 1;
                bytes += u64::from(*size);
            }
        }
        if messages > 0 {
            self.window.release(messages, bytes);
            self.feed.abandon();
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("first", &self.first).field("len", &self.sizes.len()).finish_non_exhaustive()
    }
}
