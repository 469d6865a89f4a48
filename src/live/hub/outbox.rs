//! One subscriber and its bounded buffer.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Gap, Hub, Published, Seq, Topic};

/// What a message takes in a buffer beside its bytes.
const OVERHEAD: usize = 64;

/// A buffer that once held more than this gives its memory back when it is empty.
const KEPT: usize = 64;

/// Messages out of the ring that may wait for one subscriber: the ring a few times over, since each topic that takes a message brings it.
const REPLAYED_MAX: usize = 40_000;

/// Topics of one subscriber.
const TOPICS_MAX: usize = 10_000;

/// The name of a topic, in bytes.
const TOPIC_BYTES_MAX: usize = 4096;

/// The names of all topics of one subscriber, in bytes.
const TOPICS_BYTES_MAX: usize = 1 << 20;

/// A message for one subscriber, and what it was subscribed to.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message, shared by all who get it.
    pub message: Arc<Published>,
    /// The channel or pattern that matched.
    pub topic: Topic,
}

/// The subscriber was too slow for its buffer: it missed messages, and its connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client reads too slowly: its buffer is full")]
pub struct Overflowed;

/// A subscriber that asks for more than one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// A channel or pattern is too long.
    #[error("a channel or pattern has at most {TOPIC_BYTES_MAX} bytes")]
    Name,
    /// Too many of them, or all of them together are too long.
    #[error("a client has at most {TOPICS_MAX} subscriptions, with {TOPICS_BYTES_MAX} bytes in all")]
    Topics,
}

/// Somebody who listens. Dropped, all its subscriptions end.
pub struct Subscriber {
    hub: Hub,
    outbox: Arc<Outbox>,
    topics: BTreeSet<Topic>,
    /// Bytes of the names in `topics`.
    bytes: usize,
}

/// The buffer that publishers fill.
pub(super) struct Outbox {
    pub(super) id: u64,
    buffer_max: usize,
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    /// Of those that wait, out of the ring.
    replayed: usize,
    overflowed: bool,
}

impl Outbox {
    pub(super) fn push(&self, message: &Arc<Published>, topic: &Topic) {
        self.put(message, topic, message.body.len() + message.channel.len() + OVERHEAD);
    }

    /// Puts in a message out of the ring, however far behind the subscriber is: who comes back could not come back otherwise. Their
    /// bytes are the ring's own, and their number is bounded.
    pub(super) fn replay(&self, message: &Arc<Published>, topic: &Topic) {
        self.put(message, topic, 0);
    }

    fn put(&self, message: &Arc<Published>, topic: &Topic, size: usize) {
        let mut queue = self.queue();
        if queue.overflowed {
            return;
        }
        let first = queue.waiting.is_empty();
        queue.replayed += usize::from(size == 0);
        let full = (queue.bytes + size > self.buffer_max && queue.bytes > 0 && size > 0) || queue.replayed > REPLAYED_MAX;
        if full {
            // What waits is of no use any more: the connection ends.
            *queue = Queue { overflowed: true, ..Queue::default() };
        } else {
            queue.bytes += size;
            queue.waiting.push_back(Delivery { message: Arc::clone(message), topic: topic.clone() });
        }
        drop(queue);
        // Whoever takes, takes everything: only the first that waits has to wake it.
        if first || full {
            self.filled.notify_one();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    pub(super) fn new(hub: Hub, id: u64, buffer_max: usize) -> Self {
        let outbox = Outbox { id, buffer_max, queue: Mutex::default(), filled: Notify::new() };
        Self { hub, outbox: Arc::new(outbox), topics: BTreeSet::new(), bytes: 0 }
    }

    /// Whether one more topic is within what a client may have. Doors ask before they subscribe for a client.
    pub fn has_room_for(&self, topic: &Topic) -> Result<(), TooMuch> {
        let bytes = topic.name().len();
        if bytes > TOPIC_BYTES_MAX {
            return Err(TooMuch::Name);
        }
        let more = self.topics.len() >= TOPICS_MAX || self.bytes + bytes > TOPICS_BYTES_MAX;
        if more && !self.topics.contains(topic) { Err(TooMuch::Topics) } else { Ok(()) }
    }

    /// Listens from now on; false where it did already.
    pub fn subscribe(&mut self, topic: Topic) -> bool {
        let new = self.note(&topic);
        if new {
            self.hub.add(topic, &self.outbox);
        }
        new
    }

    /// Listens from after `since` on, as far as the ring reaches; answers the hole where it does not reach. Once for a topic.
    pub fn subscribe_since(&mut self, topic: Topic, since: Seq) -> Option<Gap> {
        if self.note(&topic) { self.hub.add_since(topic, &self.outbox, since) } else { None }
    }

    fn note(&mut self, topic: &Topic) -> bool {
        let new = self.topics.insert(topic.clone());
        if new {
            self.bytes += topic.name().len();
        }
        new
    }

    /// Listens no more; false where it did not.
    pub fn unsubscribe(&mut self, topic: &Topic) -> bool {
        let was = self.topics.remove(topic);
        if was {
            self.bytes -= topic.name().len();
            self.hub.remove(topic, &self.outbox);
        }
        was
    }

    /// What it listens to, in order.
    pub fn topics(&self) -> &BTreeSet<Topic> {
        &self.topics
    }

    /// Everything that waits, at least one; waits while there is nothing. Cancel-safe.
    pub async fn next(&mut self) -> Result<VecDeque<Delivery>, Overflowed> {
        let mut taken = VecDeque::new();
        self.next_into(&mut taken).await?;
        Ok(taken)
    }

    /// The same into an empty queue of the caller's, whose memory is used again. Cancel-safe.
    pub async fn next_into(&self, into: &mut VecDeque<Delivery>) -> Result<(), Overflowed> {
        loop {
            let filled = self.outbox.filled.notified();
            {
                let mut queue = self.outbox.queue();
                if queue.overflowed {
                    return Err(Overflowed);
                }
                if !queue.waiting.is_empty() {
                    if into.capacity() > KEPT {
                        into.shrink_to(KEPT.max(2 * queue.waiting.len()));
                    }
                    (queue.bytes, queue.replayed) = (0, 0);
                    std::mem::swap(&mut queue.waiting, into);
                    return Ok(());
                }
            }
            filled.await;
        }
    }

    /// Waits until it has become too slow; for who cannot take more just now, and so does not wait for messages at the same time:
    /// a wake-up goes to one of both. Cancel-safe.
    pub async fn overflowed(&self) -> Overflowed {
        loop {
            let filled = self.outbox.filled.notified();
            if self.outbox.queue().overflowed {
                return Overflowed;
            }
            filled.await;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for topic in std::mem::take(&mut self.topics) {
            self.hub.remove(&topic, &self.outbox);
        }
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("topics", &self.topics).finish_non_exhaustive()
    }
}
