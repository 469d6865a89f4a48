//! One link: an idempotent producer, and the thread that reads its reports.
//!
//! Order (docs/guarantees.md, G6). One producer writes a key's messages to one partition in the order in which they are handed to it,
//! also over its own retries and reconnects: that is idempotence. Two things could break it, and are turned off. A message that
//! librdkafka gives up by its own clock (`message.timeout.ms`) would leave those behind it to go first: here the clock is the worker's,
//! which ends the link for the whole of what is in flight, and the queue is purged. And after a report that does not say that the
//! *message* is at fault, the link ends at once, before the producer can renumber and go on with what came after. It does so once for a
//! partition that its cluster will not write to for a while (too few replicas): one that goes on like that pauses its lane, and the
//! other lanes of the link flow.

use std::{
    error::Error,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use futures_util::FutureExt;
use rdkafka::{
    ClientConfig, Message as _,
    client::{ClientContext, OAuthToken},
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{BorrowedMessage, DeliveryResult},
    producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig},
};
use tokio::time::{sleep, timeout};

use super::{
    Kafka,
    apart::Apart,
    client::{self, ASK_TIME},
    fault::{Fault, of_code},
    ledger::{Ledger, Slot},
    record,
    topics::{self, Suspects, partition},
    voice::Voice,
};
use crate::{
    broker::{Confirms, House, OpenError, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
};

type Producer = BaseProducer<Post>;

/// How long messages wait for company: a batch is what makes compression and replication cheap.
const LINGER: Duration = Duration::from_millis(5);

/// Tries of one request that the broker refuses for its own reasons (too few replicas), between 100 ms and 1 s apart: about six
/// seconds, within the time that a destination gives by itself. A lost connection costs one, a broker that is away none.
const TRIES: u32 = 8;

/// A topic may be known to one broker a moment before the others; so long a message waits for one that is not there.
const PROPAGATION: Duration = Duration::from_secs(1);

/// What the broker reads as one request by itself (`socket.request.max.bytes`). How large a message may be is the topic's to say.
const MESSAGE_BYTES_MAX: usize = 100 << 20;

/// What waits in the client, in KiB; behind it `send` waits.
const QUEUE_KIB_MAX: usize = 128 << 10;

/// How often a full queue is looked at.
const ROOM_AFTER: Duration = Duration::from_millis(2);

/// One round of the reporting thread, which is how long it lives on when the link is gone.
const ROUND: Duration = Duration::from_millis(100);

/// How long `close` waits for what is still on the wire.
const CLOSE_TIME: Duration = Duration::from_secs(3);

const DELIVERED: Outcome = Outcome::Delivered(Proof::Confirmed);

/// What every producer of ours is told.
pub(super) fn configure(config: &mut ClientConfig, batch_size: usize) {
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "zstd")
        // As the Java client partitions; without a key anywhere.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", client::millis(LINGER))
        .set("batch.size", batch_size.to_string())
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        .set("queue.buffering.max.kbytes", QUEUE_KIB_MAX.to_string())
        .set("topic.metadata.propagation.max.ms", client::millis(PROPAGATION));
}

/// One link, one incarnation.
pub(super) struct Link {
    producer: Arc<Producer>,
    post: Arc<Shared>,
    stop: Arc<AtomicBool>,
    /// The topic of the last message, to ask of when there is nothing else to ask; empty before the first.
    topic: String,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What the link and the reporting thread share.
struct Shared {
    voice: Voice,
    ledger: Ledger,
    suspects: Suspects,
    apart: Apart,
    /// `batch.size` of this producer.
    batch_size: usize,
    broker: Arc<Kafka>,
    /// To purge what must not go out any more.
    producer: OnceLock<Weak<Producer>>,
}

/// The producer's context: who hears its reports.
struct Post(Arc<Shared>);

impl Link {
    /// Makes a producer and waits until it has heard from its cluster.
    pub(super) async fn open(broker: &Arc<Kafka>, house: &House) -> Result<Self, OpenError> {
        let batch_size = broker.batches.get();
        let mut config = client::config(&broker.settings, house)?;
        configure(&mut config, batch_size);
        config.set("message.timeout.ms", "0").set("message.send.max.retries", TRIES.to_string());
        let post = Arc::new(Shared {
            voice: Voice::of(&broker.settings, house).await?,
            ledger: Ledger::default(),
            suspects: Suspects::default(),
            apart: Apart::default(),
            batch_size,
            broker: Arc::clone(broker),
            producer: OnceLock::new(),
        });
        let faults = post.voice.listen();
        let producer: Producer = config.create_with_context(Post(Arc::clone(&post))).map_err(|error| Fault::of(&error))?;
        let producer = Arc::new(producer);
        // Set once, here.
        let _ = post.producer.set(Arc::downgrade(&producer));
        let link = Self { producer, post, stop: Arc::default(), topic: String::new() };
        link.start_reporting().map_err(|error| Fault::new(Reason::Link, error.to_string()))?;
        let asked = Arc::clone(&link.producer);
        client::connected(&broker.settings.display(), faults, move |wait| client::has_heard(asked.client(), wait)).await?;
        Ok(link)
    }

    /// The thread that serves the producer's events. It holds the producer, so that its end, which waits for librdkafka's own threads,
    /// is nobody else's to wait for.
    fn start_reporting(&self) -> std::io::Result<()> {
        let (producer, stop) = (Arc::clone(&self.producer), Arc::clone(&self.stop));
        let report = move || {
            while !stop.load(Ordering::Acquire) {
                producer.poll(ROUND);
            }
        };
        thread::Builder::new().name("kafka-reports".to_owned()).spawn(report).map(drop)
    }

    /// Asks for the topics of a batch that failed before. Answers those that still do.
    async fn look_up<'a>(&self, batch: &'a [Outgoing<'_>]) -> Result<Vec<(&'a str, Refusal)>, LinkDown> {
        let mut refused: Vec<(&str, Refusal)> = Vec::new();
        for topic in batch.iter().map(|outgoing| outgoing.address) {
            if self.post.suspects.has(topic)
                && !refused.iter().any(|(known, _)| *known == topic)
                && let Err(refusal) = self.ask(topic).await?
            {
                refused.push((topic, refusal));
            }
        }
        Ok(refused)
    }

    async fn ask(&self, topic: &str) -> Result<Result<(), Refusal>, LinkDown> {
        let (producer, name) = (Arc::clone(&self.producer), topic.to_owned());
        let answer = client::ask(move || producer.client().fetch_metadata(Some(&name), ASK_TIME)).await?;
        let metadata = answer.map_err(|error| LinkDown::from(Fault::of(&error).while_doing(format_args!("topic `{topic}`"))))?;
        let verdict = topics::verdict(topic, &metadata);
        match verdict {
            Ok(()) => self.post.suspects.clear(topic),
            Err(_) => {
                self.post.suspects.add(topic);
            }
        }
        Ok(verdict)
    }

    /// A round trip.
    async fn alive(&self) -> Result<(), LinkDown> {
        if let Some(down) = self.post.ledger.ended() {
            return Err(down);
        }
        if !self.topic.is_empty() {
            // What it says of the topic is the messages' business.
            return self.ask(&self.topic).await.map(drop);
        }
        // Nothing was ever sent, so there is no topic to ask of, and to ask of all is too much: the client keeps a connection open, and
        // tells when it has none.
        match &*self.post.voice.listen().borrow() {
            Some(fault) if fault.is_sum => Err(fault.clone().into()),
            _ => Ok(()),
        }
    }

    /// Hands one message over; waits while the client's queue is full.
    async fn produce(&self, outgoing: &Outgoing<'_>, slot: Slot, now_ms: i64, value: &mut Vec<u8>) -> Result<(), LinkDown> {
        let mut record = match record::of(outgoing, slot, now_ms, value) {
            Ok(record) => record,
            Err(refusal) => {
                self.post.ledger.note(slot, Outcome::Refused(refusal));
                return Ok(());
            }
        };
        let error = loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(Code::QueueFull) => record = back,
                Err((error, _)) => break error,
            }
            // It empties by reports, or the worker's time runs out.
            sleep(ROOM_AFTER).await;
            if let Some(down) = self.post.ledger.ended() {
                return Err(down);
            }
        };
        let outcome = match error.rdkafka_error_code() {
            // Over what any broker reads.
            Some(Code::MessageSizeTooLarge) => Outcome::Refused(Refusal::new(Reason::TooLarge, error.to_string())),
            code => self.post.judge(code, &error, outgoing.address)?,
        };
        self.post.ledger.note(slot, outcome);
        Ok(())
    }
}

/// What librdkafka's threads have not sent by now they throw away, and the reporting thread waits for them, not whoever drops the link: one
/// of them may be waiting for a name to resolve. A request that still goes out meanwhile repeats what the next link sends from the oldest
/// unanswered message on, in the same order.
impl Drop for Link {
    fn drop(&mut self) {
        self.post.end(LinkDown::new(Reason::Link, "the link was closed"));
        self.stop.store(true, Ordering::Release);
    }
}

#[async_trait]
impl Publisher for Link {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let refused = self.look_up(batch).await?;
        let pace = self.post.apart.pace(&self.post.ledger).await?;
        let (number, answered) = self.post.ledger.open(batch.len())?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let mut value = Vec::new();
        for (place, outgoing) in batch.iter().enumerate() {
            if !self.post.apart.lets_go(&self.post.ledger, pace, place, batch.len()).await? {
                // They go again, in their place.
                (place..batch.len()).for_each(|place| self.post.ledger.note(Slot::new(number, place), Outcome::Unsent));
                break;
            }
            let slot = Slot::new(number, place);
            match refused.iter().find(|(topic, _)| *topic == outgoing.address) {
                Some((_, refusal)) => self.post.ledger.note(slot, Outcome::Refused(refusal.clone())),
                None => self.produce(outgoing, slot, now_ms, &mut value).await?,
            }
        }
        if let Some(last) = batch.last().filter(|last| last.address != self.topic) {
            last.address.clone_into(&mut self.topic);
        }
        self.post.ledger.handed_over(number);
        let lost = |_| Err(LinkDown::new(Reason::Link, "the link is gone"));
        Ok(answered.map(move |answers| answers.unwrap_or_else(lost)).boxed())
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        let alive = self.alive().await;
        if let Err(down) = &alive {
            // The client would go on dialling, and hold what is sent until it succeeds: a link that was found dead is dead.
            self.post.end(down.clone());
        }
        alive
    }

    async fn close(self: Box<Self>) {
        let settled = async {
            while !self.post.ledger.is_settled() {
                sleep(LINGER).await;
            }
        };
        if timeout(CLOSE_TIME, settled).await.is_err() {
            tracing::debug!("a Kafka link was closed with messages unanswered");
        }
    }
}

impl Shared {
    /// What a report's code means for its message; an error where it means the end of the link.
    fn judge(&self, code: Option<Code>, error: &KafkaError, topic: &str) -> Result<Outcome, LinkDown> {
        let refused = |reason| Ok(Outcome::Refused(Refusal::new(reason, error.to_string())));
        // Another record of the same batch is at fault, and has its own report.
        if code == Some(Code::InvalidDifferentRecord) {
            return Ok(Outcome::Unsent);
        }
        match code.map_or(Reason::Link, of_code) {
            reason @ (Reason::Unroutable | Reason::Forbidden) => {
                self.suspects.add(topic);
                refused(reason)
            }
            reason @ (Reason::Final | Reason::Refused | Reason::TooLarge) => refused(reason),
            Reason::Throttled => Ok(Outcome::Throttled { after: None, detail: error.to_string() }),
            reason => Err(LinkDown::new(reason, error)),
        }
    }

    /// A message that failed.
    fn failed(&self, error: &KafkaError, message: &BorrowedMessage<'_>) -> Result<Outcome, LinkDown> {
        let code = error.rdkafka_error_code();
        if code.map(of_code) == Some(Reason::TooLarge) && !self.travelled_alone(message) {
            let smaller = self.broker.batches.shrink(self.batch_size);
            return Err(LinkDown::new(Reason::Link, format_args!("{error}: batches of at most {smaller} bytes from now on")));
        }
        if code.map(of_code) == Some(Reason::Throttled) && self.broker.scarce.add(&partition(message)) {
            return Err(LinkDown::new(Reason::Throttled, error));
        }
        if matches!(code.map(of_code), Some(Reason::Final | Reason::Refused)) && !self.apart.convicts(self.ledger.has_one_message())
        {
            return Ok(Outcome::Unsent);
        }
        self.judge(code, error, message.topic())
    }

    /// A message that is written: where too few replicas were, there are enough.
    fn written(&self, message: &BorrowedMessage<'_>) -> Outcome {
        if self.broker.scarce.any() {
            self.broker.scarce.clear(&partition(message));
        }
        DELIVERED
    }

    /// True where the batch that was refused for its size held this message only: nothing else was on its way, or nothing else fits
    /// beside it.
    fn travelled_alone(&self, message: &BorrowedMessage<'_>) -> bool {
        let size = message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
        size >= self.batch_size || self.ledger.is_last()
    }

    /// Ends the link: nothing that is not on the wire goes out any more.
    fn end(&self, down: LinkDown) {
        let first = self.ledger.end(down);
        if first && let Some(producer) = self.producer.get().and_then(Weak::upgrade) {
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        }
    }
}

impl ProducerContext for Post {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, word: usize) {
        let outcome = match report {
            Ok(message) => Ok(self.0.written(message)),
            Err((error, message)) => self.0.failed(error, message),
        };
        match outcome {
            Ok(outcome) => self.0.ledger.note(Slot::of_word(word), outcome),
            Err(down) => self.0.end(down),
        }
    }
}

impl ClientContext for Post {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Voice::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.voice.log(level, facility, message);
    }

    /// What ends every message that waits ends the link; that a broker is away does not, the client dials again.
    fn error(&self, error: KafkaError, words: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(Code::Fatal) {
            let fatal = self.0.producer.get().and_then(Weak::upgrade).and_then(|producer| producer.client().fatal_error());
            let (code, words) = fatal.unwrap_or((Code::Fatal, words.to_owned()));
            self.0.end(LinkDown::new(of_code(code), words));
        } else if matches!(code.map(of_code), Some(Reason::Unauthenticated | Reason::Tls)) {
            self.0.end(LinkDown::new(code.map_or(Reason::Link, of_code), words));
        }
        self.0.voice.error(error, words);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.voice.generate_oauth_token(config)
    }
}
