//! Webhooks against an endpoint of the tests' own, which misbehaves as it is told.

use std::{sync::Arc, time::Duration};

use rialto::{
    broker::{Broker, Outgoing, Publisher, Target, webhook::KIND},
    envelope::Message,
    outcome::{Outcome, Reason},
};

use crate::support;

mod bridge;
mod misbehaviour;
pub(crate) mod server;
mod turns;

use server::Endpoint;

/// A link to an endpoint.
struct Rig {
    broker: Arc<dyn Broker>,
    target: Target,
    link: Box<dyn Publisher>,
    endpoint: Endpoint,
}

impl Rig {
    /// With the broker's further settings, in YAML.
    async fn to(endpoint: Endpoint, further: &str) -> Self {
        let broker = support::broker(&KIND, &format!("{{ url: '{}/hooks', {further} }}", endpoint.url()));
        let target = support::target(&*broker, "path: '{message_name}'");
        let link = broker.link(&target.link, &support::house()).await.expect("a link");
        Self { broker, target, link, endpoint }
    }

    /// Sends one batch: a key, and what is said under it.
    async fn send(&mut self, batch: &[(&'static str, &Message)], timeout: Duration) -> Vec<Outcome> {
        let one = |(key, message)| Outgoing { key, timeout, ..support::outgoing(&self.target, message, "in") };
        let batch: Vec<_> = batch.iter().copied().map(one).collect();
        support::send(&mut *self.link, &batch).await
    }

    /// Sends one message and answers what became of it.
    async fn one(&mut self, timeout: Duration) -> Outcome {
        let message = support::message("{\"n\":1}");
        self.send(&[("", &message)], timeout).await.remove(0)
    }
}

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.reason),
        Outcome::Throttled { .. } => Some(Reason::Throttled),
        Outcome::Unknown(reason) => Some(*reason),
        Outcome::Delivered(_) | Outcome::Unsent => None,
    }
}
