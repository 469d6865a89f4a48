//! What the group is told. librdkafka commits what is *stored* with it: from time to time, before a partition is given back, and
//! when the consumer closes, each time with an answer that comes as an event. A commit is asked for besides whenever half a window
//! has settled, so that a crash repeats what was in the window and little more.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use super::{
    events::{Committed, Events},
    partition::Partition,
    reader::Assigned,
};
use crate::{broker::kafka::fault::Fault, outcome::Reason};

/// How often librdkafka commits what is stored, where nobody asks.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// How often is stored what settled.
const STORE_EVERY: Duration = Duration::from_millis(20);

/// What of a partition was told.
#[derive(Debug)]
pub(super) struct Progress {
    /// To librdkafka: it commits this next.
    stored: i64,
    /// To the group, by a commit of our own asking.
    asked: i64,
}

impl Progress {
    /// Of a partition whose group has committed `start`.
    pub(super) fn new(start: i64) -> Self {
        Self { stored: start, asked: start }
    }
}

/// When was told what.
#[derive(Debug)]
pub(super) struct Commits {
    /// Messages that may be settled and not asked for.
    open_max: i64,
    stored: Instant,
    /// What answers told that the group has.
    answered: HashMap<(String, i32), i64>,
    /// The last answer that was a refusal.
    refused: Option<KafkaError>,
}

impl Commits {
    /// For a window of so many messages.
    pub(super) fn new(window: u32) -> Self {
        let open_max = i64::from(window / 2).max(1);
        Self { open_max, stored: Instant::now(), answered: HashMap::new(), refused: None }
    }

    /// Stores what settled, and asks for a commit where much has. `now` hurries: a partition is given back, or the consumer closes.
    pub(super) fn tell(&mut self, consumer: &BaseConsumer<Events>, assigned: &mut [Assigned], now: bool) -> Result<(), Fault> {
        if !now && self.stored.elapsed() < STORE_EVERY {
            return Ok(());
        }
        self.stored = Instant::now();
        let (mut list, mut open) = (TopicPartitionList::new(), 0);
        for Assigned { partition, progress, .. } in assigned.iter_mut() {
            let settled = partition.settled();
            open += settled - progress.asked;
            if settled > progress.stored {
                progress.stored = settled;
                add(&mut list, partition, settled)?;
            }
        }
        if list.count() > 0 {
            passing(consumer.store_offsets(&list))?;
        }
        if open < self.open_max {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for Assigned { partition, progress, .. } in assigned.iter_mut().filter(|one| one.progress.stored > one.progress.asked) {
            progress.asked = progress.stored;
            add(&mut list, partition, progress.stored)?;
        }
        passing(consumer.commit(&list, CommitMode::Async))
    }

    /// Takes an answer. What was refused for a reason that passes (a rebalance, a coordinator that moves) is committed with the next;
    /// any other reason is the fault.
    pub(super) fn answered(&mut self, answer: Committed) -> Result<(), Fault> {
        let whole = answer.result.is_ok();
        let mut refused = answer.result.err();
        for (topic, partition, offset) in answer.offsets {
            match offset {
                Ok(Offset::Offset(offset)) if whole => drop(self.answered.insert((topic, partition), offset)),
                Ok(_) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        self.refused.clone_from(&refused);
        refused.map_or(Ok(()), |error| passing(Err(error)))
    }

    /// Whether the group has all that settled, now that nothing more will be answered.
    pub(super) fn are_complete(&self, assigned: &[Assigned]) -> Result<(), Fault> {
        let has = |partition: &Partition| {
            let answered = self.answered.get(&(partition.topic.to_string(), partition.number));
            answered.map_or(partition.start, |offset| *offset) >= partition.settled()
        };
        match assigned.iter().find(|one| !has(&one.partition)) {
            None => Ok(()),
            Some(Assigned { partition, .. }) => Err(match &self.refused {
                Some(error) => of(error),
                None => Fault::new(Reason::Timeout, format!("the last commit of {partition} was not answered")),
            }),
        }
    }
}

fn add(list: &mut TopicPartitionList, partition: &Partition, offset: i64) -> Result<(), Fault> {
    list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset)).map_err(|error| of(&error))
}

fn of(error: &KafkaError) -> Fault {
    Fault::of(error).while_doing("committing offsets")
}

/// Not taken now, or not from this generation of the group: what it said is said again where the partition is still ours. That we
/// are out of the group, the group tells as a rebalance.
fn passing(result: Result<(), KafkaError>) -> Result<(), Fault> {
    let Err(error) = result else { return Ok(()) };
    let passes = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NoOffset
                | Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::StaleMemberEpoch
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::WaitingForCoordinator
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::AssignmentLost
                | Code::UnknownPartition
                | Code::State
                | Code::InProgress
        )
    );
    if !passes {
        return Err(of(&error));
    }
    tracing::debug!(target: "rialto::kafka", %error, "offsets were not taken; they are told again");
    Ok(())
}
