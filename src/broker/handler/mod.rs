//! Functions of the program that Rialto is a part of: `handler/NAME`, and whoever is bound to the name of a domain event.
//!
//! Handlers are given by the program ([`crate::embed::Builder::on`]) and never by a file. Each is a lane of its own, with its own tries,
//! times and dead letter, and a link of its own, so that a slow one holds back nobody but itself. They run on the program's runtime.

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;

use super::{Bound, Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::{
    outcome::Reason,
    written::{Node, Problems},
};

mod caught;
mod event;
mod job;
mod publisher;
mod settings;
mod stage;
mod target;

pub use event::Event;
pub use settings::{BoxError, Handler, Handling, Permanent};

use stage::Stage;

/// The kind.
pub static KIND: Kind = Kind {
    name: "handler",
    schemes: &[],
    given: Some(WHENCE),
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: false,
        publisher: true,
        redelivers: false,
        // Events without a key are handled side by side.
        ordered: false,
        headers: true,
        network: false,
        // Nobody but the program itself can look at what its functions got.
        places: false,
        // Whatever a source takes: nothing is copied.
        message_bytes_max: u32::MAX as usize,
    },
    schema,
    read,
};

/// Where handlers come from, for faults.
const WHENCE: &str = "handlers are functions of a program that has Rialto inside: `Bridge::builder().handler(NAME, …)`; a program \
                          beside Rialto is called by a `webhook`";

/// No key of it stands in a file.
fn schema(_: Part, _: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "properties": {}, "additionalProperties": false })
}

fn read(_: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    faults.fault(node.at(), "a file cannot have handlers").hint(WHENCE);
    None
}

/// The handlers of one bridge, by name.
#[derive(Debug)]
pub struct Handlers {
    stage: Stage,
    known: IndexMap<Arc<str>, Arc<Handling>>,
}

impl Handlers {
    /// Handlers that run on the runtime of the caller, which must be inside one; of two with a name the later gets another.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(handlers: impl IntoIterator<Item = Handling>) -> Self {
        caught::watch_panics();
        let mut known = IndexMap::new();
        for handling in handlers {
            let mut name = handling.label();
            for number in 2.. {
                if !known.contains_key(&name) {
                    break;
                }
                name = format!("{}-{number}", handling.label()).into();
            }
            known.insert(name, Arc::new(handling));
        }
        Self { stage: Stage::open(), known }
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[async_trait]
impl Broker for Handlers {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        "functions of this program".into()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        faults
            .fault(written.at(), "a handler takes events and gives none")
            .hint("`Bridge::builder().broker(NAME, …)` brings a source");
        None
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(written, &self.known, faults)
    }

    fn rank(&self, target: &Target) -> u32 {
        target.options.downcast_ref::<target::Options>().map_or(super::RANK, |options| options.priority)
    }

    fn bound(&self) -> Vec<Bound> {
        let bound = self.known.iter().filter(|(_, handling)| !handling.handles.is_empty());
        bound.map(|(name, handling)| handling.bound(name)).collect()
    }

    async fn link(&self, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        let Some((_, name, handling)) = self.known.get_full(&*key.part) else {
            return Err(OpenError { reason: Reason::Unroutable, detail: format!("no handler is named `{}`", key.part) });
        };
        let publisher = publisher::HandlerPublisher::new(name, handling, self.stage.clone(), house.reports.clone());
        Ok(Box::new(publisher))
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        Err(format!("`{}` is a function: what it gets, only it can tell", target.address.text))
    }

    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}
