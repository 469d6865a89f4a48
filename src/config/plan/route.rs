//! `routes`: from one source, to destinations.

use std::{collections::HashMap, sync::Arc};

use super::{
    brokers::Brokers,
    destination::{self, Destination},
    fingerprint, matching,
    policy::Policy,
    source::Sources,
};
use crate::{
    broker::RANK,
    route::Ordering,
    written::{Node, Problems, Span},
};

/// A route as read; its filters are compiled later, from `node`.
#[derive(Debug)]
pub(super) struct Route<'a> {
    pub(super) name: Arc<str>,
    pub(super) at: Span,
    /// The source's name.
    pub(super) source: Arc<str>,
    pub(super) policy: Policy<'a>,
    pub(super) node: &'a Node,
    pub(super) ordering: Ordering,
    /// Reading and publishing are one transaction.
    pub(super) exactly_once: bool,
    pub(super) destinations: Vec<Destination<'a>>,
    /// It has no `to`: the kind of an event decides where it goes.
    pub(super) by_kind: bool,
    /// For the fingerprint of its pipeline.
    pub(super) written: String,
}

/// What lies under every route.
#[derive(Debug, Clone, Copy)]
struct Under<'a> {
    defaults: Option<&'a Node>,
    default_to: Option<&'a Node>,
    /// Destinations that take domain events by their name.
    bound: &'a [Node],
}

/// Reads `routes`, and with them `defaults` and `default_to`. `bound` are the destinations of brokers that are bound to names.
pub(super) fn read<'a>(
    root: &'a Node,
    bound: &'a [Node],
    brokers: &Brokers,
    sources: &mut Sources<'a>,
    faults: &mut Problems,
) -> Vec<Route<'a>> {
    let under = Under { defaults: root.child("defaults"), default_to: root.child("default_to"), bound };
    let Some(node) = root.child("routes").filter(|node| !node.items().is_empty()) else {
        let at = root.child("routes").unwrap_or(root).at();
        faults.fault(at, "there is no route: nothing would be read").hint("`routes: [{ from: mq/orders, to: live/orders }]`");
        return Vec::new();
    };
    let routes: Vec<_> = node.items().iter().filter_map(|node| one(node, under, brokers, sources, faults)).collect();
    if let Some(defaults) = under.defaults {
        defaults.finish(faults);
    }
    refuse_shared_names(&routes, faults);
    if let Some(first) = bound.first()
        && !routes.iter().any(|route| route.by_kind)
    {
        faults
            .warn(first.at(), "nothing comes to what is bound to the names of events: every route says where its messages go")
            .hint("a route without `to` sends each domain event to those that are bound to its name");
    }
    routes
}

fn one<'a>(
    node: &'a Node,
    under: Under<'a>,
    brokers: &Brokers,
    sources: &mut Sources<'a>,
    faults: &mut Problems,
) -> Option<Route<'a>> {
    if !node.is_map() {
        return node.expected("a map with `from` and `to`", None, faults);
    }
    let source = node.child("from").and_then(|from| sources.from(from, brokers, faults));
    if node.child("from").is_none() {
        faults.fault(node.at(), "a route needs `from`").hint("the name of a source, or `broker/address`");
    }
    let name = node.opt::<String>("name", faults);
    if name.as_ref().is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
        faults.fault(node.child("name").unwrap_or(node).at(), "`name` must be text without control characters, and not empty");
    }
    for key in ["match", "when", "transform", "key"] {
        let _ = node.child(key);
    }
    node.later("schema", "event schemas", faults);
    let exactly_once = node.get("exactly_once", false, faults);
    let policy = Policy::read(node, faults);
    let ordering = destination::ordering(node, faults);
    let destinations = destinations(node, under, ordering, brokers, faults);
    node.finish(faults);
    let source = source?;
    Some(Route {
        name: name.map_or_else(|| source.clone(), Arc::from),
        at: node.at().clone(),
        source,
        policy,
        node,
        ordering,
        exactly_once,
        destinations,
        by_kind: node.child("to").is_none(),
        written: fingerprint::canonical(node),
    })
}

/// The destinations of `to`, or else those that the kinds of its events have; their names are told apart.
fn destinations<'a>(
    node: &'a Node,
    under: Under<'a>,
    ordering: Ordering,
    brokers: &Brokers,
    faults: &mut Problems,
) -> Vec<Destination<'a>> {
    let read = |item: &'a Node, faults: &mut Problems| destination::read(item, under.defaults, ordering, brokers, faults);
    let mut all: Vec<_> = match node.child("to") {
        Some(to) => {
            if to.items().is_empty() {
                faults.fault(to.at(), "`to` names no destination");
            }
            to.items().iter().filter_map(|item| read(item, faults)).collect()
        }
        None => by_kind(node, under, faults)
            .into_iter()
            .filter_map(|(item, emitted)| {
                let mut destination = read(item, faults)?;
                destination.emitted = emitted;
                Some(destination)
            })
            .collect(),
    };
    // A stable sort: those of one rank stay as they were written.
    all.sort_by_key(|destination| destination.target.as_ref().map_or(RANK, |target| destination.broker.rank(target)));
    let mut names: HashMap<&str, &Span> = HashMap::new();
    for destination in &all {
        if destination.name.starts_with("dead_letter") {
            let at = destination.settings.child("name").unwrap_or(&destination.settings).at();
            faults.fault(at, "a destination cannot be named `dead_letter…`: metrics call dead letters so");
        }
        if let Some(first) = names.insert(&destination.name, &destination.at) {
            faults
                .fault(&destination.at, format!("two destinations of this route are named `{}`", destination.name))
                .also(first, "the first one")
                .hint("write a `name` on one of them: metrics tell destinations apart by it");
        }
    }
    all
}

/// Where the events of a route without a `to` go, by their kind (diator's emitter); true for those of `default_to`.
fn by_kind<'a>(route: &Node, under: Under<'a>, faults: &mut Problems) -> Vec<(&'a Node, bool)> {
    let (emitted, handled) = matching::kinds(route);
    let default_to = under.default_to.filter(|_| emitted).map(Node::items).unwrap_or_default();
    let bound = if handled { under.bound } else { &[] };
    if default_to.is_empty() && bound.is_empty() {
        if under.default_to.is_none() && under.bound.is_empty() {
            faults
                .fault(route.at(), "this route has no `to`")
                .hint("`to: broker/address`, or a `default_to` at the top for all routes without one");
        } else {
            faults.fault(route.at(), "this route has no `to`, and none of its types goes anywhere without one").hint(
                "`notification_event` and `ecst_event` go to `default_to`, `domain_event` to whom `handles` binds to its name",
            );
        }
    }
    default_to.iter().map(|node| (node, true)).chain(bound.iter().map(|node| (node, false))).collect()
}

/// Two routes with one name could not be told apart in metrics and dead letters.
fn refuse_shared_names(routes: &[Route<'_>], faults: &mut Problems) {
    let mut names: HashMap<&str, &Route<'_>> = HashMap::new();
    for route in routes {
        let Some(first) = names.insert(&route.name, route) else { continue };
        let written = [route, first].iter().filter(|route| route.node.child("name").is_some()).count();
        let message = match written {
            0 => format!("two routes read `{}`, and neither has a name", route.source),
            _ => format!("two routes are named `{}`", route.name),
        };
        faults
            .fault(named_at(route), message)
            .also(named_at(first), "the first one")
            .hint("write a `name`: metrics tell routes apart by it");
    }
}

/// Where a route's name stands, or else the route.
fn named_at<'a>(route: &'a Route<'_>) -> &'a Span {
    route.node.peek("name").map_or(&route.at, Node::at)
}
