//! What a source may say of Service Bus: a `queue`, or a `topic` with a `subscription`; with `sessions`.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;

use super::{
    ServiceBus,
    amqp::{self, Place},
    entity,
    settings::Settings,
    target,
};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    written::{Node, Problems, Size, Span},
};

/// As docs/configuration.md has it, where the source does not say.
pub(super) const MESSAGE_MAX: Size = Size(1 << 20);

/// Sessions read at a time, where the source does not say: as many as Microsoft's own processors take.
const SESSIONS_MAX: u64 = 8;

/// Each costs an AMQP session of the connection, of which it has 256.
const SESSIONS_LIMIT: u64 = 100;

/// How the dead letters of a queue or subscription are addressed, below it.
const DEAD_LETTERS: &str = "/$DeadLetterQueue";

/// What a source reads.
#[derive(Debug, Clone)]
pub(super) struct BusOrigin {
    broker: Arc<ServiceBus>,
    pub(super) place: Place,
    /// `broker/queue`, `broker/topic/subscriptions/name`.
    address: Arc<str>,
    /// How many sessions at a time; `None` for an entity without sessions.
    pub(super) sessions: Option<usize>,
    message_max: u64,
}

impl BusOrigin {
    /// A source's own keys, or the short form's text.
    pub(super) fn read(broker: &Arc<ServiceBus>, node: &Node, faults: &mut Problems) -> Option<Self> {
        let settings = &broker.settings;
        if let Some(text) = node.text() {
            let place = match split(text) {
                Some((topic, subscription)) => of_subscription(settings, topic, subscription, node.at(), faults)?,
                None => of_queue(settings, text, node.at(), faults)?,
            };
            return Some(Self::new(broker, place, None, MESSAGE_MAX));
        }
        let queue: Option<String> = node.opt("queue", faults);
        let topic: Option<String> = node.opt("topic", faults);
        let subscription: Option<String> = node.opt("subscription", faults);
        let with_sessions = node.get("sessions", false, faults);
        let at_once = read_at_once(node, with_sessions, faults);
        let message_max = node.get("message_max", MESSAGE_MAX, faults);
        let at = |key: &str| node.peek(key).unwrap_or(node).at();
        let place = match (queue, topic, subscription) {
            (Some(queue), None, None) => of_queue(settings, &queue, at("queue"), faults)?,
            (None, Some(topic), Some(subscription)) => {
                of_subscription(settings, &topic, &subscription, at("subscription"), faults)?
            }
            (None, Some(_), None) => {
                faults.fault(at("topic"), "a topic is read through one of its subscriptions").hint("write `subscription: NAME`");
                return None;
            }
            (Some(_), ..) => {
                faults.fault(at("queue"), "a source is a `queue`, or a `topic` with a `subscription`, not both");
                return None;
            }
            (None, None, _) => {
                if ["queue", "topic"].iter().all(|key| node.peek(key).is_none()) {
                    faults.fault(node.at(), "a source on Service Bus needs `queue`, or `topic` with `subscription`");
                }
                return None;
            }
        };
        Some(Self::new(broker, place, with_sessions.then_some(at_once), message_max))
    }

    fn new(broker: &Arc<ServiceBus>, place: Place, sessions: Option<usize>, message_max: Size) -> Self {
        let address = match &place.topic {
            Some((topic, subscription)) => format!("{}/{topic}/subscriptions/{subscription}", broker.name),
            None => format!("{}/{}", broker.name, place.path),
        };
        Self { broker: Arc::clone(broker), place, address: address.into(), sessions, message_max: message_max.0 }
    }

    /// Whether it reads the dead letters of a queue or subscription.
    pub(super) fn is_dead_letters(&self) -> bool {
        ends_in_dead_letters(&self.place.path).is_some()
    }
}

fn read_at_once(node: &Node, with_sessions: bool, faults: &mut Problems) -> usize {
    let written: Option<u64> = node.opt("sessions_max", faults);
    let at = node.peek("sessions_max").unwrap_or(node).at();
    if written.is_some() && !with_sessions {
        faults.fault(at, "`sessions_max` needs `sessions: true`");
    }
    let at_once = written.unwrap_or(SESSIONS_MAX);
    if !(1..=SESSIONS_LIMIT).contains(&at_once) {
        faults.fault(at, format!("`sessions_max` must be from 1 to {SESSIONS_LIMIT}"));
    }
    usize::try_from(at_once.clamp(1, SESSIONS_LIMIT)).unwrap_or(1)
}

/// `TOPIC/subscriptions/NAME`; the word in either case, as Azure takes it.
fn split(text: &str) -> Option<(&str, &str)> {
    const BETWEEN: &str = "/subscriptions/";
    let at = text.to_ascii_lowercase().find(BETWEEN)?;
    Some((&text[..at], &text[at + BETWEEN.len()..]))
}

fn ends_in_dead_letters(path: &str) -> Option<&str> {
    let at = path.len().checked_sub(DEAD_LETTERS.len())?;
    let (front, end) = (path.get(..at)?, path.get(at..)?);
    end.eq_ignore_ascii_case(DEAD_LETTERS).then_some(front)
}

fn of_queue(settings: &Settings, queue: &str, at: &Span, faults: &mut Problems) -> Option<Place> {
    let name = ends_in_dead_letters(queue).unwrap_or(queue);
    legal(name, at, faults)?;
    settings.covers(name, at, faults)?;
    Some(Place { path: queue.into(), queue: Some(queue.into()), topic: None })
}

fn of_subscription(settings: &Settings, topic: &str, subscription: &str, at: &Span, faults: &mut Problems) -> Option<Place> {
    legal(topic, at, faults)?;
    settings.covers(topic, at, faults)?;
    legal(ends_in_dead_letters(subscription).unwrap_or(subscription), at, faults)?;
    let path = format!("{topic}/Subscriptions/{subscription}");
    Some(Place { path: path.into(), queue: None, topic: Some((topic.into(), subscription.into())) })
}

fn legal(name: &str, at: &Span, faults: &mut Problems) -> Option<()> {
    entity::check(name).map_err(|why| faults.fault(at, why)).ok()
}

#[async_trait]
impl Origin for BusOrigin {
    fn display(&self) -> String {
        self.address.to_string()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        true
    }

    /// A dead letter has no dead letters of its own.
    fn rejects_natively(&self) -> bool {
        !self.is_dead_letters()
    }

    fn keeps_rejected(&self) -> bool {
        !self.is_dead_letters()
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        let reading = amqp::Reading { place: self.place.clone(), sessions: self.sessions, message_max: self.message_max };
        amqp::open(&self.broker.name, &self.broker.settings, reading, house).await
    }

    fn inlet(&self) -> Option<Target> {
        if self.is_dead_letters() {
            return None;
        }
        let (queue, topic) = (self.place.queue.as_ref(), self.place.topic.as_ref().map(|(topic, _)| topic));
        let name = queue.or(topic)?;
        Some(target::named(&self.broker.name, &self.broker.settings, name, &Span::outside("inlet")))
    }

    /// Names mean the same in either case.
    fn reads(&self, target: &Target) -> bool {
        self.inlet().is_some_and(|inlet| {
            inlet.link.broker == target.link.broker && inlet.address.text.eq_ignore_ascii_case(&target.address.text)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
