//! Which topics are there.
//!
//! librdkafka takes messages for a topic that does not exist and fails them half a minute later. We ask before the first message to
//! a topic, so that a missing or forbidden one is known at once, and pauses its lane instead of ending the link.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{error::RDKafkaErrorCode as Code, metadata::Metadata};

use super::fault::of_code;
use crate::outcome::{Reason, Refusal};

/// Topics remembered; a template may make any number of names.
const TOPICS_MAX: usize = 4_096;

/// How long a missing topic stays missing, so that a batch of messages to it asks once.
const MISSING_FOR: Duration = Duration::from_secs(1);

/// What is known of the topics of one link.
#[derive(Debug, Default)]
pub(super) struct Topics {
    known: HashMap<Box<str>, Found>,
}

#[derive(Debug, Clone)]
enum Found {
    There,
    Missing { refusal: Arc<Refusal>, until: Instant },
}

impl Topics {
    /// `None` where it must be asked; else whether it can be published to.
    pub(super) fn known(&self, topic: &str, now: Instant) -> Option<Result<(), Refusal>> {
        match self.known.get(topic)? {
            Found::There => Some(Ok(())),
            Found::Missing { refusal, until } => (now < *until).then(|| Err(Refusal::clone(refusal))),
        }
    }

    /// Notes the answer of a broker. Only what it said of this very topic counts.
    pub(super) fn learn(&mut self, topic: &str, metadata: &Metadata, now: Instant) {
        let told = metadata.topics().iter().find(|told| told.name() == topic);
        let refusal = match told {
            None => Some(Refusal::new(Reason::Unroutable, format!("the cluster says nothing of the topic `{topic}`"))),
            Some(told) => told.error().map(Code::from).filter(|code| is_refusal(*code)).map(|code| {
                let reason = of_code(code);
                Refusal::new(reason, format!("topic `{topic}`: {code}"))
            }),
        };
        let found = match refusal {
            None => Found::There,
            Some(refusal) => Found::Missing { refusal: Arc::new(refusal), until: now + MISSING_FOR },
        };
        if self.known.len() >= TOPICS_MAX {
            self.known.clear();
        }
        self.known.insert(topic.into(), found);
    }

    /// Any topic that is there, to ask of when there is nothing else to ask.
    pub(super) fn any(&self) -> Option<&str> {
        self.known.iter().find(|(_, found)| matches!(found, Found::There)).map(|(name, _)| &**name)
    }

    /// Asks again before the next message.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}

/// A topic without a leader is there: it is being elected.
fn is_refusal(code: Code) -> bool {
    !matches!(code, Code::LeaderNotAvailable | Code::ReplicaNotAvailable | Code::NoError)
}
