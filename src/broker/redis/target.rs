//! What a destination may say of Redis: `channel`, `sharded_channel`, `stream`, `maxlen`, `durability`.

use std::sync::Arc;

use schemars::JsonSchema;

use crate::{
    broker::{AddressRule, Field, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems},
};

/// No link has more than this on the wire: four natural batches of a busy source are enough for Redis.
const IN_FLIGHT: InFlight = InFlight { batches: 8, messages: 2_000, batch_messages: 256 };

/// `WAIT` blocks its connection while replicas lag: several of them must still fit into the time for an answer.
const IN_FLIGHT_WAIT: InFlight = InFlight { batches: 4, ..IN_FLIGHT };

/// A destination's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// What it is told to.
    pub(super) channel: Option<Channel>,
    /// Where it is kept.
    pub(super) stream: Option<Stream>,
}

/// The command that tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    /// `PUBLISH`.
    Plain,
    /// `SPUBLISH`.
    Sharded,
}

/// How it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream {
    /// `MAXLEN ~`: at least so many entries stay.
    pub(super) maxlen: Option<u64>,
    /// `WAIT`: so many replicas have it before it counts as delivered.
    pub(super) replicas: Option<u32>,
}

/// Channels and keys: values bring neither control characters nor what a pattern would understand.
pub(super) static CHANNEL: AddressRule = AddressRule { bytes_max: 4096, forbidden, name: "a Redis channel", encode: None };

/// The same for a stream's key.
pub(super) static STREAM: AddressRule = AddressRule { bytes_max: 4096, forbidden, name: "a Redis key", encode: None };

fn forbidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '*' | '?' | '[' | ']' | '\\')
}

/// Reads a destination; the short form is a channel.
pub(super) fn read(node: &Node, broker: &Arc<str>, faults: &mut Problems) -> Option<Target> {
    if let Some(channel) = node.text() {
        let address = TemplateText { text: channel.to_owned(), at: node.at().clone() };
        return Some(target(broker, address, CHANNEL, None, Options { channel: Some(Channel::Plain), stream: None }));
    }
    let template = |key, faults: &mut Problems| {
        let text = node.opt::<String>(key, faults)?;
        Some(TemplateText { text, at: node.child(key)?.at().clone() })
    };
    let plain = template("channel", faults);
    let sharded = template("sharded_channel", faults);
    let key = template("stream", faults);
    let maxlen = node.opt::<u64>("maxlen", faults);
    let replicas = node.child("durability").and_then(|written| read_durability(written, faults));
    if key.is_none() && (maxlen.is_some() || replicas.is_some()) {
        faults.fault(node.at(), "`maxlen` and `durability` belong to a `stream`");
    }
    let channel = match (plain, sharded) {
        (Some(_), Some(_)) => {
            faults.fault(node.at(), "`channel` and `sharded_channel` exclude each other");
            return None;
        }
        (Some(text), None) => Some((Channel::Plain, text)),
        (None, Some(text)) => Some((Channel::Sharded, text)),
        (None, None) => None,
    };
    let stream = key.is_some().then_some(Stream { maxlen, replicas });
    Some(match (channel, key) {
        (Some((channel, text)), key) => target(broker, text, CHANNEL, key, Options { channel: Some(channel), stream }),
        (None, Some(key)) => target(broker, key, STREAM, None, Options { channel: None, stream }),
        (None, None) => {
            faults.fault(node.at(), "a Redis destination needs `channel`, `sharded_channel` or `stream`");
            return None;
        }
    })
}

/// A target with everything in its place; `key` is a stream beside a channel.
pub(super) fn target(
    broker: &Arc<str>,
    address: TemplateText,
    rule: AddressRule,
    key: Option<TemplateText>,
    options: Options,
) -> Target {
    let waits = options.stream.is_some_and(|stream| stream.replicas.is_some());
    Target {
        link: LinkKey { broker: Arc::clone(broker), part: Arc::from("") },
        address,
        rule,
        fields: key.into_iter().map(|text| Field { name: "stream", text, rule: Some(STREAM) }).collect(),
        options: Arc::new(options),
        in_flight: if waits { IN_FLIGHT_WAIT } else { IN_FLIGHT },
    }
}

/// `wait(n)`.
fn read_durability(node: &Node, faults: &mut Problems) -> Option<u32> {
    let number = node.text().and_then(|text| text.trim().strip_prefix("wait(")?.strip_suffix(')')?.trim().parse().ok());
    let replicas = number.filter(|replicas| *replicas > 0);
    if replicas.is_none() {
        faults.fault(node.at(), "`durability` is `wait(n)`: the number of replicas that must have an entry");
    }
    replicas
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// A template: where it is published.
    channel: Option<String>,
    /// A template: where it is published with `SPUBLISH`.
    sharded_channel: Option<String>,
    /// A template: the stream it is added to; beside a channel both are written.
    stream: Option<String>,
    /// At least so many entries stay in the stream (`MAXLEN ~`).
    maxlen: Option<u64>,
    /// `wait(n)`: n replicas have the entry before it counts as delivered.
    durability: Option<String>,
}
