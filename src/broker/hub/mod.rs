//! The hub of this process: topics in memory with the channels and patterns of Redis, for live clients at the gateway's doors and for
//! other routes. There is nothing to connect to, and one hub in a process, whatever its brokers are called.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::{
    live::hub::MESSAGE_BYTES_MAX,
    written::{Node, Problems},
};

mod origin;
mod publisher;
mod settings;
mod target;

#[cfg(test)]
mod tests;

/// The kind.
pub static KIND: Kind = Kind {
    name: "hub",
    schemes: &["hub"],
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
        message_bytes_max: MESSAGE_BYTES_MAX,
    },
    schema: Part::schema::<settings::Written, origin::Written, target::Written>,
    read,
};

/// The hub under a name.
#[derive(Debug)]
struct HubBroker {
    name: Arc<str>,
}

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    settings::read(node, faults).then(|| Arc::new(HubBroker { name: name.into() }) as Arc<dyn Broker>)
}

#[async_trait]
impl Broker for HubBroker {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        "hub://".into()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        let origin = origin::read(written, &self.name, faults)?;
        Some(Arc::new(origin))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(written, &self.name, faults)
    }

    fn hears(&self, _: &Target) -> Result<(), String> {
        Ok(())
    }

    async fn link(&self, _: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(publisher::HubPublisher::new(house.hub.clone())))
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        let place = &target.address.text;
        Err(format!(
            "`{place}` is a channel in the memory of the running bridge: subscribe at one of its doors (`gateway`), as with `redis-cli PSUBSCRIBE`"
        ))
    }

    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}
