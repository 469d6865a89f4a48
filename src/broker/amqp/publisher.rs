//! One link: a connection that only publishes, and a line for each exchange it publishes to.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use lapin::{Channel, options::BasicQosOptions, types::ShortString};
use tokio::time::timeout;

use super::{
    declare::look_at_exchange,
    fault::Fault,
    line::{Answer, Line, Prepared},
    properties,
    settings::Settings,
    target::Options,
    wire::{CLOSE_TIME, OPEN_TIME, Wire},
};
use crate::{
    broker::{Confirms, House, LinkKey, OpenError, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Reason, Refusal},
};

/// Exchanges that a templated one may have open at once. A channel costs the broker a process.
const LINES_MAX: usize = 32;

/// A link to one exchange, or to the exchanges of one template.
#[derive(Debug)]
pub(super) struct Link {
    // Dropped first: no byte is sent after it.
    wire: Wire,
    /// For pings: what they ask of a missing exchange must not close a line.
    control: Channel,
    exchange: Written,
    lines: HashMap<ShortString, Line>,
    /// Shared with every answer that holds a message back and is not read yet.
    holding: Arc<()>,
}

#[derive(Debug)]
enum Written {
    Fixed(ShortString),
    Template,
}

/// The messages of a batch that go to one exchange, and their places in the batch.
struct Group {
    exchange: ShortString,
    messages: Vec<Prepared>,
    places: Vec<usize>,
}

impl Link {
    /// Opens the connection; a fixed exchange must be there.
    pub(super) async fn open(settings: &Settings, key: &LinkKey, house: &House) -> Result<Self, OpenError> {
        match timeout(OPEN_TIME, Self::try_open(settings, key, house)).await {
            Ok(opened) => opened,
            Err(_) => Err(Fault::new(Reason::Link, format!("{}: not open within {OPEN_TIME:?}", key.broker)).into()),
        }
    }

    async fn try_open(settings: &Settings, key: &LinkKey, house: &House) -> Result<Self, OpenError> {
        let wire = Wire::dial(&key.broker, settings, house).await?;
        let control = wire.channel().await?;
        let mut link = Self { wire, control, exchange: Written::Template, lines: HashMap::new(), holding: Arc::new(()) };
        if !key.part.contains('{') {
            let exchange = ShortString::try_new(&*key.part).map_err(|error| Fault::new(Reason::Unroutable, error.to_string()))?;
            look_at_exchange(&link.control, &exchange).await?;
            link.exchange = Written::Fixed(exchange.clone());
            link.line(&exchange).await?;
        }
        Ok(link)
    }

    /// The open line of an exchange; `None` where there are too many.
    async fn line(&mut self, exchange: &ShortString) -> Result<Option<&Line>, Fault> {
        // A dead line answers until its last answer is read: a message must not overtake those of its key that died on it.
        self.lines.retain(|_, line| line.is_open() || !line.is_idle());
        if !self.lines.contains_key(exchange) {
            if self.lines.len() >= LINES_MAX && !self.close_an_idle_line() {
                return Ok(None);
            }
            let refuses = matches!(self.exchange, Written::Template);
            let line = Line::open(&self.wire, exchange.clone(), refuses).await?;
            self.lines.insert(exchange.clone(), line);
        }
        Ok(self.lines.get(exchange))
    }

    /// A message that was held back is sent again only after its answer is read, and answers are read in their order: until then
    /// nothing else may go, or it would overtake. (The alarm of a broker may end while such answers wait behind an older one.)
    fn holds_back(&self) -> Option<String> {
        (Arc::strong_count(&self.holding) > 1).then(|| "messages before it were held back".to_owned())
    }

    fn close_an_idle_line(&mut self) -> bool {
        let idle = self.lines.iter().find(|(_, line)| line.is_idle()).map(|(exchange, _)| exchange.clone());
        idle.is_some_and(|exchange| self.lines.remove(&exchange).is_some())
    }
}

#[async_trait]
impl Publisher for Link {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        if let Some(detail) = self.held().or_else(|| self.holds_back()) {
            let throttled = vec![Outcome::Throttled { after: None, detail }; batch.len()];
            return Ok(holding(Arc::clone(&self.holding), async move { Ok(throttled) }).boxed());
        }
        let mut outcomes = vec![Outcome::Unknown(Reason::Link); batch.len()];
        let mut parts: Vec<(Answer, Vec<usize>)> = Vec::with_capacity(1);
        let mut held_back = false;
        for group in grouped(batch, &mut outcomes) {
            let Group { exchange, messages, places } = group;
            if let Some(line) = self.line(&exchange).await? {
                parts.push((line.publish(messages).await?, places));
                continue;
            }
            held_back = true;
            for place in places {
                let detail = format!("{LINES_MAX} exchanges are in use already");
                outcomes[place] = Outcome::Throttled { after: None, detail };
            }
        }
        let answers = gather(outcomes, parts);
        Ok(if held_back { holding(Arc::clone(&self.holding), answers).boxed() } else { answers.boxed() })
    }

    fn held(&self) -> Option<String> {
        self.wire.blocked().then(|| "RabbitMQ blocks this connection: a memory or disk alarm".to_owned())
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        if !self.wire.connected() {
            return Err(LinkDown::new(Reason::Link, "the connection was lost"));
        }
        // A blocked connection sends nothing at all, but the broker's heartbeats still come.
        if self.wire.blocked() {
            return Ok(());
        }
        let named = match &self.exchange {
            Written::Fixed(exchange) if !exchange.as_str().is_empty() => exchange,
            _ => {
                let answered = self.control.basic_qos(0, BasicQosOptions::default()).await;
                return answered.map_err(|error| Fault::of(&error).into());
            }
        };
        Ok(look_at_exchange(&self.control, named).await?)
    }

    async fn close(self: Box<Self>) {
        let Self { wire, lines, .. } = *self;
        let flushed = async {
            for line in lines.into_values() {
                line.flush().await;
            }
        };
        // What is not confirmed by then is unknown, as after any lost link.
        if timeout(CLOSE_TIME, flushed).await.is_err() {
            tracing::debug!("a RabbitMQ link was closed with messages unconfirmed");
        }
        wire.close().await;
    }
}

/// The answers, which hold back what comes after them until they are read.
async fn holding(held: Arc<()>, answers: impl Future<Output = Result<Vec<Outcome>, LinkDown>>) -> Result<Vec<Outcome>, LinkDown> {
    let answers = answers.await;
    drop(held);
    answers
}

/// The batch by exchange, in order within each; what cannot be published has its outcome at once.
fn grouped(batch: &[Outgoing<'_>], outcomes: &mut [Outcome]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for (place, outgoing) in batch.iter().enumerate() {
        let (exchange, message) = match prepare(outgoing) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                outcomes[place] = Outcome::Refused(refusal);
                continue;
            }
        };
        // Few exchanges meet in one batch, mostly one.
        let known = groups.iter().position(|group| group.exchange.as_str() == exchange);
        let at = known.unwrap_or_else(|| {
            let exchange = exchange.into();
            groups.push(Group { exchange, messages: Vec::with_capacity(batch.len()), places: Vec::with_capacity(batch.len()) });
            groups.len() - 1
        });
        groups[at].messages.push(message);
        groups[at].places.push(place);
    }
    groups
}

fn prepare<'a>(outgoing: &Outgoing<'a>) -> Result<(&'a str, Prepared), Refusal> {
    let wrong = |reason: Reason, detail: &str| Refusal { reason, detail: detail.to_owned() };
    let options = Options::of(outgoing.target).ok_or_else(|| wrong(Reason::Final, "this target is not of the kind `amqp`"))?;
    let (exchange, routing_key) = options.split(outgoing.address);
    let too_long = |_| wrong(Reason::Address, "an exchange or routing key over 255 bytes");
    // Checked here, where it can be refused: the conversion of a text would panic.
    ShortString::try_new(exchange).map_err(too_long)?;
    let routing_key = ShortString::try_new(routing_key).map_err(too_long)?;
    let properties = properties::of(outgoing, options.set(outgoing.fields))?;
    Ok((exchange, Prepared { routing_key, properties, body: body_of(outgoing) }))
}

/// The bytes as the publish owns them until they are written. A body that goes on as it came is shared, not copied.
fn body_of(outgoing: &Outgoing<'_>) -> Bytes {
    let raw = &outgoing.message.raw().body;
    let shared = raw.len() == outgoing.body.len() && std::ptr::eq(raw.as_ptr(), outgoing.body.as_ptr());
    if shared { raw.clone() } else { Bytes::copy_from_slice(outgoing.body) }
}

/// Puts the answers of the groups in the places of the batch.
async fn gather(mut outcomes: Vec<Outcome>, parts: Vec<(Answer, Vec<usize>)>) -> Result<Vec<Outcome>, LinkDown> {
    for (answer, places) in parts {
        let answered = answer.read().await?;
        for (place, outcome) in places.into_iter().zip(answered) {
            outcomes[place] = outcome;
        }
    }
    Ok(outcomes)
}
