//! One destination or place of dead letters, compiled: what the router renders, and the lane that delivers.

use std::sync::Arc;

use super::{
    LanePlan, dead_letter,
    destination::Destination,
    format, matching,
    outline::{DestinationOutline, RulesOutline},
    route::Route,
};
use crate::{
    broker::Field,
    envelope::Format,
    route::{self, DeadLetterLane, DeadLetterTo, LaneId, Template},
    written::{AddressRule, Node, Problems},
};

/// What one destination becomes.
pub(super) struct Compiled {
    pub(super) destination: route::Destination,
    pub(super) lane: LanePlan,
    pub(super) outline: DestinationOutline,
}

/// Compiles `destination` as lane `id`; `None` after a fault.
pub(super) fn destination(
    destination: &Destination<'_>,
    of: &Route<'_>,
    id: LaneId,
    dead_letter: DeadLetterTo,
    name: &str,
    faults: &mut Problems,
) -> Option<Compiled> {
    let settings = &destination.settings;
    let kind = destination.broker.kind().name;
    let mut matcher = matching::matcher(settings, faults);
    if of.by_default {
        matcher = Some(matching::emitted(matcher, &destination.at, faults));
    }
    let when = matching::jq(settings, "when", faults);
    let key = matching::template(settings, "key", faults);
    let headers = matching::header_templates(settings, faults);
    let (format, envelope) = format::read(settings, kind, name, faults);
    let allow = settings.child("allow").and_then(|node| {
        let text = node.text().or_else(|| node.expected("a glob", None, faults))?;
        route::Pattern::compile([(text, node.at())], faults)
    });
    let mut takes = matching::clauses(settings);
    if of.by_default && settings.peek("match").is_none_or(|own| own.peek("message_type").is_none()) {
        takes.insert(0, format!("message_type is {}", matching::EMITTED.join(" or ")));
    }
    destination.tell_asked();
    let target = destination.target.clone()?;
    let address = Template::compile(&target.address, faults);
    let fields = fields(&target.fields, faults);
    let (address, fields) = (address?, fields?);
    if let Some(allow) = &allow
        && address.is_fixed()
        && !target.address.text.contains('{')
        && !allow.is_match(&target.address.text)
    {
        let at = settings.peek("allow").map_or(&destination.at, Node::at);
        faults.fault(at, format!("`{}` does not match its own `allow`: nothing would be delivered", target.address.text));
    }
    let rules = route::DeliveryRules { templated: !address.is_constant(), ..destination.rules.clone() };
    let written: Arc<str> = format!("{}/{}", destination.broker_name, target.address.text).into();
    let outline = DestinationOutline {
        name: destination.name.to_string(),
        broker: destination.broker_name.to_string(),
        kind,
        address: written.to_string(),
        hears: destination.broker.hears(&target).is_ok(),
        takes,
        when: settings.peek("when").and_then(|node| node.text()).map(str::to_owned),
        envelope,
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
    Some(Compiled { destination, lane, outline })
}

/// The further templates of a target, in its order.
fn fields(fields: &[Field], faults: &mut Problems) -> Option<Vec<(Template, Option<AddressRule>)>> {
    // Every one is compiled, so that every fault is found.
    let compiled: Vec<_> = fields.iter().map(|field| Some((Template::compile(&field.text, faults)?, field.rule))).collect();
    compiled.into_iter().collect()
}

/// What a place of dead letters becomes.
pub(super) fn dead_letter(lane: &dead_letter::Lane, faults: &mut Problems) -> Option<(DeadLetterLane, LanePlan)> {
    let target = lane.target.clone()?;
    let address = Template::compile(&target.address, faults);
    let fields = fields(&target.fields, faults)?;
    let address = address?;
    if !address.is_constant() {
        faults
            .fault(&target.address.at, "a dead letter's address must exist for any message, also one that cannot be read")
            .hint("only `{prefix}`, `{name}`, `{instance}`, `{source}` and `{broker}` may stand in it");
        return None;
    }
    let router = DeadLetterLane { lane: lane.id, address, rule: target.rule, fields };
    let plan = LanePlan {
        id: lane.id,
        route: lane.route.clone(),
        destination: lane.destination.clone(),
        written: lane.written.clone(),
        broker: lane.broker.clone(),
        target,
        rules: lane.rules.clone(),
        format: Format::Payload,
        dead_letter: DeadLetterTo::Drop,
        is_dead_letter: true,
        lazy: true,
    };
    Some((router, plan))
}
