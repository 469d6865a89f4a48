//! How opening and reading fail. How a link does is [`LinkDown`], which `outcome` has: whoever retries reads it there.

use crate::outcome::{LinkDown, Reason};

/// An incarnation broke; the pipeline reopens it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct SourceError {
    /// For the metric and the back-off.
    pub reason: Reason,
    /// The broker's or client's words.
    pub detail: String,
}

/// A source or link could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct OpenError {
    /// `Unauthenticated`, `Forbidden`, `Unroutable` (a queue or exchange is missing), `Dns`, `Tls`, `Throttled`, else `Link`.
    pub reason: Reason,
    /// What was tried and what the broker answered, without credentials.
    pub detail: String,
}

/// What would end a link ends its opening for the same reason and in the same words: a kind says once what its client's errors mean,
/// as a [`LinkDown`].
impl<F: Into<LinkDown>> From<F> for OpenError {
    fn from(fault: F) -> Self {
        let LinkDown { reason, detail, .. } = fault.into();
        Self { reason, detail }
    }
}

/// The same where it ends a source.
impl<F: Into<LinkDown>> From<F> for SourceError {
    fn from(fault: F) -> Self {
        let LinkDown { reason, detail, .. } = fault.into();
        Self { reason, detail }
    }
}
