//! The settings of a broker: a directory that nothing leaves.

use std::path::PathBuf;

use schemars::JsonSchema;

use crate::written::{Node, Problems};

/// Reads the short form (`file:///var/lib/events`) or the long form.
pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<PathBuf> {
    if let Some(text) = node.text() {
        let directory = url::Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
        if directory.is_none() {
            faults
                .fault(node.at(), format!("`{text}` names no directory"))
                .hint("`file:///var/lib/events`; a relative one is written as `file: { directory: data }`");
        }
        return directory;
    }
    let directory: Option<PathBuf> = node.need("directory", faults);
    node.finish(faults);
    directory.filter(|directory| {
        let named = !directory.as_os_str().is_empty();
        if !named {
            faults.fault(node.at(), "`directory` is empty").hint("`.` is the working directory");
        }
        named
    })
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// All files of this broker are in it; it must exist.
    directory: String,
}
