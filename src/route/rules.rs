//! The rules of a destination and of a source, as checked values.

use std::time::Duration;

/// How one destination's deliveries are tried, timed and ended (docs/configuration.md, level "destination").
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRules {
    /// Tries that count before the dead letter; `None`: unlimited (only `deadline` was written).
    pub max_errors: Option<u32>,
    /// Wall-clock end of a message's tries, from the transport's time, else first sight.
    pub deadline: Option<Duration>,
    /// Bound of one try.
    pub timeout: Duration,
    /// Delays between a message's tries.
    pub backoff: Backoff,
    /// When tries stop counting because it is the destination that fails.
    pub breaker: Breaker,
    /// Messages per second.
    pub rate_limit: Option<f64>,
    /// What a `PUBLISH` that nobody heard means.
    pub on_no_receivers: NoReceivers,
    /// The order kept among messages of a key.
    pub ordering: Ordering,
    /// False: best effort; never holds a source back.
    pub required: bool,
    /// True where the address has a value in it: a missing or forbidden address is then this message's fault, not the lane's.
    pub templated: bool,
    /// A dead-letter lane: it never gives up.
    pub last_resort: bool,
}

impl DeliveryRules {
    /// The rules of a destination that writes none (docs/configuration.md).
    pub const DEFAULT: Self = Self {
        max_errors: Some(5),
        deadline: None,
        timeout: Duration::from_secs(15),
        backoff: Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(300), jitter: true },
        breaker: Breaker { failures: 5, keys: 2, probe: Duration::from_secs(5) },
        rate_limit: None,
        on_no_receivers: NoReceivers::Ok,
        ordering: Ordering::Key,
        required: true,
        templated: false,
        last_resort: false,
    };
}

impl Default for DeliveryRules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Exponential, with full jitter: a delay is uniform in `0..=min(max, initial × 2^(n-1))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first delay.
    pub initial: Duration,
    /// Ceiling of every delay.
    pub max: Duration,
    /// False: the ceiling itself, without jitter.
    pub jitter: bool,
}

/// Opens after `failures` in a row over at least `keys` keys; lets one message through every `probe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row.
    pub failures: u32,
    /// Different keys among them.
    pub keys: u32,
    /// Between two probes while open.
    pub probe: Duration,
}

/// What Redis' `PUBLISH` answering 0 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoReceivers {
    /// Delivered; counted in `rialto_messages_unheard_total`.
    #[default]
    Ok,
    /// A failed try.
    Retry,
    /// Waits without counting, until `deadline`.
    Park,
    /// To the dead letter at once.
    DeadLetter,
}

/// The order among messages of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// First deliveries in source order.
    #[default]
    Key,
    /// One message of a key on the wire.
    Strict,
    /// None.
    None,
}

/// Where what cannot be delivered goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterTo {
    /// A lane of the same pipeline that never gives up.
    Lane(super::LaneId),
    /// Back to the source's broker, which dead-letters it.
    Native,
    /// Loss by choice, counted and logged.
    Drop,
}

/// What becomes of a message that no route matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrouted {
    /// Acknowledged, counted, said once per name.
    Ack,
    /// To the source's dead letter.
    DeadLetter,
    /// Rejected at its source.
    Reject,
}
