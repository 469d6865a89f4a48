//! Keys that wait: for the retry of a message that failed, or (`ordering: strict`) for the one on the wire.
//!
//! Later messages of a parked key wait behind it; all others flow on (guarantees, G6 and G7).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use super::item::Item;
use crate::{
    journal::Position,
    route::{DeliveryRules, LaneId},
};

/// A key of a lane, hashed: two keys that collide wait for each other, which costs time and breaks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct KeyId(u64);

/// How many messages that waited behind a retry go out at once when it was delivered.
const CHUNK: usize = 64;

/// All parked keys of a link worker.
#[derive(Debug, Default)]
pub(super) struct Parked {
    hasher: RandomState,
    keys: HashMap<KeyId, Waiting>,
    due: BTreeSet<(Instant, KeyId)>,
}

#[derive(Debug)]
struct Waiting {
    lane: LaneId,
    queue: BTreeMap<Position, Item>,
    /// Items of this key on the wire.
    flying: usize,
    /// One at a time.
    strict: bool,
    retry_at: Instant,
}

impl Parked {
    /// The key under which an item waits; one without an ordering key waits alone.
    pub(super) fn id(&self, item: &Item, rules: &DeliveryRules) -> KeyId {
        let lane = item.entry.lane();
        KeyId(match item.key(rules) {
            Some(key) => self.hasher.hash_one((lane, key)),
            None => self.hasher.hash_one((lane, item.position())),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn holds(&self, id: KeyId) -> bool {
        self.keys.contains_key(&id)
    }

    /// Items of a lane that wait.
    pub(super) fn waiting(&self, lane: LaneId) -> usize {
        self.keys.values().filter(|key| key.lane == lane).map(|key| key.queue.len()).sum()
    }

    /// Counts an item of this key onto the wire, so that later ones wait (`ordering: strict`).
    pub(super) fn fly(&mut self, id: KeyId, lane: LaneId, now: Instant) {
        let key = self.keys.entry(id).or_insert_with(|| Waiting::new(lane, true, now));
        key.flying += 1;
    }

    /// Parks an item until its key's turn at `retry_at`.
    pub(super) fn park(&mut self, id: KeyId, item: Item, retry_at: Instant) {
        item.entry.park();
        let key = self.keys.entry(id).or_insert_with(|| Waiting::new(item.entry.lane(), false, retry_at));
        let position = item.position();
        key.queue.insert(position, item);
        // The head decides when its key goes on.
        if key.queue.first_key_value().is_some_and(|(head, _)| *head == position) {
            self.due.remove(&(key.retry_at, id));
            key.retry_at = retry_at;
        }
        self.due.insert((key.retry_at, id));
    }

    /// Puts an item behind those of its key that wait already.
    pub(super) fn behind(&mut self, id: KeyId, item: Item) {
        item.entry.park();
        if let Some(key) = self.keys.get_mut(&id) {
            key.queue.insert(item.position(), item);
            self.due.insert((key.retry_at, id));
        } else {
            debug_assert!(false, "nothing waits under this key");
        }
    }

    /// Takes the items whose turn has come, at most `room` in all and of a lane as many as `allowed` says at each call: a failed one
    /// alone, those behind it in a chunk.
    pub(super) fn take_due(&mut self, now: Instant, room: usize, mut allowed: impl FnMut(LaneId) -> usize) -> Vec<Item> {
        let mut taken = Vec::new();
        let mut served = Vec::new();
        for &(at, id) in &self.due {
            if at > now || taken.len() >= room {
                break;
            }
            let Some(key) = self.keys.get_mut(&id) else {
                served.push((at, id));
                continue;
            };
            if key.flying > 0 {
                // Its turn comes when they have landed.
                served.push((at, id));
            } else {
                let many = allowed(key.lane).min(room - taken.len());
                if many > 0 {
                    key.take(many, &mut taken);
                    served.push((at, id));
                }
            }
        }
        for served in served {
            self.due.remove(&served);
        }
        taken
    }

    /// An item of this key left the wire for good (ended), or goes back to wait by [`Parked::park`].
    pub(super) fn landed(&mut self, id: KeyId, now: Instant) {
        let Some(key) = self.keys.get_mut(&id) else { return };
        key.flying = key.flying.saturating_sub(1);
        if key.flying > 0 {
            return;
        }
        if key.queue.is_empty() {
            self.due.remove(&(key.retry_at, id));
            self.keys.remove(&id);
        } else {
            // A retry that was just written down keeps its time; what only waited for the wire goes now.
            if key.retry_at <= now {
                key.retry_at = now;
            }
            self.due.insert((key.retry_at, id));
        }
    }

    /// The items of a dead link were on no wire after all.
    pub(super) fn grounded(&mut self, id: KeyId, item: Item, now: Instant) {
        if let Some(key) = self.keys.get_mut(&id) {
            key.flying = key.flying.saturating_sub(1);
        }
        self.park(id, item, now);
    }

    /// Wakes everything that waits on these lanes: their destination is back.
    pub(super) fn wake(&mut self, now: Instant, mut lanes: impl FnMut(LaneId) -> bool) {
        for (id, key) in self.keys.iter_mut().filter(|(_, key)| !key.queue.is_empty() && lanes(key.lane) && key.retry_at > now) {
            self.due.remove(&(key.retry_at, *id));
            key.retry_at = now;
            self.due.insert((now, *id));
        }
    }

    /// Takes out the waiting items that `judge` condemns: withdrawn by their source, or past their deadline.
    pub(super) fn take_condemned(&mut self, mut judge: impl FnMut(&Item) -> bool) -> Vec<Item> {
        let mut taken = Vec::new();
        let due = &mut self.due;
        self.keys.retain(|id, key| {
            let condemned: Vec<_> = key.queue.iter().filter(|(_, item)| judge(item)).map(|(position, _)| *position).collect();
            for position in condemned {
                if let Some(item) = key.queue.remove(&position) {
                    item.entry.unpark();
                    taken.push(item);
                }
            }
            let keep = key.flying > 0 || !key.queue.is_empty();
            if !keep {
                due.remove(&(key.retry_at, *id));
            }
            keep
        });
        taken
    }

    /// When the next retry after `now` is due. What is due already waits for its lane, not for the time.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.due.range((now, KeyId(u64::MAX))..).next().map(|(at, _)| *at)
    }

    /// The items that wait, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.keys.values().flat_map(|key| key.queue.values())
    }
}

impl Waiting {
    fn new(lane: LaneId, strict: bool, retry_at: Instant) -> Self {
        Self { lane, queue: BTreeMap::new(), flying: 0, strict, retry_at }
    }

    fn take(&mut self, room: usize, taken: &mut Vec<Item>) {
        let failed = self.queue.values().next().is_some_and(|item| item.story.is_some());
        let many = if failed || self.strict { 1 } else { CHUNK };
        for _ in 0..many.min(room) {
            let Some((_, item)) = self.queue.pop_first() else { break };
            item.entry.unpark();
            self.flying += 1;
            taken.push(item);
        }
    }
}
