//! A clock: messages at intervals that are aligned to the wall clock, or by cron.
//!
//! "Open at :00, close 15 s later" is two sources with the same `every` and different `offset`. Ticks that were missed (the process
//! slept, the window was full, the clock was set) make at most one late message, never a burst. Each tick's message has the same id
//! in every replica and after every restart: it is made of the source's name and the time that was due.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::{
    outcome::Reason,
    written::{Node, Problems},
};

mod calendar;
mod clockwork;
mod origin;
mod payload;
mod settings;
mod source;

/// The kind.
pub static KIND: Kind = Kind {
    name: "schedule",
    schemes: &[],
    given: None,
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: true,
        publisher: false,
        redelivers: false,
        ordered: true,
        headers: false,
        network: false,
        places: false,
        message_bytes_max: 1 << 20,
    },
    schema,
    read,
};

/// A configured clock.
#[derive(Debug)]
struct Schedule {
    name: Arc<str>,
}

fn schema(part: Part, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    match part {
        Part::Broker => generator.subschema_for::<settings::Written>(),
        Part::Origin => generator.subschema_for::<origin::Written>(),
        Part::Target => schemars::json_schema!({ "type": "object" }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is that of every kind")]
fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    settings::read(node, faults);
    Some(Arc::new(Schedule { name: Arc::from(name) }))
}

#[async_trait]
impl Broker for Schedule {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        "the clock".to_owned()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        Some(Arc::new(origin::read(written, &self.name, faults)?))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        faults.fault(written.at(), format!("`{}` is a schedule: nothing can be sent to a clock", self.name));
        None
    }

    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        // No target is ever made for it.
        Err(OpenError { reason: Reason::Unroutable, detail: "nothing can be sent to a clock".into() })
    }

    fn tap(&self, _: &Target) -> Result<Arc<dyn Origin>, String> {
        Err("nothing is ever sent to a clock".into())
    }

    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}
