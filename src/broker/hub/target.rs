//! What a destination may say of the hub: `channel`.

use std::sync::Arc;

use schemars::JsonSchema;

use crate::{
    broker::{AddressRule, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems},
};

/// A batch is answered at once, unless a source of the bridge reads what is in it: then it waits for that source's verdicts. A message
/// that goes round in a circle of routes waits for itself as often as the hop limit lets it, so there is room for more batches than that.
const IN_FLIGHT: InFlight = InFlight { batches: 64, messages: 2_000, batch_messages: 256 };

/// Values bring neither control characters nor what a pattern would understand.
static CHANNEL: AddressRule = AddressRule { bytes_max: 4096, forbidden, name: "a channel of the hub", encode: None };

fn forbidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '*' | '?' | '[' | ']' | '\\')
}

/// Marks a target as the hub's: there is one in a process, whatever its brokers are called.
#[derive(Debug)]
pub(super) struct OfHub;

/// Reads a destination; the short form is a channel.
pub(super) fn read(node: &Node, broker: &Arc<str>, faults: &mut Problems) -> Option<Target> {
    let address = match node.text() {
        Some(channel) => TemplateText { text: channel.to_owned(), at: node.at().clone() },
        None => TemplateText { text: node.need("channel", faults)?, at: node.child("channel")?.at().clone() },
    };
    Some(Target {
        link: LinkKey { broker: Arc::clone(broker), part: Arc::from("") },
        address,
        rule: CHANNEL,
        fields: Vec::new(),
        options: Arc::new(OfHub),
        in_flight: IN_FLIGHT,
    })
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// A template: where it is published.
    channel: String,
}
