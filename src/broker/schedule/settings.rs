//! The settings of a broker: there are none. When and what stands in each source.

use schemars::JsonSchema;

use crate::written::{Node, Problems};

/// Reads `schedule: {}`.
pub(super) fn read(node: &Node, faults: &mut Problems) {
    for key in ["every", "offset", "cron", "timezone", "payload"] {
        if let Some(at) = node.key_at(key) {
            faults
                .fault(at, format!("`{key}` belongs to a source: one clock, many schedules"))
                .hint(format!("`sources: {{ heartbeat: {{ broker: …, {key}: … }} }}`"));
            // It was asked for: one fault is enough.
            node.child(key);
        }
    }
    if node.is_map() {
        node.finish(faults);
    } else {
        node.expected::<()>("`{}`", None, faults);
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Written {}
