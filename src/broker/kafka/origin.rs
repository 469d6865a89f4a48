//! What a source may say of Kafka: its topics, its group, where a new one begins.

use std::{
    any::Any,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

pub(super) use super::subscription::Topics;
use super::{
    Kafka,
    prefix::Prefix,
    relay::Relay,
    source::{KafkaSource, Plan},
    target,
};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    written::{Millis, Node, Problems, Size, Span},
};

/// Messages that may be unsettled where the source does not say: a partition's offsets are one number, however many there are.
pub(super) const WINDOW: u32 = 5000;

/// As docs/configuration.md has it, where the source does not say.
const WINDOW_BYTES: u64 = 64 << 20;

/// A member that is not heard of for so long is out of the group.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A broker's own bounds, unless set (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`).
const SESSION_TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(6)..=Duration::from_secs(30 * 60);

/// Kafka's own default: how long a rebalance waits for a member.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Where a group begins that never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// With the oldest record there is.
    Earliest,
    /// With the next one.
    Latest,
}

/// How the group is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Members share the work out (cooperative-sticky); every broker has it.
    Classic,
    /// The coordinator does (KIP-848); Kafka 4.0 and newer.
    Consumer,
}

/// What becomes of a record without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tombstone {
    /// Its payload is `null`.
    Forward,
    /// Nothing; it is committed as if it had not been there.
    Skip,
    /// Rejected.
    DeadLetter,
}

/// Topics of a cluster, to be read.
#[derive(Debug)]
pub(super) struct KafkaOrigin {
    broker: Arc<Kafka>,
    address: String,
    pub(super) plan: Arc<Plan>,
}

impl KafkaOrigin {
    /// A source's own keys, or the short form's text: a topic.
    pub(super) fn read(broker: &Arc<Kafka>, node: &Node, faults: &mut Problems) -> Option<Self> {
        let plan = match node.text() {
            Some(text) => Plan::of(Topics::one(node, text, faults)?),
            None => read_map(node, faults)?,
        };
        Some(Self::new(broker, plan))
    }

    /// An origin of a broker.
    pub(super) fn new(broker: &Arc<Kafka>, plan: Plan) -> Self {
        Self { address: format!("{}/{}", broker.name, plan.topics), broker: Arc::clone(broker), plan: Arc::new(plan) }
    }

    /// Whether it reads this broker.
    pub(super) fn is_of(&self, kafka: &Arc<Kafka>) -> bool {
        Arc::ptr_eq(&self.broker, kafka)
    }

    /// The group, where one is written.
    pub(super) fn group(&self) -> Option<&Arc<str>> {
        self.plan.group.as_ref()
    }

    /// What is read, and in which group: what no other source of a process says.
    pub(super) fn in_group(&self) -> String {
        match &self.plan.group {
            Some(group) => format!("{}@{group}", self.plan.topics),
            None => self.plan.topics.to_string(),
        }
    }

    /// The same, whose offsets the transactions of a relay commit.
    pub(super) fn relayed(&self, relay: Arc<Relay>) -> Self {
        // By name, so that a key that is added later cannot be forgotten here.
        let Plan {
            topics,
            group,
            start,
            protocol,
            tombstone,
            schema_prefix,
            session_timeout,
            poll_interval_max,
            window,
            window_bytes,
            tail,
            relay: _,
            seen: _,
        } = &*self.plan;
        let plan = Plan {
            topics: topics.clone(),
            group: group.clone(),
            start: *start,
            protocol: *protocol,
            tombstone: *tombstone,
            schema_prefix: *schema_prefix,
            session_timeout: *session_timeout,
            poll_interval_max: *poll_interval_max,
            window: *window,
            window_bytes: *window_bytes,
            tail: *tail,
            relay: Some(relay),
            seen: Mutex::default(),
        };
        Self::new(&self.broker, plan)
    }
}

impl Plan {
    /// What is read where nothing else is written.
    pub(super) fn of(topics: Topics) -> Self {
        Self {
            topics,
            group: None,
            start: Beginning::Earliest,
            protocol: Protocol::Classic,
            tombstone: Tombstone::Forward,
            schema_prefix: None,
            session_timeout: SESSION_TIMEOUT,
            poll_interval_max: POLL_INTERVAL_MAX,
            window: WINDOW,
            window_bytes: WINDOW_BYTES,
            tail: false,
            relay: None,
            seen: Mutex::default(),
        }
    }
}

fn read_map(node: &Node, faults: &mut Problems) -> Option<Plan> {
    let topics = Topics::read(node, faults);
    let group: Option<String> = node.opt("group", faults);
    let start = node.choice("start", &[("earliest", Beginning::Earliest), ("latest", Beginning::Latest)], faults);
    let protocol = node.choice("protocol", &[("classic", Protocol::Classic), ("consumer", Protocol::Consumer)], faults);
    let tombstones = [("forward", Tombstone::Forward), ("skip", Tombstone::Skip), ("dead_letter", Tombstone::DeadLetter)];
    let tombstone = node.choice("tombstone", &tombstones, faults);
    let schema_prefix = Prefix::read(node, faults);
    let session: Option<Millis> = node.opt("session_timeout", faults);
    let interval: Option<Millis> = node.opt("poll_interval_max", faults);
    // Checked where every source's window is.
    let window = node.get::<u32>("window", WINDOW, faults);
    let window_bytes = node.get("window_bytes", Size(WINDOW_BYTES), faults).0;
    let at = |key| node.child(key).unwrap_or(node).at();
    if group.as_deref() == Some("") {
        faults.fault(at("group"), "`group` is empty");
    }
    let mut plan = Plan {
        group: group.map(Into::into),
        start: start.unwrap_or(Beginning::Earliest),
        protocol: protocol.unwrap_or(Protocol::Classic),
        tombstone: tombstone.unwrap_or(Tombstone::Forward),
        schema_prefix,
        window,
        window_bytes,
        ..Plan::of(topics?)
    };
    if let Some(Millis(session)) = session {
        if plan.protocol == Protocol::Consumer {
            faults
                .fault(at("session_timeout"), "with `protocol: consumer` the coordinator sets the session's timeout")
                .hint("the broker's `group.consumer.session.timeout.ms`");
        } else if !SESSION_TIMEOUTS.contains(&session) {
            faults.fault(at("session_timeout"), "`session_timeout` is between 6 s and 30 min, as brokers have it");
        }
        plan.session_timeout = session;
    }
    if let Some(Millis(interval)) = interval {
        plan.poll_interval_max = interval;
    }
    if plan.poll_interval_max < plan.session_timeout {
        faults.fault(at("poll_interval_max"), "`poll_interval_max` is at least `session_timeout`");
    }
    if plan.protocol == Protocol::Consumer && plan.topics.excludes() {
        faults
            .fault(at("topics_exclude"), "with `protocol: consumer` the coordinator matches topics, and it knows no exclusions")
            .hint("`protocol: classic`, or a `topics_regex` that does not mean them");
    }
    Some(plan)
}

#[async_trait]
impl Origin for KafkaOrigin {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        !self.plan.tail
    }

    fn goes_by_name(&self) -> bool {
        self.plan.group.is_none() && !self.plan.tail
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        Ok(Box::new(KafkaSource::open(&self.broker.settings, &self.plan, house).await?))
    }

    fn inlet(&self) -> Option<Target> {
        let topic = self.plan.topics.only()?;
        let named = Node::scalar("inlet", Span::outside("inlet"), &**topic);
        target::read(&self.broker.name, &named, &mut Problems::default())
    }

    fn reads(&self, target: &Target) -> bool {
        *target.link.broker == *self.broker.name && self.plan.topics.takes(&target.address.text)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
