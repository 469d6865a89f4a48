//! The sources of the bridge that read channels of the hub.

use std::time::{Duration, Instant};

use super::{Hub, Topic};
use crate::intake::{Caller, calls};

/// A source that stopped is expected back for so long: it begins anew, or a reload replaces it. Until then whoever publishes for it
/// hears that nobody can answer, and not that nobody reads.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// A source, to be called with what is published on its channels.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Tells readers apart: what goes to one of them can be handed over in one call.
    pub id: u64,
    /// Its producers' end.
    pub caller: Caller,
}

/// A source that reads; dropped, it hears no more.
#[derive(Debug)]
pub struct Reading {
    hub: Hub,
    id: u64,
}

/// All of them, in the order in which they came.
#[derive(Default)]
pub(super) struct Readers(Vec<Entry>);

struct Entry {
    topic: Topic,
    reader: Reader,
    /// When it stopped.
    gone: Option<Instant>,
}

impl Readers {
    /// One begins; it takes the place of one that stopped.
    pub(super) fn add(&mut self, id: u64, topic: Topic, caller: Caller) {
        self.0.retain(|entry| entry.gone.is_none() || entry.topic != topic);
        self.0.push(Entry { topic, reader: Reader { id, caller }, gone: None });
    }

    /// One is expected: it has the place of one that stopped just now.
    pub(super) fn announce(&mut self, id: u64, topic: Topic) {
        let (caller, _) = calls(1);
        self.0.push(Entry { topic, reader: Reader { id, caller }, gone: Some(Instant::now()) });
    }

    /// Those that read `channel`.
    pub(super) fn of(&mut self, channel: &[u8]) -> Vec<Reader> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.retain(|entry| entry.gone.is_none_or(|gone| gone.elapsed() < BACK_WITHIN));
        self.0.iter().filter(|entry| entry.topic.takes(channel)).map(|entry| entry.reader.clone()).collect()
    }

    fn stop(&mut self, id: u64) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.reader.id == id) {
            entry.gone = Some(Instant::now());
        }
    }
}

impl Reading {
    pub(super) fn new(hub: Hub, id: u64) -> Self {
        Self { hub, id }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.hub.space().readers.stop(self.id);
    }
}
