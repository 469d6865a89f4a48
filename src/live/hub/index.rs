//! Who listens to what.
//!
//! Patterns lie in a sorted map by the literal text that their channels begin with, so that a message is tried only on patterns whose
//! text it begins with: a thousand patterns of which one can match cost little more than one.

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use indexmap::IndexMap;

use super::{
    Published, Topic,
    glob::{literal_prefix, matches_rest},
    matches,
    outbox::Outbox,
};

/// By the subscriber's id, so that one of many leaves at once.
type Listeners = IndexMap<u64, Arc<Outbox>>;

/// Subscriptions by channel, and patterns by their literal prefix.
#[derive(Default)]
pub(super) struct Index {
    channels: HashMap<Bytes, Listeners>,
    patterns: BTreeMap<Box<[u8]>, Vec<Pattern>>,
    subscriptions: usize,
    patterns_count: usize,
}

struct Pattern {
    topic: Topic,
    glob: Bytes,
    /// Where the glob goes on after its literal prefix.
    rest: usize,
    listeners: Listeners,
}

impl Index {
    /// Subscriptions: a client with two counts twice.
    pub(super) fn len(&self) -> usize {
        self.subscriptions
    }

    /// Patterns that somebody listens to, each once.
    pub(super) fn patterns(&self) -> usize {
        self.patterns_count
    }

    /// Who listens to exactly this channel, patterns left aside.
    pub(super) fn listeners(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, Listeners::len)
    }

    /// Channels that somebody listens to, patterns left aside, as far as `glob` matches them.
    pub(super) fn channels(&self, glob: Option<&[u8]>) -> impl Iterator<Item = &Bytes> {
        self.channels.keys().filter(move |name| glob.is_none_or(|glob| matches(glob, name)))
    }

    pub(super) fn add(&mut self, topic: Topic, outbox: &Arc<Outbox>) {
        let listeners = match topic {
            Topic::Channel(name) => self.channels.entry(name).or_default(),
            Topic::Pattern(glob) => {
                let (prefix, rest) = literal_prefix(&glob);
                let same = self.patterns.entry(prefix.into()).or_default();
                let at = same.iter().position(|pattern| pattern.glob == glob).unwrap_or_else(|| {
                    self.patterns_count += 1;
                    same.push(Pattern {
                        topic: Topic::Pattern(glob.clone()),
                        glob: glob.clone(),
                        rest,
                        listeners: Listeners::new(),
                    });
                    same.len() - 1
                });
                &mut same[at].listeners
            }
        };
        if listeners.insert(outbox.id, Arc::clone(outbox)).is_none() {
            self.subscriptions += 1;
        }
    }

    pub(super) fn remove(&mut self, topic: &Topic, outbox: &Arc<Outbox>) -> bool {
        let removed = match topic {
            Topic::Channel(name) => {
                let hash_map::Entry::Occupied(mut place) = self.channels.entry(name.clone()) else { return false };
                let removed = place.get_mut().swap_remove(&outbox.id).is_some();
                if place.get().is_empty() {
                    place.remove();
                }
                removed
            }
            Topic::Pattern(glob) => self.remove_pattern(glob, outbox.id),
        };
        self.subscriptions -= usize::from(removed);
        removed
    }

    fn remove_pattern(&mut self, glob: &Bytes, id: u64) -> bool {
        let (prefix, _) = literal_prefix(glob);
        let Some(same) = self.patterns.get_mut(&*prefix) else { return false };
        let Some(at) = same.iter().position(|pattern| pattern.glob == *glob) else { return false };
        let removed = same[at].listeners.swap_remove(&id).is_some();
        if same[at].listeners.is_empty() {
            same.swap_remove(at);
            self.patterns_count -= 1;
        }
        if same.is_empty() {
            self.patterns.remove(&*prefix);
        }
        removed
    }

    /// Into the buffer of each subscriber; answers how many subscriptions took it.
    pub(super) fn deliver(&self, message: &Arc<Published>) -> u64 {
        let mut receivers = 0;
        if let Some((name, listeners)) = self.channels.get_key_value(&message.channel) {
            receivers += give(message, &Topic::Channel(name.clone()), listeners);
        }
        self.matching(&message.channel, |pattern| receivers += give(message, &pattern.topic, &pattern.listeners));
        receivers
    }

    /// Every pattern that matches. The greatest prefix that is not above the channel either begins it, or what both share is as far
    /// as any other can reach; so it is looked up again and again, each time with less of the channel.
    fn matching(&self, channel: &[u8], mut each: impl FnMut(&Pattern)) {
        let mut reach = channel;
        loop {
            let below = (Bound::Unbounded, Bound::Included(reach));
            let Some((prefix, patterns)) = self.patterns.range::<[u8], _>(below).next_back() else { return };
            let common = prefix.iter().zip(reach).take_while(|(one, other)| one == other).count();
            if common < prefix.len() {
                reach = &reach[..common];
                continue;
            }
            let rest = &channel[common..];
            for pattern in patterns {
                let glob = &pattern.glob[pattern.rest..];
                let matched = if channel.is_empty() { pattern.glob.is_empty() } else { glob == b"*" || matches_rest(glob, rest) };
                if matched {
                    each(pattern);
                }
            }
            match common.checked_sub(1) {
                Some(shorter) => reach = &reach[..shorter],
                None => return,
            }
        }
    }
}

fn give(message: &Arc<Published>, topic: &Topic, listeners: &Listeners) -> u64 {
    for outbox in listeners.values() {
        outbox.push(message, topic);
    }
    listeners.len() as u64
}
