//! Webhooks: every message is a `POST` to a server whose host is the operator's, over HTTP/1.1 connections that are kept.
//!
//! A link is a bounded number of connections to one host. Messages of one ordering key go one after the other, those of different keys
//! side by side; each has its own time, and its own answer ([`answer`]). There are no redirects and no proxies, and addresses that
//! no webhook has business with are refused at each connect ([`address`]).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Bound, Broker, House, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target};
use crate::written::{Node, Problems};

mod address;
mod answer;
mod connect;
mod endpoint;
mod engine;
mod exchange;
mod path;
mod probe;
mod publisher;
mod queue;
mod request;
mod settings;
mod target;

#[cfg(test)]
mod tests;

/// The kind.
pub static KIND: Kind = Kind {
    name: "webhook",
    schemes: &["http", "https"],
    given: None,
    headers_key: None,
    attribute_prefix: "ce-",
    promises: Promises {
        source: false,
        publisher: true,
        redelivers: false,
        // Those of one key are; others travel side by side.
        ordered: false,
        headers: true,
        network: true,
        places: true,
        // HTTP has no largest body; a server that has one answers 413.
        message_bytes_max: usize::MAX,
    },
    schema: Part::schema::<settings::Written, target::NoOrigin, target::Written>,
    read,
};

/// A configured endpoint.
#[derive(Debug)]
struct Webhook {
    name: Arc<str>,
    settings: Arc<settings::Settings>,
}

fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    let settings = settings::Settings::read(node, faults)?;
    Some(Arc::new(Webhook { name: Arc::from(name), settings: Arc::new(settings) }))
}

#[async_trait]
impl Broker for Webhook {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        self.settings.display()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        faults
            .fault(written.at(), format!("`{}` is a webhook: it is written to, and there is nothing to read", self.name))
            .hint("events that others post are read from an `http_server`");
        None
    }

    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        target::read(written, &self.name, &self.settings, faults)
    }

    async fn link(&self, _: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
        let dialer = connect::Dialer::new(&self.settings, &house.metrics.certificates(&self.name))?;
        let mut opened = dialer.dial().await?;
        if dialer.endpoint.tls {
            // A server that minds our certificate says so after the handshake, and the link had better hear of it than a message.
            let closed = engine::closed_at_once(&mut opened).await;
            closed.map_err(|down| OpenError {
                reason: down.reason,
                detail: format!("{}: {}", dialer.endpoint.display(), down.detail),
            })?;
        }
        Ok(Box::new(publisher::WebhookPublisher::start(Arc::clone(&self.settings), dialer, opened)?))
    }

    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String> {
        Err(format!("what is posted to `{}` goes to its server, and nobody can listen beside it", target.address.text))
    }

    fn bound(&self) -> Vec<Bound> {
        target::bound(&self.name, &self.settings)
    }

    async fn probe(&self, what: &Probe<'_>, house: &House) -> Vec<String> {
        probe::probe(&self.settings, what, &house.metrics.certificates(&self.name)).await
    }
}
