//! One incarnation of a source: one connection that only consumes, one channel, one consumer, one feed.
//!
//! Tags are dense from 1 on a channel, also over a change of its consumer, and numbers are dense from 0 in a feed: number + 1 is the
//! tag. A channel never outlives its incarnation, so a tag can never mean another channel's message.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions},
    types::{FieldTable, ShortString},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    carrier::raw_message,
    declare::look_at_queue,
    fault::Fault,
    outstanding::{Outstanding, Told},
    prefetch::Prefetch,
    wire::Wire,
};
use crate::{
    broker::{Ended, Source, SourceError},
    envelope::RawMessage,
    intake::{Intake, Offers, Receipts, Seq, Settled},
    outcome::{Reason, Verdict},
    telemetry::{SourceMetrics, SourceState},
};

/// Taken at once, of what is ready: no timer, so an idle source adds no latency.
const BATCH_MAX: usize = 256;

/// Between two looks at the channel. Its death is heard of at once while the consumer is read; while the window is full nobody reads.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A channel that does not answer for so long is dead, whatever its connection says.
const LOOK_TIME: Duration = Duration::from_secs(30);

/// How long a change of the consumer waits for what the old one left unsettled.
const CHANGE_WAIT: Duration = Duration::from_millis(100);

/// After a change that had to grant less than half of what is wanted, the next one.
const CHANGE_AGAIN: Duration = Duration::from_secs(1);

/// An open queue, not read yet.
pub(super) struct AmqpSource {
    wire: Wire,
    channel: Channel,
    queue: ShortString,
    tag: ShortString,
    message_max: u64,
}

impl AmqpSource {
    pub(super) fn new(wire: Wire, channel: Channel, queue: ShortString, tag: ShortString, message_max: u64) -> Self {
        Self { wire, channel, queue, tag, message_max }
    }
}

#[async_trait]
impl Source for AmqpSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        // The wire is this future's own: dropped at any await, it shuts the socket, and nothing more is acknowledged.
        let Self { wire, channel, queue, tag, message_max } = *self;
        let (offers, receipts) = intake.open();
        let outstanding = Arc::new(Outstanding::default());
        let prefetch = Prefetch::new(intake.window(), intake.window_bytes(), message_max);
        let reader = Reader::open(&channel, &queue, tag, prefetch, Arc::clone(&outstanding)).await?;
        let watched = watch(&channel, &queue, &outstanding, intake.metrics());
        let ended = tokio::select! {
            ended = read_and_tell(reader, &channel, &intake, offers, receipts) => ended?,
            fault = watched => return Err(fault.into()),
        };
        wire.close().await;
        Ok(ended)
    }
}

/// The two halves side by side: neither waits for the other.
async fn read_and_tell(
    reader: Reader,
    channel: &Channel,
    intake: &Intake,
    offers: Offers,
    receipts: Receipts,
) -> Result<Ended, SourceError> {
    let outstanding = Arc::clone(&reader.outstanding);
    let read = reader.run(intake, offers);
    let tell = tell(channel, receipts, Told::new(&outstanding));
    tokio::pin!(read, tell);
    tokio::select! {
        ended = &mut tell => ended,
        read = &mut read => {
            read?;
            tell.await
        }
    }
    .map_err(SourceError::from)
}

/// The half that reads and offers.
struct Reader {
    channel: Channel,
    consumer: Consumer,
    queue: ShortString,
    /// As the messages carry it.
    name: Arc<str>,
    tag: ShortString,
    prefetch: Prefetch,
    outstanding: Arc<Outstanding>,
    /// The consumer is cancelled by us, to be opened again with another prefetch.
    changing: bool,
    /// When to change again, because the last change could grant too little.
    again: Option<Instant>,
    /// Its stream has said its end.
    ended: bool,
}

impl Reader {
    async fn open(
        channel: &Channel,
        queue: &ShortString,
        tag: ShortString,
        prefetch: Prefetch,
        outstanding: Arc<Outstanding>,
    ) -> Result<Self, Fault> {
        let consumer = consume(channel, queue, &tag, prefetch.current()).await?;
        let name = queue.as_str().into();
        // The broker chooses a tag where we have none.
        let tag = consumer.tag();
        let (channel, queue) = (channel.clone(), queue.clone());
        Ok(Self { channel, consumer, queue, name, tag, prefetch, outstanding, changing: false, again: None, ended: false })
    }

    /// Until the intake closes; then the broker is told to send no more.
    async fn run(mut self, intake: &Intake, mut offers: Offers) -> Result<(), Fault> {
        loop {
            let batch = tokio::select! {
                biased;
                () = intake.closed() => break,
                batch = self.take() => batch?,
            };
            if !batch.is_empty() {
                // Closed: what is in hand was never offered, and comes again.
                let Ok(room) = offers.room().await else { break };
                room.offer(batch);
            }
            let again = self.again.is_some_and(|at| at <= Instant::now());
            if !self.changing && (self.prefetch.change().is_some() || again) {
                self.changing = true;
                self.cancel().await?;
            }
        }
        // Once more where a change is under way: cancelling what is cancelled is no error.
        self.cancel().await
    }

    /// Waits for a delivery and takes with it what else is here. Cancel-safe: nothing is awaited with a delivery in hand. Empty after
    /// a change of the consumer.
    async fn take(&mut self) -> Result<Vec<RawMessage>, Fault> {
        if self.ended {
            return self.reopen().await;
        }
        let mut batch = Vec::new();
        let mut next = self.consumer.next().await;
        loop {
            match next {
                Some(Ok(delivery)) => batch.push(self.accept(delivery)?),
                Some(Err(error)) => return Err(Fault::of(&error)),
                // The stream says so once.
                None => {
                    self.ended = true;
                    return if batch.is_empty() { self.reopen().await } else { Ok(batch) };
                }
            }
            if batch.len() == BATCH_MAX {
                return Ok(batch);
            }
            match self.consumer.next().now_or_never() {
                Some(ready) => next = ready,
                None => return Ok(batch),
            }
        }
    }

    fn accept(&mut self, delivery: Delivery) -> Result<RawMessage, Fault> {
        let due = self.outstanding.delivered() + 1;
        if delivery.delivery_tag != due {
            // Going on would acknowledge one message for another.
            return Err(Fault::new(Reason::Link, format!("delivery tag {} where {due} was due", delivery.delivery_tag)));
        }
        self.outstanding.saw(due);
        self.prefetch.saw(delivery.data.len());
        Ok(raw_message(delivery, &self.name))
    }

    /// The consumer is at its end: by our own cancel, to open it with another prefetch; else the broker's, which ends the incarnation.
    async fn reopen(&mut self) -> Result<Vec<RawMessage>, Fault> {
        if !self.changing {
            return Err(self.cancelled());
        }
        let granted = self.grant().await;
        self.consumer = consume(&self.channel, &self.queue, &self.tag, granted).await?;
        (self.changing, self.ended) = (false, false);
        Ok(Vec::new())
    }

    /// The next consumer's prefetch. What the last one left unsettled is still ours, and both together stay within the window:
    /// all of it comes again after a crash (guarantees, G5). Mostly it settles in a moment; what is parked does not.
    async fn grant(&mut self) -> u16 {
        timeout(CHANGE_WAIT, self.outstanding.none()).await.unwrap_or_default();
        let outstanding = u16::try_from(self.outstanding.count()).unwrap_or(u16::MAX);
        let wanted = self.prefetch.current();
        let granted = self.prefetch.ahead_max().saturating_sub(outstanding).clamp(1, wanted);
        self.again = (granted < wanted / 2).then(|| Instant::now() + CHANGE_AGAIN);
        granted
    }

    fn cancelled(&self) -> Fault {
        if self.channel.status().connected() {
            Fault::new(
                Reason::Unroutable,
                format!("the broker cancelled the consumer: queue `{}` was deleted or moved", self.queue),
            )
        } else {
            Fault::new(Reason::Link, "the channel was closed")
        }
    }

    async fn cancel(&self) -> Result<(), Fault> {
        let cancelled = self.channel.basic_cancel(self.tag.clone(), BasicCancelOptions::default()).await;
        cancelled.map_err(|error| Fault::of(&error))
    }
}

/// A prefetch holds for consumers opened after it: on a live one `basic.qos` changes nothing.
async fn consume(channel: &Channel, queue: &ShortString, tag: &ShortString, prefetch: u16) -> Result<Consumer, Fault> {
    let of = |error: lapin::Error| Fault::of(&error).while_doing(format_args!("consuming `{queue}`"));
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(of)?;
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.clone(), tag.clone(), options, FieldTable::default()).await.map_err(of)
}

/// The half that acknowledges what settles.
async fn tell(channel: &Channel, mut receipts: Receipts, mut told: Told<'_>) -> Result<Ended, Fault> {
    loop {
        match receipts.next().await {
            Ok(settled) => {
                settle(channel, &settled)?;
                told.note(&settled);
            }
            Err(end) => return Ok(end.into()),
        }
    }
}

/// First alone, then up to: on this channel and in this order, or the broker meets a tag it has settled already and closes it.
fn settle(channel: &Channel, settled: &Settled) -> Result<(), Fault> {
    for (seq, verdict) in &settled.alone {
        match verdict {
            Verdict::Accepted => hand_over(channel.basic_ack(tag_of(*seq), BasicAckOptions { multiple: false }))?,
            // To the queue's own dead-letter exchange. Never requeued: that would be redelivered at once, for ever.
            Verdict::Rejected(_) => hand_over(channel.basic_reject(tag_of(*seq), BasicRejectOptions { requeue: false }))?,
        }
    }
    match settled.through {
        Some(seq) => hand_over(channel.basic_ack(tag_of(seq), BasicAckOptions { multiple: true })),
        None => Ok(()),
    }
}

fn tag_of(seq: Seq) -> u64 {
    seq + 1
}

/// Queues a frame without waiting until it is written: the first poll queues it, and an error of the writing ends the channel, which
/// the other half and the watch hear of. Waiting for each costs seven times the CPU.
fn hand_over(frame: impl Future<Output = lapin::Result<()>>) -> Result<(), Fault> {
    match frame.now_or_never() {
        Some(Err(error)) => Err(Fault::of(&error)),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Looks at the queue through the channel, every [`LOOK_EVERY`]: hears of the channel's death while the window is full, and sees how
/// much waits. Ends with the fault it met.
async fn watch(channel: &Channel, queue: &ShortString, outstanding: &Outstanding, metrics: &SourceMetrics) -> Fault {
    let mut idle_looks = 0_u32;
    loop {
        sleep(LOOK_EVERY).await;
        let (ready, consumers) = match timeout(LOOK_TIME, look_at_queue(channel, queue)).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(fault)) => return fault,
            Err(_) => return Fault::new(Reason::Timeout, format!("the channel did not answer within {LOOK_TIME:?}")),
        };
        metrics.lag(u64::from(ready));
        // Messages wait, others consume, and none was ever for us: with a single active consumer we are a standby. The protocol does
        // not tell, and nobody may call a standby stalled.
        let passed_over = ready > 0 && consumers > 1 && outstanding.delivered() == 0;
        idle_looks = if passed_over { idle_looks + 1 } else { 0 };
        match (idle_looks, metrics.current()) {
            (2.., SourceState::Running) => metrics.state(SourceState::Standby),
            (0, SourceState::Standby) => metrics.state(SourceState::Running),
            _ => {}
        }
    }
}
