//! What a destination may say of a standard stream: which one, and a label for people.

use std::sync::Arc;

use schemars::JsonSchema;

use crate::{
    broker::{AddressRule, Field, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems},
};

/// Four batches wait for a slow reader; more would only make its memory ours.
const IN_FLIGHT: InFlight = InFlight { batches: 4, messages: 1_000, batch_messages: 256 };

/// Names of streams; no value is ever put in.
static STREAM: AddressRule = AddressRule { bytes_max: 16, forbidden: |_| false, encode: None, name: "a standard stream" };

/// Reads a destination; the short form is `broker/stdout` or `broker/stderr`.
pub(super) fn read(node: &Node, broker: &Arc<str>, faults: &mut Problems) -> Option<Target> {
    let (stream, label) = if let Some(text) = node.text() {
        (text.to_owned(), None)
    } else {
        let label = node.child("label").zip(node.opt::<String>("label", faults));
        (node.need("lines", faults)?, label.map(|(at, text)| TemplateText { text, at: at.at().clone() }))
    };
    let at = node.peek("lines").unwrap_or(node).at();
    if !matches!(stream.as_str(), "stdout" | "stderr") {
        faults.fault(at, format!("`{stream}` cannot be written: `stdout` and `stderr` can"));
        return None;
    }
    Some(Target {
        link: LinkKey { broker: Arc::clone(broker), part: stream.as_str().into() },
        address: TemplateText { text: stream, at: at.clone() },
        rule: STREAM,
        fields: label.into_iter().map(|text| Field { name: "label", text, rule: None }).collect(),
        options: Arc::new(()),
        in_flight: IN_FLIGHT,
    })
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// `stdout` or `stderr`.
    lines: Option<String>,
    /// A template that is written before each line, for people: `"{message_name} "`.
    label: Option<String>,
}
