//! Routes, destinations and places of dead letters, compiled: what the router renders, and the lanes that deliver.

use std::sync::Arc;

use super::{
    LanePlan, dead_letter,
    destination::Destination,
    format, hold, matching,
    outline::{self, DeadLetterOutline, DestinationOutline, RouteOutline, RulesOutline},
    route::Route,
    source::Source,
    top::Top,
};
use crate::{
    broker::{Described, Field, Remark, Target},
    envelope::Format,
    route::{self, DeadLetterLane, DeadLetterTo, LaneId, Pattern, Template},
    written::{AddressRule, Node, Problems},
};

/// The routes of one source, compiled one after the other; their lanes are numbered through.
pub(super) struct Compilation<'a> {
    top: &'a Top,
    source: &'a Source<'a>,
    pub(super) routes: Vec<route::Route>,
    pub(super) lanes: Vec<LanePlan>,
    pub(super) outlines: Vec<RouteOutline>,
    /// A part had faults: what is here is not the whole.
    pub(super) broken: bool,
}

impl<'a> Compilation<'a> {
    /// Nothing yet.
    pub(super) fn new(top: &'a Top, source: &'a Source<'a>) -> Self {
        Self { top, source, routes: Vec::new(), lanes: Vec::new(), outlines: Vec::new(), broken: false }
    }

    /// Compiles one route, whose dead letters go to `end`.
    pub(super) fn add(
        &mut self,
        route: &Route<'_>,
        end: &DeadLetterTo,
        told: (DeadLetterOutline, Vec<Remark>),
        faults: &mut Problems,
    ) {
        let (dead_letter, dead_letter_remarks) = told;
        let mut compiled = route::Route {
            name: route.name.clone(),
            matcher: matching::matcher(route.node, faults),
            by_kind: route.by_kind,
            when: matching::jq(route.node, "when", faults),
            transform: matching::jq(route.node, "transform", faults),
            key: matching::template(route.node, "key", faults),
            destinations: Vec::new(),
        };
        let written = |key| route.node.peek(key).and_then(Node::text).map(str::to_owned);
        let mut outline = RouteOutline {
            name: route.name.to_string(),
            takes: matching::clauses(route.node),
            by_kind: route.by_kind,
            when: written("when"),
            transform: written("transform"),
            ordering: outline::ordering(route.ordering),
            exactly_once: route.exactly_once,
            key: written("key"),
            dead_letter,
            dead_letter_remarks,
            destinations: Vec::new(),
        };
        for read in &route.destinations {
            hold::check(self.source, read, faults);
            let id = LaneId(self.lanes.len() as u32);
            match destination(read, route, id, end.clone(), &self.top.name, faults) {
                Some((destination, lane, described)) => {
                    compiled.destinations.push(destination);
                    self.lanes.push(lane);
                    outline.destinations.push(described);
                }
                None => self.broken = true,
            }
        }
        hold::only_optional(route, faults);
        self.broken |= route.destinations.is_empty();
        self.routes.push(compiled);
        self.outlines.push(outline);
    }
}

/// Compiles `destination` as lane `id`; `None` after a fault.
fn destination(
    destination: &Destination<'_>,
    of: &Route<'_>,
    id: LaneId,
    dead_letter: DeadLetterTo,
    name: &str,
    faults: &mut Problems,
) -> Option<(route::Destination, LanePlan, DestinationOutline)> {
    let settings = &destination.settings;
    let mut matcher = matching::matcher(settings, faults);
    let mut takes = matching::clauses(settings);
    if destination.emitted {
        let (emitted, clause) = matching::emitted(matcher, &destination.at, faults);
        matcher = Some(emitted);
        takes.retain(|clause| !clause.starts_with("message_type "));
        takes.insert(0, clause);
    }
    let when = matching::jq(settings, "when", faults);
    let key = matching::template(settings, "key", faults);
    let headers = matching::header_templates(settings, destination.broker.kind(), faults);
    let (format, envelope) = format::read(settings, destination.broker.as_ref(), destination.target.as_ref(), name, faults);
    let allow = settings.child("allow").and_then(|node| {
        let text = node.text().or_else(|| node.expected("a glob", None, faults))?;
        Pattern::compile([(text, node.at())], faults)
    });
    destination.tell_asked();
    let target = destination.target.clone()?;
    let address = Template::compile(&target.address, faults);
    let fields = fields(&target.fields, faults);
    let (address, fields) = (address?, fields?);
    check_allow(allow.as_ref(), &address, destination, &target, faults);
    let rules = route::DeliveryRules { templated: !address.is_constant(), ..destination.rules.clone() };
    let written: Arc<str> = format!("{}/{}", destination.broker_name, target.address.text).into();
    let outline = DestinationOutline {
        name: destination.name.to_string(),
        broker: destination.broker_name.to_string(),
        kind: destination.broker.kind().name,
        address: written.to_string(),
        hears: destination.broker.hears(&target).is_ok(),
        takes,
        when: settings.peek("when").and_then(Node::text).map(str::to_owned),
        envelope,
        remarks: destination.broker.remarks(&Described::Target(&target)),
        rules: RulesOutline(rules.clone()),
    };
    let lane = LanePlan {
        id,
        route: of.name.clone(),
        destination: destination.name.clone(),
        written,
        broker: destination.broker.clone(),
        rules,
        format,
        dead_letter,
        is_dead_letter: false,
        lazy: false,
        target,
    };
    let destination = route::Destination {
        lane: id,
        name: destination.name.clone(),
        address,
        rule: lane.target.rule,
        allow,
        fields,
        headers,
        key,
        matcher,
        when,
        dead_letter: lane.dead_letter.clone(),
    };
    Some((destination, lane, outline))
}

/// An address without a value is known now; where its own `allow` refuses it, every message would be.
fn check_allow(allow: Option<&Pattern>, address: &Template, of: &Destination<'_>, target: &Target, faults: &mut Problems) {
    let text = &target.address.text;
    let is_known = address.is_fixed() && !text.contains(['{', '}']);
    if is_known && allow.is_some_and(|allow| !allow.is_match(text)) {
        let at = of.settings.peek("allow").map_or(&of.at, Node::at);
        faults.fault(at, format!("`{text}` does not match its own `allow`: nothing would be delivered"));
    }
}

/// The further templates of a target, in its order.
fn fields(fields: &[Field], faults: &mut Problems) -> Option<Vec<(Template, Option<AddressRule>)>> {
    // Every one is compiled, so that every fault is found.
    let compiled: Vec<_> = fields.iter().map(|field| Some((Template::compile(&field.text, faults)?, field.rule))).collect();
    compiled.into_iter().collect()
}

/// What a place of dead letters becomes; `name` is the bridge's.
pub(super) fn dead_letter(lane: &dead_letter::Lane, name: &str, faults: &mut Problems) -> Option<(DeadLetterLane, LanePlan)> {
    let target = lane.target.clone()?;
    let address = Template::compile(&target.address, faults);
    let fields = fields(&target.fields, faults)?;
    let address = address?;
    let varies = |(template, rule): &(Template, Option<AddressRule>)| rule.is_some() && !template.is_constant();
    if !address.is_constant() || fields.iter().any(varies) {
        faults
            .fault(&target.address.at, "a dead letter's address must exist for any message, also one that cannot be read")
            .hint("only `{prefix}`, `{name}`, `{instance}`, `{source}` and `{broker}` may stand in it");
        return None;
    }
    // A dead letter goes as it came, with its death in headers; where there are none, in the metadata of an envelope around it.
    let headers = lane.broker.carries_headers(&target);
    let format = if headers { Format::Payload } else { Format::Extended { source: format!("urn:rialto:{name}").into() } };
    let router = DeadLetterLane { lane: lane.id, address, rule: target.rule, fields };
    let plan = LanePlan {
        id: lane.id,
        route: lane.route.clone(),
        destination: lane.destination.clone(),
        written: lane.written.clone(),
        broker: lane.broker.clone(),
        target,
        rules: lane.rules.clone(),
        format,
        dead_letter: DeadLetterTo::Drop,
        is_dead_letter: true,
        lazy: true,
    };
    Some((router, plan))
}
