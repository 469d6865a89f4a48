//! Files of a directory: each line of one is a message, and each message a line of another.
//!
//! A file is read once, to its end, which is the end of the source; or it is followed, over rotation and truncation. A line has the
//! same identity whenever it is read again: it is made of its place and its bytes. What was read and not settled is read again by the
//! next incarnation of the source; another process begins anew.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
};

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::written::{Node, Problems};

mod origin;
mod place;
mod publisher;
mod settings;
mod source;
mod target;
mod trail;
mod writer;

/// The kind.
pub static KIND: Kind = Kind {
    name: "file",
    schemes: &["file"],
    given: None,
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: true,
        publisher: true,
        redelivers: false,
        ordered: true,
        headers: false,
        network: false,
        places: true,
        message_bytes_max: 64 << 20,
    },
    schema: Part::schema::<settings::Written, origin::Written, target::Written>,
    read,
};

/// A configured directory.
#[derive(Debug)]
struct Files {
    name: Arc<str>,
    directory: Arc<PathBuf>,
    /// Writers whose link is gone and whose last write has not come back.
    leaving: Arc<AtomicUsize>,
}

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let directory = settings::read(node, faults)?;
    Some(Arc::new(Files { name: Arc::from(name), directory: Arc::new(directory), leaving: Arc::default() }))
}

#[async_trait]
impl Broker for Files {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        format!("file://{}", self.directory.display())
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        Some(Arc::new(origin::read(written, &self.name, &self.directory, faults)?))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(written, &self.name, faults)
    }

    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(publisher::FilePublisher::open(&self.directory, &self.leaving)?))
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        let path = &target.address.text;
        if path.contains(['{', '}']) {
            return Err(format!("`{path}` stands for many files, and only one that is named can be followed"));
        }
        Ok(Arc::new(origin::tail(&self.name, &self.directory, path)))
    }

    async fn probe(&self, what: &Probe<'_>, _: &House) -> Vec<String> {
        let found = match what {
            Probe::Broker | Probe::Target(_) => place::directory(&self.directory),
            Probe::Origin(origin) => place::readable(&self.directory, origin.address()),
        };
        found.err().into_iter().collect()
    }
}
