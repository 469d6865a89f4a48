//! Events by `POST`: the producer is a program that waits for the answer.
//!
//! A 2xx says that every message of the request is delivered (transit) or journaled, never less: 202 does not occur. What cannot be
//! decoded, routed or delivered is refused to its producer, with a problem (RFC 9457) that says what and where. The bridge listens
//! from its start to its end ([`crate::listen`]); while a source is not open its path answers 503.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::{
    listen::{HttpSettings, Mount},
    outcome::Reason,
    written::{Node, Problems},
};

mod answer;
mod body;
mod budget;
mod carrier;
mod delivery;
mod inlet;
mod media;
mod origin;
mod probe;
mod remembered;
mod settings;
mod source;
mod split;
mod verify;

#[cfg(test)]
mod tests;

/// The kind.
pub static KIND: Kind = Kind {
    name: "http_server",
    schemes: &[],
    given: None,
    headers_key: None,
    attribute_prefix: "ce-",
    promises: Promises {
        source: true,
        publisher: false,
        // The producer hears what became of its request, and sends it again: nothing comes again by itself.
        redelivers: false,
        // Two requests are two producers; inside one request the order holds.
        ordered: false,
        headers: true,
        // Its connections are its producers' to notice and to open again.
        network: false,
        places: true,
        message_bytes_max: 64 << 20,
    },
    schema,
    read,
};

/// A configured listener.
#[derive(Debug)]
struct HttpServer {
    name: Arc<str>,
    settings: Arc<settings::Settings>,
    /// Of its sources, as far as they have been read.
    paths: Mutex<Vec<Mount>>,
}

fn schema(part: Part, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    match part {
        Part::Broker => generator.subschema_for::<settings::Written>(),
        Part::Origin => generator.subschema_for::<origin::Written>(),
        // Nothing can be published to it.
        Part::Target => schemars::Schema::from(false),
    }
}

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let settings = settings::Settings::read(node, faults)?;
    Some(Arc::new(HttpServer { name: Arc::from(name), settings: Arc::new(settings), paths: Mutex::default() }))
}

#[async_trait]
impl Broker for HttpServer {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        self.settings.display()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        let origin = origin::read(written, &self.name, &self.settings, faults)?;
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.contains(&origin.mount()) {
            faults.fault(written.at(), format!("two sources have the path `{}`", origin.path()));
        }
        paths.push(origin.mount());
        Some(Arc::new(origin))
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        faults
            .fault(written.at(), format!("nothing can be sent to `{}`: an `http_server` takes requests", self.name))
            .hint("requests are sent by a broker of kind `webhook`");
        None
    }

    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        // The configuration has refused every target already.
        Err(OpenError { reason: Reason::Unroutable, detail: "an `http_server` takes requests and sends none".into() })
    }

    fn tap(&self, _: &Target) -> Result<Arc<dyn Origin>, String> {
        Err("an `http_server` receives nothing that anybody else could hear: tap a destination of its routes".into())
    }

    fn listens(&self) -> Option<HttpSettings> {
        Some(self.settings.listener.clone())
    }

    fn paths(&self) -> Vec<Mount> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn probe(&self, what: &Probe<'_>, _: &House) -> Vec<String> {
        probe::probe(&self.settings, what)
    }
}
