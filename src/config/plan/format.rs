//! `envelope`: the form in which a destination gets its messages.

use std::sync::Arc;

use crate::{
    broker::{Broker, Kind, Target},
    envelope::{CloudEvents, Format, Mode},
    written::{Node, Problems},
};

/// The words of `envelope`.
#[derive(Debug, Clone, Copy)]
enum Form {
    Standard,
    Extended,
    CloudEvents,
    Payload,
    StandardWebhook,
}

const FORMS: [(&str, Form); 5] = [
    ("standard", Form::Standard),
    ("extended", Form::Extended),
    ("cloudevents", Form::CloudEvents),
    ("payload", Form::Payload),
    ("standard_webhook", Form::StandardWebhook),
];

/// Reads `envelope` of a destination; events that name no source of their own get one made from the
/// bridge's `name`. Answers the form, and its word for people.
pub(super) fn read(
    settings: &Node,
    broker: &dyn Broker,
    target: Option<&Target>,
    name: &str,
    faults: &mut Problems,
) -> (Format, &'static str) {
    let Some(node) = settings.child("envelope") else { return (Format::Standard, "standard") };
    let source: Arc<str> = format!("urn:rialto:{name}").into();
    if node.is_map() {
        let format = long(node, broker.kind(), target.is_none_or(|target| broker.carries_headers(target)), source, faults);
        node.finish(faults);
        return (format, "cloudevents");
    }
    let form = node.one_of(&FORMS, faults).unwrap_or(Form::Standard);
    let format = match form {
        Form::Standard => Format::Standard,
        Form::Extended => Format::Extended { source },
        Form::CloudEvents => Format::CloudEvents(CloudEvents { mode: Mode::Structured, type_prefix: "".into(), source }),
        Form::Payload => Format::Payload,
        Form::StandardWebhook => Format::StandardWebhook,
    };
    (format, FORMS[form as usize].0)
}

/// The long form: `{ cloudevents: { mode, type_prefix, source } }`.
fn long(node: &Node, kind: &Kind, carries_headers: bool, source: Arc<str>, faults: &mut Problems) -> Format {
    let mut events = CloudEvents { mode: Mode::Structured, type_prefix: "".into(), source };
    let Some(options) = node.child("cloudevents") else {
        faults.fault(node.at(), "the long form of `envelope` is `{ cloudevents: { … } }`");
        return Format::CloudEvents(events);
    };
    let modes = [("structured", Mode::Structured), ("binary", Mode::Binary { prefix: kind.attribute_prefix })];
    events.mode = options.choice("mode", &modes, faults).unwrap_or(events.mode);
    if !carries_headers && events.mode != Mode::Structured {
        let at = options.child("mode").unwrap_or(options).at();
        faults.fault(at, "a binary CloudEvent has its attributes in headers, and here are none").hint("`mode: structured`");
    }
    if let Some(prefix) = options.opt::<String>("type_prefix", faults) {
        events.type_prefix = prefix.into();
    }
    if let Some(source) = options.opt::<String>("source", faults) {
        if source.is_empty() {
            // CloudEvents 1.0, "source": a non-empty URI-reference.
            faults.fault(options.child("source").unwrap_or(options).at(), "`source` of a CloudEvent must not be empty");
        }
        events.source = source.into();
    }
    options.finish(faults);
    Format::CloudEvents(events)
}
