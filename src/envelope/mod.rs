//! What a message is. Pure: no clock, no I/O, no broker.
//!
//! [`decode()`] recognises what arrived (a CloudEvent, an envelope, a bare payload) and answers a [`Message`]: spans into the body it
//! came in. [`Format::encode`] writes what leaves. In between nothing touches the payload's bytes.

mod cloudevents;
mod decode;
mod depth;
mod draft;
mod encode;
mod field;
mod headers;
mod identity;
mod json;
mod message;
mod metadata;
mod outline;
mod raw;
mod text;
mod time;

pub use cloudevents::{CloudEvents, Mode};
pub use decode::{Decode, DecodeRules, Rejection, Undecoded, decode};
pub(crate) use depth::{DEPTH_MAX, is_too_deep, string_end};
pub use encode::Format;
pub(crate) use encode::push_extended;
pub use field::Path;
pub use headers::HeaderArena;
pub(crate) use message::Rewrite;
pub use message::{Message, Shape};
pub use raw::{Bare, Carrier, HeaderValue, Property, RawMessage};
pub use time::rfc3339;

#[cfg(test)]
pub(crate) mod tests;
