//! One message as commands: `PUBLISH`, `SPUBLISH`, `XADD`.
//!
//! A body is copied once into the command and once into the pipeline's bytes, as the crate wants it; every command is sized before
//! it is filled.

use redis::{Cmd, RedisWrite};

use super::target::Channel;
use crate::{
    broker::Outgoing,
    envelope::{HeaderValue, Property},
};

/// The stream field that holds the body.
pub(super) const BODY: &str = "body";

/// Fields with a meaning of their own (docs/wire.md, "Per broker"); headers of these names are not repeated.
pub(super) const FIELDS: [&str; 7] = [BODY, "message_id", "message_name", "message_type", "key", "content_type", "correlation_id"];

/// What the fields' names and lengths need beside the texts themselves, roughly.
const XADD_OVERHEAD: usize = 160;

/// `PUBLISH channel body`.
pub(super) fn publish(channel: Channel, address: &str, body: &[u8]) -> Cmd {
    let verb: &[u8] = match channel {
        Channel::Plain => b"PUBLISH",
        Channel::Sharded => b"SPUBLISH",
    };
    let mut command = Cmd::with_capacity(3, verb.len() + address.len() + body.len());
    command.write_arg(verb);
    command.write_arg(address.as_bytes());
    command.write_arg(body);
    command
}

/// `XADD key [MAXLEN ~ n] * body … message_id …`, then the headers it came with, overridden by those of the destination.
pub(super) fn add(key: &str, maxlen: Option<u64>, out: &Outgoing<'_>) -> Cmd {
    let headers: usize = out.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let size = key.len() + out.body.len() + out.message.id().len() + out.message.name().len() + headers + XADD_OVERHEAD;
    let mut command = Cmd::with_capacity(20 + 2 * out.headers.len(), size);
    command.write_arg(b"XADD");
    command.write_arg(key.as_bytes());
    if let Some(maxlen) = maxlen {
        command.write_arg(b"MAXLEN");
        command.write_arg(b"~");
        command.write_arg(itoa::Buffer::new().format(maxlen).as_bytes());
    }
    command.write_arg(b"*");
    let mut field = |name: &str, value: &[u8]| {
        command.write_arg(name.as_bytes());
        command.write_arg(value);
    };
    field(BODY, out.body);
    field("message_id", out.message.id().as_bytes());
    field("message_name", out.message.name().as_bytes());
    field("message_type", out.message.message_type().as_bytes());
    if !out.key.is_empty() {
        field("key", out.key.as_bytes());
    }
    if !out.content_type.is_empty() {
        field("content_type", out.content_type.as_bytes());
    }
    let carrier = &out.message.raw().carrier;
    if let Some(correlation) = carrier.property(Property::CorrelationId) {
        field("correlation_id", correlation.as_bytes());
    }
    out.message.headers(&mut |name, value| {
        if !is_field(name) && !out.headers.iter().any(|(own, _)| *own == name) {
            write_header(&mut field, name, value);
        }
    });
    for (name, value) in out.headers.iter().filter(|(name, _)| !is_field(name)) {
        field(name, value.as_bytes());
    }
    command
}

/// `WAIT replicas milliseconds`.
pub(super) fn wait(replicas: u32, milliseconds: u64) -> Cmd {
    redis::cmd("WAIT").arg(replicas).arg(milliseconds).take()
}

fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// A stream has no types: every value as people would write it, and none for null.
fn write_header(field: &mut impl FnMut(&str, &[u8]), name: &str, value: HeaderValue<'_>) {
    match value {
        HeaderValue::Str(text) => field(name, text.as_bytes()),
        HeaderValue::Bytes(bytes) => field(name, bytes),
        HeaderValue::Null => {}
        other => {
            if let Some(text) = other.to_text() {
                field(name, text.as_bytes());
            }
        }
    }
}
