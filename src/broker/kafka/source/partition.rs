//! One partition while it is assigned to us: what the polling thread and the pipeline's side both know of it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rdkafka::consumer::ConsumerGroupMetadata;

use crate::intake::Seq;

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The offset to commit: all below is settled.
    pub(super) offset: i64,
    /// How many messages that were offered are below it.
    pub(super) messages: Seq,
}

/// An assigned partition, from its assignment to its release. Assigned again, it is another one.
#[derive(Debug)]
pub(in crate::broker::kafka) struct Partition {
    /// Of this assignment: no other one in this process has it.
    pub(super) id: u64,
    /// The topic's name.
    pub(in crate::broker::kafka) topic: Arc<str>,
    /// Its number in the topic.
    pub(in crate::broker::kafka) number: i32,
    /// The consumer it is assigned to.
    pub(in crate::broker::kafka) membership: Arc<Membership>,
    /// Where reading begins.
    pub(super) start: i64,
    /// What may be committed.
    settled: Mutex<Position>,
    /// What the group has.
    told: Mutex<Position>,
    /// Nothing more of it is offered.
    leaving: AtomicBool,
    /// Nothing of it is in flight any more.
    released: AtomicBool,
    /// It is ours no longer.
    gone: AtomicBool,
}

impl Partition {
    /// A partition that is read from `start` on, which is what its group has committed.
    pub(super) fn new(topic: Arc<str>, number: i32, start: i64, membership: Arc<Membership>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let begun = Position { offset: start, messages: 0 };
        let (settled, told) = (Mutex::new(begun), Mutex::new(begun));
        let (leaving, released, gone) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        Self { id, topic, number, membership, start, settled, told, leaving, released, gone }
    }

    /// All below is settled.
    pub(super) fn settle(&self, position: Position) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// Up to where all is settled.
    pub(super) fn settled(&self) -> Position {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group has answered that it has this.
    pub(super) fn tell(&self, position: Position) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// What the group has.
    pub(super) fn told(&self) -> Position {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the group has all that settled.
    pub(super) fn is_told(&self) -> bool {
        self.told().offset >= self.settled().offset
    }

    /// It was taken from us: what is read of it and not offered yet is dropped.
    pub(in crate::broker::kafka) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// True once it was taken from us.
    pub(in crate::broker::kafka) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Nothing of it is in flight: all is settled or withdrawn.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    /// True once nothing of it is in flight.
    pub(super) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// It was given back, or lost: nothing is committed for it any more.
    pub(super) fn go(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// True once it is ours no longer.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

#[cfg(test)]
impl Partition {
    /// The first partition of a topic.
    pub(in crate::broker::kafka) fn for_tests(topic: &str) -> Arc<Self> {
        Arc::new(Self::new(topic.into(), 0, 0, Arc::default()))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

/// The consumer's place in its group, as a transaction that carries its offsets must name it.
#[derive(Default)]
pub(in crate::broker::kafka) struct Membership {
    /// The group's name; empty for a reader without a group.
    group: String,
    current: Mutex<Option<Arc<ConsumerGroupMetadata>>>,
}

impl Membership {
    /// Of a consumer that has not joined its group yet.
    pub(super) fn of(group: &str) -> Self {
        Self { group: group.to_owned(), current: Mutex::default() }
    }

    /// The group's name; empty for a reader without a group.
    pub(in crate::broker::kafka) fn group(&self) -> &str {
        &self.group
    }

    /// The group as of the last assignment; `None` before the first and for a reader without a group.
    pub(in crate::broker::kafka) fn current(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn renew(&self, metadata: Option<ConsumerGroupMetadata>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = metadata.map(Arc::new);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Membership").field(&self.current().is_some()).finish()
    }
}
