//! Azure Service Bus: queues and topics, published to over HTTPS or AMQP 1.0, consumed over AMQP.
//!
//! ```text
//!   settings    what is configured          connection_string   what Azure's portal shows          schema      for editors
//!   credential  who we are                  sas                 a signed word with an end          entity      names of queues and topics
//!   target      where to publish            properties          what travels beside a body         probe       what `check --connect` asks
//!   publisher   one link, over either transport             origin   what to read      tap   looks without taking
//!   https       one link over HTTPS: batches as JSON, on Microsoft's own client crate
//!   amqp        AMQP 1.0: sources, taps, and one link where `transport: amqp` says so
//! ```
//!
//! The crate `azure_messaging_servicebus` writes the requests and this folder does the rest: it knows no timeout, no `Retry-After`, no
//! other host than the public cloud's and no token but its own, and throws the text of an error away.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, Described, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Remark, Target};
use crate::written::{Node, Problems};

mod amqp;
mod connection_string;
mod credential;
mod entity;
mod held_back;
mod https;
mod origin;
mod probe;
mod properties;
mod publisher;
mod remarks;
mod sas;
mod schema;
mod settings;
mod tap;
mod target;

#[cfg(test)]
mod tests;

use settings::Settings;

/// The kind.
pub static KIND: Kind = Kind {
    name: "service_bus",
    schemes: &["servicebus", "sb"],
    given: None,
    headers_key: Some("properties"),
    attribute_prefix: "cloudEvents_",
    promises: Promises {
        source: true,
        publisher: true,
        redelivers: true,
        ordered: true,
        headers: true,
        network: true,
        places: true,
        // The Standard tier takes 256 KB with all properties; Premium takes more.
        message_bytes_max: 192 << 10,
    },
    schema: Part::schema::<schema::ServiceBusBroker, schema::ServiceBusSource, schema::ServiceBusDestination>,
    read,
};

/// A configured namespace.
#[derive(Debug)]
pub(super) struct ServiceBus {
    name: Arc<str>,
    settings: Arc<Settings>,
}

/// As the trait object: origins keep the broker they were read from.
#[derive(Debug)]
struct Configured(Arc<ServiceBus>);

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let settings = Settings::read(name, node, faults)?;
    Some(Arc::new(Configured(Arc::new(ServiceBus { name: name.into(), settings: Arc::new(settings) }))))
}

#[async_trait]
impl Broker for Configured {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        self.0.settings.display()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        Some(Arc::new(origin::BusOrigin::read(&self.0, written, faults)?))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(&self.0.name, &self.0.settings, written, faults)
    }

    async fn link(&self, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        publisher::open(&self.0.settings, key, house).await
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        tap::of(&self.0, target)
    }

    fn remarks(&self, end: &Described<'_>) -> Vec<Remark> {
        remarks::of(&self.0, end)
    }

    async fn probe(&self, what: &Probe<'_>, house: &House) -> Vec<String> {
        probe::ask(&self.0.name, &self.0.settings, what, house).await
    }
}
