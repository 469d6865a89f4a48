//! What both ends of an exchange share: the source tells what it took, the link asks what may be sent.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{copies::Order, positions::Positions};
use crate::{
    broker::{House, OpenError, kafka::source::Partition},
    intake::Settled,
    outcome::Reason,
};

/// How long a partition that is given away waits for the transaction that holds something of it.
const RELEASE_TIME: Duration = Duration::from_secs(30);

/// Reading and publishing as one, for one source.
pub(in crate::broker::kafka) struct Relay {
    /// Its name in this process: the part of its broker that its link is.
    part: Arc<str>,
    /// The group whose offsets the transactions commit; `None`: the house's name.
    group: Option<Arc<str>>,
    positions: Mutex<Positions<Assigned>>,
    /// A transaction ended.
    ended: Condvar,
    /// The thread of the link that was opened last.
    thread: Mutex<Option<(Sender<Order>, JoinHandle<()>)>>,
    /// It was told to look and has not looked yet.
    told: AtomicBool,
}

/// A partition for the time of one assignment; given to us again, it is another one.
#[derive(Debug, Clone)]
pub(super) struct Assigned(pub(super) Arc<Partition>);

impl PartialEq for Assigned {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Assigned {}

impl Hash for Assigned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Relay {
    /// A relay between two ends that are not open.
    pub(in crate::broker::kafka) fn new(part: Arc<str>, group: Option<Arc<str>>) -> Self {
        Self {
            part,
            group,
            positions: Mutex::new(Positions::new()),
            ended: Condvar::new(),
            thread: Mutex::default(),
            told: AtomicBool::new(false),
        }
    }

    /// `transactional.id`: whoever begins under the same name ends what another had open, so a process that hangs can commit nothing
    /// after its successor has begun. The name is the instance's, as in the group.
    pub(super) fn id(&self, house: &House) -> String {
        format!("{}/{}", house.instance, self.part)
    }

    /// The group's name.
    pub(super) fn group<'a>(&'a self, house: &'a House) -> &'a str {
        self.group.as_deref().unwrap_or(&house.name)
    }

    /// The source took these records from a partition, and offers them next. False once the partition has left, of which the pipeline's
    /// side may hear last: what belongs to somebody else must not be committed by us.
    pub(in crate::broker::kafka) fn taken(&self, partition: &Arc<Partition>, offsets: impl Iterator<Item = i64>) -> bool {
        let mut positions = self.positions();
        let ours = !partition.is_leaving();
        if ours {
            positions.taken(&Assigned(Arc::clone(partition)), offsets);
        }
        ours
    }

    /// What the source's feed says is settled: what was filtered, dropped or rejected needs no copy.
    pub(in crate::broker::kafka) fn settled(&self, partition: &Arc<Partition>, settled: &Settled) {
        if self.positions().settled(&Assigned(Arc::clone(partition)), settled) {
            self.look();
        }
    }

    /// The partition goes to somebody else: waits until no open transaction holds anything of it, then forgets it. Blocks for at
    /// most [`RELEASE_TIME`]; a transaction that is open even then names the group's generation, and the group refuses what it would
    /// commit for one that is over.
    pub(in crate::broker::kafka) fn release(&self, partition: &Arc<Partition>) {
        partition.leave();
        let partition = Assigned(Arc::clone(partition));
        let holds = |positions: &mut Positions<Assigned>| positions.holds(&partition);
        let waited = self.ended.wait_timeout_while(self.positions(), RELEASE_TIME, holds);
        let (mut positions, _) = waited.unwrap_or_else(PoisonError::into_inner);
        positions.released(&partition);
    }

    pub(super) fn positions(&self) -> MutexGuard<'_, Positions<Assigned>> {
        // A panic elsewhere leaves the positions as they are: whole.
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction was committed or aborted.
    pub(super) fn transaction_ended(&self) {
        self.ended.notify_all();
    }

    /// Waits until the thread of the former link has ended: two may not count on the same positions.
    pub(super) async fn former_ended(&self, within: Duration) -> Result<(), OpenError> {
        let ended = || self.thread().as_ref().is_none_or(|(_, thread)| thread.is_finished());
        let waited = timeout(within, async {
            while !ended() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        let late = |_| OpenError { reason: Reason::Timeout, detail: "the last transaction has not ended yet".to_owned() };
        waited.await.map_err(late)
    }

    /// From now on this thread is told when it should look again.
    pub(super) fn opened(&self, orders: Sender<Order>, thread: JoinHandle<()>) {
        *self.thread() = Some((orders, thread));
    }

    /// It looks now.
    pub(super) fn looks(&self) {
        self.told.store(false, Ordering::Release);
    }

    fn look(&self) {
        if !self.told.swap(true, Ordering::AcqRel)
            && let Some((orders, _)) = &*self.thread()
        {
            // A thread that has ended has nothing to look for; the next one looks when it begins.
            let _ = orders.send(Order::Look);
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<(Sender<Order>, JoinHandle<()>)>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("part", &self.part).field("positions", &self.positions()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_of_a_partition_that_is_gone_is_nobodys() {
        let (relay, partition) = (Relay::new("exactly-once/orders".into(), None), Partition::for_tests("orders"));
        relay.taken(&partition, 0..3);
        assert_eq!(relay.positions().partitions().count(), 1);
        relay.release(&partition);
        // The pipeline's side had it in hand, and heard of the loss after this.
        relay.taken(&partition, 3..6);
        assert_eq!(relay.positions().partitions().count(), 0);
    }
}
