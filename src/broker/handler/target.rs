//! What a destination may say of a handler: its name, and its place among those of one event.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Handling, KIND};
use crate::{
    broker::{AddressRule, InFlight, LinkKey, RANK, Target, TemplateText},
    written::{Node, Problems, suggestion},
};

/// How the address is held.
const RULE: AddressRule = AddressRule { bytes_max: 255, forbidden: char::is_control, name: "a handler's name", encode: None };

/// What the broker asks of its own target.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) priority: u32,
}

/// Reads a destination; the short form is the name.
pub(super) fn read(node: &Node, known: &IndexMap<Arc<str>, Arc<Handling>>, faults: &mut Problems) -> Option<Target> {
    let (name, at) = match node.text() {
        Some(name) => (name.to_owned(), node.at()),
        None => (node.need::<String>("name", faults)?, node.child("name").unwrap_or(node).at()),
    };
    let priority = if node.is_map() { node.get("priority", RANK, faults) } else { RANK };
    let Some((_, name, handling)) = known.get_full(&*name) else {
        let otherwise = || "`Bridge::builder().handler(NAME, …)` brings one".to_owned();
        let hint = suggestion(&name, known.keys().map(AsRef::as_ref)).unwrap_or_else(otherwise);
        faults.fault(at, format!("the program has no handler named `{name}`")).hint(hint);
        return None;
    };
    let calls = handling.concurrency;
    Some(Target {
        // One link each: what one handler keeps waiting is its own.
        link: LinkKey { broker: KIND.name.into(), part: name.clone() },
        address: TemplateText { text: name.to_string(), at: at.clone() },
        rule: RULE,
        fields: Vec::new(),
        options: Arc::new(Options { priority }),
        in_flight: InFlight { batches: calls, messages: calls, batch_messages: 1 },
    })
}
