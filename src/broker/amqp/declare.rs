//! What a source with `declare` creates before it reads: its queue, the queue's bindings, and its dead-letter queue.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::fault::Fault;
use crate::written::{FromNode, Node, Problems, Value};

/// The kinds of queue that acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueType {
    Quorum,
    Classic,
}

/// The `declare` block of a source, checked.
#[derive(Debug, Clone)]
pub(super) struct Declare {
    queue_type: QueueType,
    durable: bool,
    single_active_consumer: bool,
    arguments: FieldTable,
    bindings: Vec<Binding>,
}

#[derive(Debug, Clone)]
struct Binding {
    exchange: ShortString,
    routing_key: ShortString,
    arguments: FieldTable,
}

impl Declare {
    /// Reads the block: `off`, `true` for the defaults, or a map. `None` declares nothing.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        match node.value() {
            Value::Null | Value::Bool(false) => return None,
            Value::Str(text) if text == "off" => return None,
            Value::Bool(true) => return Some(Self::plain()),
            _ => {}
        }
        let types = [("quorum", Some(QueueType::Quorum)), ("classic", Some(QueueType::Classic)), ("stream", None)];
        let queue_type = match node.choice("type", &types, faults) {
            Some(Some(queue_type)) => queue_type,
            Some(None) => {
                let at = node.child("type").map_or(node.at(), Node::at);
                faults.fault(at, "a stream is read by offset, not by acknowledgement").hint("`quorum` or `classic`");
                QueueType::Quorum
            }
            None => QueueType::Quorum,
        };
        let durable = node.get("durable", true, faults);
        if !durable && queue_type == QueueType::Quorum {
            faults.fault(node.at(), "a quorum queue is always durable").hint("`type: classic` beside `durable: false`");
        }
        let declare = Self {
            queue_type,
            durable,
            single_active_consumer: node.get("single_active_consumer", false, faults),
            arguments: node.child("arguments").map(|node| arguments(node, faults)).unwrap_or_default(),
            bindings: node.child("bindings").map(|node| bindings(node, faults)).unwrap_or_default(),
        };
        node.finish(faults);
        Some(declare)
    }

    /// A durable quorum queue without bindings.
    fn plain() -> Self {
        Self {
            queue_type: QueueType::Quorum,
            durable: true,
            single_active_consumer: false,
            arguments: FieldTable::default(),
            bindings: Vec::new(),
        }
    }

    /// Creates the queue and binds it. An existing one with other settings is a fault, never changed.
    pub(super) async fn create(&self, channel: &Channel, queue: &ShortString) -> Result<(), Fault> {
        let mut settings = self.arguments.clone();
        self.set_type(&mut settings);
        if self.single_active_consumer {
            settings.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        self.declare(channel, queue, settings).await?;
        for binding in &self.bindings {
            channel
                .queue_bind(
                    queue.clone(),
                    binding.exchange.clone(),
                    binding.routing_key.clone(),
                    QueueBindOptions::default(),
                    binding.arguments.clone(),
                )
                .await
                .map_err(|error| {
                    Fault::of_declaration(&error).while_doing(format_args!("binding `{queue}` to exchange `{}`", binding.exchange))
                })?;
        }
        Ok(())
    }

    /// Creates the queue that this source's dead letters go to: of the same type, without limits.
    pub(super) async fn create_dead_letters(&self, channel: &Channel, queue: &ShortString) -> Result<(), Fault> {
        let mut settings = FieldTable::default();
        self.set_type(&mut settings);
        self.declare(channel, queue, settings).await
    }

    /// The exchanges that must be there for it.
    pub(super) fn bound_exchanges(&self) -> impl Iterator<Item = &ShortString> {
        self.bindings.iter().map(|binding| &binding.exchange)
    }

    fn set_type(&self, settings: &mut FieldTable) {
        // Classic is what RabbitMQ makes of a queue without the argument; servers older than 3.8 would refuse it.
        if self.queue_type == QueueType::Quorum {
            settings.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
    }

    async fn declare(&self, channel: &Channel, queue: &ShortString, settings: FieldTable) -> Result<(), Fault> {
        let options = QueueDeclareOptions { durable: self.durable, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.clone(), options, settings).await;
        declared.map(drop).map_err(|error| Fault::of_declaration(&error).while_doing(format_args!("declaring queue `{queue}`")))
    }
}

/// That the queue is there, and how much waits in it: (ready messages, consumers).
pub(super) async fn look_at_queue(channel: &Channel, queue: &ShortString) -> Result<(u32, u32), Fault> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(queue.clone(), options, FieldTable::default()).await;
    found
        .map(|found| (found.message_count(), found.consumer_count()))
        .map_err(|error| Fault::of(&error).while_doing(format_args!("queue `{queue}`")))
}

/// That the exchange is there. The default exchange always is, and cannot be asked for.
pub(super) async fn look_at_exchange(channel: &Channel, exchange: &ShortString) -> Result<(), Fault> {
    if exchange.as_str().is_empty() {
        return Ok(());
    }
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(exchange.clone(), ExchangeKind::Direct, options, FieldTable::default())
        .await
        .map_err(|error| Fault::of(&error).while_doing(format_args!("exchange `{exchange}`")))
}

fn bindings(node: &Node, faults: &mut Problems) -> Vec<Binding> {
    let read = |item: &Node, faults: &mut Problems| {
        let exchange = short_string(item, "exchange", faults);
        let routing_key = match item.child("routing_key") {
            Some(_) => short_string(item, "routing_key", faults),
            None => Some(ShortString::default()),
        };
        let arguments = item.child("arguments").map(|node| arguments(node, faults)).unwrap_or_default();
        item.finish(faults);
        Some(Binding { exchange: exchange?, routing_key: routing_key?, arguments })
    };
    node.items().iter().filter_map(|item| read(item, faults)).collect()
}

/// A name or key that the protocol limits to 255 bytes.
pub(super) fn short_string(node: &Node, key: &'static str, faults: &mut Problems) -> Option<ShortString> {
    let text: String = node.need(key, faults)?;
    let at = node.child(key).map_or(node.at(), Node::at);
    short_text(&text, key, at, faults)
}

/// The same for a text that was read already.
pub(super) fn short_text(text: &str, key: &str, at: &crate::written::Span, faults: &mut Problems) -> Option<ShortString> {
    let short = ShortString::try_new(text).ok();
    if short.is_none() {
        faults.fault(at, format!("`{key}` is longer than the 255 bytes that AMQP allows"));
    }
    short
}

/// Arguments of a queue or binding. What YAML has no type for (a timestamp, a table) no argument of RabbitMQ needs.
fn arguments(node: &Node, faults: &mut Problems) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, at, value) in node.entries() {
        let typed = match value.value() {
            Value::Bool(truth) => AMQPValue::Boolean(*truth),
            Value::Int(number) => AMQPValue::LongLongInt(*number),
            Value::Float(number) => AMQPValue::Double(*number),
            _ => match String::from_node(value, faults) {
                Some(text) => AMQPValue::LongString(text.into()),
                None => continue,
            },
        };
        if let Some(name) = short_text(name, "arguments", at, faults) {
            table.insert(name, typed);
        }
    }
    table
}
