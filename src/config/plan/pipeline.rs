//! One pipeline for each source that a route reads: its router, its lanes, and the rules that concern both ends.

use std::sync::Arc;

use super::{
    LanePlan, PipelinePlan,
    brokers::Brokers,
    compile::{self, Compilation},
    dead_letter::{DeadLetters, Labels},
    fingerprint, matching, once,
    outline::{DeadLetterOutline, SourceOutline},
    policy::{self, Policy},
    route::Route,
    source::{Source, Sources},
    top::Top,
};
use crate::{
    broker::{Described, Origin},
    envelope::DecodeRules,
    route::{DeadLetterTo, EventRules, Router, SourceContext, Unrouted},
    written::Problems,
};

/// What every pipeline is built with.
#[derive(Debug, Clone, Copy)]
pub(super) struct House<'a> {
    pub(super) top: &'a Top,
    pub(super) brokers: &'a Brokers,
}

/// Builds them all, in the order of the sources.
pub(super) fn all(
    house: House<'_>,
    sources: &Sources<'_>,
    routes: &[Route<'_>],
    faults: &mut Problems,
) -> (Vec<PipelinePlan>, Vec<SourceOutline>) {
    let mut labels = Labels::new();
    let mut pipelines = Vec::new();
    let mut outlines = Vec::new();
    for source in sources.known.values().flatten() {
        let routes: Vec<_> = routes.iter().filter(|route| route.source == source.name).collect();
        if let Some((pipeline, outline)) = one(house, source, &routes, &mut labels, faults) {
            pipelines.push(pipeline);
            outlines.push(outline);
        }
    }
    (pipelines, outlines)
}

fn one(
    house: House<'_>,
    source: &Source<'_>,
    routes: &[&Route<'_>],
    labels: &mut Labels,
    faults: &mut Problems,
) -> Option<(PipelinePlan, SourceOutline)> {
    let policy = Policy::agreed(&source.name, &source.policy, routes.iter().map(|route| &route.policy), faults);
    let event = policy.event.as_ref().map(|event| matching::event(event.value, faults));
    let origin = source.origin.as_deref()?;
    let first = routes.first()?;
    needs_name(house.top, source, origin, faults);

    let destinations: usize = routes.iter().map(|route| route.destinations.len()).sum();
    let mut dead = DeadLetters::new(&source.name, origin, house.brokers, destinations as u32);
    let dead_letter = match &policy.dead_letter {
        Some(written) => dead.to(written, &source.name, labels, faults),
        None => dead.unsaid(if source.inline { &first.at } else { &source.at }, faults),
    };
    let mut compiled = Compilation::new(house.top, source);
    for route in routes {
        let end = match (&route.policy.dead_letter, &policy.dead_letter) {
            (Some(own), Some(shared)) if own.value != shared.value => dead.to(own, &route.name, labels, faults),
            _ => dead_letter.clone(),
        };
        let told = (outline_of(&end, origin, &dead), dead.remarks(&end));
        compiled.add(route, &end, told, faults);
    }
    let graves: Vec<_> = dead.lanes.iter().map(|lane| compile::dead_letter(lane, &house.top.name, faults)).collect();
    let unrouted = unrouted(&policy, &dead_letter, origin, faults);
    let decoding = policy.decode.as_ref().map_or(policy::AUTO, |decode| decode.value);

    let mut outline = SourceOutline {
        name: source.name.to_string(),
        broker: source.broker.to_string(),
        kind: house.brokers.kind(&source.broker),
        reads: origin.display(),
        address: origin.address().to_owned(),
        holds: origin.holds(),
        answers: origin.answers(),
        keeps_rejected: origin.keeps_rejected(),
        window: source.window,
        window_bytes: source.window_bytes,
        message_max: source.message_max,
        decode: decoding.as_str(),
        unrouted: policy::unrouted_as_str(unrouted),
        dead_letter: outline_of(&dead_letter, origin, &dead),
        remarks: Vec::new(),
        routes: compiled.outlines,
    };
    let (graves, dead_lanes): (Vec<_>, Vec<_>) = graves.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    if compiled.broken {
        return None;
    }
    let context = context(house.top, source, decoding, event, unrouted, dead_letter);
    let routing = Router::new(context, compiled.routes, graves)
        .inspect_err(|error| _ = faults.fault(&source.at, format!("the routes of the source `{}`: {error}", source.name)));
    let mut lanes: Vec<_> = compiled.lanes.into_iter().chain(dead_lanes).collect();
    let origin = once::join(source, declaring(source.origin.clone()?, &lanes), routes, &mut lanes, house.brokers, faults)?;
    outline.remarks = house.brokers.remarks(&source.broker, &Described::Origin(origin.as_ref()));
    let fingerprint = fingerprint_of(house, source, routes, &lanes);
    let pipeline = PipelinePlan {
        source: source.name.clone(),
        broker: source.broker.clone(),
        origin,
        window: source.window,
        window_bytes: source.window_bytes,
        router: routing.ok()?,
        lanes,
        fingerprint,
    };
    Some((pipeline, outline))
}

/// A source that creates what it reads creates its dead letters too.
fn declaring(origin: Arc<dyn Origin>, lanes: &[LanePlan]) -> Arc<dyn Origin> {
    let graves = lanes.iter().filter(|lane| lane.is_dead_letter);
    graves.fold(origin, |origin, grave| origin.declaring(&grave.target).unwrap_or(origin))
}

/// What the source means to its router.
fn context(
    top: &Top,
    source: &Source<'_>,
    decoding: policy::Decoding,
    event: Option<EventRules>,
    unrouted: Unrouted,
    dead_letter: DeadLetterTo,
) -> SourceContext {
    SourceContext {
        source: source.name.clone(),
        broker: source.broker.clone(),
        prefix: top.prefix.clone(),
        name: top.name.clone(),
        instance: top.instance.clone(),
        decode: DecodeRules {
            shape: decoding.shape,
            any: decoding.any,
            message_max: source.message_max,
            broker: source.broker.clone(),
        },
        event,
        unrouted,
        dead_letter,
    }
}

/// A group that is called after a name that nobody wrote would be shared with every other bridge that nobody named.
fn needs_name(top: &Top, source: &Source<'_>, origin: &dyn Origin, faults: &mut Problems) {
    if origin.goes_by_name() && !top.name_written {
        faults
            .fault(
                &source.at,
                format!(
                    "the source `{}` has no `group`: it would be called `{}`, like every other bridge's",
                    source.name, top.name
                ),
            )
            .hint("write `name` at the top, or `group` here");
    }
}

/// What becomes of messages that no route takes: the dead letter where one is set.
fn unrouted(policy: &Policy<'_>, dead_letter: &DeadLetterTo, origin: &dyn Origin, faults: &mut Problems) -> Unrouted {
    let Some(written) = &policy.unrouted else {
        return match dead_letter {
            DeadLetterTo::Drop => Unrouted::Ack,
            DeadLetterTo::Native if origin.answers() => Unrouted::Reject,
            _ => Unrouted::DeadLetter,
        };
    };
    if written.value == Unrouted::Reject && !origin.rejects_natively() {
        faults
            .fault(&written.at, format!("`{}` has no way to reject a message", origin.display()))
            .hint("`unrouted: dead_letter` or `ack`");
    }
    if written.value == Unrouted::DeadLetter && *dead_letter == DeadLetterTo::Drop {
        faults
            .warn(&written.at, "`unrouted: dead_letter` without a dead letter drops what no route takes")
            .hint("`dead_letter: broker/address`");
    }
    written.value
}

fn outline_of(dead_letter: &DeadLetterTo, origin: &dyn Origin, dead: &DeadLetters<'_>) -> DeadLetterOutline {
    match dead_letter {
        DeadLetterTo::Lane(id) => {
            let lane = dead.lanes.iter().find(|lane| lane.id == *id);
            DeadLetterOutline::To(lane.map_or_else(String::new, |lane| lane.written.to_string()))
        }
        DeadLetterTo::Native if origin.answers() => DeadLetterOutline::Answered,
        DeadLetterTo::Native => DeadLetterOutline::Native,
        DeadLetterTo::Drop => DeadLetterOutline::Drop,
    }
}

/// Everything that a change of which must rebuild this pipeline.
fn fingerprint_of(house: House<'_>, source: &Source<'_>, routes: &[&Route<'_>], lanes: &[LanePlan]) -> String {
    let top = house.top;
    let mut parts = vec![&*top.name, &*top.instance, &*top.prefix, &*source.written, house.brokers.written(&source.broker)];
    for route in routes {
        parts.push(&route.written);
        parts.extend(route.destinations.iter().map(|destination| &*destination.written));
    }
    let mut brokers: Vec<_> = lanes.iter().map(|lane| &*lane.target.link.broker).collect();
    brokers.sort_unstable();
    brokers.dedup();
    parts.extend(brokers.into_iter().map(|name| house.brokers.written(name)));
    fingerprint::of(&parts)
}
