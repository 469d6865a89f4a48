//! Whether a source reads what a destination writes: its own dead letters, or a circle.

use globset::GlobBuilder;

use crate::broker::{Origin, Target};

/// True where `origin` would read a message that is published to `target`. Two names for one server are not recognised; a template
/// is taken for what it may become.
pub(super) fn reads(origin: &dyn Origin, target: &Target) -> bool {
    if let Some(inlet) = origin.inlet() {
        return inlet.link == target.link && inlet.address.text == target.address.text;
    }
    // A pattern has no one inlet: what it reads is a glob over its broker's addresses.
    let Some(pattern) = origin.address().strip_prefix(&*target.link.broker).and_then(|rest| rest.strip_prefix('/')) else {
        return false;
    };
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(&target.address.text))
}
