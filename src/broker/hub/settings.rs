//! The settings of a hub: `hub://` or `{ hub: {} }`.

use schemars::JsonSchema;

use crate::written::{Node, Problems};

/// Reads either form; false where it has a fault.
pub(super) fn read(node: &Node, faults: &mut Problems) -> bool {
    match node.text() {
        Some(url) if url.trim_end_matches('/') != "hub:" => {
            faults.fault(node.at(), "the hub is in this process: its URL is `hub://` and nothing else");
            return false;
        }
        Some(_) => {}
        None => node.finish(faults),
    }
    true
}

/// The long form: there is nothing to set.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Written {}
