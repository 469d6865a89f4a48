//! One link whose copies are committed in transactions.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::OwnedHeaders,
    producer::{BaseProducer, Producer},
};
use tokio::time::{sleep, timeout};

use super::{
    copies::{Copy, Order, Reports},
    relay::{Assigned, Relay},
    transactions::{TRANSACTION_TIME, Transactions},
};
use crate::{
    broker::{
        Confirms, House, OpenError, Outgoing, Publisher,
        kafka::{
            Kafka,
            carrier::Record,
            client,
            fault::Fault,
            ledger::{Ledger, Slot},
            letter, publisher, record,
            search::Search,
            target,
            voice::Voice,
        },
    },
    outcome::{LinkDown, Reason},
};

/// How long a close waits for the last transaction.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// Between two tries of what a coordinator asks patience for.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A link that is open.
#[derive(Debug)]
pub(in crate::broker::kafka) struct Link {
    answers: Arc<Ledger>,
    orders: Sender<Order>,
    gone: Arc<AtomicBool>,
}

impl Link {
    /// Opens a producer, ends what a former one under this name had open, and learns what of that was committed.
    pub(in crate::broker::kafka) async fn open(kafka: &Arc<Kafka>, relay: &Arc<Relay>, house: &House) -> Result<Self, OpenError> {
        relay.former_ended(client::OPEN_TIME).await?;
        let mut config = client::config(&kafka.settings, house)?;
        let mut offsets = config.clone();
        let batch_size = kafka.batches.get();
        publisher::configure(&mut config, batch_size);
        config.set("transactional.id", relay.id(house));
        config.set("transaction.timeout.ms", client::millis(2 * TRANSACTION_TIME));
        config.set("message.timeout.ms", client::millis(TRANSACTION_TIME));
        let voice = Voice::of(&kafka.settings, house).await?;
        let faults = voice.listen();
        let reports = Reports::new(voice);
        let producer: BaseProducer<Reports> =
            config.create_with_context(reports).map_err(|error| Fault::of(&error).while_doing(kafka.settings.display()))?;
        let producer = begin(producer, client::OPEN_TIME).await.map_err(|fault| match faults.borrow().clone() {
            // That nobody answered says less than why.
            Some(said) if fault.reason == Reason::Timeout => said.while_doing(kafka.settings.display()),
            _ => fault.while_doing(kafka.settings.display()),
        })?;
        relay.positions().aborted();
        offsets.set("group.id", relay.group(house));
        let reader = Voice::of(&kafka.settings, house).await?;
        catch_up(offsets, reader, relay).await?;
        Ok(Self::start(kafka, relay, producer, batch_size))
    }

    fn start(kafka: &Arc<Kafka>, relay: &Arc<Relay>, producer: BaseProducer<Reports>, batch_size: usize) -> Self {
        let (orders, taken) = channel();
        let (answers, gone) = (Arc::new(Ledger::default()), Arc::new(AtomicBool::new(false)));
        let transactions = Transactions {
            relay: Arc::clone(relay),
            producer,
            answers: Arc::clone(&answers),
            orders: taken,
            gone: Arc::clone(&gone),
            waiting: Vec::new(),
            sent: Vec::new(),
            open: false,
            again: false,
            aborts: 0,
            search: Search::default(),
            kafka: Arc::clone(kafka),
            batch_size,
        };
        match thread::Builder::new().name("kafka-relay".to_owned()).spawn(move || transactions.run()) {
            Ok(thread) => relay.opened(orders.clone(), thread),
            Err(error) => {
                answers.end(LinkDown::new(Reason::Link, error));
            }
        }
        Self { answers, orders, gone }
    }

    fn copies(batch: &[Outgoing<'_>], number: usize) -> Result<Vec<Copy>, LinkDown> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
        let mut value = Vec::new();
        batch.iter().enumerate().map(|(place, outgoing)| copy(outgoing, Slot::new(number, place), now, &mut value)).collect()
    }
}

/// One message's copy, of its own: the batch it came in is gone before a transaction begins. `value` is room to build one in.
fn copy(outgoing: &Outgoing<'_>, slot: Slot, now_ms: i64, value: &mut Vec<u8>) -> Result<Copy, LinkDown> {
    let carrier: &dyn Any = &*outgoing.message.raw().carrier;
    let source = carrier.downcast_ref::<Record>();
    let source = source.ok_or_else(|| LinkDown::new(Reason::Link, "a message that this Kafka did not bring"))?;
    let mut copy = Copy {
        source: Assigned(Arc::clone(&source.partition)),
        offset: source.offset,
        slot,
        since: Instant::now(),
        topic: outgoing.address.to_owned(),
        // A dead letter that its topic does not take is tried until it does.
        own_topic: target::is_template(&outgoing.target.address.text) && !letter::is_dead(outgoing),
        key: None,
        value: None,
        timestamp: None,
        headers: OwnedHeaders::new(),
        refusal: None,
    };
    match record::of(outgoing, slot, now_ms, value) {
        Ok(record) => {
            copy.key = record.key.map(<[u8]>::to_vec);
            copy.value = record.payload.map(<[u8]>::to_vec);
            copy.timestamp = record.timestamp;
            copy.headers = record.headers.unwrap_or_default();
        }
        Err(refusal) => copy.refusal = Some(refusal),
    }
    Ok(copy)
}

/// Ends what a former producer under this name had open (`InitProducerId`): committed or aborted, it is decided after this.
///
/// Nobody is left asking after `within`: a producer that went on, and were answered once its cluster is back, would fence the link that
/// was opened meanwhile.
async fn begin(producer: BaseProducer<Reports>, within: Duration) -> Result<BaseProducer<Reports>, Fault> {
    let until = Instant::now() + within;
    let beginning = client::ask(move || {
        let began = loop {
            let left = until.saturating_duration_since(Instant::now());
            match producer.init_transactions(left.min(client::ASK_TIME)) {
                // A coordinator that loads asks for patience, and one that is away answers nothing.
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                    thread::sleep(left.min(ASK_AGAIN));
                }
                ended => break ended,
            }
        };
        began.map(|()| producer)
    });
    match timeout(within, beginning).await {
        Ok(begun) => begun?.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::new(Reason::Timeout, "no answer")),
    }
}

/// What the last transaction of a link that broke came to: where its offsets are committed, its copies are there.
async fn catch_up(mut config: ClientConfig, voice: Voice, relay: &Arc<Relay>) -> Result<(), OpenError> {
    let ours: Vec<Assigned> = relay.positions().partitions().cloned().collect();
    if ours.is_empty() {
        return Ok(());
    }
    config.set("isolation.level", "read_committed");
    let list = ours.iter().fold(TopicPartitionList::new(), |mut list, Assigned(partition)| {
        list.add_partition(&partition.topic, partition.number);
        list
    });
    let asking = client::ask(move || {
        let reader: BaseConsumer<Voice> = config.create_with_context(voice)?;
        let committed = reader.committed_offsets(list, client::ASK_TIME)?;
        // Taken out here: a client cannot be destroyed while a list of its partitions lives.
        let offsets =
            committed.elements().into_iter().map(|element| (element.topic().to_owned(), element.partition(), element.offset()));
        Ok(offsets.collect::<Vec<_>>())
    });
    let committed = asking.await?.map_err(|error: KafkaError| Fault::of(&error).while_doing("committed offsets"))?;
    let known: Vec<_> = committed
        .into_iter()
        .filter_map(|(topic, number, offset)| {
            let assigned = ours.iter().find(|Assigned(partition)| *partition.topic == *topic && partition.number == number)?;
            match offset {
                Offset::Offset(offset) => Some((assigned.clone(), offset)),
                _ => None,
            }
        })
        .collect();
    relay.positions().committed(&known);
    Ok(())
}

#[async_trait]
impl Publisher for Link {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let (number, answered) = self.answers.open(batch.len())?;
        let copies = Self::copies(batch, number)?;
        // A thread that has ended has answered, or does so with the next opening of a row.
        let _ = self.orders.send(Order::Send(copies));
        self.answers.handed_over(number);
        Ok(Box::pin(
            async move { answered.await.unwrap_or_else(|_| Err(LinkDown::new(Reason::Link, "the transactions have ended"))) },
        ))
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        self.answers.ended().map_or(Ok(()), Err)
    }

    async fn close(self: Box<Self>) {
        // A thread that has ended is closed.
        let _ = self.orders.send(Order::Close);
        let closed = async {
            while self.answers.ended().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // What is not committed by then is read again.
        if timeout(CLOSE_TIME, closed).await.is_err() {
            tracing::debug!(target: "rialto::kafka", "a relay was closed with copies uncommitted");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        // It sleeps until somebody tells it something, and the next link waits for its end. One that has ended hears nothing.
        let _ = self.orders.send(Order::Close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broker::kafka::settings::Settings,
        telemetry::Metrics,
        written::{Node, Problems, Span},
    };

    #[tokio::test]
    async fn an_opening_that_nobody_answers_leaves_no_producer_behind() {
        let node = Node::scalar("log", Span::outside("test"), "kafka://127.0.0.1:1");
        let settings = Settings::read("log", &node, &mut Problems::default()).unwrap();
        let house = House::new("rialto".into(), "one".into(), Arc::new(Metrics::new()));
        let mut config = client::config(&settings, &house).unwrap();
        publisher::configure(&mut config, 1_000_000);
        config.set("transactional.id", "one/exactly-once/orders");
        let voice = Voice::of(&settings, &house).await.unwrap();
        let mut faults = voice.listen();
        let producer = config.create_with_context(Reports::new(voice)).unwrap();
        let Err(fault) = begin(producer, Duration::from_millis(300)).await else { panic!("nobody is there") };
        assert_eq!(fault.reason, Reason::Timeout, "{fault:?}");
        let dropped = async { while faults.changed().await.is_ok() {} };
        timeout(Duration::from_secs(10), dropped).await.expect("with the producer its voice is gone");
    }
}
