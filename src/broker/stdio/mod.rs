//! The process's own streams: lines of standard input are messages, and messages are lines of standard output or error.
//!
//! Standard input is read once in a process, whatever is reloaded, and its end is the end of the source: `cat events | rialto run`
//! ends when all is delivered. A pipe that nobody empties holds its lane back, and no other; one that is closed is a link that is
//! down. Neither ends the process.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::written::{Node, Problems};

mod input;
mod origin;
mod output;
mod publisher;
mod settings;
mod target;

/// The kind.
pub static KIND: Kind = Kind {
    name: "stdio",
    schemes: &["stdio"],
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
        places: false,
        message_bytes_max: 64 << 20,
    },
    schema: Part::schema::<settings::Written, origin::Written, target::Written>,
    read,
};

/// The streams under a name.
#[derive(Debug)]
struct Stdio {
    name: Arc<str>,
}

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    settings::read(node, faults)?;
    Some(Arc::new(Stdio { name: Arc::from(name) }))
}

#[async_trait]
impl Broker for Stdio {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        "standard input and output".to_owned()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        Some(Arc::new(origin::read(written, &self.name, faults)?))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(written, &self.name, faults)
    }

    async fn link(&self, key: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(publisher::StdioPublisher::open(&key.part)?))
    }

    fn tap(&self, _: &Target) -> Result<Arc<dyn Origin>, String> {
        Err("what goes to a standard stream is seen by whoever reads that stream, and by nobody else".into())
    }

    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}
