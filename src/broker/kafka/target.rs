//! Where to publish: a topic, or a template of one.

use std::sync::Arc;

use super::{ledger::BATCH_MAX, letter::Style, prefix::Prefix};
use crate::{
    broker::{AddressRule, Field, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems, Span},
};

/// `Topic.MAX_NAME_LENGTH` of Apache Kafka.
const NAME_MAX: usize = 249;

/// What a topic's name may hold (`Topic.LEGAL_CHARS`): nothing that a template brings may leave it.
static TOPIC: AddressRule = AddressRule { bytes_max: NAME_MAX, forbidden: is_illegal, name: "a Kafka topic's name", encode: None };

/// A window of 256 gives a tenth of the rate of 10,000: a message waits for the linger, its batch and the replicas.
const IN_FLIGHT: InFlight = InFlight { batches: 1_000, messages: 10_000, batch_messages: 1_000 };

const _: () = assert!(IN_FLIGHT.batch_messages <= BATCH_MAX);

/// What a target's options are downcast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Options {
    /// What stands in front of a value.
    pub(super) prefix: Option<Prefix>,
    /// Index into [`Target::fields`] of `schema_id`.
    pub(super) schema_id: Option<usize>,
    /// How a dead letter says why.
    pub(super) style: Style,
}

impl Options {
    /// The options of a target of this kind.
    pub(super) fn of(target: &Target) -> Option<&Self> {
        target.options.downcast_ref()
    }
}

/// A destination's own keys, or the short form's text: a topic.
pub(super) fn read(broker: &Arc<str>, node: &Node, faults: &mut Problems) -> Option<Target> {
    if let Some(text) = node.text() {
        return named(broker, text, node.at(), faults);
    }
    let Some(topic) = node.opt::<String>("topic", faults) else {
        if node.peek("topic").is_none() {
            faults.fault(node.at(), "a destination on Kafka needs `topic`");
        }
        return None;
    };
    let target = named(broker, &topic, node.child("topic").map_or(node.at(), Node::at), faults);
    let prefix = Prefix::read(node, faults);
    let schema_id = node.opt::<String>("schema_id", faults);
    let style = Style::read(node, faults);
    let mut target = target?;
    if let Some(text) = schema_id {
        let at = node.child("schema_id").map_or(node.at(), Node::at);
        if prefix.is_none() {
            faults.fault(at, "`schema_id` stands in a `schema_prefix`").hint("write `schema_prefix: confluent` beside it");
        }
        if !is_template(&text) && text.trim().parse::<u64>().is_err() {
            faults.fault(at, format!("`schema_id` is `{text}`, where a whole number is wanted"));
        }
        target.fields.push(Field { name: "schema_id", text: TemplateText { text, at: at.clone() }, rule: None });
    }
    let schema_id = (!target.fields.is_empty()).then_some(0);
    target.options = Arc::new(Options { prefix, schema_id, style });
    Some(target)
}

fn named(broker: &Arc<str>, topic: &str, at: &Span, faults: &mut Problems) -> Option<Target> {
    if !is_template(topic)
        && let Some(why) = fault_of(topic)
    {
        faults.fault(at, format!("`{topic}` cannot name a topic: {why}"));
        return None;
    }
    Some(Target {
        link: LinkKey { broker: Arc::clone(broker), part: "".into() },
        address: TemplateText { text: topic.to_owned(), at: at.clone() },
        rule: TOPIC,
        fields: Vec::new(),
        options: Arc::new(Options::default()),
        in_flight: IN_FLIGHT,
    })
}

/// Why a name is none (`org.apache.kafka.common.internals.Topic.validate`).
pub(super) fn fault_of(topic: &str) -> Option<&'static str> {
    match topic {
        "" => Some("it is empty"),
        "." | ".." => Some("`.` and `..` are no names"),
        long if long.len() > NAME_MAX => Some("it is longer than 249 characters"),
        text if text.contains(is_illegal) => Some("letters, digits, `.`, `_` and `-` can stand in it"),
        _ => None,
    }
}

/// True where each message makes its own.
pub(super) fn is_template(text: &str) -> bool {
    text.contains(['{', '}'])
}

/// What no topic's name may hold.
pub(super) fn is_illegal(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::Value;

    fn short(text: &str) -> Option<Target> {
        let node = Node::new("to", Span::outside("test"), Value::Str(text.into()));
        read(&"log".into(), &node, &mut Problems::default())
    }

    #[test]
    fn a_topic_is_named_as_kafka_allows() {
        for legal in ["orders", "orders.v1_x-Y", "{message_name}", "a{payload.x}"] {
            assert_eq!(short(legal).unwrap().address.text, legal);
        }
        for illegal in ["", ".", "..", "a/b", "a b", "ä", "a*", &"x".repeat(250)] {
            assert!(short(illegal).is_none(), "{illegal}");
        }
        assert_eq!(short(&"x".repeat(249)).unwrap().rule.bytes_max, 249);
        assert!((TOPIC.forbidden)('/') && !(TOPIC.forbidden)('-'));
    }
}
