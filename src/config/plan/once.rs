//! `exactly_once`: reading and publishing as one transaction, where both ends are one broker that has such transactions.

use std::sync::Arc;

use super::{LanePlan, brokers::Brokers, route::Route, source::Source};
use crate::{
    broker::{Origin, Target},
    written::{Node, Problems, Span},
};

/// The origin of a pipeline, joined with its lanes where its route says `exactly_once`. `None` after a fault.
pub(super) fn join(
    source: &Source<'_>,
    origin: Arc<dyn Origin>,
    routes: &[&Route<'_>],
    lanes: &mut [LanePlan],
    brokers: &Brokers,
    faults: &mut Problems,
) -> Option<Arc<dyn Origin>> {
    let Some(route) = routes.iter().find(|route| route.exactly_once) else { return Some(origin) };
    let at = route.node.peek("exactly_once").map_or(&route.at, Node::at);
    alone(source, route, routes, at, faults)?;
    if let Some(lane) = lanes.iter().find(|lane| lane.target.link.broker != source.broker) {
        let what = if lane.is_dead_letter { "its dead letters go" } else { "this route goes" };
        faults
            .fault(
                at,
                format!("`exactly_once` holds inside one Kafka: it reads `{}`, and {what} to `{}`", source.broker, lane.written),
            )
            .hint("every copy has the same id: whoever reads can drop the second");
        return None;
    }
    let (_, broker) = brokers.find(&source.broker, at, faults)?;
    let targets: Vec<Target> = lanes.iter().map(|lane| lane.target.clone()).collect();
    match broker.relay(origin.as_ref(), &targets) {
        Ok(relayed) => {
            for (lane, target) in lanes.iter_mut().zip(relayed.targets) {
                // Dead letters are in the same transactions.
                (lane.target, lane.lazy) = (target, false);
            }
            Some(relayed.origin)
        }
        Err(sentence) => {
            faults.fault(at, format!("`exactly_once` cannot be kept: {sentence}"));
            None
        }
    }
}

/// A transaction commits the position of its source: a second destination, or a second route, would have no part in it.
fn alone(source: &Source<'_>, route: &Route<'_>, routes: &[&Route<'_>], at: &Span, faults: &mut Problems) -> Option<()> {
    if let Some(other) = routes.iter().find(|other| !std::ptr::eq(**other, route)) {
        faults
            .fault(at, format!("`exactly_once` needs the source `{}` for its route alone", source.name))
            .also(&other.at, "another route of this source")
            .hint("a source with a `group` of its own reads the same topics once more");
        return None;
    }
    match &*route.destinations {
        [only] if only.rules.required => Some(()),
        [_] => {
            faults.fault(at, "`exactly_once` and `required: false` exclude each other");
            None
        }
        _ => {
            faults.fault(at, "`exactly_once` holds for one destination, the only one of its route");
            None
        }
    }
}
