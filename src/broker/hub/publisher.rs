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
use futures_util::FutureExt;

use crate::{
    broker::{Confirms, Outgoing, Publisher},
    intake::Unanswered,
    live::hub::{Hub, MESSAGE_BYTES_MAX, Round, event},
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal, Verdict},
};

/// One link.
#[derive(Debug)]
pub(super) struct HubPublisher {
    hub: Hub,
    /// Batches that wait for a source of the bridge.
    waiting: Arc<AtomicUsize>,
}

impl HubPublisher {
    /// A link into `hub`.
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, waiting: Arc::default() }
    }

    /// Publishes one message and notes which sources must hear it.
    fn publish(&self, place: usize, out: &Outgoing<'_>, round: &mut Round) -> Outcome {
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
            round.add(place, readers, &message);
        }
        Outcome::Delivered(Proof::Receivers(receivers))
    }
}

#[async_trait]
impl Publisher for HubPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let mut round = Round::default();
        let mut outcomes = Vec::with_capacity(batch.len());
        for (place, out) in batch.iter().enumerate() {
            outcomes.push(self.publish(place, out, &mut round));
        }
        if round.is_empty() {
            return Ok(ready(Ok(outcomes)).boxed());
        }
        let waits = Waits::begin(&self.waiting);
        let judged = round.call().await;
        Ok(Box::pin(async move {
            let judged = judged.await;
            drop(waits);
            for (place, verdict) in judged {
                judge(&mut outcomes[place], verdict);
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

/// What a source made of a message. One that no route of it wants is delivered all the same: the ring has it.
fn judge(outcome: &mut Outcome, verdict: Result<Verdict, Unanswered>) {
    match verdict {
        Ok(Verdict::Rejected(refusal)) if refusal.reason != Reason::Unrouted && matches!(outcome, Outcome::Delivered(_)) => {
            let detail = format!("a source that reads the channel refused it: {refusal}");
            *outcome = Outcome::Refused(Refusal::new(Reason::Final, detail));
        }
        Ok(_) => {}
        Err(Unanswered) => *outcome = Outcome::Unknown(Reason::Link),
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
