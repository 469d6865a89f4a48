//! `envelope`: the form in which a destination gets its messages.

use crate::{
    envelope::Format,
    written::{Node, Problems},
};

/// Reads `envelope` of a destination. Answers the form and its name.
pub(super) fn read(settings: &Node, _kind: &str, _name: &str, faults: &mut Problems) -> (Format, &'static str) {
    let Some(node) = settings.child("envelope") else { return (Format::Standard, "standard") };
    if node.is_map() || matches!(node.text(), Some("extended" | "cloudevents" | "standard_webhook")) {
        faults.fault(node.at(), "this form of `envelope` is not built yet").hint("`standard` or `payload`");
        return (Format::Standard, "standard");
    }
    match node.one_of(&[("standard", true), ("payload", false)], faults) {
        Some(false) => (Format::Payload, "payload"),
        _ => (Format::Standard, "standard"),
    }
}
