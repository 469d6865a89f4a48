//! What is to be sent again is not overtaken by what was handed over behind it.
//!
//! Batches are handed over ahead of the answers. Where one comes back from its queue or topic to be sent again, those that were handed
//! over before anybody had read so would precede it: they come back too, unsent. Nothing less will do than asking what was read when
//! a batch was *handed over*: when its turn comes, the answer before it may have been read already, and its messages not sent again yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::outcome::Outcome;

/// Queues and topics that are remembered though nobody waits there.
const IDLE_MAX: usize = 256;

/// Of one queue or topic. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldBack(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    /// Those after which messages are sent again.
    again: u64,
    /// How many of them were read.
    read: u64,
    /// What the last of them said.
    outcome: Option<Outcome>,
}

/// A batch that was handed over, and what was read by then.
#[derive(Debug)]
pub(super) struct HandedOver {
    held_back: HeldBack,
    read: u64,
}

/// An answer after which messages are sent again. Dropped, it has been read.
#[derive(Debug)]
pub(super) struct Unread(HeldBack);

impl HeldBack {
    /// A batch is handed over now.
    pub(super) fn handed_over(&self) -> HandedOver {
        HandedOver { held_back: self.clone(), read: self.lock().read }
    }

    /// Whether nobody waits and all is read.
    pub(super) fn is_idle(&self) -> bool {
        let answers = self.lock();
        Arc::strong_count(&self.0) == 1 && answers.again == answers.read
    }

    /// Its steps leave it whole, whatever happens.
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandedOver {
    /// Where an answer before it was not read by then: what that said, which is as true for this batch. It must not be sent.
    pub(super) fn held(&self) -> Option<Outcome> {
        let answers = self.held_back.lock();
        answers.outcome.clone().filter(|_| answers.again > self.read)
    }

    /// Its own answer sends messages again: it holds back what was handed over before that is read.
    pub(super) fn hold(&self, outcome: Outcome) -> Unread {
        let mut answers = self.held_back.lock();
        answers.again += 1;
        answers.outcome = Some(outcome);
        Unread(self.held_back.clone())
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.lock().read += 1;
    }
}

/// What is known of a queue or topic, whose name means the same in either case. Where many are known, the idle ones are forgotten.
pub(super) fn of_entity<T: Clone + Default>(known: &mut HashMap<Box<str>, T>, entity: &str, is_idle: fn(&T) -> bool) -> T {
    if known.len() >= IDLE_MAX {
        known.retain(|_, one| !is_idle(one));
    }
    known.entry(entity.to_ascii_lowercase().into()).or_default().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Outcome {
        Outcome::Throttled { after: None, detail: "busy".into() }
    }

    #[test]
    fn what_was_handed_over_before_the_answer_was_read_is_held_whenever_it_asks() {
        let held_back = HeldBack::default();
        let (first, second) = (held_back.handed_over(), held_back.handed_over());
        assert_eq!(second.held(), None);
        let unread = first.hold(busy());
        let third = held_back.handed_over();
        assert_eq!((second.held(), third.held()), (Some(busy()), Some(busy())));
        drop(unread);
        assert_eq!((second.held(), third.held()), (Some(busy()), Some(busy())), "nobody could send the first again by then");
        assert_eq!(held_back.handed_over().held(), None);
    }

    #[test]
    fn whoever_is_held_holds_until_all_is_read() {
        let held_back = HeldBack::default();
        let (first, second) = (held_back.handed_over(), held_back.handed_over());
        let unread = first.hold(busy());
        let behind = second.hold(busy());
        drop((first, second, unread));
        assert!(held_back.handed_over().held().is_some() && !held_back.is_idle());
        drop(behind);
        assert!(held_back.handed_over().held().is_none() && held_back.is_idle());
    }

    #[test]
    fn names_mean_the_same_in_either_case_and_the_idle_are_forgotten() {
        let mut known: HashMap<Box<str>, HeldBack> = HashMap::new();
        let unread = of_entity(&mut known, "Orders", HeldBack::is_idle).handed_over().hold(busy());
        assert!(of_entity(&mut known, "orders", HeldBack::is_idle).handed_over().held().is_some());
        for number in 0..IDLE_MAX * 2 {
            of_entity(&mut known, &number.to_string(), HeldBack::is_idle);
        }
        assert!(known.len() <= IDLE_MAX && known.contains_key("orders"), "{}", known.len());
        drop(unread);
    }
}
