//! An origin and its targets, joined.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::Relay;
use crate::broker::{
    InFlight, Origin, Relayed, Target,
    kafka::{Kafka, origin::KafkaOrigin},
};

/// All that the source's window holds may wait here at once: a copy behind one that is tried again holds a place until that has come
/// back, and were the places fewer, that could not come. The window is the bound.
const IN_FLIGHT: InFlight = InFlight { batches: 1 << 20, messages: 1 << 21, batch_messages: 1_000 };

/// The relays of one broker. Whoever reads through one keeps it.
#[derive(Debug, Default)]
pub(in crate::broker::kafka) struct Relays(Mutex<HashMap<Arc<str>, Weak<Relay>>>);

impl Relays {
    /// The relay of a link, where its part of the broker is one.
    pub(in crate::broker::kafka) fn of(&self, part: &str) -> Option<Arc<Relay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(part)?.upgrade()
    }

    fn keep(&self, part: &Arc<str>, relay: &Arc<Relay>) {
        let mut relays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        relays.retain(|_, relay| relay.strong_count() > 0);
        relays.insert(Arc::clone(part), Arc::downgrade(relay));
    }
}

/// Both ends as one. The error is a sentence.
pub(in crate::broker::kafka) fn join(kafka: &Arc<Kafka>, origin: &dyn Origin, targets: &[Target]) -> Result<Relayed, String> {
    let origin = origin.as_any().downcast_ref::<KafkaOrigin>();
    let origin = origin.filter(|origin| origin.is_of(kafka)).ok_or("what is read is not of this Kafka")?;
    let part: Arc<str> = format!("exactly-once/{}", origin.in_group()).into();
    let relay = Arc::new(Relay::new(Arc::clone(&part), origin.group().cloned()));
    kafka.relays.keep(&part, &relay);
    let target = |target: &Target| {
        let mut target = target.clone();
        target.link.part = Arc::clone(&part);
        target.in_flight = IN_FLIGHT;
        target
    };
    Ok(Relayed { targets: targets.iter().map(target).collect(), origin: Arc::new(origin.relayed(relay)) })
}
