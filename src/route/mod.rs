//! Who a message is for. Pure: compiled values only; no clock, no I/O, no broker.
//!
//! A [`Router`] belongs to one source: it decodes what the source offers, asks its [`Route`]s, renders addresses, and leaves one
//! [`struct@Copy`] for every lane that takes the message.

mod candidates;
mod compiled;
mod death;
mod jq;
mod matcher;
mod routed;
mod router;
mod rules;
mod template;
mod tree;
mod word;

pub use candidates::Candidate;
pub use compiled::{DeadLetterLane, Destination, EventRules, Route, SourceContext};
pub use death::Death;
pub use jq::Jq;
pub(crate) use jq::STACK_BYTES;
pub use matcher::{Matcher, Pattern};
pub use routed::{Copy, Fields, Idle, LaneId, Routed, Span};
pub use router::{Buried, GlobsTooLarge, Router};
pub use rules::{Backoff, Breaker, DeadLetterTo, DeliveryRules, NoReceivers, Ordering, Unrouted};
pub use template::Template;
pub use word::Context;

#[cfg(test)]
mod tests;
