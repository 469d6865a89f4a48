//! What an error of the client library means to us.

use lapin::ErrorKind;

use crate::outcome::{LinkDown, Reason};

/// Reply codes of AMQP 0-9-1, section 1.2, as RabbitMQ uses them.
mod code {
    pub(super) const ACCESS_REFUSED: u16 = 403;
    pub(super) const NOT_FOUND: u16 = 404;
    pub(super) const RESOURCE_LOCKED: u16 = 405;
    pub(super) const PRECONDITION_FAILED: u16 = 406;
    pub(super) const RESOURCE_ERROR: u16 = 506;
    pub(super) const NOT_ALLOWED: u16 = 530;
}

/// A classified error.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// The broker closed the channel for it, not the connection.
    pub(super) of_channel: bool,
}

impl Fault {
    /// One that the library did not raise.
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), of_channel: false }
    }

    /// An error on an open connection.
    pub(super) fn of(error: &lapin::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::ProtocolError(answer) => of_reply(answer.get_id(), answer.get_message().as_str()),
            ErrorKind::AuthProviderError(_) => Reason::Unauthenticated,
            // TLS 1.3 lets a client in before its certificate is judged: the alert comes with the first answer.
            ErrorKind::IOError(broken) if is_of_tls(broken) => Reason::Tls,
            _ => Reason::Link,
        };
        Self { reason, detail: error.to_string(), of_channel: error.is_amqp_soft_error() }
    }

    /// An error of the handshake: there, access refused means the credentials.
    pub(super) fn of_login(error: &lapin::Error) -> Self {
        let fault = Self::of(error);
        match error.kind() {
            ErrorKind::ProtocolError(answer) if answer.get_id() == code::ACCESS_REFUSED => {
                Self { reason: Reason::Unauthenticated, ..fault }
            }
            _ => fault,
        }
    }

    /// The same behind a TLS handshake. In TLS 1.3 a server that minds our certificate, or misses it, says so after the handshake,
    /// and what it says is lost where it closes on what we have sent meanwhile.
    pub(super) fn of_login_over_tls(error: &lapin::Error) -> Self {
        let mut fault = Self::of_login(error);
        if matches!(error.kind(), ErrorKind::IOError(broken) if is_cut(broken.kind())) && fault.reason == Reason::Link {
            fault
                .detail
                .push_str("; closed right after the TLS handshake: the server may want another client certificate, or one at all");
        }
        fault
    }

    /// An error of a declaration: one with other settings than the existing thing's is as good as a missing thing.
    pub(super) fn of_declaration(error: &lapin::Error) -> Self {
        let fault = Self::of(error);
        match error.kind() {
            ErrorKind::ProtocolError(answer) if answer.get_id() == code::PRECONDITION_FAILED => {
                Self { reason: Reason::Unroutable, ..fault }
            }
            _ => fault,
        }
    }

    /// With what was being done in front.
    pub(super) fn while_doing(mut self, what: impl std::fmt::Display) -> Self {
        self.detail = format!("{what}: {}", self.detail);
        self
    }
}

fn is_cut(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

fn is_of_tls(broken: &std::io::Error) -> bool {
    let inner = broken.get_ref();
    inner.is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some())
}

/// `NOT_ALLOWED` covers a missing virtual host, a forbidden one and a full one: only the text tells them apart.
fn of_reply(id: u16, text: &str) -> Reason {
    match id {
        code::NOT_FOUND => Reason::Unroutable,
        code::RESOURCE_ERROR => Reason::Throttled,
        code::NOT_ALLOWED if text.contains("limit") => Reason::Throttled,
        code::NOT_ALLOWED if text.contains("not found") => Reason::Unroutable,
        code::ACCESS_REFUSED | code::RESOURCE_LOCKED | code::NOT_ALLOWED => Reason::Forbidden,
        _ => Reason::Link,
    }
}

impl From<Fault> for LinkDown {
    fn from(fault: Fault) -> Self {
        Self::new(fault.reason, fault.detail)
    }
}
