//! A batch after routing: its messages, and one copy for every lane that takes one.

use std::{ops::Range, sync::Arc};

use super::Death;
use crate::{
    envelope::Message,
    outcome::{Reason, Refusal},
};

/// A lane's index in its pipeline: one destination of one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

/// A batch with its copies; text that copies need is rendered into one arena.
#[derive(Debug, Default)]
pub struct Routed {
    /// The batch as offered, in order; an index here is the index of the ticket.
    pub messages: Vec<Message>,
    /// Copies in message order, and within a message in lane order.
    pub copies: Vec<Copy>,
    /// Addresses, keys and fields.
    pub arena: String,
    /// For each message without a copy, why (filtered, unrouted by `ack`, dropped by choice, rejected natively).
    pub idle: Vec<(u32, Idle)>,
    /// Copies that never came to be, of messages that may have others: dropped by choice or to be rejected natively. The lane is the
    /// one that would have delivered it.
    pub aside: Vec<(u32, LaneId, Idle)>,
}

impl Routed {
    /// A rendered text of the arena.
    pub fn text(&self, span: &Span) -> &str {
        &self.arena[span.start as usize..span.end as usize]
    }
}

/// One message for one lane.
#[derive(Debug)]
pub struct Copy {
    /// Index into [`Routed::messages`].
    pub message: u32,
    /// Who delivers it.
    pub lane: LaneId,
    /// The rendered address, in the arena.
    pub address: Span,
    /// The ordering key, in the arena; empty: none.
    pub key: Span,
    /// The rendered fields of the target, in the arena, in the target's order; an absent value is `None`.
    pub fields: Fields,
    /// The rendered `headers:` of the destination, name and value.
    pub headers: Box<[(Arc<str>, Span)]>,
    /// The message as this route transformed it, where it did; shared by the route's destinations.
    pub transformed: Option<Arc<Message>>,
    /// Why it goes to a dead letter, where this copy is one.
    pub death: Option<Arc<Death>>,
}

/// A range of the arena.
pub type Span = Range<u32>;

/// Rendered fields, in their target's order; an absent value is `None`.
pub type Fields = Box<[Option<Span>]>;

/// Why a message has no copy at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idle {
    /// Every route that matched filtered it (`when`, an empty transform).
    Filtered,
    /// No route matched and `unrouted` is `ack`.
    Unrouted,
    /// `dead_letter: drop` for a message that could not be decoded, routed or addressed.
    Dropped(Reason),
    /// `dead_letter: native` or `unrouted: reject`: the source's broker gets it back, or the producer that waits is told.
    Rejected(Arc<Refusal>),
}
