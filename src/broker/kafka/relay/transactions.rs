//! The thread that begins, sends, commits and aborts: all of that blocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    producer::{BaseProducer, BaseRecord, Producer, PurgeConfig},
};

use super::{
    copies::{Copy, Failure, Order, Reports},
    positions::Turn,
    relay::{Assigned, Relay},
};
use crate::{
    broker::kafka::{Kafka, fault::Fault, ledger::Ledger, search::Search},
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
};

/// What was filtered is committed at least so often, where nothing is sent.
const TICK: Duration = Duration::from_secs(1);

/// Sending and committing one transaction may take so long, over all tries.
pub(super) const TRANSACTION_TIME: Duration = Duration::from_secs(30);

/// How long a flush waits before it looks whether all is reported, or something failed. The client library looks only when such a time
/// is over, however soon the last report came: every transaction takes at least one.
const FLUSH_SLICE: Duration = Duration::from_millis(2);

/// One call that blocks; it is repeated, with a look at the reports between two.
const STEP: Duration = Duration::from_secs(1);

/// Copies in one transaction: enough to make its cost small, few enough that whoever reads what is committed need not wait.
const COPIES_MAX: usize = 20_000;

/// The thread's own.
pub(super) struct Transactions {
    pub(super) relay: Arc<Relay>,
    pub(super) producer: BaseProducer<Reports>,
    pub(super) answers: Arc<Ledger>,
    pub(super) orders: Receiver<Order>,
    /// The link is gone: nothing more is sent or committed.
    pub(super) gone: Arc<AtomicBool>,
    /// Not in a transaction yet.
    pub(super) waiting: Vec<Copy>,
    /// In the open transaction.
    pub(super) sent: Vec<Copy>,
    /// A transaction is open.
    pub(super) open: bool,
    /// What waits was lined up anew: it is looked at without waiting for an order.
    pub(super) again: bool,
    /// Aborted in a row.
    pub(super) aborts: u32,
    /// For the record for which others were refused.
    pub(super) search: Search,
    /// `batch.size`, and where the next producer's comes from.
    pub(super) kafka: Arc<Kafka>,
    pub(super) batch_size: usize,
}

/// Why a step of a transaction failed.
enum Failed {
    /// The transaction can be aborted, and sent again by the same producer.
    Aborts(LinkDown),
    /// It cannot, or nobody knows what it came to.
    Ends(LinkDown),
}

impl Transactions {
    /// Runs until the link closes or breaks.
    pub(super) fn run(mut self) {
        let ended = loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => break LinkDown::new(Reason::Link, "closed"),
                Err(down) => break down,
            }
        };
        self.answers.end(ended);
        if self.open && !self.gone.load(Ordering::Acquire) {
            // Whoever begins next under this name aborts it all the same; this is only sooner.
            if let Err(down) = self.abort() {
                tracing::warn!(
                    target: "rialto::kafka",
                    error = down.detail,
                    "a transaction is left open: who reads only what is committed waits until it is aborted or times out"
                );
            }
        }
        self.relay.positions().aborted();
        self.relay.transaction_ended();
    }

    /// Takes what came, sends what may go, commits. False: it was told to end.
    fn turn(&mut self) -> Result<bool, LinkDown> {
        let goes_on = self.take();
        if self.gone.load(Ordering::Acquire) {
            return Ok(false);
        }
        self.relay.looks();
        // Serves what the client itself has to tell, and its next token.
        self.producer.poll(Duration::ZERO);
        self.send()?;
        self.hand_back();
        self.finish()?;
        Ok(goes_on)
    }

    /// Waits for orders and takes all that are there.
    fn take(&mut self) -> bool {
        let wait = if std::mem::take(&mut self.again) { Duration::ZERO } else { TICK };
        let mut next = match self.orders.recv_timeout(wait) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        while let Some(order) = next {
            match order {
                Order::Send(copies) => self.waiting.extend(copies),
                Order::Look => {}
                Order::Close => return false,
            }
            next = if self.waiting.len() < COPIES_MAX { self.orders.try_recv().ok() } else { None };
        }
        true
    }

    /// Puts what has its turn into the transaction, and answers what needs none. A dead letter comes after those that wait for it: it
    /// goes round until nothing more has its turn.
    fn send(&mut self) -> Result<(), LinkDown> {
        while !self.waiting.is_empty() && self.send_round()? {}
        Ok(())
    }

    /// Once through all that waits. Answers whether another round may find more.
    fn send_round(&mut self) -> Result<bool, LinkDown> {
        let relay = Arc::clone(&self.relay);
        let (mut left, mut sent) = (Vec::new(), false);
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        while let Some(copy) = waiting.next() {
            let mut positions = relay.positions();
            match positions.turn(&copy.source, copy.offset) {
                Turn::Now if self.search.limit().is_some_and(|limit| self.sent.len() >= limit) => {
                    drop(positions);
                    left.push(copy);
                    left.extend(waiting);
                    self.waiting = left;
                    self.again = true;
                    return Ok(false);
                }
                Turn::Now => {
                    positions.sent(&copy.source, copy.offset);
                    drop(positions);
                    self.begin()?;
                    if let Err(failure) = self.produce(&copy) {
                        left.extend(waiting);
                        self.waiting = left;
                        self.refused(copy, failure)?;
                        return Ok(false);
                    }
                    self.sent.push(copy);
                    sent = true;
                }
                Turn::Later => left.push(copy),
                Turn::Done => self.answers.note(copy.slot, Outcome::Delivered(Proof::Confirmed)),
                // The source reads it again; nobody waits for this answer.
                Turn::Gone => self.answers.note(copy.slot, Outcome::Unknown(Reason::Link)),
            }
        }
        self.waiting = left;
        Ok(sent)
    }

    fn begin(&mut self) -> Result<(), LinkDown> {
        if !self.open {
            self.producer.begin_transaction().map_err(|error| down("begin a transaction", &error))?;
            self.open = true;
        }
        Ok(())
    }

    fn produce(&self, copy: &Copy) -> Result<(), Failure> {
        if let Some(Refusal { reason, detail }) = &copy.refusal {
            return Err(Failure { slot: copy.slot, reason: *reason, words: detail.clone() });
        }
        let mut record = BaseRecord::<[u8], [u8], usize> {
            topic: &copy.topic,
            partition: None,
            payload: copy.value.as_deref(),
            key: copy.key.as_deref(),
            timestamp: copy.timestamp,
            headers: Some(copy.headers.clone()),
            delivery_opaque: copy.slot.to_word(),
        };
        let until = Instant::now() + TRANSACTION_TIME;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < until => {
                    record = back;
                    self.producer.poll(Duration::from_millis(20));
                }
                Err((error, _)) => return Err(Failure::of(copy.slot, &error)),
            }
        }
    }

    /// Commits what was sent, with the offsets it stands for; or only offsets, where what was taken needed no copy.
    fn finish(&mut self) -> Result<(), LinkDown> {
        let offsets = self.relay.positions().offsets();
        if offsets.is_empty() && self.sent.is_empty() {
            return Ok(());
        }
        self.begin()?;
        let failed = self.flush()?;
        if !failed.is_empty() {
            return self.start_again(failed);
        }
        match self.commit(&offsets) {
            Ok(()) => {}
            Err(Failed::Ends(down)) => return Err(down),
            Err(Failed::Aborts(down)) => return self.send_again(down),
        }
        self.aborts = 0;
        self.relay.positions().committed(&offsets);
        self.relay.transaction_ended();
        if !self.sent.is_empty() {
            self.search.widen();
        }
        for copy in self.sent.drain(..) {
            self.answers.note(copy.slot, Outcome::Delivered(Proof::Confirmed));
        }
        Ok(())
    }

    /// Waits until every copy is reported, or one of them as failed: after that the client holds back the others.
    pub(super) fn flush(&self) -> Result<Vec<Failure>, LinkDown> {
        let until = Instant::now() + TRANSACTION_TIME;
        loop {
            let flushed = self.producer.flush(FLUSH_SLICE);
            let failed = self.producer.context().take();
            match flushed {
                _ if !failed.is_empty() => return Ok(failed),
                Ok(()) => return Ok(failed),
                Err(error) if Instant::now() >= until || self.gone.load(Ordering::Acquire) => return Err(down("send", &error)),
                Err(_) => {}
            }
        }
    }

    fn commit(&mut self, offsets: &[(Assigned, i64)]) -> Result<(), Failed> {
        let ends = |words: &str| Failed::Ends(LinkDown::new(Reason::Link, words));
        let Some((Assigned(partition), _)) = offsets.first() else {
            return Err(ends("what was sent belongs to partitions that are no longer ours"));
        };
        let positions = self.relay.positions();
        let is_gone = |copy: &Copy| positions.turn(&copy.source, copy.offset) == Turn::Gone;
        if self.sent.iter().any(is_gone) || offsets.iter().any(|(partition, _)| !positions.has(partition)) {
            return Err(ends("a partition went to another consumer before its transaction was committed"));
        }
        // Before a partition can go: what is committed for one that has gone since names a generation that is over, and is refused.
        let metadata = partition.membership.current();
        drop(positions);
        let metadata = metadata.ok_or_else(|| ends("the source is not in its group"))?;
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (Assigned(partition), offset) in offsets {
            let added = list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*offset));
            added.map_err(|error| Failed::Ends(down("commit", &error)))?;
        }
        self.persist("commit offsets", |producer, time| producer.send_offsets_to_transaction(&list, &metadata, time))?;
        if self.gone.load(Ordering::Acquire) {
            return Err(ends("closed"));
        }
        self.persist("commit", BaseProducer::commit_transaction)?;
        self.open = false;
        Ok(())
    }

    /// Tries again what can be tried again, until the time of a transaction is over.
    fn persist(&self, what: &str, step: impl Fn(&BaseProducer<Reports>, Duration) -> KafkaResult<()>) -> Result<(), Failed> {
        let until = Instant::now() + TRANSACTION_TIME;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match step(&self.producer, left.min(STEP)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                    // It went on where it was: the coordinator moves or loads, or reports wait to be read.
                    self.producer.poll(Duration::from_millis(50));
                }
                Err(error) => {
                    let aborts = matches!(&error, KafkaError::Transaction(error) if error.txn_requires_abort());
                    let down = down(what, &error);
                    return Err(if aborts { Failed::Aborts(down) } else { Failed::Ends(down) });
                }
            }
        }
    }

    pub(super) fn abort(&mut self) -> Result<(), LinkDown> {
        // What is on its way is taken back, and reported as that, before the library waits for all reports: it does not read them itself.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let until = Instant::now() + STEP;
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            self.producer.poll(Duration::from_millis(10));
        }
        let aborted = self.persist("abort", BaseProducer::abort_transaction);
        aborted.map_err(|(Failed::Aborts(down) | Failed::Ends(down))| down)?;
        self.open = false;
        // What the abort itself took out of the queues is no news.
        self.producer.context().take();
        self.relay.positions().aborted();
        self.relay.transaction_ended();
        self.again = true;
        Ok(())
    }
}

fn down(what: &str, error: &KafkaError) -> LinkDown {
    if let KafkaError::Transaction(error) = error
        && matches!(error.code(), Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
    {
        let words = "another process began under the same `instance`: give each its own";
        return LinkDown::new(Reason::Link, words);
    }
    Fault::of(error).while_doing(what).into()
}
