//! Topics that are missing or forbidden.
//!
//! A producer takes messages for any name, asks its cluster for it, and fails them when there is no such topic; from then on it does not
//! ask again for minutes. So a topic that failed is asked for by us before the next message to it: a lane that waits for its topic goes
//! on within seconds of its creation.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{Message as _, error::RDKafkaErrorCode as Code, message::BorrowedMessage, metadata::Metadata};

use super::fault::of_code;
use crate::outcome::{Reason, Refusal};

/// Topics remembered; a template may make any number of names.
const SUSPECTS_MAX: usize = 4_096;

/// A partition among suspects: its replicas are its own.
pub(super) fn partition(message: &BorrowedMessage<'_>) -> String {
    format!("{}[{}]", message.topic(), message.partition())
}

/// Topics of one link, or partitions of one cluster, that failed.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// False while there are none, which is nearly always.
    any: AtomicBool,
    names: Mutex<HashSet<Box<str>>>,
}

impl Suspects {
    fn names(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message to it failed. Answers true where that is news.
    pub(super) fn add(&self, topic: &str) -> bool {
        let mut names = self.names();
        if names.contains(topic) {
            return false;
        }
        if names.len() >= SUSPECTS_MAX {
            // Whatever is forgotten fails once more.
            names.clear();
        }
        names.insert(topic.into());
        self.any.store(true, Ordering::Release);
        true
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether it must be asked for before the next message.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.any() && self.names().contains(topic)
    }

    /// It is there.
    pub(super) fn clear(&self, topic: &str) {
        let mut names = self.names();
        names.remove(topic);
        self.any.store(!names.is_empty(), Ordering::Release);
    }
}

/// What a cluster says of a topic: that it is there for us, or why not.
pub(super) fn verdict(topic: &str, metadata: &Metadata) -> Result<(), Refusal> {
    let Some(told) = metadata.topics().iter().find(|told| told.name() == topic) else {
        return Err(Refusal::new(Reason::Unroutable, format!("the cluster says nothing of the topic `{topic}`")));
    };
    match told.error().map(Code::from) {
        // It is there, and a leader is being elected.
        None | Some(Code::NoError | Code::LeaderNotAvailable | Code::ReplicaNotAvailable) => Ok(()),
        Some(code) => Err(Refusal::new(of_code(code), format!("topic `{topic}`: {code}"))),
    }
}
