//! The thread that polls. It never waits for anything else for long: who does not poll for `max.poll.interval.ms` is put out of the
//! group. With no room for what it read, it pauses the partitions and goes on polling.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::Message,
};

use super::{
    Plan,
    commits::{self, Commits},
    events::Events,
    gather::Gather,
    handover::{Batch, Handover, Order},
    partition::{Membership, Partition},
    rebalance::Returning,
};
use crate::{
    broker::kafka::{client::ASK_TIME, fault::Fault},
    outcome::Reason,
    telemetry::{SourceMetrics, SourceState},
};

/// How long one poll waits for something to read: so late is an order heard of.
const POLL: Duration = Duration::from_millis(50);

/// The same while partitions are given back.
const POLL_SOON: Duration = Duration::from_millis(5);

/// Without room for so long, partitions are paused. Less, and every wait of a destination would throw away what was fetched, because
/// pausing empties the queue.
const PAUSE_AFTER: Duration = Duration::from_millis(500);

/// What the pipeline's side lends.
#[derive(Debug)]
pub(super) struct Start {
    /// Messages in one batch, at most.
    pub(super) batch_max: usize,
    pub(super) metrics: SourceMetrics,
}

/// A partition that is ours.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) partition: Arc<Partition>,
    /// The offset after the last record seen. librdkafka may give again what it gave before a pause.
    pub(super) next: i64,
    /// Where the partition ends, as far as is known.
    end: i64,
}

impl Assigned {
    pub(super) fn new(partition: Partition) -> Self {
        let start = partition.start;
        Self { partition: Arc::new(partition), next: start, end: start }
    }
}

/// A consumer in its group, and all that is known of what is assigned to it.
pub(super) struct Reader {
    /// Shared with the thread that commits, which ends before it.
    pub(super) consumer: Arc<BaseConsumer<Events>>,
    committing: Option<JoinHandle<()>>,
    pub(super) commits: Arc<Commits>,
    pub(super) plan: Arc<Plan>,
    pub(super) handover: Arc<Handover>,
    pub(super) membership: Arc<Membership>,
    /// Ordered by topic and number.
    pub(super) assigned: Vec<Assigned>,
    /// Being given back.
    pub(super) returning: Option<Returning>,
    pub(super) paused: bool,
    start: Start,
    /// Read and not handed over: at most one poll's worth.
    ready: VecDeque<Batch>,
    /// Of the partition that was read last.
    last: usize,
}

impl Reader {
    /// A reader of the group of this name.
    pub(super) fn new(
        consumer: BaseConsumer<Events>,
        group: &str,
        plan: Arc<Plan>,
        handover: Arc<Handover>,
        commits: Arc<Commits>,
        start: Start,
    ) -> Self {
        Self {
            consumer: Arc::new(consumer),
            committing: None,
            commits,
            handover,
            membership: Arc::new(Membership::of(if plan.tail { "" } else { group })),
            plan,
            assigned: Vec::new(),
            returning: None,
            paused: false,
            start,
            ready: VecDeque::new(),
            last: 0,
        }
    }

    /// Reads until another order comes, or the group or its cluster has enough of us.
    pub(super) fn run(&mut self) -> Result<(), Fault> {
        self.begin_committing()?;
        self.subscribe()?;
        loop {
            match self.handover.order() {
                Order::Read => {}
                Order::Drain => {
                    self.ready.clear();
                    self.pause();
                }
                Order::Finish => return self.finish(),
                Order::Abandon => return Ok(()),
            }
            self.commits.check()?;
            self.rebalance()?;
            self.read()?;
            self.hand_over();
            self.tell_lag();
        }
    }

    fn begin_committing(&mut self) -> Result<(), Fault> {
        if self.plan.commits() {
            let (consumer, commits) = (Arc::clone(&self.consumer), Arc::clone(&self.commits));
            let committing = move || commits.run(|told| commits::commit(&consumer, told));
            let no_thread = |error: io::Error| Fault::new(Reason::Link, error.to_string());
            self.committing = Some(thread::Builder::new().name("kafka-commit".to_owned()).spawn(committing).map_err(no_thread)?);
        }
        Ok(())
    }

    /// All is settled: waits until the group has it.
    fn finish(&mut self) -> Result<(), Fault> {
        let until = Instant::now() + ASK_TIME;
        self.commits.want();
        while self.plan.commits() && !self.commits.are_complete() && self.handover.order() != Order::Abandon {
            self.commits.check()?;
            if Instant::now() >= until {
                return Err(self.commits.incomplete());
            }
            // What the group wants of us is answered when we leave.
            if let Some(Err(error)) = self.consumer.poll(POLL_SOON) {
                heard(&error, &self.consumer, &self.plan)?;
            }
        }
        Ok(())
    }

    /// Polls until nothing is here or a batch is full.
    fn read(&mut self) -> Result<(), Fault> {
        let mut wait = if self.returning.is_some() { POLL_SOON } else { POLL };
        if !self.ready.is_empty() {
            // The hand-over has waited already.
            wait = Duration::ZERO;
        }
        let mut gather: Option<Gather> = None;
        for _ in 0..self.start.batch_max {
            match self.consumer.poll(wait) {
                None => break,
                Some(Err(error)) => {
                    heard(&error, &self.consumer, &self.plan)?;
                }
                Some(Ok(message)) => {
                    let Some(at) = find(&self.assigned, self.last, message.topic(), message.partition()) else { continue };
                    self.last = at;
                    let assigned = &mut self.assigned[at];
                    if message.offset() < assigned.next || assigned.partition.is_leaving() {
                        continue;
                    }
                    assigned.next = message.offset() + 1;
                    if let Some(done) = gather.take_if(|gather| gather.partition().id != assigned.partition.id) {
                        self.ready.push_back(done.batch());
                    }
                    let fresh = || Gather::of(&assigned.partition, message.offset());
                    gather.get_or_insert_with(fresh).add(&message, &self.plan);
                }
            }
            wait = Duration::ZERO;
        }
        self.ready.extend(gather.map(Gather::batch));
        Ok(())
    }

    /// Hands over what is read. Without room, partitions are paused until there is some.
    fn hand_over(&mut self) {
        // Paused: the wait is a poll's, because events of the group are served between two.
        let patience = if self.paused { POLL } else { PAUSE_AFTER };
        let until = Instant::now() + patience;
        while let Some(batch) = self.ready.pop_front() {
            if let Err(batch) = self.handover.push(batch, until.saturating_duration_since(Instant::now())) {
                self.ready.push_front(batch);
                self.pause();
                return;
            }
        }
        if self.paused && self.handover.order() == Order::Read {
            self.resume();
        }
    }

    pub(super) fn pause(&mut self) {
        if !self.paused {
            self.paused = true;
            self.switch("pausing", BaseConsumer::pause);
        }
    }

    fn resume(&mut self) {
        self.paused = false;
        self.switch("resuming", BaseConsumer::resume);
    }

    /// Pauses or resumes what is ours and stays ours.
    fn switch(&self, what: &str, how: fn(&BaseConsumer<Events>, &TopicPartitionList) -> Result<(), KafkaError>) {
        let mut list = TopicPartitionList::new();
        for assigned in self.assigned.iter().filter(|assigned| !assigned.partition.is_leaving()) {
            list.add_partition(&assigned.partition.topic, assigned.partition.number);
        }
        if let Err(error) = how(&self.consumer, &list) {
            // Only partitions that left meanwhile: theirs is dropped anyhow.
            tracing::debug!(target: "rialto::kafka", %error, "{what}");
        }
    }

    /// Leaves the cluster.
    pub(super) fn close(self) -> Result<(), Fault> {
        let Self { consumer, committing, commits, returning, assigned, plan, .. } = self;
        commits.end();
        let events = Arc::clone(consumer.client().context());
        events.close();
        // librdkafka waits for these answers, also while it closes.
        if let Some(returning) = returning {
            returning.answer(&consumer);
        }
        while let Some(rebalance) = events.rebalance() {
            rebalance.answer(&consumer);
        }
        if let Some(relay) = &plan.relay {
            for assigned in &assigned {
                relay.release(&assigned.partition);
            }
        }
        if let Some(committing) = committing {
            // The answer to a commit is certain, if late where the cluster is silent.
            while !committing.is_finished() {
                drop(consumer.poll(POLL_SOON));
            }
            committing.join().map_err(|_| Fault::new(Reason::Panic, "the thread that commits has panicked"))?;
        }
        // The last one that holds it: serves the group until it has let us go.
        drop(consumer);
        Ok(())
    }

    /// How much is not settled, as far as the last fetches told.
    fn tell_lag(&mut self) {
        let ends = self.consumer.context().ends();
        if ends.is_empty() {
            return;
        }
        for end in ends {
            if let Some(at) = find(&self.assigned, 0, &end.topic, end.partition) {
                self.assigned[at].end = end.offset;
            }
        }
        self.lag();
    }

    fn lag(&self) {
        let behind = |assigned: &Assigned| (assigned.end - assigned.partition.settled().offset).max(0).cast_unsigned();
        self.start.metrics.lag(self.assigned.iter().map(behind).sum());
    }

    /// A member without partitions stands by. What the pipeline says of us (blocked, paused) is its own.
    pub(super) fn tell_state(&self) {
        let metrics = &self.start.metrics;
        self.lag();
        match (self.assigned.is_empty(), metrics.current()) {
            (true, SourceState::Running) => metrics.state(SourceState::Standby),
            (false, SourceState::Standby) => metrics.state(SourceState::Running),
            _ => {}
        }
    }
}

/// Where a partition stands among those that are ours; `likely` is looked at first.
pub(super) fn find(assigned: &[Assigned], likely: usize, topic: &str, number: i32) -> Option<usize> {
    let is = |one: &Assigned| one.partition.number == number && *one.partition.topic == *topic;
    if assigned.get(likely).is_some_and(is) {
        return Some(likely);
    }
    assigned.binary_search_by(|one| (&*one.partition.topic, one.partition.number).cmp(&(topic, number))).ok()
}

/// An event that came instead of a message: the fault that ends this incarnation, or nothing that concerns us.
fn heard(error: &KafkaError, consumer: &BaseConsumer<Events>, plan: &Plan) -> Result<(), Fault> {
    let client = || consumer.context().faults().borrow().clone();
    match error.rdkafka_error_code() {
        // Single brokers and passing troubles, which librdkafka mends by itself: if none is left, it says so.
        Some(
            Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NodeUpdate
            | Code::PartitionEOF
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::RebalanceInProgress
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition,
        ) => Ok(()),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) if plan.topics.is_pattern() => Ok(()),
        // A look from beside has no business with a group, and librdkafka asks for its coordinator all the same.
        Some(Code::GroupAuthorizationFailed) if plan.tail => Ok(()),
        Some(Code::AllBrokersDown) => Err(client().unwrap_or_else(|| Fault::of(error))),
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(Fault::new(
            Reason::Refused,
            format!(
                "the group's position is gone ({error}): retention removed what was not read, or the topic was made anew; \
                 nothing is skipped unasked, so set the position with `kafka-consumer-groups --reset-offsets`"
            ),
        )),
        Some(Code::Fenced | Code::FencedInstanceId) => Err(twin()),
        // What it was is the client's to say.
        Some(Code::Fatal) if matches!(consumer.client().fatal_error(), Some((Code::Fenced | Code::FencedInstanceId, _))) => {
            Err(twin())
        }
        Some(Code::Authentication | Code::SSL | Code::Fatal) => Err(client().unwrap_or_else(|| Fault::of(error))),
        _ => Err(Fault::of(error)),
    }
}

fn twin() -> Fault {
    Fault::new(Reason::Link, "another member of the group has our `group.instance.id`: give each process an `instance` of its own")
}
