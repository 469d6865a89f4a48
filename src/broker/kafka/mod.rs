//! Apache Kafka, by librdkafka.
//!
//! ```text
//!   settings   what is configured          security   what of it librdkafka is told    client   what both halves open
//!   voice      what a client says of itself            fault      what an error means   schema   keys, for editors
//!   target     where to publish            publisher  one link: an idempotent producer
//!   ledger     who has been answered       record     a message as a record             prefix   ids of a schema registry
//!   topics     those that are missing      probe      what `check --connect` asks      token    what OAUTHBEARER logs in by
//!   letter     dead letters in the words of others        batch_size  what a batch may hold
//!   origin     what to read                subscription  topics by name or pattern      carrier  what comes beside a value
//!   source/    one consumer in its group   tap        a look from beside        relay/   both ends in transactions
//!   remarks    for `explain`
//! ```
//!
//! librdkafka reconnects inside one client, keeping order and, by idempotence, sending nothing twice. That is within one incarnation;
//! what it gives up for good ends the link, and a new client takes its place.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Broker, Described, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Relayed, Remark, Target,
};
use crate::written::{Node, Problems};

mod apart;
mod batch_size;
mod carrier;
mod client;
mod fault;
mod ledger;
mod letter;
mod origin;
mod prefix;
mod probe;
mod publisher;
mod record;
mod relay;
mod remarks;
mod schema;
mod search;
mod security;
mod settings;
mod source;
mod subscription;
mod tap;
mod target;
mod token;
mod topics;
mod voice;

use batch_size::BatchSize;
use relay::Relays;
use settings::Settings;
use topics::Suspects;

/// The kind.
pub static KIND: Kind = Kind {
    name: "kafka",
    schemes: &["kafka"],
    given: None,
    headers_key: None,
    attribute_prefix: "ce_",
    promises: Promises {
        source: true,
        publisher: true,
        redelivers: true,
        // Within a partition: messages of one key, or those of a topic that has one partition.
        ordered: true,
        headers: true,
        network: true,
        places: true,
        // `message.max.bytes` of a broker as it comes is 1 MiB, with what a batch of one record adds; a topic may have its own.
        message_bytes_max: 1_000_000,
    },
    schema: Part::schema::<schema::KafkaBroker, schema::KafkaSource, schema::KafkaDestination>,
    read,
};

/// A configured Kafka cluster.
#[derive(Debug)]
pub(super) struct Kafka {
    name: Arc<str>,
    settings: Settings,
    /// What its topics turned out to take, kept over the links' lives.
    batches: BatchSize,
    /// Partitions that it does not write to for the time being, for want of replicas.
    scarce: Suspects,
    /// Exchanges that are transactions, by the part of their link.
    relays: Relays,
}

/// As the trait object: origins keep the broker they were read from.
#[derive(Debug)]
struct Configured(Arc<Kafka>);

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let settings = Settings::read(name, node, faults)?;
    Some(Arc::new(Configured(Arc::new(Kafka {
        name: name.into(),
        settings,
        batches: BatchSize::default(),
        scarce: Suspects::default(),
        relays: Relays::default(),
    }))))
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
        let origin = origin::KafkaOrigin::read(&self.0, written, faults)?;
        Some(Arc::new(origin))
    }

    fn window(&self) -> u32 {
        origin::WINDOW
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(&self.0.name, written, faults)
    }

    async fn link(&self, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(match self.0.relays.of(&key.part) {
            Some(relay) => Box::new(relay::Link::open(&self.0, &relay, house).await?),
            None => Box::new(publisher::Link::open(&self.0, house).await?),
        })
    }

    fn relay(&self, origin: &dyn Origin, targets: &[Target]) -> Result<Relayed, String> {
        relay::join(&self.0, origin, targets)
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        let origin = tap::of(target, &self.0)?;
        Ok(Arc::new(origin))
    }

    fn remarks(&self, end: &Described<'_>) -> Vec<Remark> {
        remarks::of(end)
    }

    async fn probe(&self, what: &Probe<'_>, house: &House) -> Vec<String> {
        probe::ask(&self.0, what, house).await
    }
}
