//! Redis and Valkey, by redis-rs: channels, sharded channels and streams, on one server, behind sentinels or on a cluster.
//!
//! Nothing in this folder reconnects by itself. A link or a source is one incarnation over connections of its own; the crate's
//! `ConnectionManager` is not used, because it keeps the error of a failed reconnect for ever when that error is no I/O error.
//!
//! What an ACL user needs (6.0 or newer; streams by group 6.2): for destinations `PUBLISH`, `SPUBLISH`, `XADD`, `WAIT` as they are
//! used, and `PING`; for channels `SUBSCRIBE` or `PSUBSCRIBE`; for streams `XREADGROUP XACK XCLAIM XAUTOCLAIM XGROUP XINFO`, and
//! `CLIENT|UNBLOCK` to stop without leaving an entry behind. `HELLO` tells a replica from a master; `check --connect` asks
//! `ACL WHOAMI` and `ACL DRYRUN` where they are allowed.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::written::{Node, Problems};

mod acker;
mod answers;
mod carrier;
mod command;
mod connect;
mod group;
mod held;
mod nodes;
mod origin;
mod probe;
mod publisher;
mod pubsub;
mod servers;
mod settings;
mod slot;
mod stream;
mod tap;
mod target;
mod wire;

#[cfg(test)]
mod tests;

/// The kind.
pub static KIND: Kind = Kind {
    name: "redis",
    schemes: servers::SCHEMES,
    given: None,
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: true,
        publisher: true,
        redelivers: true,
        ordered: true,
        headers: true,
        network: true,
        places: true,
        // `proto-max-bulk-len`, 512 MiB unless the server's administrator changed it.
        message_bytes_max: 512 << 20,
    },
    schema: Part::schema::<settings::Written, origin::Written, target::Written>,
    read,
};

/// A configured Redis.
#[derive(Debug)]
struct Redis {
    name: Arc<str>,
    settings: Arc<settings::Settings>,
}

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let settings = settings::Settings::read(node, faults)?;
    Some(Arc::new(Redis { name: Arc::from(name), settings: Arc::new(settings) }))
}

#[async_trait]
impl Broker for Redis {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        self.settings.display()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        let origin = origin::read(written, &self.name, &self.settings, faults)?;
        Some(Arc::new(origin))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(written, &self.name, faults)
    }

    fn carries_headers(&self, target: &Target) -> bool {
        target.options.downcast_ref::<target::Options>().is_some_and(|options| options.channel.is_none())
    }

    fn hears(&self, target: &Target) -> Result<(), String> {
        let told = target.options.downcast_ref::<target::Options>().and_then(|options| options.channel);
        match told {
            None => Err("a stream keeps what it gets, and nobody is counted".into()),
            Some(_) if self.settings.is_cluster() => Err("a cluster's `PUBLISH` counts only the receivers on one node".into()),
            Some(_) => Ok(()),
        }
    }

    async fn link(&self, _: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        let dialer = connect::Dialer::new(&self.name, &self.settings, house)?;
        let nodes = nodes::Nodes::open(&dialer).await?;
        Ok(Box::new(publisher::RedisPublisher::new(nodes)))
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        let origin = tap::of(target, &self.name, &self.settings)?;
        Ok(Arc::new(origin))
    }

    async fn probe(&self, what: &Probe<'_>, house: &House) -> Vec<String> {
        probe::probe(&self.name, &self.settings, what, house).await
    }
}
