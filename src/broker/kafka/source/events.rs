//! What a consumer is told while it is polled: rebalances, statistics. Noted here, acted upon by whoever polls:
//! a callback runs inside the poll, and the poll must never wait for anything.

use std::{
    collections::VecDeque,
    error::Error,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::sync::watch;

use crate::broker::kafka::{fault::Fault, voice::Voice};

/// A change of what is assigned to us. librdkafka waits for our answer: `assign` or `unassign`.
#[derive(Debug)]
pub(super) enum Rebalance {
    /// These are ours now.
    Assigned(TopicPartitionList),
    /// These are to be given back.
    Revoked(TopicPartitionList),
    /// These are somebody else's already: what we say of them counts no more.
    Lost(TopicPartitionList),
}

/// Where a partition ends, as of the last answer to a fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The consumer's context.
#[derive(Debug)]
pub(super) struct Events {
    voice: Voice,
    noted: Mutex<Noted>,
    /// The consumer is being closed: rebalances are answered at once.
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct Noted {
    /// The next one comes only after the last one was answered.
    rebalances: VecDeque<Rebalance>,
    ends: Vec<End>,
}

impl Events {
    pub(super) fn new(voice: Voice) -> Self {
        Self { voice, noted: Mutex::default(), closing: AtomicBool::new(false) }
    }

    /// Faults of the whole client.
    pub(super) fn faults(&self) -> watch::Receiver<Option<Fault>> {
        self.voice.listen()
    }

    /// The oldest change that nobody acted upon.
    pub(super) fn rebalance(&self) -> Option<Rebalance> {
        self.noted().rebalances.pop_front()
    }

    /// Where partitions end, if that was told since the last time.
    pub(super) fn ends(&self) -> Vec<End> {
        std::mem::take(&mut self.noted().ends)
    }

    /// From now on rebalances are answered at once.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Events {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Voice::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.voice.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.voice.generate_oauth_token(config)
    }

    fn stats(&self, statistics: Statistics) {
        let topics = statistics.topics.into_iter();
        let partitions = topics.flat_map(|(topic, seen)| {
            seen.partitions.into_values().map(move |partition| {
                // Of what is committed, which is what we read; unknown before the first answer.
                let offset = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
                End { topic: topic.clone(), partition: partition.partition, offset }
            })
        });
        self.noted().ends = partitions.filter(|end| end.partition >= 0 && end.offset >= 0).collect();
    }
}

impl ConsumerContext for Events {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let rebalance = match (assigned, consumer.assignment_lost()) {
            (true, _) => Rebalance::Assigned(list.clone()),
            (false, true) => Rebalance::Lost(list.clone()),
            (false, false) => Rebalance::Revoked(list.clone()),
        };
        if self.closing.load(Ordering::Acquire) {
            rebalance.answer(consumer);
        } else {
            self.noted().rebalances.push_back(rebalance);
        }
    }
}

impl Rebalance {
    /// Answers without acting upon it: the consumer ends, and librdkafka waits for the answer.
    pub(super) fn answer(&self, consumer: &BaseConsumer<Events>) {
        let answered = match self {
            Self::Assigned(list) => consumer.incremental_assign(list),
            Self::Revoked(list) | Self::Lost(list) => consumer.incremental_unassign(list),
        };
        if let Err(error) = answered {
            tracing::debug!(target: "rialto::kafka", %error, "a rebalance was answered while closing");
        }
    }
}
