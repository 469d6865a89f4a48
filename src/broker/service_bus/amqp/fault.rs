//! What an error of the peer, or of the client library, means to us: the one table of AMQP conditions.
//!
//! Conditions are those of the AMQP 1.0 specification (part 2, section 2.8.15 and on) and Microsoft's own
//! ("AMQP 1.0 errors in Azure Service Bus"). A condition that nobody knows ends the link, where it is one of a link or a connection;
//! said of a message, it counts as one of its tries.

use std::{error::Error as _, fmt, time::Duration};

use fe2o3_amqp::{
    connection::{self, ConnectionStopReason, OpenError as ConnectError},
    link::{
        DetachError, IllegalLinkStateError, LinkStateError, ReceiverAttachError, RecvError, SendError, SenderAttachError,
        SessionStopReason,
    },
    session::BeginError,
    transport,
};
use fe2o3_amqp_types::{
    definitions::{self, ErrorCondition},
    primitives::Symbol,
};

use crate::outcome::{LinkDown, Outcome, Reason, Refusal};

/// How long a busy Service Bus asks its clients to wait, where it does not say ("Throttling in Azure Service Bus").
const BUSY: Duration = Duration::from_secs(10);

/// A classified error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// The service asked for patience.
    after: Option<Duration>,
    lost_lock: bool,
}

/// A lock that is no longer ours: its messages come again to somebody, and must not be settled by us.
const LOCK_LOST: [&str; 3] =
    ["com.microsoft:message-lock-lost", "com.microsoft:session-lock-lost", "com.microsoft:store-lock-lost"];

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string(), after: None, lost_lock: false }
    }

    /// The connection, or the answer of a peer that does not keep to the protocol.
    pub(super) fn link(detail: impl fmt::Display) -> Self {
        Self::new(Reason::Link, detail)
    }

    /// No answer within `time`.
    pub(super) fn late(what: impl fmt::Display, time: Duration) -> Self {
        Self::new(Reason::Timeout, format!("{what}: no answer within {time:?}"))
    }

    /// An error as the service tells it.
    pub(super) fn of(error: &definitions::Error) -> Self {
        Self::of_condition(&condition(error), error.description.as_deref().unwrap_or_default())
    }

    /// The table.
    pub(super) fn of_condition(condition: &str, description: &str) -> Self {
        let reason = match condition {
            // A missing claim is named; anything else is about the token itself.
            "amqp:unauthorized-access" if description.contains("claim") => Reason::Forbidden,
            "amqp:unauthorized-access" | "com.microsoft:auth-error" => Reason::Unauthenticated,
            "com.microsoft:entity-disabled" | "com.microsoft:publisher-revoked" => Reason::Forbidden,
            // Not allowed: an entity with sessions read without them, and the reverse.
            "amqp:not-found" | "amqp:not-allowed" | "com.microsoft:messaging-entity-not-found" => Reason::Unroutable,
            "com.microsoft:server-busy" | "amqp:resource-limit-exceeded" => Reason::Throttled,
            "amqp:link:message-size-exceeded" => Reason::TooLarge,
            "amqp:precondition-failed" => Reason::Refused,
            "amqp:invalid-field"
            | "amqp:decode-error"
            | "amqp:not-implemented"
            | "com.microsoft:argument-error"
            | "com.microsoft:argument-out-of-range"
            | "com.microsoft:invalid-operation" => Reason::Final,
            "com.microsoft:timeout" => Reason::Timeout,
            _ => Reason::Link,
        };
        let after = (condition == "com.microsoft:server-busy").then_some(BUSY);
        let detail = if description.is_empty() { condition.to_owned() } else { format!("{condition}: {description}") };
        Self { reason, detail, after, lost_lock: LOCK_LOST.contains(&condition) }
    }

    /// With what was being done in front.
    pub(super) fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.detail = format!("{what}: {}", self.detail);
        self
    }

    /// One of a single queue, topic or subscription, which leaves the others alone.
    pub(super) fn concerns_the_entity(&self) -> bool {
        matches!(self.reason, Reason::Unroutable | Reason::Forbidden | Reason::Throttled)
    }

    /// The outcome of a message that the service refused for it. What nobody knows would be tried for ever where it did not count.
    pub(super) fn outcome(self) -> Outcome {
        match self.reason {
            Reason::Throttled => Outcome::Throttled { after: self.after, detail: self.detail },
            Reason::Timeout => Outcome::Unknown(Reason::Timeout),
            Reason::Link => Outcome::Refused(Refusal::new(Reason::Refused, self.detail)),
            reason => Outcome::Refused(Refusal::new(reason, self.detail)),
        }
    }

    /// Whether it says that a lock is no longer ours.
    pub(super) fn is_lost_lock(&self) -> bool {
        self.lost_lock
    }
}

/// The condition as the wire spells it.
fn condition(error: &definitions::Error) -> String {
    match &error.condition {
        ErrorCondition::AmqpError(known) => Symbol::from(known).0,
        ErrorCondition::ConnectionError(known) => Symbol::from(known).0,
        ErrorCondition::SessionError(known) => Symbol::from(known).0,
        ErrorCondition::LinkError(known) => Symbol::from(known).0,
        ErrorCondition::Custom(symbol) => symbol.0.clone(),
    }
}

fn of_io(error: &std::io::Error) -> Fault {
    // TLS 1.3 lets a client in before its certificate is judged: the alert comes with the first answer.
    let of_tls = error.get_ref().is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some());
    Fault::new(if of_tls { Reason::Tls } else { Reason::Link }, error)
}

impl From<transport::Error> for Fault {
    fn from(error: transport::Error) -> Self {
        match &error {
            transport::Error::Io(io) => of_io(io),
            _ => Self::link(error),
        }
    }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Io(io) => of_io(&io),
            ConnectError::TransportError(error) => error.into(),
            ConnectError::RemoteClosedWithError(error) => Self::of(&error),
            ConnectError::RemoteClosed => Self::link("the service closed the connection"),
            ConnectError::SaslError { code, .. } => {
                Self::new(Reason::Unauthenticated, format!("the SASL exchange was refused ({code:?})"))
            }
            ConnectError::ProtocolHeaderMismatch(_) => Self::link("this is no server of AMQP 1.0"),
            other => Self::link(other),
        }
    }
}

impl From<connection::Error> for Fault {
    fn from(error: connection::Error) -> Self {
        match error {
            connection::Error::TransportError(error) => error.into(),
            connection::Error::RemoteClosedWithError(error) => Self::of(&error),
            connection::Error::RemoteClosed => Self::link("the service closed the connection"),
            // What the library says where the socket ended without a word.
            connection::Error::IllegalState => Self::link("the connection was lost"),
            other => Self::link(other),
        }
    }
}

impl From<ConnectionStopReason> for Fault {
    fn from(reason: ConnectionStopReason) -> Self {
        match reason {
            ConnectionStopReason::RemoteClosedWithError(error) | ConnectionStopReason::ClosedWithError(error) => Self::of(&error),
            ConnectionStopReason::RemoteClosed => Self::link("the service closed the connection"),
            ConnectionStopReason::Closed => Self::link("the connection was lost"),
        }
    }
}

impl From<SessionStopReason> for Fault {
    fn from(reason: SessionStopReason) -> Self {
        match reason {
            SessionStopReason::ConnectionStopped(reason) => reason.into(),
            SessionStopReason::RemoteEndedWithError(error) | SessionStopReason::EndedWithError(error) => Self::of(&error),
            SessionStopReason::RemoteEnded | SessionStopReason::Ended => Self::link("the service ended the session"),
        }
    }
}

impl From<BeginError> for Fault {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::ConnectionStopped(reason) => reason.into(),
            BeginError::RemoteEndedWithError(error) => Self::of(&error),
            other => Self::link(other),
        }
    }
}

impl From<SenderAttachError> for Fault {
    fn from(error: SenderAttachError) -> Self {
        match error {
            SenderAttachError::SessionStopped(reason) => reason.into(),
            SenderAttachError::RemoteClosedWithError(error) => Self::of(&error),
            other => Self::link(other),
        }
    }
}

impl From<ReceiverAttachError> for Fault {
    fn from(error: ReceiverAttachError) -> Self {
        match error {
            ReceiverAttachError::SessionStopped(reason) => reason.into(),
            ReceiverAttachError::RemoteClosedWithError(error) => Self::of(&error),
            other => Self::link(other),
        }
    }
}

impl From<LinkStateError> for Fault {
    fn from(error: LinkStateError) -> Self {
        match error {
            LinkStateError::SessionStopped(reason) => reason.into(),
            LinkStateError::RemoteDetachedWithError(error) | LinkStateError::RemoteClosedWithError(error) => Self::of(&error),
            LinkStateError::RemoteDetached | LinkStateError::RemoteClosed => Self::link("the service detached the link"),
            other => Self::link(other),
        }
    }
}

impl From<IllegalLinkStateError> for Fault {
    fn from(error: IllegalLinkStateError) -> Self {
        match error {
            IllegalLinkStateError::SessionStopped(reason) => reason.into(),
            IllegalLinkStateError::IllegalState => Self::link("the link is detached"),
        }
    }
}

impl From<DetachError> for Fault {
    fn from(error: DetachError) -> Self {
        LinkStateError::from(error).into()
    }
}

impl From<RecvError> for Fault {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::LinkStateError(error) => error.into(),
            other => {
                let source = other.source().map(|source| format!(": {source}")).unwrap_or_default();
                Self::link(format!("{other}{source}"))
            }
        }
    }
}

impl From<SendError> for Fault {
    fn from(error: SendError) -> Self {
        match error {
            SendError::LinkStateError(error) => error.into(),
            SendError::Detached(error) => error.into(),
            SendError::MessageSizeExceeded(exceeded) => {
                Self::new(Reason::TooLarge, format!("{} bytes, where the link takes {}", exceeded.size, exceeded.max_size))
            }
            SendError::MessageEncodeError => Self::new(Reason::Final, "the message cannot be encoded"),
            other => Self::link(other),
        }
    }
}

impl From<Fault> for LinkDown {
    fn from(fault: Fault) -> Self {
        Self { reason: of_link(fault.reason), detail: fault.detail, after: fault.after }
    }
}

/// A whole link is not refused as a message is: what is left of that is a link to open again.
fn of_link(reason: Reason) -> Reason {
    match reason {
        Reason::Final | Reason::Refused | Reason::TooLarge => Reason::Link,
        reason => reason,
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::definitions::{AmqpError, ConnectionError, LinkError};

    use super::*;

    fn fault(condition: impl Into<ErrorCondition>, description: &str) -> Fault {
        Fault::of(&definitions::Error::new(condition, Some(description.to_owned()), None))
    }

    #[test]
    fn each_condition_has_its_reason() {
        for (condition, description, reason) in [
            ("amqp:unauthorized-access", "InvalidSignature: The token has an invalid signature.", Reason::Unauthenticated),
            ("amqp:unauthorized-access", "Unauthorized access. 'Listen' claim(s) are required", Reason::Forbidden),
            ("amqp:not-found", "", Reason::Unroutable),
            ("amqp:not-allowed", "a session is required", Reason::Unroutable),
            ("com.microsoft:server-busy", "", Reason::Throttled),
            ("amqp:resource-limit-exceeded", "", Reason::Throttled),
            ("amqp:link:message-size-exceeded", "", Reason::TooLarge),
            ("com.microsoft:argument-error", "", Reason::Final),
            ("amqp:link:detach-forced", "", Reason::Link),
            ("amqp:connection:forced", "", Reason::Link),
            ("com.microsoft:nobody-knows", "", Reason::Link),
        ] {
            assert_eq!(Fault::of_condition(condition, description).reason, reason, "{condition}");
        }
    }

    #[test]
    fn known_conditions_are_spelled_as_on_the_wire() {
        assert_eq!(fault(AmqpError::NotFound, "no such queue").detail, "amqp:not-found: no such queue");
        assert_eq!(fault(LinkError::DetachForced, "idle").detail, "amqp:link:detach-forced: idle");
        assert_eq!(fault(ConnectionError::ConnectionForced, "").detail, "amqp:connection:forced");
    }

    #[test]
    fn a_lost_lock_is_told_by_its_condition_and_not_by_what_is_said() {
        for condition in LOCK_LOST {
            assert!(fault(ErrorCondition::Custom(condition.into()), "gone").while_doing("orders").is_lost_lock());
        }
        let quoted = fault(AmqpError::InternalError, "after com.microsoft:message-lock-lost");
        assert!(!quoted.is_lost_lock() && !Fault::link("com.microsoft:session-lock-lost").is_lost_lock());
    }

    #[test]
    fn what_nobody_knows_counts_for_a_message_and_ends_a_link() {
        let unknown = fault(AmqpError::InternalError, "of the service");
        let counted = Refusal::new(Reason::Refused, "amqp:internal-error: of the service");
        assert_eq!((unknown.reason, unknown.outcome()), (Reason::Link, Outcome::Refused(counted)));
        assert_eq!(Fault::of_condition("com.microsoft:timeout", "").outcome(), Outcome::Unknown(Reason::Timeout));
    }

    #[test]
    fn a_busy_service_is_given_time_and_nothing_unknown_is_a_refusal() {
        let busy = Fault::of_condition("com.microsoft:server-busy", "");
        assert!(matches!(busy.clone().outcome(), Outcome::Throttled { after: Some(BUSY), .. }));
        assert_eq!(LinkDown::from(busy).after, Some(BUSY));
        assert_eq!(crate::broker::OpenError::from(Fault::of_condition("amqp:invalid-field", "")).reason, Reason::Link);
    }
}
