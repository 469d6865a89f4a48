//! Reads what an exchange receives and takes it from nobody: through an exclusive queue of its own, which goes with its connection.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use lapin::{
    options::{QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::timeout;

use super::{
    Amqp,
    fault::Fault,
    source::AmqpSource,
    target::{Exchange, Options},
    wire::{OPEN_TIME, Wire},
};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    outcome::Reason,
};

/// A slow reader must not fill the broker: beyond so many, the oldest are dropped.
const BACKLOG_MAX: i64 = 10_000;

/// An exchange's traffic.
#[derive(Debug)]
struct Tap {
    broker: Arc<Amqp>,
    exchange: ShortString,
    /// What the queue is bound with.
    binding: ShortString,
    address: String,
}

/// Only a named exchange can be tapped.
pub(super) fn of(broker: &Arc<Amqp>, target: &Target) -> Result<Arc<dyn Origin>, String> {
    let options = Options::of(target).ok_or("this target is not of the kind `amqp`")?;
    let text = target.address.text.as_str();
    match &options.exchange {
        Exchange::Default => Err(format!(
            "`{text}` is a queue, and a queue hands each message to one reader: tapping it would take messages away; \
             tap the exchange it is bound to"
        )),
        Exchange::Rendered => Err(format!("the exchange in `{text}` depends on the message: tap a named one")),
        Exchange::Fixed(exchange) => {
            let short = |text: &str| ShortString::try_new(text).map_err(|error| error.to_string());
            let (_, routing_key) = options.split(text);
            let binding = short(&widest(routing_key))?;
            let address = format!("{}/{exchange}/{binding}", broker.name);
            Ok(Arc::new(Tap { broker: Arc::clone(broker), exchange: short(exchange)?, binding, address }))
        }
    }
}

/// The topic pattern that matches all a template can make. A value may hold dots, so it may be any number of words.
fn widest(template: &str) -> String {
    if !template.contains(['{', '}']) {
        return template.to_owned();
    }
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_usize);
    for c in template.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '.' if depth == 0 => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    words.push(word);
    let mut pattern: Vec<&str> = words.iter().map(|word| if word.contains(['{', '}']) { "#" } else { word.as_str() }).collect();
    pattern.dedup_by(|next, previous| *next == "#" && *previous == "#");
    pattern.join(".")
}

impl Tap {
    async fn try_open(&self, house: &House) -> Result<AmqpSource, OpenError> {
        let wire = Wire::dial(&self.broker.name, &self.broker.settings, house).await?;
        let channel = wire.channel().await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let mut limits = FieldTable::default();
        limits.insert("x-max-length".into(), AMQPValue::LongLongInt(BACKLOG_MAX));
        let of = |error: lapin::Error| Fault::of(&error).while_doing(&self.address);
        let queue = channel.queue_declare(ShortString::default(), options, limits).await.map_err(of)?.name().clone();
        channel
            .queue_bind(
                queue.clone(),
                self.exchange.clone(),
                self.binding.clone(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(of)?;
        let tag = ShortString::try_new(&*house.instance).unwrap_or_default();
        Ok(AmqpSource::new(wire, channel, queue, tag, super::origin::MESSAGE_MAX.0))
    }
}

#[async_trait]
impl Origin for Tap {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        false
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        match timeout(OPEN_TIME, self.try_open(house)).await {
            Ok(opened) => Ok(Box::new(opened?)),
            Err(_) => Err(Fault::new(Reason::Link, format!("{}: not open within {OPEN_TIME:?}", self.address)).into()),
        }
    }

    fn inlet(&self) -> Option<Target> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_the_widest_pattern() {
        for (template, pattern) in [
            ("order.new", "order.new"),
            ("order.{message_name}", "order.#"),
            ("order.{payload.a.b}.eu", "order.#.eu"),
            ("{message_type}.{message_name}", "#"),
            ("v{payload.v}.x", "#.x"),
            ("", ""),
        ] {
            assert_eq!(widest(template), pattern, "{template}");
        }
    }
}
