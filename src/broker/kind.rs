//! What a kind of broker is called, and what it promises.

use std::sync::Arc;

use super::Broker;
use crate::written::{Node, Problems};

/// Messages that a source may have taken and not settled, where neither it nor its kind says another number (`window`).
pub const WINDOW: u32 = 1000;

/// One kind of broker.
#[derive(Debug)]
pub struct Kind {
    /// The key of the long form: `brokers: { mq: { amqp: … } }`.
    pub name: &'static str,
    /// The URL schemes of the short form.
    pub schemes: &'static [&'static str],
    /// Where its brokers come from, in a sentence, where no file can have one.
    pub given: Option<&'static str>,
    /// What its users call `headers`, where they have another word: a destination may write either.
    pub headers_key: Option<&'static str>,
    /// What stands before an attribute's name among its headers (the protocol bindings of CloudEvents 1.0; docs/wire.md).
    pub attribute_prefix: &'static str,
    /// What it promises.
    pub promises: Promises,
    /// JSON Schema (draft-07) of one part, for editors: `rialto schema`.
    pub schema: fn(Part, &mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Reads the broker's settings: a map in the long form, a URL string in the short form. `name` is its name in `brokers`.
    pub read: fn(name: &str, &Node, &mut Problems) -> Option<Arc<dyn Broker>>,
}

/// Which part of the configuration a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What stands under `brokers.NAME.KIND`.
    Broker,
    /// The kind's own keys in `sources.NAME`.
    Origin,
    /// The kind's own keys in a destination.
    Target,
}

/// What a kind promises; the conformance suites ask exactly this of it, against the real server.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a promise of its own, asked by a suite of its own")]
pub struct Promises {
    /// It can be read from.
    pub source: bool,
    /// It can be published to.
    pub publisher: bool,
    /// An unsettled message comes again after a lost connection.
    pub redelivers: bool,
    /// Messages published in one order on one address are read in that order. Without it a lane has one message of a key at a time
    /// on the wire, as under `ordering: strict`.
    pub ordered: bool,
    /// Headers and properties arrive with the body.
    pub headers: bool,
    /// It is reached over connections, which are lost, freeze and must be noticed dead: not what lives inside this process or its
    /// machine.
    pub network: bool,
    /// Others can put messages where it reads and look at what it wrote, at as many fresh places as they like: neither a clock, which
    /// nobody fills, nor the standard streams, of which a process has one each.
    pub places: bool,
    /// The largest body it takes, in bytes.
    pub message_bytes_max: usize,
}
