//! A queue to read, checked but not open.

use std::{any::Any, sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::types::ShortString;
use tokio::time::timeout;

use super::{
    Amqp,
    declare::{Declare, look_at_queue, short_string, short_text},
    fault::Fault,
    source::AmqpSource,
    target::{self, Options},
    wire::{OPEN_TIME, Wire},
};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    outcome::Reason,
    written::{Node, Problems, Size},
};

/// As docs/configuration.md has it, where the source does not say.
pub(super) const MESSAGE_MAX: Size = Size(1 << 20);

/// RabbitMQ closes a consumer that holds a delivery for 30 minutes (`consumer_timeout`, its default), and looks about once a minute:
/// five less leave room for that and for the way of the acknowledgement.
const HOLD_MAX: Duration = Duration::from_secs(25 * 60);

/// What a source reads: one queue.
#[derive(Debug, Clone)]
pub(super) struct AmqpOrigin {
    broker: Arc<Amqp>,
    pub(super) queue: ShortString,
    /// `broker/queue`.
    address: Arc<str>,
    pub(super) declare: Option<Declare>,
    /// Queues to create with it.
    dead_letters: Vec<ShortString>,
    message_max: u64,
}

impl AmqpOrigin {
    /// A source's own keys, or the short form's text: a queue's name.
    pub(super) fn read(broker: &Arc<Amqp>, node: &Node, faults: &mut Problems) -> Option<Self> {
        if let Some(text) = node.text() {
            if text.contains('/') {
                faults
                    .fault(node.at(), "an AMQP source reads a queue; an exchange with a routing key cannot be read")
                    .hint("bind a queue to the exchange; a queue whose name holds a `/` needs the long form");
                return None;
            }
            let queue = short_text(text, "queue", node.at(), faults)?;
            return Some(Self::plain(broker, queue));
        }
        let queue = short_string(node, "queue", faults);
        let declare = node.child("declare").and_then(|node| Declare::read(node, faults));
        let message_max = node.get("message_max", MESSAGE_MAX, faults).0;
        let queue = queue?;
        if queue.as_str().is_empty() {
            faults.fault(node.at(), "`queue` is empty");
            return None;
        }
        Some(Self { declare, message_max, ..Self::plain(broker, queue) })
    }

    fn plain(broker: &Arc<Amqp>, queue: ShortString) -> Self {
        Self {
            address: format!("{}/{queue}", broker.name).into(),
            broker: Arc::clone(broker),
            queue,
            declare: None,
            dead_letters: Vec::new(),
            message_max: MESSAGE_MAX.0,
        }
    }

    async fn try_open(&self, house: &House) -> Result<AmqpSource, OpenError> {
        let wire = Wire::dial(&self.broker.name, &self.broker.settings, house).await?;
        let channel = wire.channel().await?;
        if let Some(declare) = &self.declare {
            declare.create(&channel, &self.queue).await?;
            for dead_letters in &self.dead_letters {
                declare.create_dead_letters(&channel, dead_letters).await?;
            }
        }
        // Also after a declaration: the first look at how much waits.
        look_at_queue(&channel, &self.queue).await?;
        let tag = ShortString::try_new(&*house.instance).unwrap_or_default();
        Ok(AmqpSource::new(wire, channel, self.queue.clone(), tag, self.message_max))
    }
}

#[async_trait]
impl Origin for AmqpOrigin {
    fn display(&self) -> String {
        self.address.to_string()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        true
    }

    fn rejects_natively(&self) -> bool {
        true
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        match timeout(OPEN_TIME, self.try_open(house)).await {
            Ok(opened) => Ok(Box::new(opened?)),
            Err(_) => Err(Fault::new(Reason::Link, format!("{}: not open within {OPEN_TIME:?}", self.address)).into()),
        }
    }

    fn hold_max(&self) -> Option<Duration> {
        Some(HOLD_MAX)
    }

    fn inlet(&self) -> Option<Target> {
        Some(target::queue(&self.broker.name, self.queue.as_str()))
    }

    fn declaring(&self, target: &Target) -> Option<Arc<dyn Origin>> {
        self.declare.as_ref()?;
        let queue = Options::of(target)?.fixed_queue(target).filter(|_| target.link.broker == self.broker.name)?;
        let mut with = self.clone();
        if !with.dead_letters.contains(&queue) {
            with.dead_letters.push(queue);
        }
        Some(Arc::new(with))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
