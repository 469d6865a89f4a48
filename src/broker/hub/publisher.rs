//! One link to the hub: a batch is in the ring before `send` returns, and where sources of the bridge read it, it is delivered when
//! they have settled it.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
    poll,
};
use tokio::task::coop;

use crate::{
    broker::{Confirms, Outgoing, Publisher},
    envelope::RawMessage,
    intake::Unanswered,
    live::hub::{Hub, MESSAGE_BYTES_MAX, Reader, event},
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal, Verdict},
};

/// One link.
#[derive(Debug)]
pub(super) struct HubPublisher {
    hub: Hub,
    /// Batches that wait for a source of the bridge.
    waiting: Arc<AtomicUsize>,
}

/// Messages of a batch for one source.
struct Call {
    reader: Reader,
    /// Their places in the batch.
    places: Vec<usize>,
    messages: Vec<RawMessage>,
}

/// The answer to a call, and whose it is.
type Answer = BoxFuture<'static, (Vec<usize>, Result<Vec<Verdict>, Unanswered>)>;

impl HubPublisher {
    /// A link into `hub`.
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, waiting: Arc::default() }
    }

    /// Publishes one message and notes which sources must hear it.
    fn publish(&self, place: usize, out: &Outgoing<'_>, calls: &mut Vec<Call>) -> Outcome {
        if out.body.len() > MESSAGE_BYTES_MAX {
            let detail = format!("{} bytes are more than the hub takes, {MESSAGE_BYTES_MAX}", out.body.len());
            return Outcome::Refused(Refusal::new(Reason::TooLarge, detail));
        }
        let (channel, body) = (Bytes::copy_from_slice(out.address.as_bytes()), Bytes::copy_from_slice(out.body));
        let readers = self.hub.readers(&channel);
        let heard = self.hub.publish(channel.clone(), body.clone(), out.message.name());
        let receivers = heard.receivers + readers.len() as u64;
        if !readers.is_empty() {
            let message = event(&channel, &body, out.message.hops().saturating_add(1));
            for reader in readers {
                note(calls, reader, place, message.clone());
            }
        }
        Outcome::Delivered(Proof::Receivers(receivers))
    }
}

fn note(calls: &mut Vec<Call>, reader: Reader, place: usize, message: RawMessage) {
    if let Some(call) = calls.iter_mut().find(|call| call.reader.id == reader.id) {
        call.places.push(place);
        call.messages.push(message);
    } else {
        calls.push(Call { reader, places: vec![place], messages: vec![message] });
    }
}

#[async_trait]
impl Publisher for HubPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let mut calls = Vec::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for (place, out) in batch.iter().enumerate() {
            outcomes.push(self.publish(place, out, &mut calls));
        }
        if calls.is_empty() {
            return Ok(ready(Ok(outcomes)).boxed());
        }
        let waits = Waits::begin(&self.waiting);
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(start(call).await);
        }
        Ok(Box::pin(async move {
            let answers = join_all(answers).await;
            drop(waits);
            for (places, answer) in answers {
                judge(&mut outcomes, &places, answer);
            }
            Ok(outcomes)
        }))
    }

    /// A source of the bridge has its own destinations to wait for, and says so to nobody else: to publish again would only tell every
    /// subscriber twice.
    fn held(&self) -> Option<String> {
        (self.waiting.load(Ordering::Relaxed) > 0).then(|| "a source that reads the channel has not settled it yet".to_owned())
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}

/// Fixes a call's place in the source's queue: its first poll, without a task's budget that could delay it, puts it there before what
/// a later `send` calls.
async fn start(Call { reader, places, messages }: Call) -> Answer {
    let call = async move { (places, reader.caller.call(messages).await) };
    let mut call: Answer = Box::pin(coop::unconstrained(call));
    match poll!(&mut call) {
        std::task::Poll::Ready(answer) => ready(answer).boxed(),
        std::task::Poll::Pending => call,
    }
}

/// What a source made of its messages. One that no route of it wants is delivered all the same: the ring has it.
fn judge(outcomes: &mut [Outcome], places: &[usize], answer: Result<Vec<Verdict>, Unanswered>) {
    let Ok(verdicts) = answer else {
        for place in places {
            outcomes[*place] = Outcome::Unknown(Reason::Link);
        }
        return;
    };
    for (place, verdict) in places.iter().zip(verdicts) {
        if let Verdict::Rejected(refusal) = verdict
            && refusal.reason != Reason::Unrouted
            && matches!(outcomes[*place], Outcome::Delivered(_))
        {
            let detail = format!("a source that reads the channel refused it: {refusal}");
            outcomes[*place] = Outcome::Refused(Refusal::new(Reason::Final, detail));
        }
    }
}

/// Counts a batch while it waits.
struct Waits(Arc<AtomicUsize>);

impl Waits {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
