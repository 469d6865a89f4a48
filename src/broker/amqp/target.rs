//! Where to publish: a queue through the default exchange, or an exchange with a routing key; templates in each.

use std::sync::Arc;

use lapin::types::ShortString;

use super::Amqp;
use crate::{
    broker::{AddressRule, Field, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems, Span},
};

/// Names and routing keys are short strings (AMQP 0-9-1, section 4.2.5.3).
const SHORT_STRING_MAX: usize = 255;

/// Waiting for confirms costs nothing but memory; a thousand of them hide the broker's disk.
pub(super) const IN_FLIGHT: InFlight = InFlight { batches: 1000, messages: 1000, batch_messages: 256 };

/// Further templates of a target, in the order of [`Target::fields`].
const FIELDS: [&str; 3] = ["expiration", "priority", "content_type"];

/// What a field that is no template must be.
fn unfit(name: &str, text: &str) -> Option<&'static str> {
    match name {
        "expiration" if text.parse::<u32>().is_err() => Some("a whole number of milliseconds"),
        "priority" if text.parse::<u8>().is_err() => Some("a whole number from 0 to 255"),
        "content_type" if text.len() > SHORT_STRING_MAX => Some("at most 255 bytes"),
        _ => None,
    }
}

/// What a target's options are downcast to: which part of the rendered address is the exchange, and which field is which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) exchange: Exchange,
    /// Index into [`Target::fields`] for each of [`FIELDS`].
    fields: [Option<usize>; 3],
}

/// Where the exchange stands in an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exchange {
    /// The default one: the address is the queue's name.
    Default,
    /// Written without a template: the address is this, a `/`, and the routing key.
    Fixed(Box<str>),
    /// A template: the address is split at its first `/`, which no value may bring.
    Rendered,
}

/// The properties that a destination sets by template.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set<'a> {
    pub(super) expiration: Option<&'a str>,
    pub(super) priority: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
}

impl Options {
    /// The options of a target of this kind.
    pub(super) fn of(target: &Target) -> Option<&Self> {
        target.options.downcast_ref()
    }

    /// (exchange, routing key) of a rendered address.
    pub(super) fn split<'a>(&'a self, address: &'a str) -> (&'a str, &'a str) {
        match &self.exchange {
            Exchange::Default => ("", address),
            Exchange::Fixed(exchange) => (exchange, address.get(exchange.len() + 1..).unwrap_or_default()),
            Exchange::Rendered => address.split_once('/').unwrap_or((address, "")),
        }
    }

    /// The queue that the target names, where that does not depend on the message.
    pub(super) fn fixed_queue(&self, target: &Target) -> Option<ShortString> {
        let text = target.address.text.as_str();
        let fixed = self.exchange == Exchange::Default && !text.contains(['{', '}']);
        fixed.then(|| ShortString::try_new(text).ok()).flatten()
    }

    /// The rendered fields by name.
    pub(super) fn set<'a>(&self, fields: &[Option<&'a str>]) -> Set<'a> {
        let field = |index: Option<usize>| index.and_then(|index| *fields.get(index)?);
        let [expiration, priority, content_type] = self.fields;
        Set { expiration: field(expiration), priority: field(priority), content_type: field(content_type) }
    }
}

/// A destination's own keys, or the short form's text: `exchange/routing.key`, or a queue.
pub(super) fn read(broker: &Amqp, node: &Node, faults: &mut Problems) -> Option<Target> {
    if let Some(text) = node.text() {
        let target = match split_outside_braces(text) {
            Some((exchange, routing_key)) => exchange_target(&broker.name, exchange, routing_key, node.at()),
            None => named(&broker.name, text, node.at()),
        };
        return legal(target, node, faults);
    }
    let queue: Option<String> = node.opt("queue", faults);
    let exchange: Option<String> = node.opt("exchange", faults);
    let routing_key: Option<String> = node.opt("routing_key", faults);
    let at = |key: &'static str| node.child(key).map_or(node.at(), Node::at);
    let mut target = match (queue, exchange, routing_key) {
        (Some(queue), None, None) => named(&broker.name, &queue, at("queue")),
        (None, Some(exchange), Some(routing_key)) => exchange_target(&broker.name, &exchange, &routing_key, at("routing_key")),
        (None, Some(_), None) => {
            faults.fault(at("exchange"), "`exchange` needs `routing_key`").hint("write `routing_key: \"\"` for an empty one");
            return None;
        }
        (Some(_), ..) => {
            faults.fault(at("queue"), "a destination is a `queue`, or an `exchange` with a `routing_key`, not both");
            return None;
        }
        (None, None, _) => {
            faults.fault(node.at(), "a destination on AMQP needs `queue`, or `exchange` with `routing_key`");
            return None;
        }
    };
    let mut places = [None; 3];
    for (place, name) in places.iter_mut().zip(FIELDS) {
        if let Some(text) = node.opt::<String>(name, faults) {
            if let Some(wanted) = unfit(name, &text).filter(|_| !text.contains(['{', '}'])) {
                faults.fault(at(name), format!("`{name}` is `{text}`, where {wanted} is wanted"));
            }
            *place = Some(target.fields.len());
            target.fields.push(Field { name, text: TemplateText { text, at: at(name).clone() }, rule: None });
        }
    }
    let exchange = Options::of(&target)?.exchange.clone();
    target.options = Arc::new(Options { exchange, fields: places });
    legal(target, node, faults)
}

/// The queue itself, whatever its name holds: braces in it are no template.
pub(super) fn queue(broker: &Arc<str>, name: &str) -> Target {
    let literal = name.replace('{', "{{").replace('}', "}}");
    named(broker, &literal, &Span::outside("declare"))
}

fn named(broker: &Arc<str>, queue: &str, at: &Span) -> Target {
    let rule = AddressRule { bytes_max: SHORT_STRING_MAX, forbidden: is_forbidden, name: "an AMQP queue's name", encode: None };
    build(broker, "", queue.to_owned(), Exchange::Default, rule, at)
}

fn exchange_target(broker: &Arc<str>, exchange: &str, routing_key: &str, at: &Span) -> Target {
    let address = format!("{exchange}/{routing_key}");
    if exchange.contains(['{', '}']) {
        let rule = AddressRule {
            bytes_max: 2 * SHORT_STRING_MAX + 1,
            forbidden: is_forbidden_where_split,
            name: "an AMQP exchange and routing key",
            encode: None,
        };
        return build(broker, exchange, address, Exchange::Rendered, rule, at);
    }
    let bytes_max = exchange.len() + 1 + SHORT_STRING_MAX;
    let rule = AddressRule { bytes_max, forbidden: is_forbidden, name: "an AMQP routing key", encode: None };
    build(broker, exchange, address, Exchange::Fixed(exchange.into()), rule, at)
}

fn build(broker: &Arc<str>, part: &str, text: String, exchange: Exchange, rule: AddressRule, at: &Span) -> Target {
    Target {
        link: LinkKey { broker: Arc::clone(broker), part: part.into() },
        address: TemplateText { text, at: at.clone() },
        rule,
        fields: Vec::new(),
        options: Arc::new(Options { exchange, fields: [None; 3] }),
        in_flight: IN_FLIGHT,
    }
}

/// What can be said before anything is rendered.
fn legal(target: Target, node: &Node, faults: &mut Problems) -> Option<Target> {
    let exchange = &target.link.part;
    if exchange.len() > SHORT_STRING_MAX && !exchange.contains('{') {
        faults.fault(node.at(), "`exchange` is longer than the 255 bytes that AMQP allows");
        return None;
    }
    if target.address.text.is_empty() {
        faults.fault(node.at(), "the queue's name is empty");
        return None;
    }
    Some(target)
}

/// Wildcards would turn an address into a pattern for whoever binds with it.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '*' | '#')
}

fn is_forbidden_where_split(c: char) -> bool {
    is_forbidden(c) || c == '/'
}

/// Splits at the first `/` that stands in no template: `{payload.kind|'a/b'}/key`.
fn split_outside_braces(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted) = (0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' if depth > 0 => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            '/' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::Value;

    fn amqp() -> Amqp {
        Amqp::for_tests("mq", "amqp://localhost")
    }

    fn short(text: &str) -> Target {
        let node = Node::new("to", Span::outside("test"), Value::Str(text.into()));
        read(&amqp(), &node, &mut Problems::default()).unwrap()
    }

    fn long(pairs: &[(&str, &str)]) -> (Option<Target>, Problems) {
        let place = Span::outside("test");
        let entries = pairs.iter().map(|(key, value)| {
            let node = Node::new(format!("to.{key}"), place.clone(), Value::Str((*value).into()));
            ((*key).to_owned(), (place.clone(), node))
        });
        let node = Node::new("to", place.clone(), Value::Map(entries.collect()));
        let mut faults = Problems::default();
        (read(&amqp(), &node, &mut faults), faults)
    }

    #[test]
    fn the_short_form_is_a_queue_or_an_exchange_with_a_key() {
        for (text, part, exchange, key) in [
            ("orders.events", "", "", "orders.events"),
            ("orders/order.new", "orders", "orders", "order.new"),
            ("orders/a/b", "orders", "orders", "a/b"),
            ("orders/", "orders", "orders", ""),
        ] {
            let target = short(text);
            assert_eq!(&*target.link.part, part, "{text}");
            assert_eq!(Options::of(&target).unwrap().split(text), (exchange, key), "{text}");
        }
    }

    #[test]
    fn a_slash_inside_a_template_does_not_split() {
        let target = short("{payload.kind|'a/b'}/key");
        assert_eq!(&*target.link.part, "{payload.kind|'a/b'}");
        assert_eq!(Options::of(&target).unwrap().split("x/key"), ("x", "key"));
        assert!((target.rule.forbidden)('/'), "a value with a slash would choose the exchange");
        assert!(!(short("orders/{message_name}").rule.forbidden)('/'));
    }

    #[test]
    fn the_limits_are_those_of_short_strings() {
        assert_eq!(short("orders.events").rule.bytes_max, 255);
        assert_eq!(short("ex/key").rule.bytes_max, "ex/".len() + 255);
        for c in ['*', '#', '\0', '\n', '\u{7f}'] {
            assert!((short("q").rule.forbidden)(c), "{c:?}");
        }
    }

    #[test]
    fn the_long_form_needs_one_kind_of_address() {
        for wrong in [&[("exchange", "e")][..], &[("queue", "q"), ("exchange", "e")], &[], &[("queue", "")]] {
            let (target, faults) = long(wrong);
            assert!(target.is_none() && !faults.is_ok(), "{wrong:?}");
        }
        let (target, _) = long(&[("exchange", "e"), ("routing_key", ""), ("priority", "{payload.p}")]);
        let target = target.unwrap();
        assert_eq!(target.address.text, "e/");
        assert_eq!(Options::of(&target).unwrap().set(&[Some("7")]).priority, Some("7"));
        assert_eq!(Options::of(&target).unwrap().set(&[Some("7")]).expiration, None);
    }
}
