//! One link over AMQP: a connection that only publishes, to any queue or topic of a namespace.
//!
//! **Order.** Transfers to one entity are written in the order of the batches, without waiting for each other's outcome.
//!
//! **Whose refusal is it.** A parcel of several messages is taken or refused as a whole. Where it is refused for what is in it, none
//! of its messages is to blame yet: they are unknown, and for a while messages travel one by one, so that the next refusal is of one.
//! Where it is refused for the queue or topic, or for who we are, that is the answer to each of them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp_types::messaging::Outcome as Disposition;
use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    super::{
        entity,
        held_back::{HandedOver, HeldBack, of_entity},
        settings::Settings,
        target::IN_FLIGHT_AMQP,
    },
    fault::Fault,
    line::Line,
    message::prepare,
    outbox::{Consignment, Group, Outbox, Sent, Work, Written},
    wire::{CLOSE_TIME, OPEN_TIME, Plug},
};
use crate::{
    broker::{Confirms, House, LinkKey, OpenError, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
};

/// After a parcel was refused as a whole, so many messages travel alone.
const ALONE: usize = 1024;

/// A link to all queues and topics of a namespace.
pub(in super::super) struct Link {
    // Dropped first: no byte is sent after it.
    _plug: Plug,
    work: mpsc::Sender<Work>,
    outbox: JoinHandle<()>,
    /// Counts down while messages travel alone; shared with the answers.
    alone: Arc<AtomicUsize>,
    /// By queue and topic.
    held_back: HashMap<Box<str>, HeldBack>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.outbox.abort();
    }
}

impl Link {
    /// Opens the connection; senders are attached when they are needed.
    pub(in super::super) async fn open(settings: &Settings, key: &LinkKey, house: &House) -> Result<Self, OpenError> {
        let opened = async {
            let Line { mut wire, claims } = Line::open(&key.broker, settings, house).await?;
            let session = wire.session().await?;
            let plug = wire.plug()?;
            let (work, works) = mpsc::channel(IN_FLIGHT_AMQP.batches);
            let outbox = tokio::spawn(Outbox::new(claims, session, settings.batch_bytes as u64).run(wire, works));
            Ok::<_, Fault>(Self { _plug: plug, work, outbox, alone: Arc::default(), held_back: HashMap::new() })
        };
        match timeout(OPEN_TIME, opened).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(Fault::late(&key.broker, OPEN_TIME).into()),
        }
    }

    /// Whether the next messages travel alone; counts them down.
    fn travel_alone(&self, messages: usize) -> bool {
        let left = self.alone.load(Relaxed);
        self.alone.store(left.saturating_sub(messages), Relaxed);
        left > 0
    }

    async fn hand_over(&self, work: Work) -> Result<(), LinkDown> {
        self.work.send(work).await.map_err(|_| closed().into())
    }
}

fn closed() -> Fault {
    Fault::link("the link was closed")
}

#[async_trait]
impl Publisher for Link {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let mut outcomes = vec![Outcome::Unknown(Reason::Link); batch.len()];
        let groups =
            grouped(batch, &mut outcomes, |entity| of_entity(&mut self.held_back, entity, HeldBack::is_idle).handed_over());
        let alone = self.travel_alone(batch.len());
        let (written, answer) = oneshot::channel();
        self.hand_over(Work::Send(Consignment { groups, outcomes, alone, written })).await?;
        let alone = Arc::clone(&self.alone);
        let answers = async move {
            let written = answer.await.unwrap_or_else(|_| Err(closed()))?;
            gather(written, &alone).await
        };
        Ok(answers.boxed())
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        let (answer, pinged) = oneshot::channel();
        self.hand_over(Work::Ping(answer)).await?;
        Ok(pinged.await.unwrap_or_else(|_| Err(closed()))?)
    }

    async fn close(mut self: Box<Self>) {
        // The outbox ends when the last of its work is done.
        self.work = mpsc::channel(1).0;
        // It neither panics nor is cancelled while we wait for it; what is late is cut off.
        if timeout(CLOSE_TIME * 2, &mut self.outbox).await.is_err() {
            tracing::debug!("a link to Service Bus was cut off with messages unsent");
        }
    }
}

/// The batch by entity, in order within each; what cannot be sent has its outcome at once.
fn grouped(batch: &[Outgoing<'_>], outcomes: &mut [Outcome], mut handed_over: impl FnMut(&str) -> HandedOver) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for (place, out) in batch.iter().enumerate() {
        let named = entity::check(out.address).map_err(|why| Refusal::new(Reason::Address, why));
        let prepared = match named.and_then(|()| prepare(out)) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                outcomes[place] = Outcome::Refused(refusal);
                continue;
            }
        };
        // Few entities meet in one batch, mostly one.
        if let Some(group) = groups.iter_mut().find(|group| *group.entity == *out.address) {
            group.messages.push((place, prepared));
        } else {
            let handed_over = handed_over(out.address);
            groups.push(Group { entity: out.address.into(), handed_over, messages: vec![(place, prepared)] });
        }
    }
    groups
}

/// Puts the answers in the places of the batch. What they hold back goes on when all are read.
async fn gather(written: Written, alone: &AtomicUsize) -> Result<Vec<Outcome>, LinkDown> {
    let Written { mut outcomes, sent, unread } = written;
    for Sent { receipt, places, .. } in sent {
        let mut outcome = judge(receipt.await)?;
        if places.len() > 1
            && let Some(reason) = blames_a_message(&outcome)
        {
            alone.store(ALONE, Relaxed);
            outcome = Outcome::Unknown(reason);
        }
        for place in places {
            outcomes[place] = outcome.clone();
        }
    }
    drop(unread);
    Ok(outcomes)
}

/// The reason, where it lies in a message and not in where it goes.
fn blames_a_message(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => {
            Some(refusal.reason).filter(|reason| matches!(reason, Reason::Final | Reason::TooLarge | Reason::Refused))
        }
        _ => None,
    }
}

fn judge(answer: Result<Disposition, SendError>) -> Result<Outcome, Fault> {
    Ok(match answer? {
        Disposition::Accepted(_) => Outcome::Delivered(Proof::Confirmed),
        Disposition::Rejected(rejected) => match rejected.error {
            Some(error) => Fault::of(&error).outcome(),
            None => Outcome::Refused(Refusal::new(Reason::Refused, "rejected without a reason")),
        },
        // Not taken, and not the message's fault.
        Disposition::Released(_) => Outcome::Throttled { after: None, detail: "released by the service".into() },
        Disposition::Modified(_) => Outcome::Refused(Refusal::new(Reason::Refused, "modified by the service")),
    })
}
