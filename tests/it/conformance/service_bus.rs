//! Service Bus' stand: the HTTPS side of a namespace, and a queue for each place.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rialto::broker::{Kind, service_bus::KIND};

use super::{Found, Picky, Place, Stand};
use crate::service_bus::namespace::{Namespace, messages_of, settings};

/// A namespace that has every queue but those whose name begins with `missing`.
pub(crate) struct Https(Namespace);

fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[async_trait]
impl Stand for Https {
    async fn start() -> Self {
        Self(Namespace::start().await)
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        self.0.0.address.to_string()
    }

    fn settings(&self, address: &str) -> String {
        settings(address, "")
    }

    async fn place(&self) -> Place {
        let queue = unique("queue");
        Place { origin: String::new(), target: format!("queue: {queue}"), address: queue }
    }

    async fn put(&self, _: &Place, _: &[String]) {
        unreachable!("nothing is read over HTTPS");
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let path = format!("/{}/messages", place.address);
        let posts = self.0.0.take().into_iter().filter(|post| post.path == path);
        let messages = posts.flat_map(|post| messages_of(&post));
        let found = messages.map(|message| {
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let user = message.json["UserProperties"].as_object().expect("an object");
            Found {
                body: message.body(),
                id: message.broker("MessageId").map(str::to_owned),
                name: message.broker("Label").map(str::to_owned),
                headers: user.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            }
        });
        found.collect()
    }

    async fn waiting(&self, _: &Place) -> usize {
        unreachable!("nothing is read over HTTPS");
    }

    async fn picky(&self) -> Picky {
        Picky { target: "queue: '{payload.event_id}'".into(), good: unique("good"), bad: unique("missing") }
    }
}
