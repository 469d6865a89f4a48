//! Service Bus' stands: both ends over AMQP against the stand-in of `tests/service_bus`, publishing over HTTPS against a namespace
//! of the tests' own. A queue for each place.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rialto::broker::{Kind, Promises, service_bus::KIND};
use serde_json::json;

use super::{Found, Picky, Place, Stand};
use crate::service_bus::{
    namespace::{Namespace, messages_of, settings},
    stand_in::{self, StandIn},
};

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

    /// Nothing is read over HTTPS.
    fn promises(&self) -> Promises {
        Promises { source: false, ..KIND.promises }
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

/// The stand-in's AMQP face.
pub(crate) struct Amqp(StandIn);

#[async_trait]
impl Stand for Amqp {
    async fn start() -> Self {
        Self(StandIn::find().await)
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        self.0.amqp.clone()
    }

    fn settings(&self, address: &str) -> String {
        self.0.settings_at(address)
    }

    async fn place(&self) -> Place {
        // The locks of a dead connection end by themselves, and a test is no reason for a dead letter.
        let queue = self.0.entity(json!({ "lock_seconds": 1, "max_delivery_count": 10_000 })).await;
        Place { origin: format!("queue: {queue}"), target: format!("queue: {queue}"), address: queue }
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        self.0.put(&place.address, bodies).await;
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let found = self.0.take(&place.address).await.into_iter().map(|stored| Found {
            body: stored.bytes(),
            id: stored.text("message_id").map(str::to_owned),
            name: stored.text("subject").map(str::to_owned),
            headers: stored.properties().map(|(name, value)| (name.clone(), text(value))).collect(),
        });
        found.collect()
    }

    async fn waiting(&self, place: &Place) -> usize {
        usize::try_from(self.0.waiting(&place.address).await).expect("a count")
    }

    async fn picky(&self) -> Picky {
        let good = self.0.entity(json!({})).await;
        Picky { target: "queue: '{payload.event_id}'".into(), good, bad: stand_in::unique("missing") }
    }
}
