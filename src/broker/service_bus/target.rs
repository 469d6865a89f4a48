//! Where to publish: a queue or a topic, which are the same to whoever sends.

use std::sync::Arc;

use super::{entity, settings::Settings, settings::Transport};
use crate::{
    broker::{Field, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems, Span},
};

/// Over HTTPS what is sent to one queue or topic goes one request after the other, or it would lose its order. While one request is on
/// its way, the next grows: that makes up for the way.
const IN_FLIGHT_HTTPS: InFlight = InFlight { batches: 2, messages: 2_000, batch_messages: 1_000 };

/// Over AMQP transfers follow each other without waiting.
pub(super) const IN_FLIGHT_AMQP: InFlight = InFlight { batches: 8, messages: 4_000, batch_messages: 512 };

/// Further templates of a target, in the order of [`Target::fields`].
const FIELDS: [&str; 2] = ["session_id", "scheduled_at"];

/// What a target's options are downcast to: which field is which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    fields: [Option<usize>; FIELDS.len()],
}

/// What a destination sets by template.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set<'a> {
    pub(super) session_id: Option<&'a str>,
    pub(super) scheduled_at: Option<&'a str>,
}

impl Options {
    /// The options of a target of this kind.
    pub(super) fn of(target: &Target) -> Option<&Self> {
        target.options.downcast_ref()
    }

    /// Whether the destination says a session.
    pub(super) fn sets_session(&self) -> bool {
        self.fields[0].is_some()
    }

    /// Whether the destination says when a message can be read.
    pub(super) fn schedules(&self) -> bool {
        self.fields[1].is_some()
    }

    /// The rendered fields by name; an empty text is none.
    pub(super) fn set<'a>(&self, fields: &[Option<&'a str>]) -> Set<'a> {
        let field = |index: Option<usize>| index.and_then(|index| *fields.get(index)?).filter(|text| !text.is_empty());
        let [session_id, scheduled_at] = self.fields;
        Set { session_id: field(session_id), scheduled_at: field(scheduled_at) }
    }
}

/// A destination's own keys, or the short form's text.
pub(super) fn read(broker: &Arc<str>, settings: &Settings, node: &Node, faults: &mut Problems) -> Option<Target> {
    let (text, at) = match node.text() {
        Some(text) => (text.to_owned(), node.at().clone()),
        None => read_name(node, faults)?,
    };
    // The text between templates is the operator's, and known now.
    if !text.contains(['{', '}'])
        && let Err(why) = entity::check(&text)
    {
        faults.fault(&at, why);
        return None;
    }
    settings.covers(&text, &at, faults)?;
    let mut target = named(broker, settings, &text, &at);
    if node.is_map() {
        // Application properties, which other transports call headers: compiled where those are.
        let _ = node.child("properties");
        let mut options = Options::default();
        for (place, name) in options.fields.iter_mut().zip(FIELDS) {
            if let Some(text) = node.opt::<String>(name, faults) {
                *place = Some(target.fields.len());
                let at = node.peek(name).unwrap_or(node).at().clone();
                target.fields.push(Field { name, text: TemplateText { text, at }, rule: None });
            }
        }
        target.options = Arc::new(options);
    }
    Some(target)
}

/// A queue or topic without further fields.
pub(super) fn named(broker: &Arc<str>, settings: &Settings, name: &str, at: &Span) -> Target {
    let in_flight = match settings.transport() {
        Transport::Https => IN_FLIGHT_HTTPS,
        Transport::Amqp => IN_FLIGHT_AMQP,
    };
    Target {
        link: LinkKey { broker: Arc::clone(broker), part: "".into() },
        address: TemplateText { text: name.to_owned(), at: at.clone() },
        rule: entity::RULE,
        fields: Vec::new(),
        options: Arc::new(Options::default()),
        in_flight,
    }
}

fn read_name(node: &Node, faults: &mut Problems) -> Option<(String, Span)> {
    let queue = node.opt::<String>("queue", faults);
    let topic = node.opt::<String>("topic", faults);
    let at = |key: &str| node.peek(key).unwrap_or(node).at().clone();
    match (queue, topic) {
        (Some(queue), None) => Some((queue, at("queue"))),
        (None, Some(topic)) => Some((topic, at("topic"))),
        (Some(_), Some(_)) => {
            faults.fault(&at("topic"), "`queue` and `topic` exclude each other");
            None
        }
        (None, None) => {
            if ["queue", "topic"].iter().all(|key| node.peek(key).is_none()) {
                faults.fault(node.at(), "a destination on Service Bus needs `queue` or `topic`");
            }
            None
        }
    }
}
