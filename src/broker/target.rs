//! Where messages are published, and over which link.

use std::{any::Any, sync::Arc};

use super::{AddressRule, TemplateText};

/// Names a link inside one pipeline: the broker for Redis, the exchange for AMQP. Lanes with equal keys share a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// The broker's name in `brokers`.
    pub broker: Arc<str>,
    /// What a link is bound to inside the broker; empty where it is the whole broker.
    pub part: Arc<str>,
}

/// Somewhere to publish.
#[derive(Debug, Clone)]
pub struct Target {
    /// The link that carries it.
    pub link: LinkKey,
    /// The address template as written (or as the long form spells it), rendered per message into
    /// [`Outgoing::address`](super::Outgoing::address).
    pub address: TemplateText,
    /// What an address may hold.
    pub rule: AddressRule,
    /// Further templates of the kind (`expiration`, `stream` beside `channel`), rendered per message into
    /// [`Outgoing::fields`](super::Outgoing::fields) in this order.
    pub fields: Vec<Field>,
    /// The kind's own settings of this destination (durability, `maxlen`), for its publisher to downcast.
    pub options: Arc<dyn Any + Send + Sync>,
    /// How much may be on the wire: messages and batches.
    pub in_flight: InFlight,
}

impl Target {
    /// Whether both publish to one place: the rule tells a channel from a stream of the same name.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.link == other.link && self.address.text == other.address.text && self.rule.name == other.rule.name
    }
}

/// One further template of a target.
#[derive(Debug, Clone)]
pub struct Field {
    /// The key in the configuration.
    pub name: &'static str,
    /// Its template.
    pub text: TemplateText,
    /// A rule for its rendered value, where it is an address too (`stream` beside `channel`).
    pub rule: Option<AddressRule>,
}

/// Bounds of what a link has on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Batches sent and not yet answered.
    pub batches: usize,
    /// Messages in them.
    pub messages: usize,
    /// Messages in one batch.
    pub batch_messages: usize,
}
