//! The hub: topics in memory, with the channels and patterns of Redis.
//!
//! A message that is published gets the next number, goes into a bounded ring and to every subscriber whose channel or pattern it
//! matches. It is *delivered* once it is in the ring (docs/guarantees.md): what a client makes of it is the client's; a client that is
//! too slow for its bounded buffer is cut off, and a hole is visible by its numbers. Sources of the bridge (`from: hub/PATTERN`) hear
//! what clients publish through [`Hub::readers`].

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::intake::Caller;

mod event;
mod glob;
mod index;
mod outbox;
mod readers;
mod ring;
mod round;

#[cfg(test)]
mod tests;

pub use event::event;
pub use glob::matches;
pub use outbox::{Delivery, Overflowed, Subscriber, TooMuch};
pub use readers::{Reader, Reading};
pub use round::{Judged, Round};

use index::Index;
use outbox::Outbox;
use readers::Readers;
use ring::Ring;

/// The largest body a channel takes, in bytes. Whoever publishes sees to it.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The topic space of one process. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    epoch: u64,
    space: Mutex<Space>,
}

struct Space {
    ring: Ring,
    index: Index,
    readers: Readers,
    next_id: u64,
}

/// What somebody listens to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// One channel, by its exact name.
    Channel(Bytes),
    /// Every channel that this glob matches, as Redis matches it.
    Pattern(Bytes),
}

impl Topic {
    /// The channel's name, or the glob.
    pub fn name(&self) -> &Bytes {
        let (Self::Channel(name) | Self::Pattern(name)) = self;
        name
    }

    /// Whether a message on `channel` is for who listens to this.
    pub fn takes(&self, channel: &[u8]) -> bool {
        match self {
            Self::Channel(name) => name == channel,
            Self::Pattern(glob) => matches(glob, channel),
        }
    }
}

/// Where a message stands: the hub's life, and its number in it. Numbers begin at 1 and have no holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq {
    /// When this hub began, in milliseconds since the Unix epoch: numbers of another life mean nothing here.
    pub epoch: u64,
    /// The number.
    pub number: u64,
}

/// `EPOCH-SEQ`, as the doors show it.
impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl std::str::FromStr for Seq {
    type Err = NoSeq;

    fn from_str(text: &str) -> Result<Self, NoSeq> {
        let (epoch, number) = text.split_once('-').ok_or(NoSeq)?;
        Ok(Self { epoch: epoch.parse().map_err(|_| NoSeq)?, number: number.parse().map_err(|_| NoSeq)? })
    }
}

/// A text that is no `EPOCH-SEQ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place in the stream is written EPOCH-SEQ: two numbers and a dash")]
pub struct NoSeq;

/// A message in the hub.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands.
    pub seq: Seq,
    /// Where it was published.
    pub channel: Bytes,
    /// As it was published.
    pub body: Bytes,
    /// `message_name`, where a route published it; empty for what a client published.
    pub name: Box<str>,
}

/// What a subscriber missed, by numbers: nobody can say whether anything in it was for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first number that may be missing.
    pub from: Seq,
    /// The last one.
    pub to: Seq,
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its number.
    pub seq: Seq,
    /// Subscriptions that it went to, as Redis counts: a client with two matching subscriptions counts twice.
    pub receivers: u64,
}

impl Hub {
    /// An empty hub; `epoch` is the wall clock in milliseconds since the Unix epoch.
    pub fn new(epoch: u64) -> Self {
        let space = Space { ring: Ring::default(), index: Index::default(), readers: Readers::default(), next_id: 0 };
        Self(Arc::new(Shared { epoch, space: Mutex::new(space) }))
    }

    /// Puts a message into the ring and into the buffer of every subscriber that it is for. Never waits.
    pub fn publish(&self, channel: Bytes, body: Bytes, name: &str) -> Heard {
        let mut space = self.space();
        let seq = Seq { epoch: self.0.epoch, number: space.ring.last() + 1 };
        let message = Arc::new(Published { seq, channel, body, name: name.into() });
        space.ring.push(Arc::clone(&message));
        let receivers = space.index.deliver(&message);
        Heard { seq, receivers }
    }

    /// A subscriber to nothing yet, who may be `buffer` bytes behind.
    pub fn subscriber(&self, buffer: usize) -> Subscriber {
        let mut space = self.space();
        space.next_id += 1;
        Subscriber::new(self.clone(), space.next_id, buffer)
    }

    /// Where the next message will stand behind.
    pub fn last(&self) -> Seq {
        Seq { epoch: self.0.epoch, number: self.space().ring.last() }
    }

    /// The sources of the bridge that read what is published on `channel`. Who publishes for a client calls each with
    /// [`event()`] and answers when they have settled it. One that stopped a moment ago is among them and answers nobody.
    pub fn readers(&self, channel: &[u8]) -> Vec<Reader> {
        self.space().readers.of(channel)
    }

    /// A source will begin to read in a moment: until then who publishes for it is not answered, and publishes again.
    pub fn announce(&self, topic: Topic) {
        let mut space = self.space();
        space.next_id += 1;
        let id = space.next_id;
        space.readers.announce(id, topic);
    }

    /// A source begins to read; it ends when the answer is dropped.
    pub fn read(&self, topic: Topic, caller: Caller) -> Reading {
        let mut space = self.space();
        space.next_id += 1;
        let id = space.next_id;
        space.readers.add(id, topic, caller);
        Reading::new(self.clone(), id)
    }

    /// Subscriptions: a client with two counts twice.
    pub fn subscriptions(&self) -> usize {
        self.space().index.len()
    }

    /// Patterns that somebody listens to, each once (`PUBSUB NUMPAT`).
    pub fn patterns(&self) -> usize {
        self.space().index.patterns()
    }

    /// Who listens to exactly this channel, patterns left aside (`PUBSUB NUMSUB`).
    pub fn listeners(&self, channel: &[u8]) -> usize {
        self.space().index.listeners(channel)
    }

    /// At most `count` of the channels that somebody listens to, patterns left aside, as far as `glob` matches them
    /// (`PUBSUB CHANNELS`).
    pub fn channels(&self, glob: Option<&[u8]>, count: usize) -> Vec<Bytes> {
        self.space().index.channels(glob).take(count).cloned().collect()
    }

    fn add(&self, topic: Topic, outbox: &Arc<Outbox>) {
        self.space().index.add(topic, outbox);
    }

    /// Adds a subscription and puts into its buffer what the ring still has of it after `since`, in one step: nothing is missed and
    /// nothing comes twice. Answers what the ring no longer has.
    fn add_since(&self, topic: Topic, outbox: &Arc<Outbox>, since: Seq) -> Option<Gap> {
        let mut space = self.space();
        let last = Seq { epoch: self.0.epoch, number: space.ring.last() };
        let Space { ring, index, .. } = &mut *space;
        // Of another life everything is unknown; what the ring has is sent all the same.
        let after = if since.epoch == self.0.epoch { since.number.min(last.number) } else { 0 };
        for message in ring.after(after).filter(|message| topic.takes(&message.channel)) {
            outbox.replay(message, &topic);
        }
        let first_kept = ring.first();
        index.add(topic, outbox);
        let missing_of_this_life = first_kept > after + 1;
        let other_life = since.epoch != self.0.epoch;
        (other_life || missing_of_this_life).then(|| Gap {
            from: if other_life { since } else { Seq { number: after + 1, ..last } },
            to: Seq { number: first_kept.saturating_sub(1), ..last },
        })
    }

    fn remove(&self, topic: &Topic, outbox: &Arc<Outbox>) -> bool {
        self.space().index.remove(topic, outbox)
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.0.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("epoch", &self.0.epoch).finish_non_exhaustive()
    }
}
