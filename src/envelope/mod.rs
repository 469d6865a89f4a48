//! What a message is. Pure: no clock, no I/O, no broker.

mod raw;

pub use raw::{Bare, Carrier, HeaderValue, Property, RawMessage};

/// A decoded message: spans into the body it came in.
#[derive(Debug, Clone)]
pub struct Message {
    raw: RawMessage,
}

impl Message {
    /// As it was received.
    pub fn raw(&self) -> &RawMessage {
        &self.raw
    }
}
