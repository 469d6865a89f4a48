//! What a destination may say of a file: its `path`, and `fsync`.

use std::sync::Arc;

use schemars::JsonSchema;

use super::place::is_inside;
use crate::{
    broker::{AddressRule, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems, Span},
};

/// What waits for a slow disk.
const IN_FLIGHT: InFlight = InFlight { batches: 4, messages: 2_000, batch_messages: 256 };

/// A value is a part of a name, never a step to another directory.
pub(super) static PATH: AddressRule = AddressRule { bytes_max: 4096, forbidden, encode: None, name: "a file's path" };

fn forbidden(letter: char) -> bool {
    letter.is_control() || letter == '/'
}

/// A destination's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// Delivered means on the disk.
    pub(super) fsync: bool,
}

/// Reads a destination; the short form is a path.
pub(super) fn read(node: &Node, broker: &Arc<str>, faults: &mut Problems) -> Option<Target> {
    let (path, at, fsync) = if let Some(text) = node.text() {
        (text.to_owned(), node.at().clone(), false)
    } else {
        let path: Option<String> = node.need("path", faults);
        let fsync = node.get("fsync", false, faults);
        (path?, node.child("path").unwrap_or(node).at().clone(), fsync)
    };
    if !is_inside(&path) {
        faults
            .fault(&at, format!("`{path}` leaves its directory"))
            .hint("a relative path without `.` and `..`: `orders/{payload.region}.jsonl`");
        return None;
    }
    Some(target(broker, &path, at, Options { fsync }))
}

/// A target with everything in its place.
pub(super) fn target(broker: &Arc<str>, path: &str, at: Span, options: Options) -> Target {
    Target {
        link: LinkKey { broker: Arc::clone(broker), part: Arc::from("") },
        address: TemplateText { text: path.to_owned(), at },
        rule: PATH,
        fields: Vec::new(),
        options: Arc::new(options),
        in_flight: IN_FLIGHT,
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// A template: the file below the broker's directory to which a line is appended.
    path: Option<String>,
    /// True: delivered means on the disk, not only with the system.
    fsync: Option<bool>,
}
