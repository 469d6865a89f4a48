//! What a kind has to say of one end of a route, in plain sentences from its checked settings.

use super::{Origin, Target};

/// A sentence or more for `rialto explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What it answers: `order`, `with N replicas`. Where `explain` answers that for every kind, this goes on.
    pub about: &'static str,
    /// The answer, in whole sentences that begin small, as all of `explain` does.
    pub text: String,
}

impl Remark {
    /// An answer.
    pub fn new(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, text: text.into() }
    }
}

/// What remarks are made of.
#[derive(Debug, Clone, Copy)]
pub enum Described<'a> {
    /// Something that is read.
    Origin(&'a dyn Origin),
    /// Somewhere to publish.
    Target(&'a Target),
    /// Somewhere to publish what could not be delivered.
    DeadLetter(&'a Target),
}
