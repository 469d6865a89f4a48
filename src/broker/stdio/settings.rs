//! The settings of a broker: there are none. Which stream stands at each end.

use schemars::JsonSchema;

use crate::written::{Node, Problems};

/// Reads `stdio: {}` or the short form, `stdio://`.
pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<()> {
    match node.text() {
        Some("stdio://") => {}
        Some(_) => _ = faults.fault(node.at(), "a standard stream has no address: `stdio://`"),
        None if node.is_map() => node.finish(faults),
        None => return node.expected("`{}` or `stdio://`", None, faults),
    }
    Some(())
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Written {}
