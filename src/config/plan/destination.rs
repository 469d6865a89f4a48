//! One destination of a route: the keys that every kind has, and the kind's own.

use std::sync::Arc;

use super::{brokers::Brokers, fingerprint, rules};
use crate::{
    broker::{Broker, Target},
    route::{DeliveryRules, NoReceivers, Ordering},
    written::{Node, Problems, Span, Value},
};

/// A destination as read; its templates, filters and format are compiled later, from `settings`.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    pub(super) name: Arc<str>,
    pub(super) at: Span,
    pub(super) broker_name: Arc<str>,
    pub(super) broker: Arc<dyn Broker>,
    /// `None` where the kind's own keys had faults.
    pub(super) target: Option<Target>,
    pub(super) rules: DeliveryRules,
    /// It stands in `default_to`: of a route without a `to` it takes the types that are emitted to brokers.
    pub(super) emitted: bool,
    /// Its keys over those of `defaults`.
    pub(super) settings: Node,
    own: &'a Node,
    defaults: Option<&'a Node>,
    /// For the fingerprint of its pipeline.
    pub(super) written: String,
}

/// Reads one destination. `defaults` lies under the long form whole, and under the short form with the keys that every kind has.
pub(super) fn read<'a>(
    node: &'a Node,
    defaults: Option<&'a Node>,
    ordering: Ordering,
    brokers: &Brokers,
    faults: &mut Problems,
) -> Option<Destination<'a>> {
    let settings = over(node, defaults);
    let (broker_name, broker, place) = match node.value() {
        Value::Str(text) => {
            let place = brokers.short(node, text, faults);
            let place = place.map(|place| (place.name, place.broker, Some(place.written)));
            common(&settings);
            place?
        }
        Value::Map(entries) if !entries.is_empty() && node.looks_like_template() => {
            faults
                .fault(node.at(), "YAML reads this destination as a map, not as text")
                .hint("quote it: `\"live/app:{message_id}\"`");
            return None;
        }
        Value::Map(_) => {
            let broker = brokers.long(&settings, faults);
            common(&settings);
            let (name, broker) = broker?;
            (name, broker, None)
        }
        _ => {
            faults.fault(node.at(), "a destination is `broker/address`, or a map with `broker`");
            return None;
        }
    };
    let mut rules = rules::read(&settings, ordering, faults);
    let target = broker.target(place.as_ref().unwrap_or(&settings), faults);
    if rules.ordering == Ordering::Key && !broker.kind().promises.ordered {
        // What is answered in any order could be overtaken on the wire, and not only by a retry.
        rules.ordering = Ordering::Strict;
    }
    if let Some(target) = &target {
        let is_own = node.peek("on_no_receivers").is_some();
        check_receivers(&settings, is_own, broker.as_ref(), target, &mut rules, faults);
    }
    if settings.asked().is_none_or(|asked| !asked.iter().any(|key| key == "priority")) {
        // Where it is no property of the kind's own messages (AMQP), it is the rank of a handler.
        settings.later("priority", "the journal", faults);
    }
    let name = settings.opt::<String>("name", faults).map_or_else(|| broker_name.clone(), Arc::from);
    let written = format!("{}{}", fingerprint::canonical(node), fingerprint::canonical(&settings));
    let at = node.at().clone();
    let destination =
        Destination { name, at, broker_name, broker, target, rules, emitted: false, settings, own: node, defaults, written };
    destination.tell_asked();
    if node.is_map() {
        node.finish(faults);
    }
    Some(destination)
}

impl Destination<'_> {
    /// What was asked of the merged keys counts as asked of both that they came from.
    pub(super) fn tell_asked(&self) {
        self.own.asked_like(&self.settings);
        if let Some(defaults) = self.defaults {
            defaults.asked_like(&self.settings);
        }
    }
}

/// Keys that are compiled later, or not at all yet: asked for here, so that `finish` knows them.
fn common(settings: &Node) {
    for key in ["name", "match", "when", "envelope", "allow", "key", "headers"] {
        let _ = settings.child(key);
    }
}

/// A destination's own keys over `defaults`; each keeps its place.
fn over(own: &Node, defaults: Option<&Node>) -> Node {
    let mut entries = match own.value() {
        Value::Map(entries) => entries.clone(),
        _ => indexmap::IndexMap::new(),
    };
    if let Some(Value::Map(defaults)) = defaults.map(Node::value) {
        for (key, value) in defaults {
            if !entries.contains_key(key) {
                entries.insert(key.clone(), value.clone());
            }
        }
    }
    Node::new(own.path(), own.at().clone(), Value::Map(entries))
}

/// A rule about receivers makes sense only where a publish answers how many there were. One of `defaults` is not meant for what keeps
/// its messages (a queue, a stream), but for every channel.
fn check_receivers(
    settings: &Node,
    is_own: bool,
    broker: &dyn Broker,
    target: &Target,
    rules: &mut DeliveryRules,
    faults: &mut Problems,
) {
    if rules.on_no_receivers == NoReceivers::Ok {
        return;
    }
    if let Err(why) = broker.hears(target) {
        if !is_own && broker.carries_headers(target) {
            rules.on_no_receivers = NoReceivers::Ok;
            return;
        }
        let at = settings.child("on_no_receivers").unwrap_or(settings).at();
        faults.fault(at, format!("`on_no_receivers` cannot be kept here: {why}")).hint("`on_no_receivers: ok`");
    }
}

/// The words of `ordering`, which is the route's.
pub(super) fn ordering(route: &Node, faults: &mut Problems) -> Ordering {
    let words = [("key", Ordering::Key), ("strict", Ordering::Strict), ("none", Ordering::None)];
    route.choice("ordering", &words, faults).unwrap_or_default()
}
