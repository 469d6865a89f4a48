//! One receiving link and its feed: what comes is offered, what settles is told on this link and on no other, and what is held keeps its
//! lock meanwhile.
//!
//! **Settling.** The receiver settles second: our disposition says what became of a message, the service's answer forgets it. A message
//! is never abandoned as a way to wait: that would be a failed delivery, and ten of those are a dead letter.
//!
//! **Credit** is what may still come, so that all that is here unsettled and all that may come fits the window. While no destination
//! takes anything the window fills, and nothing more is asked for.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fe2o3_amqp::{
    Delivery, Receiver,
    link::{RecvError, delivery::DeliveryInfo},
};
use fe2o3_amqp_types::{
    definitions,
    messaging::{Body, Message, Rejected, Released},
    primitives::{OrderedMap, Symbol, Value},
};
use futures_util::FutureExt;
use tokio::time::{sleep_until, timeout_at};

use super::{
    ahead::Ahead,
    carrier::{Place, locked_until, raw_message},
    fault::Fault,
    held::{Held, LockToken, token_of},
};
use crate::{
    envelope::RawMessage,
    intake::{FeedEnd, Intake, Offers, Seq, Settled},
    outcome::{Refusal, Verdict},
};

/// Taken at once, of what is ready: no timer, so an idle source adds no latency.
const BATCH_MAX: usize = 256;

/// Longest text that the service keeps as a dead letter's reason or description, in characters.
const REASON_MAX: usize = 4096;

/// A drained link that brought nothing for so long brings nothing more.
const SILENCE: Duration = Duration::from_millis(250);

/// How long at most what still comes is given back. It must leave time for the detaching.
const GIVE_BACK_TIME: Duration = Duration::from_millis(1500);

/// What is held, shared with whoever renews its locks.
pub(super) type Book = Mutex<Held<DeliveryInfo>>;

/// Locks a book: its steps leave it whole, whatever happens.
pub(super) fn open(book: &Book) -> MutexGuard<'_, Held<DeliveryInfo>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A link that reads.
pub(super) struct Inlet<'a> {
    pub(super) receiver: Receiver,
    pub(super) book: &'a Book,
    pub(super) place: &'a Place,
    pub(super) ahead: Ahead,
    /// False where the link's session is locked, and no message by itself.
    pub(super) locks_messages: bool,
    /// An idle link is given back after this: a session, so that another can be had.
    pub(super) idle_max: Option<Duration>,
}

/// Why a link's reading is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Its feed is at its end.
    Ended(FeedEnd),
    /// It was idle, and all that it brought is settled.
    Idle,
}

/// What the loop knows beside the link.
struct Flow {
    /// Received and not offered yet: the window is full.
    waiting: Vec<RawMessage>,
    /// The number of the first of them.
    offered: Seq,
    /// Nothing more is asked for, and what comes all the same is given back.
    stopped: bool,
    /// When something last came or was settled.
    moved: Instant,
}

impl Inlet<'_> {
    /// Reads until the intake closes, or the link is idle; then until all that was offered is told.
    pub(super) async fn run(&mut self, intake: &Intake) -> Result<Read, Fault> {
        let (offers, mut receipts) = intake.open();
        let mut offers = Some(offers);
        let mut flow = Flow { waiting: Vec::new(), offered: 0, stopped: false, moved: Instant::now() };
        let mut idle = false;
        loop {
            self.ask_for_more(&flow).await?;
            let full = !flow.waiting.is_empty();
            let idle_at = self.idle_at(&flow);
            tokio::select! {
                biased;
                settled = receipts.next() => match settled {
                    Ok(settled) => {
                        flow.moved = Instant::now();
                        self.tell(&settled).await?;
                    }
                    Err(FeedEnd::Drained) if idle => return Ok(Read::Idle),
                    Err(end) => return Ok(Read::Ended(end)),
                },
                () = intake.closed(), if !flow.stopped => {
                    self.stop(&mut flow).await?;
                    offers = None;
                }
                () = reached(idle_at) => {
                    idle = true;
                    self.stop(&mut flow).await?;
                    offers = None;
                }
                offered = offer(offers.as_mut(), &mut flow.waiting), if full && !flow.stopped => {
                    flow.offered += offered;
                }
                delivery = self.receiver.recv::<Body<Value>>() => self.take(delivery, &mut flow).await?,
            }
        }
    }

    /// Gives back what the drained link still brings: a service that has messages uses up all the leave that it was given, and what
    /// nobody gives back stays locked. To be called when the service has heard of the end. Bounded in time; what is later than
    /// that comes again when its lock ends.
    pub(super) async fn give_back(&mut self) -> Result<(), Fault> {
        // Nothing is sent where the reading itself drained the link.
        self.receiver.drain().await?;
        let end = Instant::now() + GIVE_BACK_TIME;
        while self.receiver.credit() > 0 {
            // A service that has no more messages says so on the link, but the library does not tell: the link's silence does.
            let silent = end.min(Instant::now() + SILENCE);
            match timeout_at(silent.into(), self.receiver.recv::<Body<Value>>()).await {
                Ok(Ok(delivery)) => self.receiver.release(delivery).await?,
                Ok(Err(RecvError::MessageDecode(error))) => self.receiver.release(error.info).await?,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn ask_for_more(&mut self, flow: &Flow) -> Result<(), Fault> {
        // What waits for room need not be held any more, where its lock is lost: then it is not in the count below.
        if flow.stopped || !flow.waiting.is_empty() {
            return Ok(());
        }
        let held = open(self.book).count();
        match self.ahead.grant(held, self.receiver.credit()) {
            Some(credit) => Ok(self.receiver.set_credit(credit).await?),
            None => Ok(()),
        }
    }

    /// When an idle link should be given back; never while it holds something.
    fn idle_at(&self, flow: &Flow) -> Option<Instant> {
        let waits = self.idle_max.filter(|_| !flow.stopped && open(self.book).count() == 0);
        waits.map(|idle_max| flow.moved + idle_max)
    }

    /// Takes a delivery, and with it what else is here.
    async fn take(&mut self, first: Result<Delivery<Body<Value>>, RecvError>, flow: &mut Flow) -> Result<(), Fault> {
        let now = Instant::now();
        flow.moved = now;
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(delivery) = next {
            self.accept(delivery, flow, now).await?;
            taken += 1;
            next = if taken < BATCH_MAX { self.receiver.recv().now_or_never() } else { None };
        }
        Ok(())
    }

    async fn accept(
        &mut self,
        delivery: Result<Delivery<Body<Value>>, RecvError>,
        flow: &mut Flow,
        now: Instant,
    ) -> Result<(), Fault> {
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(RecvError::MessageDecode(error)) => {
                return self.bury(error.info, &format!("it is no AMQP message: {}", error.source)).await;
            }
            Err(error) => return Err(error.into()),
        };
        let (info, message) = delivery.into_parts();
        if flow.stopped {
            // It was on its way when we stopped.
            return Ok(self.receiver.release(info).await?);
        }
        let lock = self.lock(&info, &message);
        match raw_message(message, self.place) {
            Ok(message) => {
                self.ahead.saw(message.body.len());
                open(self.book).push(info, lock, now);
                flow.waiting.push(message);
                Ok(())
            }
            Err(why) => self.bury(info, why).await,
        }
    }

    /// `None` where the message itself is not locked.
    fn lock(&self, info: &DeliveryInfo, message: &Message<Body<Value>>) -> Option<(LockToken, Duration)> {
        let until = locked_until(message).filter(|_| self.locks_messages)?;
        Some((token_of(info.delivery_tag())?, remaining(until)))
    }

    /// What has no bytes to offer goes to the entity's own dead letters whatever the configuration says: there it stays whole, and
    /// anywhere else its body would be lost.
    async fn bury(&self, info: DeliveryInfo, why: &str) -> Result<(), Fault> {
        tracing::warn!(source = %self.place.path, why, "a message that cannot be read goes to the dead letters of its queue");
        Ok(self.receiver.dispose(info, rejected("undecodable", why)).await?)
    }

    /// First alone, then up to: on this link, which received them.
    async fn tell(&self, settled: &Settled) -> Result<(), Fault> {
        let mut accepted = Vec::new();
        for (seq, verdict) in &settled.alone {
            let Some(info) = open(self.book).take(*seq) else { continue };
            match verdict {
                Verdict::Accepted => accepted.push(info),
                Verdict::Rejected(why) => self.receiver.dispose(info, rejected_for(why)).await?,
            }
        }
        if let Some(seq) = settled.through {
            accepted.extend(open(self.book).take_through(seq));
        }
        if !accepted.is_empty() {
            self.receiver.accept_all(accepted).await?;
        }
        Ok(())
    }

    /// Nothing more is asked for; what was never offered goes back, and is no failed delivery. The link is drained, which tells the
    /// service that its leave is used up: a credit of nothing would make what is on its way come without leave.
    async fn stop(&mut self, flow: &mut Flow) -> Result<(), Fault> {
        flow.stopped = true;
        self.receiver.drain().await?;
        flow.waiting.clear();
        let never_offered = open(self.book).take_from(flow.offered);
        if never_offered.is_empty() {
            return Ok(());
        }
        Ok(self.receiver.dispose_all(never_offered, Released {}).await?)
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for room and offers all that waits. Answers how many; none where the intake closed meanwhile. Cancel-safe.
async fn offer(offers: Option<&mut Offers>, waiting: &mut Vec<RawMessage>) -> u64 {
    let Some(offers) = offers else { return std::future::pending().await };
    // Closed: what waits was never offered, and is given back when the loop hears of the closing itself.
    let Ok(room) = offers.room().await else { return std::future::pending().await };
    let batch = std::mem::take(waiting);
    let offered = batch.len() as u64;
    room.offer(batch);
    offered
}

/// How long a lock holds that ends at `until`, in milliseconds since the Unix epoch: by our clock, which may not be the service's.
pub(super) fn remaining(until: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(u64::try_from(until).unwrap_or_default()).saturating_sub(now)
}

fn rejected_for(why: &Refusal) -> Rejected {
    rejected(why.reason.as_str(), &why.detail)
}

/// To the entity's own dead letters, with the two properties that Service Bus keeps there.
fn rejected(reason: &str, description: &str) -> Rejected {
    let text = |text: &str| Value::String(text.chars().take(REASON_MAX).collect());
    let mut info = OrderedMap::new();
    info.insert(Symbol::from("DeadLetterReason"), text(reason));
    info.insert(Symbol::from("DeadLetterErrorDescription"), text(description));
    let condition = definitions::ErrorCondition::Custom(Symbol::from("com.microsoft:dead-letter"));
    Rejected { error: Some(definitions::Error::new(condition, None, Some(info))) }
}
