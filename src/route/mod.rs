//! Who a message is for. Pure: compiled values only; no clock, no I/O, no broker.

mod routed;
mod rules;

pub use routed::{Copy, Death, Idle, LaneId, Routed, Span};
pub use rules::{Backoff, Breaker, DeadLetterTo, DeliveryRules, NoReceivers, Ordering, Unrouted};
