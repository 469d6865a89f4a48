//! Where what cannot be delivered goes: one lane for each place that a pipeline's `dead_letter`s name.

use std::{collections::HashSet, sync::Arc};

use super::{
    brokers::{Brokers, Place},
    fingerprint,
    placed::Placed,
    policy::DeadLetter,
    rules,
};
use crate::{
    broker::{Broker, Described, Origin, Remark, Target},
    route::{DeadLetterTo, DeliveryRules, LaneId},
    written::{Node, Problems, Span, Value},
};

/// One lane of dead letters.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    /// The metric labels.
    pub(super) route: Arc<str>,
    pub(super) destination: Arc<str>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) target: Option<Target>,
    pub(super) rules: DeliveryRules,
    /// `broker/address`.
    pub(super) written: Arc<str>,
    /// Equal for equal places.
    key: String,
}

/// The dead letters of one pipeline. Their lanes follow those of its destinations.
#[derive(Debug)]
pub(super) struct DeadLetters<'a> {
    source: &'a str,
    origin: &'a dyn Origin,
    brokers: &'a Brokers,
    first: u32,
    pub(super) lanes: Vec<Lane>,
}

/// Metric labels in use, over all pipelines: (route, destination).
pub(super) type Labels = HashSet<(Arc<str>, Arc<str>)>;

impl<'a> DeadLetters<'a> {
    /// None yet; the first lane will be number `first`.
    pub(super) fn new(source: &'a str, origin: &'a dyn Origin, brokers: &'a Brokers, first: u32) -> Self {
        Self { source, origin, brokers, first, lanes: Vec::new() }
    }

    /// What a source without a word about dead letters does: one that can hold a message must say.
    pub(super) fn unsaid(&self, at: &Span, faults: &mut Problems) -> DeadLetterTo {
        if self.origin.answers() || self.origin.keeps_rejected() {
            return DeadLetterTo::Native;
        }
        if self.origin.holds() {
            let native = if self.origin.rejects_natively() { ", `native` for the broker's own" } else { "" };
            faults
                .fault(at, format!("the source `{}` must say where messages go that cannot be delivered", self.source))
                .hint(format!("`dead_letter: {}.dead`{native}, or `drop` to lose them by choice", self.origin.address()));
        }
        DeadLetterTo::Drop
    }

    /// The end of messages of the source, or of the route `route`, that `written` asks for.
    pub(super) fn to(
        &mut self,
        written: &Placed<DeadLetter<'_>>,
        route: &str,
        labels: &mut Labels,
        faults: &mut Problems,
    ) -> DeadLetterTo {
        match written.value {
            DeadLetter::Drop => {
                if self.origin.holds() {
                    faults
                        .warn(&written.at, "messages that cannot be delivered are lost by choice (`dead_letter: drop`)")
                        .hint(format!("`dead_letter: {}.dead` keeps them", self.origin.address()));
                }
                DeadLetterTo::Drop
            }
            DeadLetter::Native => {
                if !self.origin.rejects_natively() {
                    faults
                        .fault(&written.at, format!("`{}` has no dead letters of its own", self.origin.display()))
                        .hint("name a place: `dead_letter: broker/address`");
                }
                DeadLetterTo::Native
            }
            DeadLetter::To(node) => self.lane(node, route, labels, faults),
        }
    }

    /// What the kind of the place has to say of it.
    pub(super) fn remarks(&self, end: &DeadLetterTo) -> Vec<Remark> {
        let DeadLetterTo::Lane(id) = end else { return Vec::new() };
        let lane = self.lanes.iter().find(|lane| lane.id == *id);
        let remarks = lane.and_then(|lane| Some(lane.broker.remarks(&Described::DeadLetter(lane.target.as_ref()?))));
        remarks.unwrap_or_default()
    }

    fn lane(&mut self, node: &Node, route: &str, labels: &mut Labels, faults: &mut Problems) -> DeadLetterTo {
        let key = fingerprint::canonical(node);
        if let Some(lane) = self.lanes.iter().find(|lane| lane.key == key) {
            return DeadLetterTo::Lane(lane.id);
        }
        let Some((place, rules)) = read(node, self.brokers, faults) else { return DeadLetterTo::Drop };
        let target = place.broker.target(&place.written, faults);
        if node.is_map() {
            node.asked_like(&place.written);
            node.finish(faults);
        }
        if let Some(target) = &target
            && self.origin.reads(target)
        {
            faults
                .fault(node.at(), format!("the source `{}` would read its own dead letters", self.source))
                .hint("name a place that no source here reads");
        }
        // Without headers it is a channel; a stream may be written beside it.
        let keeps =
            |target: &Target| place.broker.carries_headers(target) || target.fields.iter().any(|field| field.rule.is_some());
        if target.as_ref().is_some_and(|target| !keeps(target)) {
            faults
                .warn(node.at(), "a channel keeps nothing: dead letters that nobody hears there are lost")
                .hint("a queue or a stream keeps them: `dead_letter: { broker: …, stream: … }`");
        }
        let id = LaneId(self.first + self.lanes.len() as u32);
        let address = target.as_ref().map_or("", |target| &target.address.text);
        self.lanes.push(Lane {
            id,
            route: route.into(),
            destination: label(route, labels),
            written: format!("{}/{address}", place.name).into(),
            broker: place.broker,
            target,
            rules,
            key,
        });
        DeadLetterTo::Lane(id)
    }
}

/// A place and the few rules that a lane without an end has.
fn read(node: &Node, brokers: &Brokers, faults: &mut Problems) -> Option<(Place, DeliveryRules)> {
    match node.value() {
        Value::Str(text) => {
            let place = brokers.short(node, text, faults)?;
            let unwritten = Node::new(node.path(), node.at().clone(), Value::Null);
            Some((place, rules::dead_letter(&unwritten, faults)))
        }
        Value::Map(_) => {
            let broker = brokers.long(node, faults);
            let rules = rules::dead_letter(node, faults);
            let (name, broker) = broker?;
            Some((Place { name, broker, written: node.clone() }, rules))
        }
        _ => node.expected("`broker/address`, a map, `native` or `drop`", None, faults),
    }
}

/// `dead_letter`, told apart where a route has that label already.
fn label(route: &str, labels: &mut Labels) -> Arc<str> {
    let mut label: Arc<str> = "dead_letter".into();
    let mut next = 2;
    while !labels.insert((route.into(), label.clone())) {
        label = format!("dead_letter_{next}").into();
        next += 1;
    }
    label
}
