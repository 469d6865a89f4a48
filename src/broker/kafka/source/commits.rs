//! What the group is told, on a thread of its own: one commit at a time, always of the newest positions, each with its answer. The
//! pipeline's side counts what the group does not have against the window, and asks for a commit as soon as a part of that has
//! settled; else one is made from time to time. So a crash repeats a window of each partition, and the thread that polls never waits for
//! the group.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::sync::Notify;

use super::{
    events::Events,
    partition::{Partition, Position},
};
use crate::{broker::kafka::fault::Fault, outcome::Reason};

/// How often is committed what settled, where nobody asks.
const EVERY: Duration = Duration::from_millis(500);

/// After a refusal that passes.
const AGAIN: Duration = Duration::from_millis(100);

/// Refused for so long, it is said aloud: by then the window is likely to be full of what is settled.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// A partition, and where the group is to have it.
type Told = (Arc<Partition>, Position);

/// Shared by the thread that commits, the one that polls, and the pipeline's side.
#[derive(Debug, Default)]
pub(super) struct Commits {
    inner: Mutex<Inner>,
    /// For the thread that commits.
    work: Condvar,
    /// For the pipeline's side: the group has more, or a partition is gone.
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// What is ours, and not on its way back.
    assigned: Vec<Arc<Partition>>,
    /// Not only when the time has come.
    wanted: bool,
    ended: bool,
    refused: Option<Refused>,
    /// What ends the incarnation.
    fault: Option<Fault>,
}

/// Nothing was taken since.
#[derive(Debug)]
struct Refused {
    since: Instant,
    last: KafkaError,
    /// It was said aloud.
    said: bool,
}

impl Commits {
    // The side of the pipeline.

    /// Asks for a commit without delay.
    pub(super) fn want(&self) {
        self.lock().wanted = true;
        self.work.notify_one();
    }

    /// Waits until the group has more than before, or a partition is gone. Cancel-safe.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    // The side of the thread that polls.

    /// These are ours from now on.
    pub(super) fn watch<'a>(&self, partitions: impl Iterator<Item = &'a Arc<Partition>>) {
        self.lock().assigned.extend(partitions.cloned());
    }

    /// These are given back, or lost: no commit that begins from now on has them.
    pub(super) fn forget(&self, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            partition.go();
        }
        self.lock().assigned.retain(|partition| !partition.is_gone());
        self.news.notify_one();
    }

    /// The fault that ended the thread that commits.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.lock().fault.clone().map_or(Ok(()), Err)
    }

    /// Whether the group has all that settled.
    pub(super) fn are_complete(&self) -> bool {
        self.lock().assigned.iter().all(|partition| partition.is_told())
    }

    /// Why it has not, when nobody waits any longer.
    pub(super) fn incomplete(&self) -> Fault {
        match &self.lock().refused {
            Some(refused) => of(&refused.last),
            None => Fault::new(Reason::Timeout, "the last commit was not answered"),
        }
    }

    /// No further commit.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.work.notify_one();
    }

    // The thread that commits.

    /// Until the end, or a fault. The answer to a commit is certain: librdkafka asks again for a while and then gives up.
    pub(super) fn run(&self, commit: impl Fn(&[Told]) -> Result<(), KafkaError>) {
        while let Some(told) = self.due() {
            let answer = commit(&told);
            if !self.answered(&told, answer) {
                return;
            }
        }
    }

    /// Waits until there is something to commit, and it is time.
    fn due(&self) -> Option<Vec<Told>> {
        let mut inner = self.lock();
        let mut begun = Instant::now();
        loop {
            if inner.ended {
                return None;
            }
            let pause = match (&inner.refused, inner.wanted) {
                (Some(_), _) => AGAIN,
                (None, true) => Duration::ZERO,
                (None, false) => EVERY,
            };
            let left = pause.saturating_sub(begun.elapsed());
            if !left.is_zero() {
                inner = self.work.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            inner.wanted = false;
            let open = inner.assigned.iter().filter(|partition| !partition.is_told());
            let told: Vec<Told> = open.map(|partition| (Arc::clone(partition), partition.settled())).collect();
            if !told.is_empty() {
                return Some(told);
            }
            begun = Instant::now();
        }
    }

    /// Notes an answer; false when it is the end. What was refused for a reason that passes (a rebalance, a coordinator that moves) is
    /// committed with the next; any other reason is the fault.
    fn answered(&self, told: &[Told], answer: Result<(), KafkaError>) -> bool {
        let mut inner = self.lock();
        let Err(error) = answer else {
            for (partition, position) in told {
                partition.tell(*position);
            }
            inner.refused = None;
            drop(inner);
            self.news.notify_one();
            return true;
        };
        if !passes(&error) {
            inner.fault = Some(of(&error));
            return false;
        }
        tracing::debug!(target: "rialto::kafka", %error, "offsets were not taken; they are told again");
        let now = Instant::now();
        let refused = inner.refused.get_or_insert_with(|| Refused { since: now, last: error.clone(), said: false });
        if !refused.said && now.duration_since(refused.since) >= QUIET_MAX {
            refused.said = true;
            tracing::warn!(%error, "the group takes no offsets; with a window of messages settled and not told, the source waits");
        }
        refused.last = error;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after each statement.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One commit, and its answer. The list is dropped with it: an open one would keep its partitions alive, and closing waits until
/// nobody does.
pub(super) fn commit(consumer: &BaseConsumer<Events>, told: &[Told]) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(told.len());
    for (partition, position) in told {
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(position.offset))?;
    }
    consumer.commit(&list, CommitMode::Sync)
}

fn of(error: &KafkaError) -> Fault {
    Fault::of(error).while_doing("committing offsets")
}

/// Not taken now, or not from this generation of the group: what it said is said again where the partition is still ours. That we
/// are out of the group, the group tells as a rebalance; that another has taken our place in it, the client as an event of its own.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NoOffset
                | Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::StaleMemberEpoch
                | Code::FencedInstanceId
                | Code::Fatal
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
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    fn settled(partition: &Partition, offset: i64) {
        partition.settle(Position { offset, messages: offset.cast_unsigned() });
    }

    fn refusal(code: Code) -> KafkaError {
        KafkaError::ConsumerCommit(code)
    }

    /// Commits until `until` holds, with answers by `commit`, on a thread of its own as in life.
    fn run(commits: &Commits, commit: impl Fn(&[Told]) -> Result<(), KafkaError> + Send, until: impl Fn() -> bool) {
        std::thread::scope(|scope| {
            scope.spawn(|| commits.run(commit));
            let start = Instant::now();
            while !until() {
                assert!(start.elapsed() < Duration::from_secs(10), "it never came to that");
                std::thread::sleep(Duration::from_millis(1));
            }
            commits.end();
        });
    }

    #[test]
    fn what_is_wanted_is_committed_at_once_and_what_settles_meanwhile_with_the_next() {
        let (commits, partition) = (Commits::default(), Partition::for_tests("orders"));
        commits.watch([&partition].into_iter());
        settled(&partition, 5);
        let (start, asked) = (Instant::now(), Mutex::new(Vec::new()));
        commits.want();
        let commit = |told: &[Told]| {
            asked.lock().unwrap().push(told[0].1.offset);
            if told[0].1.offset == 5 {
                settled(&partition, 7);
                commits.want();
                assert!(!commits.are_complete());
            }
            Ok(())
        };
        run(&commits, commit, || partition.told().offset == 7);
        assert!(start.elapsed() < EVERY, "nobody waited for the time");
        assert_eq!(*asked.lock().unwrap(), [5, 7]);
        assert!(commits.are_complete());
    }

    #[test]
    fn what_nobody_asks_for_is_committed_after_a_while() {
        let (commits, partition) = (Commits::default(), Partition::for_tests("orders"));
        commits.watch([&partition].into_iter());
        settled(&partition, 1);
        let start = Instant::now();
        run(&commits, |_| Ok(()), || partition.is_told());
        assert!(start.elapsed() >= EVERY);
    }

    #[test]
    fn a_refusal_that_passes_is_no_answer_and_the_newest_is_told_again() {
        let (commits, partition) = (Commits::default(), Partition::for_tests("orders"));
        commits.watch([&partition].into_iter());
        settled(&partition, 1);
        commits.want();
        let tries = AtomicU32::new(0);
        let commit = |told: &[Told]| match tries.fetch_add(1, Ordering::Relaxed) {
            0 => {
                settled(&partition, 2);
                Err(refusal(Code::RebalanceInProgress))
            }
            1 => {
                assert_eq!((partition.told().offset, told[0].1.offset), (0, 2));
                Err(refusal(Code::NotCoordinator))
            }
            _ => Ok(()),
        };
        run(&commits, commit, || partition.told().offset == 2);
        assert!(commits.check().is_ok());
    }

    #[test]
    fn a_refusal_that_does_not_pass_is_the_fault() {
        let (commits, partition) = (Commits::default(), Partition::for_tests("orders"));
        commits.watch([&partition].into_iter());
        settled(&partition, 1);
        commits.want();
        run(&commits, |_| Err(refusal(Code::GroupAuthorizationFailed)), || commits.check().is_err());
        assert_eq!(commits.check().expect_err("a fault").reason, Reason::Forbidden);
        assert!(!commits.are_complete());
    }

    #[test]
    fn what_is_given_back_is_in_no_further_commit() {
        let (commits, kept) = (Commits::default(), Partition::for_tests("kept"));
        let (gone, seen) = (Partition::for_tests("gone"), AtomicBool::new(false));
        commits.watch([&kept, &gone].into_iter());
        settled(&kept, 1);
        settled(&gone, 1);
        commits.forget(&[Arc::clone(&gone)]);
        commits.want();
        let commit = |told: &[Told]| {
            seen.fetch_or(told.iter().any(|(partition, _)| partition.id == gone.id), Ordering::Relaxed);
            Ok(())
        };
        run(&commits, commit, || kept.is_told());
        assert!(!seen.into_inner() && gone.is_gone() && commits.are_complete());
    }
}
