//! Routes and their destinations, as checked and compiled values.

use std::sync::Arc;

use super::{DeadLetterTo, Jq, LaneId, Matcher, Pattern, Template, Unrouted};
use crate::{envelope::DecodeRules, written::AddressRule};

/// One route of a source.
#[derive(Debug, Clone)]
pub struct Route {
    /// Metric label, and `rialto-dead-route`.
    pub name: Arc<str>,
    /// What it takes; `None`: everything.
    pub matcher: Option<Matcher>,
    /// It has no `to`: a message whose type and name none of its destinations takes is not its own, and unrouted if no other route
    /// takes it.
    pub by_kind: bool,
    /// Takes only what it holds for.
    pub when: Option<Jq>,
    /// Changes what its destinations get.
    pub transform: Option<Jq>,
    /// The ordering key of its destinations, where they have none of their own; `None`: the message's own key.
    pub key: Option<Template>,
    /// Who gets a copy each.
    pub destinations: Vec<Destination>,
}

/// One destination of a route.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The lane that delivers to it.
    pub lane: LaneId,
    /// Metric label, and `rialto-dead-destination`.
    pub name: Arc<str>,
    /// Where it goes.
    pub address: Template,
    /// What the address may hold.
    pub rule: AddressRule,
    /// `allow`: a pattern that the whole address must match. `None`: the template's own text with any value, which rendering keeps.
    pub allow: Option<Pattern>,
    /// The target's further templates, in its order; one with a rule is an address too and must have a value.
    pub fields: Vec<(Template, Option<AddressRule>)>,
    /// `headers:`, each with its name.
    pub headers: Vec<(Arc<str>, Template)>,
    /// Its ordering key; `None`: the route's.
    pub key: Option<Template>,
    /// What it takes of its route's messages; `None`: everything.
    pub matcher: Option<Matcher>,
    /// Takes only what it holds for, after the route's `transform`.
    pub when: Option<Jq>,
    /// Where its copy goes when it has no legal address.
    pub dead_letter: DeadLetterTo,
}

/// A lane for dead letters: its address must exist for any message, so its template [is constant](Template::is_constant).
#[derive(Debug, Clone)]
pub struct DeadLetterLane {
    /// The lane.
    pub lane: LaneId,
    /// Where it goes.
    pub address: Template,
    /// What the address may hold.
    pub rule: AddressRule,
    /// The target's further templates, in its order.
    pub fields: Vec<(Template, Option<AddressRule>)>,
}

/// `event:`, what a bare payload is called. Each template sees the message as it would be without it, so `{message_name}` is a
/// possible fallback.
#[derive(Debug, Clone, Default)]
pub struct EventRules {
    /// `message_type`.
    pub message_type: Option<Template>,
    /// `message_name`.
    pub message_name: Option<Template>,
    /// `message_id`.
    pub message_id: Option<Template>,
}

/// What a source means to its router.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// Its name.
    pub source: Arc<str>,
    /// The name of its broker.
    pub broker: Arc<str>,
    /// `prefix` of the configuration.
    pub prefix: Arc<str>,
    /// `name` of the configuration.
    pub name: Arc<str>,
    /// `instance` of the configuration.
    pub instance: Arc<str>,
    /// How its messages are read.
    pub decode: DecodeRules,
    /// What its bare payloads are called.
    pub event: Option<EventRules>,
    /// What becomes of messages that no route matches.
    pub unrouted: Unrouted,
    /// Where messages go that cannot be decoded or routed.
    pub dead_letter: DeadLetterTo,
}
