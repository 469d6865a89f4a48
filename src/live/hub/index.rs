//! Who listens to what.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;

use super::{Published, Topic, matches, outbox::Outbox};

/// Subscriptions by channel, and patterns.
#[derive(Default)]
pub(super) struct Index {
    channels: HashMap<Bytes, Vec<Arc<Outbox>>>,
    patterns: BTreeMap<Bytes, Vec<Arc<Outbox>>>,
    subscriptions: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.subscriptions
    }

    /// Adds a subscription that is not there; true.
    pub(super) fn add(&mut self, topic: Topic, outbox: &Arc<Outbox>) -> bool {
        let listeners = match topic {
            Topic::Channel(name) => self.channels.entry(name).or_default(),
            Topic::Pattern(glob) => self.patterns.entry(glob).or_default(),
        };
        listeners.push(Arc::clone(outbox));
        self.subscriptions += 1;
        true
    }

    pub(super) fn remove(&mut self, topic: &Topic, outbox: &Arc<Outbox>) -> bool {
        let listeners = match topic {
            Topic::Channel(name) => self.channels.get_mut(name),
            Topic::Pattern(glob) => self.patterns.get_mut(glob),
        };
        let Some(listeners) = listeners else { return false };
        let Some(at) = listeners.iter().position(|other| other.id == outbox.id) else { return false };
        listeners.swap_remove(at);
        self.subscriptions -= 1;
        if listeners.is_empty() {
            match topic {
                Topic::Channel(name) => drop(self.channels.remove(name)),
                Topic::Pattern(glob) => drop(self.patterns.remove(glob)),
            }
        }
        true
    }

    /// Into the buffer of each subscriber; answers how many subscriptions took it.
    pub(super) fn deliver(&self, message: &Arc<Published>) -> u64 {
        let mut receivers = 0;
        if let Some(listeners) = self.channels.get(&message.channel) {
            let topic = Topic::Channel(message.channel.clone());
            for outbox in listeners {
                outbox.push(message, &topic);
            }
            receivers += listeners.len() as u64;
        }
        for (glob, listeners) in self.patterns.iter().filter(|(glob, _)| matches(glob, &message.channel)) {
            let topic = Topic::Pattern(glob.clone());
            for outbox in listeners {
                outbox.push(message, &topic);
            }
            receivers += listeners.len() as u64;
        }
        receivers
    }
}
