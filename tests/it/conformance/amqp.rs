//! RabbitMQ's stand.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lapin::{
    BasicProperties, ExchangeKind,
    types::{AMQPValue, ShortString},
};
use rialto::broker::{Kind, amqp::KIND};

use super::{Found, Picky, Place, Stand};
use crate::amqp::server::{Rabbit, unique};

/// A durable classic queue for each place.
pub(crate) struct RabbitMq(Rabbit);

#[async_trait]
impl Stand for RabbitMq {
    async fn start() -> Self {
        Self(Rabbit::connect().await)
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        self.0.authority()
    }

    fn settings(&self, address: &str) -> String {
        self.0.url_at(address)
    }

    async fn place(&self) -> Place {
        let queue = self.0.queue().await;
        Place { origin: format!("queue: {queue}"), target: format!("queue: {queue}"), address: queue }
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        self.0.fill(&place.address, bodies).await;
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let messages = self.0.drain(&place.address).await;
        messages.into_iter().map(|message| found(&message.delivery.properties, message.delivery.data)).collect()
    }

    async fn waiting(&self, place: &Place) -> usize {
        self.0.held(&place.address).await
    }

    async fn picky(&self) -> Picky {
        let (queue, exchange) = (self.0.queue().await, self.0.exchange(ExchangeKind::Direct).await);
        self.0.bind(&queue, &exchange, "good").await;
        Picky {
            target: format!("{exchange}/{{payload.event_id}}"),
            good: format!("{exchange}/good"),
            bad: format!("{exchange}/{}", unique("unbound")),
        }
    }
}

fn found(properties: &BasicProperties, body: Vec<u8>) -> Found {
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let headers = properties.headers().iter().flatten();
    let headers: BTreeMap<_, _> = headers
        .filter_map(|(name, value)| match value {
            AMQPValue::LongString(text) => Some((name.to_string(), text.to_string())),
            _ => None,
        })
        .collect();
    Found { body, id: text(properties.message_id()), name: text(properties.kind()), headers }
}
