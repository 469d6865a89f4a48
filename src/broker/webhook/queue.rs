//! What waits for its turn, and what must not go now. Pure: no clock, no socket.
//!
//! Messages of one ordering key of a destination are a **chain**: one of them is out at a time. What fails holds back what would
//! overtake it: a refusal its chain, a pause (429, 401, 410…) its whole destination. Held messages are answered without being sent, so
//! that the link worker puts them behind the one that failed; and a hold lasts until the worker has *seen* that one's answer, since what
//! it hands over before then, it hands over in ignorance.

use std::collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry};

use tokio::sync::oneshot;

use crate::outcome::{Outcome, Reason};

/// A destination, for as long as a batch of it is here.
pub(super) type Place = usize;

/// A destination and an ordering key, hashed: two that collide wait for each other, which costs time and breaks nothing.
pub(super) type Chain = u64;

/// Where an answer belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slip {
    /// The batch's number.
    pub(super) batch: u64,
    /// Within the batch.
    pub(super) index: usize,
    pub(super) place: Place,
    /// `None`: it has no key, and waits for nobody.
    pub(super) chain: Option<Chain>,
    /// Its address has a value in it: 403 and 404 are its own.
    pub(super) templated: bool,
}

/// One message that waits.
#[derive(Debug)]
pub(super) struct Job<W> {
    pub(super) slip: Slip,
    /// What is to be sent.
    pub(super) work: W,
}

/// The answers of a batch, and whether something is held until they are seen.
pub(super) type Reply = (Vec<Outcome>, bool);

/// All that is here and not answered.
#[derive(Debug)]
pub(super) struct Queue<W> {
    batches: BTreeMap<u64, Batch>,
    ready: VecDeque<Job<W>>,
    /// Chains of which one is ready or out, and those behind it.
    chains: HashMap<Chain, VecDeque<Job<W>>>,
    held: HashMap<Hold, Held>,
    /// What each batch holds until it is seen.
    unseen: HashMap<u64, Vec<Hold>>,
}

#[derive(Debug)]
struct Batch {
    outcomes: Vec<Option<Outcome>>,
    left: usize,
    /// Batches that must be answered before: the failures in them hold back messages of this one.
    after: Vec<u64>,
    reply: oneshot::Sender<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Hold {
    Place(Place),
    Chain(Chain),
}

#[derive(Debug)]
struct Held {
    /// What is answered instead.
    outcome: Outcome,
    /// The batches with the failures, one for each.
    by: Vec<u64>,
}

/// What an outcome means for those that come after it.
enum Effect {
    /// Nothing: it is delivered, or will be a dead letter.
    None,
    /// Its chain waits for its next try.
    Chain,
    /// The destination would have nothing of anybody.
    Place,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self {
            batches: BTreeMap::new(),
            ready: VecDeque::new(),
            chains: HashMap::new(),
            held: HashMap::new(),
            unseen: HashMap::new(),
        }
    }
}

impl<W> Queue<W> {
    /// True where nothing waits and all is answered.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Takes a batch in: jobs, and outcomes of what is no request at all. At least one of either.
    pub(super) fn add(&mut self, number: u64, jobs: Vec<Job<W>>, settled: Vec<(usize, Outcome)>, reply: oneshot::Sender<Reply>) {
        let count = jobs.len() + settled.len();
        self.batches.insert(number, Batch { outcomes: vec![None; count], left: count, after: Vec::new(), reply });
        for (index, outcome) in settled {
            self.put(number, index, outcome);
        }
        for job in jobs {
            self.enter(job);
        }
        self.reply();
    }

    fn enter(&mut self, job: Job<W>) {
        let slip = job.slip;
        let holds = [slip.chain.map(Hold::Chain), Some(Hold::Place(slip.place))];
        if let Some((hold, held)) = holds.iter().flatten().find_map(|hold| Some((*hold, self.held.get(hold)?))) {
            let (outcome, after) = (held.outcome.clone(), after(hold, &held.by).to_vec());
            self.skip(slip, outcome, &after);
            return;
        }
        match slip.chain.map(|chain| self.chains.entry(chain)) {
            Some(Entry::Occupied(chain)) => chain.into_mut().push_back(job),
            Some(Entry::Vacant(chain)) => {
                chain.insert(VecDeque::new());
                self.ready.push_back(job);
            }
            None => self.ready.push_back(job),
        }
    }

    /// The next that may go.
    pub(super) fn next(&mut self) -> Option<Job<W>> {
        self.ready.pop_front()
    }

    /// One that was out is answered.
    pub(super) fn answered(&mut self, slip: Slip, outcome: Outcome) {
        match (effect(&outcome, slip.templated), slip.chain) {
            (Effect::Place, _) => self.hold(Hold::Place(slip.place), slip.batch, &outcome),
            // Not sent: unknown costs nobody a try.
            (Effect::Chain, Some(chain)) => self.hold(Hold::Chain(chain), slip.batch, &Outcome::Unknown(Reason::Link)),
            (Effect::Chain | Effect::None, _) => {}
        }
        self.put(slip.batch, slip.index, outcome);
        if let Some(chain) = slip.chain
            && let Entry::Occupied(mut waiting) = self.chains.entry(chain)
        {
            match waiting.get_mut().pop_front() {
                Some(next) => self.ready.push_back(next),
                None => drop(waiting.remove()),
            }
        }
        self.reply();
    }

    /// The answers of this batch have been taken: what it held may be sent again.
    pub(super) fn seen(&mut self, batch: u64) {
        for hold in self.unseen.remove(&batch).unwrap_or_default() {
            if let Entry::Occupied(mut held) = self.held.entry(hold) {
                let by = &mut held.get_mut().by;
                if let Some(at) = by.iter().position(|number| *number == batch) {
                    by.swap_remove(at);
                }
                if by.is_empty() {
                    held.remove();
                }
            }
        }
    }

    /// Puts one back that did not get out, before all others.
    pub(super) fn put_back(&mut self, job: Job<W>) {
        self.ready.push_front(job);
    }

    /// The link is down, and nothing is out. What is answered is answered: were a batch unknown as a whole, messages of it that were
    /// delivered would come again after others of their key.
    pub(super) fn fail(&mut self) {
        for batch in std::mem::take(&mut self.batches).into_values() {
            let outcomes = batch.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Unknown(Reason::Link))).collect();
            // Who does not wait any more has given the link up already.
            let _ = batch.reply.send((outcomes, false));
        }
        *self = Self::default();
    }

    /// From now on, and for what waits already.
    fn hold(&mut self, hold: Hold, batch: u64, outcome: &Outcome) {
        self.unseen.entry(batch).or_default().push(hold);
        let entry = self.held.entry(hold).or_insert_with(|| Held { outcome: outcome.clone(), by: Vec::new() });
        entry.by.push(batch);
        entry.outcome = outcome.clone();
        let after = after(hold, &entry.by).to_vec();
        let mut skipped = Vec::new();
        match hold {
            Hold::Chain(chain) => skipped.extend(self.chains.get_mut(&chain).into_iter().flat_map(std::mem::take)),
            Hold::Place(place) => {
                for waiting in self.chains.values_mut() {
                    if waiting.front().is_some_and(|job| job.slip.place == place) {
                        skipped.extend(std::mem::take(waiting));
                    }
                }
                let ready = std::mem::take(&mut self.ready);
                let (of_place, others): (VecDeque<_>, VecDeque<_>) = ready.into_iter().partition(|job| job.slip.place == place);
                self.ready = others;
                for chain in of_place.iter().filter_map(|job| job.slip.chain) {
                    self.chains.remove(&chain);
                }
                skipped.extend(of_place);
            }
        }
        for job in skipped {
            self.skip(job.slip, outcome.clone(), &after);
        }
    }

    /// Answers one that is not sent; its batch not before those others.
    fn skip(&mut self, slip: Slip, outcome: Outcome, after: &[u64]) {
        if let Some(batch) = self.batches.get_mut(&slip.batch) {
            batch.after.extend(after.iter().filter(|number| **number != slip.batch));
        }
        self.put(slip.batch, slip.index, outcome);
    }

    fn put(&mut self, batch: u64, index: usize, outcome: Outcome) {
        let Some(batch) = self.batches.get_mut(&batch) else { return };
        if let Some(place) = batch.outcomes.get_mut(index)
            && place.is_none()
        {
            *place = Some(outcome);
            batch.left -= 1;
        }
    }

    /// Tells the answers of the batches that are complete, none before those it must come after.
    fn reply(&mut self) {
        while let Some(number) = self.complete() {
            let Some(batch) = self.batches.remove(&number) else { return };
            let outcomes = batch.outcomes.into_iter().flatten().collect();
            let holds = self.unseen.contains_key(&number);
            if batch.reply.send((outcomes, holds)).is_err() {
                self.seen(number);
            }
        }
    }

    fn complete(&self) -> Option<u64> {
        let free = |batch: &Batch| batch.left == 0 && !batch.after.iter().any(|before| self.batches.contains_key(before));
        self.batches.iter().find(|(_, batch)| free(batch)).map(|(number, _)| *number)
    }
}

/// Whose answers must be known before that of one which they hold back. The link worker puts what is paused back into its order by
/// itself; but what waits for its key's next try must find the failed one there. A chain is held by a batch before its own, so that no
/// two wait for each other.
fn after(hold: Hold, by: &[u64]) -> &[u64] {
    match hold {
        Hold::Place(_) => &[],
        Hold::Chain(_) => by,
    }
}

/// Mirrors the policy of the link worker: what pauses a lane there, what is tried again, what is a dead letter at once.
fn effect(outcome: &Outcome, templated: bool) -> Effect {
    match outcome {
        Outcome::Delivered(_) => Effect::None,
        Outcome::Throttled { .. } | Outcome::Unsent => Effect::Place,
        Outcome::Unknown(_) => Effect::Chain,
        Outcome::Refused(refusal) => match refusal.reason {
            Reason::Unauthenticated | Reason::Gone => Effect::Place,
            Reason::Forbidden | Reason::Unroutable if !templated => Effect::Place,
            Reason::Final | Reason::TooLarge => Effect::None,
            _ => Effect::Chain,
        },
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
