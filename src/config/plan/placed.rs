//! Values that remember where they were written.

use crate::written::{Node, Span};

/// A checked value and where it was written, for faults that name two places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands.
    pub(super) at: Span,
}

/// True for `off` and, out of habit, `false`.
pub(super) fn is_off(node: &Node) -> bool {
    matches!(node.text(), Some("off" | "false"))
}
