//! RabbitMQ, by AMQP 0-9-1.
//!
//! ```text
//!   settings   what is configured          declare    what a source creates       wire      one connection, unplugged when dropped
//!   origin     a queue to read             source     one incarnation of it       prefetch  how much to ask for ahead
//!   carrier    what came beside a body     target     where to publish            publisher one link: a confirmed line per exchange
//!   fault      what an error means         probe      what `check --connect` asks tap       reads without taking
//!   outstanding  delivered and not told yet       login   who we are
//! ```

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::written::{Node, Problems};

mod carrier;
mod declare;
mod fault;
mod line;
mod login;
mod origin;
mod outstanding;
mod prefetch;
mod probe;
mod properties;
mod publisher;
mod schema;
mod settings;
mod source;
mod tap;
mod target;
mod wire;

use settings::Settings;

/// The kind.
pub static KIND: Kind = Kind {
    name: "amqp",
    schemes: &["amqp", "amqps"],
    given: None,
    headers_key: None,
    attribute_prefix: "cloudEvents_",
    promises: Promises {
        source: true,
        publisher: true,
        redelivers: true,
        ordered: true,
        headers: true,
        network: true,
        places: true,
        // RabbitMQ's own default, `max_message_size`; 16 MiB from 4.0.
        message_bytes_max: 128 << 20,
    },
    schema: Part::schema::<schema::AmqpBroker, schema::AmqpSource, schema::AmqpDestination>,
    read,
};

/// A configured RabbitMQ, or a cluster of them.
#[derive(Debug, Clone)]
pub(super) struct Amqp {
    name: Arc<str>,
    settings: Settings,
}

/// As the trait object: origins keep the broker they were read from.
#[derive(Debug)]
struct Configured(Arc<Amqp>);

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let settings = Settings::read(name, node, faults)?;
    Some(Arc::new(Configured(Arc::new(Amqp { name: name.into(), settings }))))
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
        Some(Arc::new(origin::AmqpOrigin::read(&self.0, written, faults)?))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(&self.0, written, faults)
    }

    async fn link(&self, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(publisher::Link::open(&self.0.settings, key, house).await?))
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        tap::of(&self.0, target)
    }

    async fn probe(&self, what: &Probe<'_>, house: &House) -> Vec<String> {
        probe::ask(&self.0, what, house).await
    }
}

#[cfg(test)]
impl Amqp {
    fn for_tests(name: &str, url: &str) -> Self {
        let node = Node::new("brokers.mq", crate::written::Span::outside("test"), crate::written::Value::Str(url.into()));
        let settings = Settings::read(name, &node, &mut Problems::default()).expect("sound settings");
        Self { name: name.into(), settings }
    }
}
