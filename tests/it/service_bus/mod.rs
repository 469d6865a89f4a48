//! Service Bus over HTTPS, against a namespace of the tests' own that answers as it is told.

use rialto::{
    broker::{Outgoing, Publisher, Target, service_bus::KIND},
    outcome::{Outcome, Reason},
};

use crate::support;

mod answers;
pub(crate) mod namespace;

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
        let broker = support::broker(&KIND, &namespace.settings(further));
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

    /// Sends one message, with more said of it than its body.
    async fn one(&mut self, out: impl FnOnce(Outgoing<'_>) -> Outgoing<'_>) -> Outcome {
        let message = support::message("{\"n\":1}");
        let batch = [out(support::outgoing(&self.target, &message, "orders"))];
        support::send(&mut *self.link, &batch).await.remove(0)
    }
}

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.reason),
        Outcome::Throttled { .. } => Some(Reason::Throttled),
        Outcome::Unknown(reason) => Some(*reason),
        Outcome::Delivered(_) => None,
    }
}
