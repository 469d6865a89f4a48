//! Reading: a thread that polls, a few batches between, and the pipeline's side, which offers them and hears what settles. Another
//! thread commits that, and the pipeline's side reads on as far as it has.
//!
//! ```text
//!   reader     the thread's loop          rebalance  what is assigned and taken     commits    what the group is told
//!   gather     records into batches       events     what a callback notes          consumer   what librdkafka is told
//!   handover   the batches between        desk       the pipeline's side            offsets    numbers of a feed to offsets
//! ```
//!
//! The two sides share no lock for a message: one for a batch, and one for each partition's position, up to which all is settled.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{ClientConfig, consumer::BaseConsumer};
use tokio::sync::oneshot;

use super::{
    client,
    fault::Fault,
    origin::{Beginning, Protocol, Tombstone, Topics},
    prefix::Prefix,
    relay::Relay,
    settings::Settings,
    voice::Voice,
};
use crate::{
    broker::{Ended, House, OpenError, Source, SourceError},
    intake::Intake,
    outcome::Reason,
};

mod commits;
mod consumer;
mod desk;
mod events;
mod gather;
mod handover;
mod offsets;
mod partition;
#[cfg(feature = "planted-bugs")]
mod planted;
mod reader;
mod rebalance;

pub(in crate::broker::kafka) use partition::Partition;

use commits::Commits;
use desk::Desk;
use events::Events;
use handover::{Handover, Order};
use reader::{Reader, Start};

/// Messages of one batch at most: what is ready, without a timer.
const BATCH_MAX: usize = 256;

/// How a source reads: what its configuration says, and what its process has seen so far.
#[derive(Debug)]
pub(in crate::broker::kafka) struct Plan {
    pub(in crate::broker::kafka) topics: Topics,
    /// `None`: the house's name.
    pub(in crate::broker::kafka) group: Option<Arc<str>>,
    pub(in crate::broker::kafka) start: Beginning,
    pub(in crate::broker::kafka) protocol: Protocol,
    pub(in crate::broker::kafka) tombstone: Tombstone,
    /// What a schema registry's clients put in front of each value.
    pub(in crate::broker::kafka) schema_prefix: Option<Prefix>,
    pub(in crate::broker::kafka) session_timeout: Duration,
    pub(in crate::broker::kafka) poll_interval_max: Duration,
    /// Messages and bytes of the source's window: how much is fetched ahead follows from them.
    pub(in crate::broker::kafka) window: u32,
    pub(in crate::broker::kafka) window_bytes: u64,
    /// Without a group, from the end, nothing told: a look at what passes.
    pub(in crate::broker::kafka) tail: bool,
    /// Offsets are committed by the transactions of this relay.
    pub(in crate::broker::kafka) relay: Option<Arc<Relay>>,
    /// Partitions that each topic had when the first incarnation opened.
    pub(in crate::broker::kafka) seen: Mutex<Option<HashMap<String, i32>>>,
}

impl Plan {
    /// The group's name. A reader without one needs a name all the same, which nobody joins or commits under.
    pub(in crate::broker::kafka) fn group<'a>(&'a self, house: &'a House) -> &'a str {
        match &self.group {
            Some(group) => group,
            None if self.tail => "rialto-tap",
            None => &house.name,
        }
    }

    /// Whether what settles is told to the group by the consumer.
    fn commits(&self) -> bool {
        !self.tail && self.relay.is_none()
    }

    /// Notes what is there; what was there at the first opening stays what it was.
    fn see(&self, topics: Vec<(String, i32)>) {
        self.seen().get_or_insert_with(|| topics.into_iter().collect());
    }

    /// Whether a partition was there at the first opening.
    fn knows(&self, topic: &str, partition: i32) -> bool {
        self.seen().as_ref().is_none_or(|seen| seen.get(topic).is_some_and(|partitions| partition < *partitions))
    }

    fn known(&self) -> Vec<(String, i32)> {
        self.seen().iter().flatten().map(|(topic, partitions)| (topic.clone(), *partitions)).collect()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<HashMap<String, i32>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One incarnation: a consumer that is connected and has not joined its group yet.
pub(super) struct KafkaSource {
    plan: Arc<Plan>,
    polling: Polling,
}

impl KafkaSource {
    /// Connects, and sees that what is named is there.
    pub(super) async fn open(settings: &Settings, plan: &Arc<Plan>, house: &House) -> Result<Self, OpenError> {
        let config = consumer::config(settings, plan, house)?;
        let voice = Voice::of(settings, house).await?;
        let polling = Polling::open(config, voice, Arc::clone(plan)).await;
        Ok(Self { plan: Arc::clone(plan), polling: polling.map_err(|fault| fault.while_doing(settings.display()))? })
    }
}

/// What `check --connect` asks: whether the topics are there, and the group's offsets ours to read. Nobody joins.
pub(super) async fn look(settings: &Settings, plan: &Arc<Plan>, house: &House) -> Result<(), OpenError> {
    let config = consumer::config(settings, plan, house)?;
    let (voice, plan) = (Voice::of(settings, house).await?, Arc::clone(plan));
    let asking = move || {
        let handover = Handover::new();
        let consumer = consumer::open(&config, voice, &handover)?;
        let topics = consumer::topics(&consumer, &plan)?;
        consumer::readable(&consumer, &handover, &topics)
    };
    Ok(client::ask(asking).await??)
}

#[async_trait]
impl Source for KafkaSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let mut polling = self.polling;
        let batch_max = BATCH_MAX.min(intake.window()).max(1);
        polling.start(Start { batch_max, metrics: intake.metrics().clone() });
        let (handover, commits) = (Arc::clone(&polling.handover), Arc::clone(&polling.commits));
        let ended = {
            let desk = Desk::new(&intake, &handover, &commits, &self.plan);
            tokio::select! {
                biased;
                broken = polling.ended() => return Err(broken.err().unwrap_or_else(gone).into()),
                ended = desk.run() => ended,
            }
        };
        handover.tell(Order::Finish);
        polling.ended().await?;
        Ok(ended)
    }
}

/// The thread, as its owner holds it. Dropped: the consumer leaves, and nothing more is committed.
struct Polling {
    handover: Arc<Handover>,
    commits: Arc<Commits>,
    start: Option<mpsc::Sender<Start>>,
    ended: oneshot::Receiver<Result<(), Fault>>,
}

impl Polling {
    async fn open(config: ClientConfig, voice: Voice, plan: Arc<Plan>) -> Result<Self, Fault> {
        let (handover, commits) = (Arc::new(Handover::new()), Arc::new(Commits::default()));
        let (start, started) = mpsc::channel();
        let (opened, open) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let polling = Self { handover: Arc::clone(&handover), commits: Arc::clone(&commits), start: Some(start), ended };
        let live = move || {
            // Nobody waits any more for an opening that is not answered.
            if let Some((consumer, start)) = connect(&config, voice, &plan, &handover, opened, &started) {
                let group = config.get("group.id").unwrap_or_default();
                live(Reader::new(consumer, group, plan, handover, commits, start), end);
            }
        };
        let no_thread = |error: io::Error| Fault::new(Reason::Link, error.to_string());
        thread::Builder::new().name("kafka-poll".to_owned()).spawn(live).map_err(no_thread)?;
        open.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(polling)
    }

    fn start(&mut self, start: Start) {
        if let Some(begin) = self.start.take() {
            // A thread that has ended says so by itself.
            let _ = begin.send(start);
        }
    }

    async fn ended(&mut self) -> Result<(), Fault> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.handover.tell(Order::Abandon);
    }
}

impl fmt::Debug for Polling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polling").field("order", &self.handover.order()).finish_non_exhaustive()
    }
}

fn gone() -> Fault {
    Fault::new(Reason::Panic, "the thread that polls has ended without a word")
}

/// The thread's beginning: connects, says so, and waits until somebody wants to read.
fn connect(
    config: &ClientConfig,
    voice: Voice,
    plan: &Plan,
    handover: &Handover,
    opened: oneshot::Sender<Result<(), Fault>>,
    started: &mpsc::Receiver<Start>,
) -> Option<(BaseConsumer<Events>, Start)> {
    let connected = consumer::open(config, voice, handover).and_then(|consumer| {
        plan.see(consumer::topics(&consumer, plan)?);
        Ok(consumer)
    });
    match connected {
        Ok(consumer) => {
            opened.send(Ok(())).ok()?;
            Some((consumer, started.recv().ok()?))
        }
        Err(fault) => {
            drop(opened.send(Err(fault)));
            None
        }
    }
}

/// The thread's life: reads, leaves.
fn live(mut reader: Reader, end: oneshot::Sender<Result<(), Fault>>) {
    match reader.run() {
        Ok(()) => drop(end.send(reader.close())),
        // Told at once: leaving a cluster that does not answer takes its time.
        Err(fault) => {
            drop(end.send(Err(fault)));
            if let Err(fault) = reader.close() {
                tracing::debug!(target: "rialto::kafka", "{}", fault.detail);
            }
        }
    }
}
