//! The pipeline's side: offers batches, each on its partition's feed, and hears what settles. What the group would give again after a
//! crash stays within the window for each partition: what is in flight, and what is settled and not committed yet.

use std::{collections::HashMap, future::pending, sync::Arc, time::Instant};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::oneshot, time::sleep_until};

#[cfg(feature = "planted-bugs")]
use super::planted::prefix;
use super::{
    Plan,
    commits::Commits,
    handover::{Batch, Handover, Leaving, Order, Taken},
    offsets::Offsets,
    partition::Partition,
};
use crate::{
    broker::Ended,
    intake::{FeedEnd, Intake, IntakeClosed, Offers, Receipts, Seq, Settled},
};

/// One partition's feed.
struct Feed {
    partition: Arc<Partition>,
    offsets: Offsets,
    /// Settled behind a hole, as far as that was told.
    beyond: Seq,
    /// What the group has, as far as that is known.
    told: Seq,
    /// What a commit was asked for, of which the answer may be on its way.
    asked: Seq,
    /// `None` once nothing more is offered.
    offers: Option<Offers>,
    /// Until when what is in flight may settle, once the partition leaves.
    until: Option<Instant>,
    /// Dropped: the receipts are, too, and what is in flight is withdrawn.
    keep: Option<oneshot::Sender<()>>,
}

impl Feed {
    /// Messages of it that count against the window. What settled behind a hole does not: a message that is parked for minutes must
    /// not stop the others.
    fn held(&self) -> Seq {
        (self.offsets.count() - self.told).saturating_sub(self.beyond)
    }

    /// How many of them wait for a commit that nobody has asked for.
    fn unasked(&self) -> Seq {
        self.offsets.settled_to().messages - self.asked
    }
}

/// The receipts of a feed, while they are listened to.
struct Listening {
    feed: u64,
    receipts: Receipts,
    withdrawn: oneshot::Receiver<()>,
}

/// What receipts said.
enum Heard {
    /// More is settled.
    Settled(Settled, Listening),
    /// All that was offered is settled.
    Drained(u64),
    Abandoned,
    Withdrawn,
}

/// Where batches become feeds.
pub(super) struct Desk<'a> {
    intake: &'a Intake,
    handover: &'a Handover,
    commits: &'a Commits,
    plan: &'a Plan,
    /// The partition of each is ours.
    feeds: HashMap<u64, Feed>,
    /// A batch that waits for room in the window.
    held: Option<Batch>,
    /// The first end of a leaving partition's time.
    due: Option<Instant>,
    /// False once the intake has closed.
    reads: bool,
}

impl<'a> Desk<'a> {
    pub(super) fn new(intake: &'a Intake, handover: &'a Handover, commits: &'a Commits, plan: &'a Plan) -> Self {
        Self { intake, handover, commits, plan, feeds: HashMap::new(), held: None, due: None, reads: true }
    }

    /// Until the intake closes and all that was offered is settled or withdrawn, or a message is abandoned.
    pub(super) async fn run(mut self) -> Ended {
        let closed = self.intake.closed();
        tokio::pin!(closed);
        let mut receipts = FuturesUnordered::new();
        while self.reads || !receipts.is_empty() {
            let (reads, holds, full) = (self.reads, self.held.is_some(), self.room() == 0);
            tokio::select! {
                biased;
                Some(heard) = receipts.next() => match heard {
                    Heard::Settled(settled, listening) => {
                        self.settled(listening.feed, &settled);
                        receipts.push(listen(listening));
                    }
                    Heard::Drained(feed) => self.drained(feed),
                    Heard::Abandoned => return Ended::Abandoned,
                    Heard::Withdrawn => {}
                },
                () = self.commits.news() => self.count(),
                () = reaches(self.due), if self.due.is_some() => self.withdraw(Instant::now()),
                () = &mut closed, if reads => self.close(),
                taken = self.handover.next(), if reads && !holds => match taken {
                    Taken::Leaving(leaving) => self.leave(leaving),
                    Taken::Batch(batch) => receipts.extend(self.take(batch).map(listen)),
                },
                leaving = self.handover.leaving(), if holds || !reads => self.leave(leaving),
                room = has_room(self.held.as_ref(), &mut self.feeds), if holds && !full => match room {
                    Ok(()) => self.offer().await,
                    // It closes next. What is in hand was never offered, and comes again.
                    Err(IntakeClosed) => self.held = None,
                },
            }
        }
        Ended::Drained
    }

    /// A batch comes: its feed is opened with the first.
    fn take(&mut self, batch: Batch) -> Option<Listening> {
        if batch.partition.is_leaving() {
            return None;
        }
        let (id, mut opened) = (batch.partition.id, None);
        let feed = self.feeds.entry(id).or_insert_with(|| {
            // A transaction must know at once what it need not wait for.
            let (offers, receipts) = if self.plan.relay.is_some() { self.intake.open_prompt() } else { self.intake.open() };
            let (keep, withdrawn) = oneshot::channel();
            opened = Some(Listening { feed: id, receipts, withdrawn });
            let partition = Arc::clone(&batch.partition);
            let offsets = Offsets::new(partition.start);
            Feed { partition, offsets, beyond: 0, told: 0, asked: 0, offers: Some(offers), until: None, keep: Some(keep) }
        });
        if batch.messages.is_empty() {
            feed.offsets.skipped(batch.position);
            feed.partition.settle(feed.offsets.settled_to());
        } else {
            self.held = Some(batch);
        }
        opened
    }

    /// There is room for the batch in hand.
    async fn offer(&mut self) {
        let (fits, Some(mut batch)) = (self.room(), self.held.take()) else { return };
        if fits < batch.messages.len() {
            let first = batch.split_off_first(fits);
            self.held = Some(std::mem::replace(&mut batch, first));
        }
        let Batch { partition, messages, runs, position } = batch;
        let Some(Feed { offers: Some(offers), offsets, .. }) = self.feeds.get_mut(&partition.id) else { return };
        // There was room a moment ago, and nobody else takes of it: this waits for nothing.
        let Ok(room) = offers.room().await else { return };
        let count = messages.len();
        let relay = self.plan.relay.as_ref();
        if relay.is_some_and(|relay| !relay.taken(&partition, each(count, &runs))) {
            // Never offered: whoever has the partition reads it.
            return;
        }
        let first = room.offer(messages);
        offsets.offered(first, count, &runs, position);
    }

    fn settled(&mut self, feed: u64, settled: &Settled) {
        if let Some(feed) = self.feeds.get_mut(&feed) {
            if let Some(relay) = &self.plan.relay {
                relay.settled(&feed.partition, settled);
            }
            feed.offsets.settled(settled.prefix);
            feed.beyond = settled.beyond as Seq;
            feed.partition.settle(feed.offsets.settled_to());
        }
        self.want();
    }

    /// Asks for a commit once three quarters of a partition's window wait for it: the rest flows meanwhile. A commit has all partitions,
    /// and costs the group's broker as much as thousands of messages.
    fn want(&mut self) {
        let enough = (self.window() * 3 / 4).max(1);
        if !self.plan.commits() || self.feeds.values().all(|feed| feed.unasked() < enough) {
            return;
        }
        for feed in self.feeds.values_mut() {
            feed.asked = feed.offsets.settled_to().messages;
        }
        self.commits.want();
    }

    /// The group has more, or partitions are gone.
    fn count(&mut self) {
        self.feeds.retain(|_, feed| !feed.partition.is_gone());
        for feed in self.feeds.values_mut() {
            feed.told = feed.partition.told().messages;
        }
    }

    /// How many messages of the partition in hand may be offered before another of it is settled and committed.
    fn room(&self) -> usize {
        let feed = self.held.as_ref().and_then(|batch| self.feeds.get(&batch.partition.id));
        match feed {
            Some(feed) if self.plan.commits() => self.window().saturating_sub(feed.held()) as usize,
            _ => usize::MAX,
        }
    }

    fn window(&self) -> Seq {
        self.intake.window() as Seq
    }

    fn drained(&mut self, feed: u64) {
        if let Some(feed) = self.feeds.get(&feed) {
            feed.partition.release();
        }
    }

    /// Partitions were taken from us: nothing more of them is offered, and what is in flight has its time.
    fn leave(&mut self, leaving: Vec<Leaving>) {
        for Leaving { partition, until } in leaving {
            if self.held.as_ref().is_some_and(|batch| batch.partition.id == partition.id) {
                self.held = None;
            }
            match self.feeds.get_mut(&partition.id) {
                None => partition.release(),
                Some(feed) => {
                    feed.offers = None;
                    // No time: somebody else reads it already.
                    feed.until = Some(until.unwrap_or_else(Instant::now));
                }
            }
        }
        self.withdraw(Instant::now());
    }

    /// What is in flight of partitions whose time is over is withdrawn.
    fn withdraw(&mut self, now: Instant) {
        for feed in self.feeds.values_mut().filter(|feed| feed.until.is_some_and(|until| until <= now)) {
            (feed.until, feed.keep) = (None, None);
            feed.partition.release();
        }
        self.due = self.feeds.values().filter_map(|feed| feed.until).min();
    }

    /// Nothing more is offered.
    fn close(&mut self) {
        self.reads = false;
        self.held = None;
        self.handover.tell(Order::Drain);
        for feed in self.feeds.values_mut() {
            feed.offers = None;
        }
    }
}

/// The offsets of a batch, out of the runs that they make.
fn each(messages: usize, runs: &[(usize, i64)]) -> impl Iterator<Item = i64> {
    let ends = runs.iter().skip(1).map(|(index, _)| *index).chain([messages]);
    runs.iter().zip(ends).flat_map(|(&(begin, offset), end)| (offset..).take(end - begin))
}

async fn listen(Listening { feed, mut receipts, mut withdrawn }: Listening) -> Heard {
    tokio::select! {
        biased;
        _ = &mut withdrawn => Heard::Withdrawn,
        settled = receipts.next() => match settled {
            Ok(mut settled) => {
                settled.prefix = prefix(&settled);
                Heard::Settled(settled, Listening { feed, receipts, withdrawn })
            }
            Err(FeedEnd::Drained) => Heard::Drained(feed),
            Err(FeedEnd::Abandoned) => Heard::Abandoned,
        },
    }
}

#[cfg(not(feature = "planted-bugs"))]
fn prefix(settled: &Settled) -> crate::intake::Seq {
    settled.prefix
}

/// Waits for room for the batch in hand.
async fn has_room(held: Option<&Batch>, feeds: &mut HashMap<u64, Feed>) -> Result<(), IntakeClosed> {
    match held.and_then(|batch| feeds.get_mut(&batch.partition.id)?.offers.as_mut()) {
        Some(offers) => offers.room().await.map(drop),
        None => pending().await,
    }
}

async fn reaches(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
