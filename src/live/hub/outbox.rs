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

/// Somebody who listens. Dropped, all its subscriptions end.
pub struct Subscriber {
    hub: Hub,
    outbox: Arc<Outbox>,
    topics: BTreeSet<Topic>,
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
    overflowed: bool,
}

impl Outbox {
    pub(super) fn push(&self, message: &Arc<Published>, topic: &Topic) {
        let size = message.body.len() + message.channel.len() + OVERHEAD;
        let mut queue = self.queue();
        if queue.overflowed {
            return;
        }
        if queue.bytes + size > self.buffer_max && !queue.waiting.is_empty() {
            // What waits is of no use any more: the connection ends.
            *queue = Queue { overflowed: true, ..Queue::default() };
        } else {
            queue.bytes += size;
            queue.waiting.push_back(Delivery { message: Arc::clone(message), topic: topic.clone() });
        }
        drop(queue);
        self.filled.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    pub(super) fn new(hub: Hub, id: u64, buffer_max: usize) -> Self {
        let outbox = Outbox { id, buffer_max, queue: Mutex::default(), filled: Notify::new() };
        Self { hub, outbox: Arc::new(outbox), topics: BTreeSet::new() }
    }

    /// Listens from now on; false where it did already.
    pub fn subscribe(&mut self, topic: Topic) -> bool {
        self.topics.insert(topic.clone()) && self.hub.add(topic, &self.outbox)
    }

    /// Listens from after `since` on, as far as the ring reaches; answers the hole where it does not reach. Once for a topic.
    pub fn subscribe_since(&mut self, topic: Topic, since: Seq) -> Option<Gap> {
        if self.topics.insert(topic.clone()) { self.hub.add_since(topic, &self.outbox, since) } else { None }
    }

    /// Listens no more; false where it did not.
    pub fn unsubscribe(&mut self, topic: &Topic) -> bool {
        self.topics.remove(topic) && self.hub.remove(topic, &self.outbox)
    }

    /// What it listens to, in order.
    pub fn topics(&self) -> &BTreeSet<Topic> {
        &self.topics
    }

    /// Everything that waits, at least one; waits while there is nothing. Cancel-safe.
    pub async fn next(&mut self) -> Result<VecDeque<Delivery>, Overflowed> {
        loop {
            let filled = self.outbox.filled.notified();
            {
                let mut queue = self.outbox.queue();
                if queue.overflowed {
                    return Err(Overflowed);
                }
                if !queue.waiting.is_empty() {
                    queue.bytes = 0;
                    return Ok(std::mem::take(&mut queue.waiting));
                }
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
