//! Service Bus over HTTPS, against a namespace of the tests' own that answers as it is told.

use rialto::{
    broker::{Outgoing, Publisher, Target, service_bus::KIND},
    envelope::Message,
    outcome::{Outcome, Reason},
};

use crate::support;

mod amqp;
mod answers;
mod both_ways;
mod identity;
mod live;
pub(crate) mod namespace;
mod proxy;
pub(crate) mod stand_in;
mod turns;
mod written;

use namespace::Namespace;

/// A link to a namespace.
struct Rig {
    target: Target,
    link: Box<dyn Publisher>,
    namespace: Namespace,
}

impl Rig {
    async fn to(namespace: Namespace) -> Self {
        Self::with(namespace, "", "queue: orders").await
    }

    /// With the broker's further settings and a destination, in YAML.
    async fn with(namespace: Namespace, further: &str, target: &str) -> Self {
        Self::as_settings(namespace, |address| namespace::settings(address, further), target).await
    }

    /// With settings that are made of the namespace's address.
    async fn as_settings(namespace: Namespace, settings: impl FnOnce(&str) -> String, target: &str) -> Self {
        let broker = support::broker(&KIND, &settings(&namespace.0.address.to_string()));
        let target = support::target(&*broker, target);
        let link = broker.link(&target.link, &support::house()).await.expect("a link");
        Self { target, link, namespace }
    }

    /// Sends one batch to `orders`.
    async fn send(&mut self, bodies: &[&str]) -> Vec<Outcome> {
        let messages: Vec<_> = bodies.iter().map(|body| support::message((*body).to_owned())).collect();
        let batch: Vec<_> = messages.iter().map(|message| support::outgoing(&self.target, message, "orders")).collect();
        support::send(&mut *self.link, &batch).await
    }

    /// Sends one message to `orders`, with more said of it than its body.
    async fn one(&mut self, message: &Message, said: &Said<'_>) -> Outcome {
        let out = support::outgoing(&self.target, message, "orders");
        let body = said.body.unwrap_or(out.body);
        let Said { key, headers, fields, content_type, .. } = *said;
        support::send(&mut *self.link, &[Outgoing { key, headers, fields, content_type, body, ..out }]).await.remove(0)
    }
}

/// What a destination says of a message.
#[derive(Default)]
struct Said<'a> {
    key: &'a str,
    headers: &'a [(&'a str, &'a str)],
    fields: &'a [Option<&'a str>],
    body: Option<&'a [u8]>,
    content_type: &'a str,
}

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.reason),
        Outcome::Throttled { .. } => Some(Reason::Throttled),
        Outcome::Unknown(reason) => Some(*reason),
        Outcome::Delivered(_) | Outcome::Unsent => None,
    }
}
