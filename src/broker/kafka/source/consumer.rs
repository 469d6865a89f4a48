//! The consumer: what librdkafka is told about reading.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    metadata::{Metadata, MetadataTopic},
};

use super::{
    Plan,
    events::Events,
    handover::{Handover, Order},
};
use crate::{
    broker::{
        House, OpenError,
        fnv1a::fnv1a,
        kafka::{
            client::{self, ASK_TIME, OPEN_TIME, millis},
            fault::{Fault, of_code},
            origin::Protocol,
            settings::Settings,
            target::is_illegal,
            voice::Voice,
        },
    },
    outcome::Reason,
};

/// A request that is not answered for so long has failed; also how long a heartbeat that hangs holds up the next.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);

/// With the queue full, the next look whether there is room for another fetch.
const QUEUE_LOOK: Duration = Duration::from_millis(20);

/// How soon a new topic that a pattern takes is found. Each look asks for all topics of the cluster.
const TOPICS_LOOK: Duration = Duration::from_secs(10);

/// How often librdkafka tells where partitions end, for the lag.
const ENDS_EVERY: Duration = Duration::from_secs(5);

/// While it connects, a consumer's events and its cluster are listened to in turns of this.
const LISTEN: Duration = Duration::from_millis(50);

/// A blocking question is asked for so long at a time.
const SLICE: Duration = Duration::from_millis(250);

/// The longest `group.instance.id` in full; longer ones are cut (Kafka's own limit is 249).
const INSTANCE_MAX: usize = 200;

/// Fetched and not polled, at most, in bytes: a quarter of the window's bytes, within these.
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(16 << 20);

/// What is fetched at once, as a part of that: it comes packed, takes several times its size once it is not, and is not stopped any more
/// when the queue is full.
const FETCH_PART: u64 = 8;

/// The same of one partition: few enough that partitions take turns.
const FETCH_PARTITION_BYTES: u64 = 256 << 10;

/// librdkafka refuses to fetch less than its `message.max.bytes`, which is this unless set.
const FETCH_BYTES_MIN: u64 = 1_000_000;

/// What a consumer is given: all of it follows from the configuration.
pub(super) fn config(settings: &Settings, plan: &Plan, house: &House) -> Result<ClientConfig, OpenError> {
    let mut config = client::config(settings, house)?;
    config
        .set("group.id", plan.group(house))
        // What is committed, and when, is our own affair.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A position that is gone (retention took it, the topic was made anew) is an error, never a silent jump.
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("max.poll.interval.ms", millis(plan.poll_interval_max))
        .set("socket.timeout.ms", millis(SOCKET_TIMEOUT))
        .set("fetch.queue.backoff.ms", millis(QUEUE_LOOK))
        .set("statistics.interval.ms", millis(ENDS_EVERY));
    let queue = (plan.window_bytes / 4).clamp(*QUEUE_BYTES.start(), *QUEUE_BYTES.end());
    config
        .set("queued.max.messages.kbytes", (queue >> 10).to_string())
        .set("queued.min.messages", plan.window.saturating_mul(4).clamp(1000, 100_000).to_string())
        .set("fetch.max.bytes", (queue / FETCH_PART).max(FETCH_BYTES_MIN).to_string())
        // A message that is larger comes all the same.
        .set("fetch.message.max.bytes", FETCH_PARTITION_BYTES.to_string());
    match plan.protocol {
        _ if plan.group.is_none() && plan.tail => {}
        Protocol::Classic => {
            config
                .set("group.instance.id", instance(plan, house))
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", millis(plan.session_timeout))
                .set("heartbeat.interval.ms", millis(plan.session_timeout / 4));
        }
        Protocol::Consumer => {
            config.set("group.instance.id", instance(plan, house)).set("group.protocol", "consumer");
        }
    }
    if let Some(excluded) = plan.topics.excluded() {
        config.set("topic.blacklist", excluded);
    }
    if plan.topics.is_pattern() {
        config.set("topic.metadata.refresh.interval.ms", millis(TOPICS_LOOK));
    }
    Ok(config)
}

/// Our name in the group, the same after a restart. Two sources of one process may share a group, so the topics are part of it.
fn instance(plan: &Plan, house: &House) -> String {
    let mut name = format!("{}.{}", house.instance, plan.topics.display());
    // The characters of a topic's name, as Kafka checks it.
    name = name.chars().map(|letter| if is_illegal(letter) { '_' } else { letter }).collect();
    if name.len() > INSTANCE_MAX {
        // The same in every release, which the standard library's hashers do not promise.
        let rest = fnv1a(name.as_bytes());
        name.truncate(INSTANCE_MAX);
        let _ = write!(name, "-{rest:016x}");
    }
    name
}

/// A connected consumer that has not subscribed yet.
pub(super) fn open(config: &ClientConfig, voice: Voice, handover: &Handover) -> Result<BaseConsumer<Events>, Fault> {
    let consumer: BaseConsumer<Events> =
        BaseConsumer::from_config_and_context(config, Events::new(voice)).map_err(|error| Fault::of(&error))?;
    let faults = consumer.context().faults();
    let (until, mut down) = (Instant::now() + OPEN_TIME, None);
    while !client::has_heard(consumer.client(), LISTEN) {
        // Events of the client are told only while it is polled, lines of its log among them: a client that fails logs faster than one
        // event in each round, and what is wrong would never be heard behind them.
        let _ = consumer.poll(LISTEN);
        let told = faults.borrow().clone();
        if let Some(fault) = told.filter(|fault| fault.is_sum || client::is_final(fault)) {
            // A name may have several addresses, of which the client has tried one: it is given time for the others.
            let since: Instant = *down.get_or_insert_with(Instant::now);
            if client::is_final(&fault) || since.elapsed() >= client::OTHERS {
                return Err(fault);
            }
        }
        if Instant::now() >= until {
            return Err(Fault::new(Reason::Link, format!("no answer within {OPEN_TIME:?}")));
        }
        if handover.order() == Order::Abandon {
            return Err(Fault::new(Reason::Link, "given up"));
        }
    }
    Ok(consumer)
}

/// The topics that are there, each with its number of partitions; a topic that is named and missing is the fault.
pub(super) fn topics(consumer: &BaseConsumer<Events>, plan: &Plan) -> Result<Vec<(String, i32)>, Fault> {
    let ask = |topic| consumer.client().fetch_metadata(topic, ASK_TIME).map_err(|error| Fault::of(&error));
    let mut found = Vec::new();
    for topic in plan.topics.names() {
        found.extend(listed(&ask(Some(topic))?, |_| true)?);
    }
    if plan.topics.is_pattern() {
        let all = ask(None)?;
        // A topic that we may not read, or that is being made, is no fault of a pattern.
        let fine = |name: &str| plan.topics.takes(name);
        let seen = all.topics().iter().filter(|topic| topic.error().is_none() && fine(topic.name()));
        found.extend(seen.map(|topic| (topic.name().to_owned(), count(topic))));
    }
    Ok(found)
}

fn count(topic: &MetadataTopic) -> i32 {
    i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)
}

fn listed(metadata: &Metadata, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, i32)>, Fault> {
    let mut found = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| wanted(topic.name())) {
        if let Some(error) = topic.error() {
            let code = Code::from(error);
            return Err(Fault::new(of_code(code), format!("topic `{}`: {code}", topic.name())));
        }
        found.push((topic.name().to_owned(), count(topic)));
    }
    Ok(found)
}

/// Asks something that blocks, in slices, so that a source that is dropped is off the network at once.
pub(super) fn ask<T>(handover: &Handover, what: &str, question: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, Fault> {
    let until = Instant::now() + ASK_TIME;
    loop {
        match question(SLICE) {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= until || handover.order() == Order::Abandon => {
                return Err(Fault::of(&error).while_doing(what));
            }
            Err(error) if is_late(&error) => {}
            Err(error) => return Err(Fault::of(&error).while_doing(what)),
        }
    }
}

fn is_late(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::OperationTimedOut | Code::RequestTimedOut | Code::BrokerTransportFailure))
}

/// Where a partition begins and ends, as readers of what is committed see it.
pub(super) fn watermarks(
    consumer: &BaseConsumer<Events>,
    handover: &Handover,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), Fault> {
    ask(handover, &format!("{topic}[{partition}]"), |wait| consumer.fetch_watermarks(topic, partition, wait))
}

/// Commits where reading begins, and sees that the group has it.
pub(super) fn begin(consumer: &BaseConsumer<Events>, handover: &Handover, fresh: &TopicPartitionList) -> Result<(), Fault> {
    let what = "committing where reading begins";
    consumer.commit(fresh, CommitMode::Async).map_err(|error| Fault::of(&error).while_doing(what))?;
    let until = Instant::now() + ASK_TIME;
    loop {
        // The one way to hear of a commit without waiting for its answer alone.
        let has = ask(handover, what, |wait| consumer.committed_offsets(bare(fresh), wait))?;
        if has.elements().iter().all(|element| matches!(element.offset(), Offset::Offset(_))) {
            return Ok(());
        }
        if Instant::now() >= until || handover.order() == Order::Abandon {
            return Err(Fault::new(Reason::Timeout, "the group did not take where reading begins"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the group's offsets are ours to read.
pub(super) fn readable(consumer: &BaseConsumer<Events>, handover: &Handover, topics: &[(String, i32)]) -> Result<(), Fault> {
    let Some((topic, _)) = topics.first() else { return Ok(()) };
    let list: TopicPartitionList = [(topic.clone(), 0, Offset::Invalid)].into_iter().collect();
    let asked = |wait| {
        let answer = consumer.committed_offsets(list.clone(), wait);
        // Who may not read the group finds no coordinator: the client is told as an event, and the question stays without an answer.
        if answer.as_ref().is_err_and(is_late) && is_denied(consumer) {
            return Err(KafkaError::Global(Code::GroupAuthorizationFailed));
        }
        answer
    };
    ask(handover, "the group's offsets", asked).map(drop)
}

/// Whether the cluster has said that the group is not ours to read.
fn is_denied(consumer: &BaseConsumer<Events>) -> bool {
    let denied = |error: KafkaError| error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed);
    if consumer.poll(LISTEN).and_then(Result::err).is_some_and(denied) {
        return true;
    }
    // It may have come while the client was still connecting.
    consumer.context().faults().borrow().as_ref().is_some_and(|fault| fault.reason == Reason::Forbidden)
}

/// Partitions without an offset, to ask about them.
pub(super) fn bare(list: &TopicPartitionList) -> TopicPartitionList {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition(), Offset::Invalid)).collect()
}
