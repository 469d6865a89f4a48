//! What a source may say of a file: its `path`, `follow` and `start`.

use std::{
    any::Any,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use schemars::JsonSchema;

use super::{
    place::{is_inside, readable},
    source::FileSource,
    target::{self, Options},
    trail::Trail,
};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    outcome::Reason,
    written::{Node, Problems, Size, Span},
};

/// As docs/configuration.md has it, where the source does not say.
const MESSAGE_MAX: Size = Size(1 << 20);

/// A file to read.
#[derive(Debug, Clone)]
pub(super) struct FileOrigin {
    broker: Arc<str>,
    /// `broker/path`
    pub(super) address: Arc<str>,
    /// Below the directory, as written.
    pub(super) path: Arc<str>,
    /// Where it is.
    pub(super) place: Arc<Path>,
    /// It goes on after its end.
    pub(super) follow: bool,
    /// Only what comes from now on.
    pub(super) from_end: bool,
    /// Longer lines are cut where that can be seen.
    pub(super) line_max: u64,
    trail: Arc<Mutex<Trail<File>>>,
    directory: Arc<PathBuf>,
}

/// Reads a source; the short form is a path, read once.
pub(super) fn read(node: &Node, broker: &Arc<str>, directory: &Arc<PathBuf>, faults: &mut Problems) -> Option<FileOrigin> {
    let (path, at, follow, start, line_max) = if let Some(text) = node.text() {
        (text.to_owned(), node.at(), false, None, MESSAGE_MAX)
    } else {
        let path: Option<String> = node.need("path", faults);
        let follow = node.get("follow", false, faults);
        let start = node.choice("start", &[("earliest", false), ("latest", true)], faults);
        let line_max = node.get("message_max", MESSAGE_MAX, faults);
        (path?, node.peek("path").unwrap_or(node).at(), follow, start, line_max)
    };
    if start == Some(true) && !follow {
        faults
            .fault(node.peek("start").unwrap_or(node).at(), "`start: latest` needs `follow: true`: after its end there is nothing");
    }
    if !is_inside(&path) {
        faults.fault(at, format!("`{path}` leaves its directory")).hint("a relative path without `.` and `..`");
        return None;
    }
    let origin = FileOrigin::new(broker, directory, &path);
    Some(FileOrigin { follow, from_end: start == Some(true), line_max: line_max.0, ..origin })
}

/// A file from its end on, for `tap`.
pub(super) fn tail(broker: &Arc<str>, directory: &Arc<PathBuf>, path: &str) -> FileOrigin {
    FileOrigin { follow: true, from_end: true, ..FileOrigin::new(broker, directory, path) }
}

impl FileOrigin {
    fn new(broker: &Arc<str>, directory: &Arc<PathBuf>, path: &str) -> Self {
        Self {
            broker: Arc::clone(broker),
            address: format!("{broker}/{path}").into(),
            path: path.into(),
            place: directory.join(path).into(),
            follow: false,
            from_end: false,
            line_max: MESSAGE_MAX.0,
            trail: Arc::default(),
            directory: Arc::clone(directory),
        }
    }

    /// How far it was read.
    pub(super) fn trail(&self) -> MutexGuard<'_, Trail<File>> {
        // Each of its steps leaves it whole.
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Origin for FileOrigin {
    fn display(&self) -> String {
        self.address.to_string()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        true
    }

    async fn open(&self, _: &House) -> Result<Box<dyn Source>, OpenError> {
        let source = FileSource::open(self.clone()).map_err(|error| {
            let said = readable(&self.directory, &self.address).err();
            OpenError { reason: Reason::Unroutable, detail: said.unwrap_or_else(|| format!("{}: {error}", self.place.display())) }
        })?;
        Ok(Box::new(source))
    }

    fn inlet(&self) -> Option<Target> {
        Some(target::target(&self.broker, &self.path, Span::outside("inlet"), Options { fsync: false }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// The file below the broker's directory.
    path: Option<String>,
    /// True: goes on after its end, over rotation and truncation.
    follow: Option<bool>,
    /// `earliest`, or with `follow` `latest`: only what comes from now on.
    start: Option<String>,
}
