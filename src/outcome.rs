//! What became of a message: the words in which brokers answer, deliveries end and sources are told.
//!
//! A leaf: every stage speaks these words, and this module knows none of the stages.

use std::{fmt, sync::Arc, time::Duration};

/// A broker's answer for one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Exactly what the delivery table of `docs/guarantees.md` calls *delivered* for that broker.
    Delivered(Proof),
    /// The broker has no room now; never counts as a try. `after` is the broker's own wish, if it told one.
    Throttled {
        /// How long the broker asked us to wait.
        after: Option<Duration>,
        /// What the broker said, for logs.
        detail: String,
    },
    /// The broker understood this message and will not have it.
    Refused(Refusal),
    /// Nobody can say whether it arrived: sent again, never counted as delivered and never as a try.
    Unknown(Reason),
    /// It is nowhere, for no fault of its own and none of the destination's: another message of its batch was refused. It goes again
    /// at once, in its old place.
    Unsent,
}

/// Why a delivery counts as delivered. `Copy`, so that a batch of them costs nothing to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The broker confirmed that it has the message (AMQP confirm, stream id, 201).
    Confirmed,
    /// Redis answered `PUBLISH` with this many receivers; 0 is decided by `on_no_receivers`.
    Receivers(u64),
}

/// One message refused; how it is treated depends on the reason (docs/guarantees.md, "What counts as a try").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Decides whether it counts, pauses the lane or goes to the dead letter at once.
    pub reason: Reason,
    /// The broker's own words, for the dead letter and the log.
    pub detail: String,
}

impl Refusal {
    /// A refusal in the words of whoever refused.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// A link ended; everything in flight on it is unknown.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct LinkDown {
    /// What ended it.
    pub reason: Reason,
    /// The client library's or broker's words.
    pub detail: String,
    /// The broker asked not to be called before this.
    pub after: Option<Duration>,
}

impl LinkDown {
    /// A link that ended for `reason`, in the words of whoever noticed.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string(), after: None }
    }
}

/// A closed set: the `reason` label of the metrics and of `rialto-dead-reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The connection or channel broke, or could not be opened.
    Link,
    /// No answer within `timeout`.
    Timeout,
    /// The broker asked for patience (429, 503, Redis `OOM`, a blocked connection).
    Throttled,
    /// The broker refused this message (a nack, `WRONGTYPE`, a 5xx of a webhook).
    Refused,
    /// Refused for good: trying again cannot help (other 4xx).
    Final,
    /// A missing exchange, queue or topic, or a mandatory message returned.
    Unroutable,
    /// Permission denied for this address.
    Forbidden,
    /// Wrong or expired credentials.
    Unauthenticated,
    /// Over the broker's size limit.
    TooLarge,
    /// The name did not resolve.
    Dns,
    /// The TLS handshake failed: certificate, name or version.
    Tls,
    /// The endpoint is gone (410) and disabled.
    Gone,
    /// The message that was oldest in flight whenever the link died.
    KillsLink,
    /// `deadline` passed.
    Deadline,
    /// Redis `PUBLISH` answered 0 and the route minds.
    Unheard,
    /// Not JSON, or not the shape that `decode` pins.
    Undecodable,
    /// Over `message_max`.
    Oversize,
    /// No route matched.
    Unrouted,
    /// A template had no value or made an illegal address.
    Address,
    /// `when` or `transform` failed.
    Transform,
    /// The message does not match its schema.
    Schema,
    /// `rialto-hops` passed its limit: a cycle of routes.
    Hops,
    /// The lane of an optional destination was full.
    Full,
    /// A handler or task panicked.
    Panic,
}

impl Reason {
    /// The label as metrics, dead letters and logs spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Final => "final",
            Self::Unroutable => "unroutable",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::TooLarge => "too_large",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Gone => "gone",
            Self::KillsLink => "kills_link",
            Self::Deadline => "deadline",
            Self::Unheard => "unheard",
            Self::Undecodable => "undecodable",
            Self::Oversize => "oversize",
            Self::Unrouted => "unrouted",
            Self::Address => "address",
            Self::Transform => "transform",
            Self::Schema => "schema",
            Self::Hops => "hops",
            Self::Full => "full",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a source is told about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered, dead-lettered, filtered or dropped by choice: acknowledge it.
    Accepted,
    /// Only for `dead_letter: native` (the broker's own dead letters) and 4xx answers. Why, for a source whose producer waits for
    /// the answer.
    Rejected(Arc<Refusal>),
}

/// How one copy of a message (one lane) ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its destination has it.
    Delivered(Proof),
    /// Its dead letter has it.
    DeadLettered,
    /// Handed back to the source's own dead letters (`dead_letter: native`), or to the producer that waits; why.
    Rejected(Arc<Refusal>),
    /// Lost by choice: `dead_letter: drop`, or an optional destination that was full.
    Dropped,
    /// The source withdrew it: its incarnation ended and it will come again.
    Withdrawn,
}
