//! What a link does: attaches a sender for each queue or topic, and writes what it is given, batch after batch.
//!
//! It runs beside the link, so that handing over a batch waits for nothing but room: neither for the token of a new entity nor for a
//! peer that is frozen. The first fault ends it, and with it the link.

use std::{collections::HashMap, sync::Arc};

use fe2o3_amqp::{
    Sender,
    link::{SendError, delivery::DeliveryFut},
    session::SessionHandle,
};
use fe2o3_amqp_types::messaging::Outcome as Disposition;
use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};

use super::{
    super::held_back::{HandedOver, Unread},
    claims::Claims,
    fault::Fault,
    message::Prepared,
    parcel::{Packed, Parcel, pack},
    wire::{CLOSE_TIME, Wire},
};
use crate::outcome::{Outcome, Reason};

/// Queues and topics that a template may have open at once.
const SENDERS_MAX: usize = 64;

/// A parcel is not larger where the service names no limit: what the Standard tier takes.
const PARCEL_BYTES: u64 = 256 << 10;

/// What a link is asked to do.
pub(super) enum Work {
    Send(Consignment),
    /// A round trip, to find out whether the service still answers.
    Ping(oneshot::Sender<Result<(), Fault>>),
}

/// The messages of a batch that go to one entity, in order.
pub(super) struct Group {
    pub(super) entity: Box<str>,
    pub(super) handed_over: HandedOver,
    /// With their places in the batch.
    pub(super) messages: Vec<(usize, Prepared)>,
}

/// A batch on its way.
pub(super) struct Consignment {
    pub(super) groups: Vec<Group>,
    /// What is known already, by place.
    pub(super) outcomes: Vec<Outcome>,
    /// Messages travel one by one.
    pub(super) alone: bool,
    pub(super) written: oneshot::Sender<Result<Written, Fault>>,
}

/// A batch that is written, and not answered yet.
pub(super) struct Written {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) sent: Vec<Sent>,
    /// Of those that could not be written and are sent again.
    pub(super) unread: Vec<Unread>,
}

/// One transfer, until it is answered.
pub(super) struct Sent {
    pub(super) receipt: DeliveryFut<Result<Disposition, SendError>>,
    pub(super) places: Vec<usize>,
    _unread: Arc<()>,
}

/// The senders of one connection.
pub(super) struct Outbox {
    claims: Claims,
    session: SessionHandle<()>,
    senders: HashMap<Box<str>, Outlet>,
    /// A parcel with several messages is not larger, whatever the service would take.
    bytes_max: u64,
}

/// A sender of one entity.
struct Outlet {
    sender: Sender,
    /// Shared with every transfer that is not answered yet.
    unread: Arc<()>,
}

impl Outlet {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.unread) == 1
    }
}

impl Outbox {
    pub(super) fn new(claims: Claims, session: SessionHandle<()>, bytes_max: u64) -> Self {
        Self { claims, session, senders: HashMap::new(), bytes_max }
    }

    /// Works until nobody has work any more, then closes in an orderly way. A connection that ends ends the work at once, whatever it
    /// waits for: not everything in the client library hears of it.
    pub(super) async fn run(mut self, mut wire: Wire, mut work: mpsc::Receiver<Work>) {
        let ended = tokio::select! {
            biased;
            // First: what the service says of a link says more than that the connection ended.
            ended = self.work_off(&mut work) => ended,
            fault = wire.lost() => Err(fault),
        };
        let Err(fault) = ended else { return self.close(wire).await };
        drop(wire);
        drop(self);
        // All that comes after it hears the same.
        while let Some(work) = work.recv().await {
            let _ = match work {
                Work::Send(consignment) => consignment.written.send(Err(fault.clone())).is_ok(),
                Work::Ping(answer) => answer.send(Err(fault.clone())).is_ok(),
            };
        }
    }

    /// Until nobody has work any more, or something fails.
    async fn work_off(&mut self, work: &mut mpsc::Receiver<Work>) -> Result<(), Fault> {
        loop {
            let next = tokio::select! {
                next = work.recv() => next,
                () = sleep_until(self.claims.due().into()) => {
                    self.renew().await?;
                    continue;
                }
            };
            match next {
                Some(Work::Send(consignment)) => self.deliver(consignment).await?,
                Some(Work::Ping(answer)) => {
                    let pinged = if self.claims.is_due() { self.renew().await } else { self.claims.ping().await };
                    // Whoever asked may be tired of waiting.
                    let _ = answer.send(pinged.clone());
                    pinged?;
                }
                None => return Ok(()),
            }
        }
    }

    /// Writes a batch. A fault is answered to whoever waits for this batch, and ends the work.
    async fn deliver(&mut self, consignment: Consignment) -> Result<(), Fault> {
        let Consignment { groups, mut outcomes, alone, written } = consignment;
        let (mut sent, mut unread) = (Vec::new(), Vec::new());
        for Group { entity: name, handed_over, messages } in groups {
            let attached = match handed_over.held() {
                Some(outcome) => Ok(Some(outcome)),
                None => match self.attach(&name).await {
                    Ok(()) => Ok(None),
                    Err(fault) if fault.concerns_the_entity() => Ok(Some(fault.outcome())),
                    Err(fault) => Err(fault),
                },
            };
            let dispatched = match attached {
                Ok(None) => self.dispatch(&name, messages, alone, &mut outcomes).await,
                Ok(Some(outcome)) => {
                    for (place, _) in messages {
                        outcomes[place] = outcome.clone();
                    }
                    unread.push(handed_over.hold(outcome));
                    Ok(Vec::new())
                }
                Err(fault) => Err(fault),
            };
            match dispatched {
                Ok(dispatched) => sent.extend(dispatched),
                Err(fault) => {
                    // A batch that nobody waits for any more was withdrawn.
                    let _ = written.send(Err(fault.clone()));
                    return Err(fault);
                }
            }
        }
        let _ = written.send(Ok(Written { outcomes, sent, unread }));
        Ok(())
    }

    /// Attaches the sender of an entity, where there is none that works.
    async fn attach(&mut self, name: &str) -> Result<(), Fault> {
        if let Some(outlet) = self.senders.get_mut(name) {
            // An idle sender is detached by the service after some minutes: another one takes its place, unless something is unanswered.
            let Some(detached) = outlet.sender.on_detach().now_or_never() else { return Ok(()) };
            let idle = outlet.is_idle();
            self.senders.remove(name);
            if !idle {
                return Err(detached.into());
            }
        }
        if self.senders.len() >= SENDERS_MAX {
            self.make_room().await?;
        }
        self.claims.put(name).await?;
        let attached = self.attach_sender(name).await;
        if attached.is_err() {
            self.claims.forget(name);
        }
        attached
    }

    async fn attach_sender(&mut self, name: &str) -> Result<(), Fault> {
        let link = format!("rialto-{name}-{}", uuid::Uuid::new_v4().simple());
        // As long as it takes: whoever handed the batch over times it.
        let attached = Box::pin(Sender::builder().name(link).target(name).attach(&mut self.session)).await;
        let sender = attached.map_err(|error| Fault::from(error).while_doing(name))?;
        self.senders.insert(name.into(), Outlet { sender, unread: Arc::default() });
        Ok(())
    }

    /// Closes a sender that waits for nothing.
    async fn make_room(&mut self) -> Result<(), Fault> {
        let idle = self.senders.iter().find(|(_, outlet)| outlet.is_idle()).map(|(name, _)| name.clone());
        let Some(name) = idle else {
            return Err(Fault::new(Reason::Throttled, format!("{SENDERS_MAX} queues and topics are in use already")));
        };
        self.let_go(&name).await;
        Ok(())
    }

    /// Closes the sender of an entity, where there is one.
    async fn let_go(&mut self, name: &str) {
        self.claims.forget(name);
        if let Some(outlet) = self.senders.remove(name) {
            // Whatever it answers, it is not used again.
            let _ = timeout(CLOSE_TIME, outlet.sender.close()).await;
        }
    }

    /// Puts the tokens again before they are over. A queue or topic whose token is refused is let go: the others go on, and its next
    /// batch hears why. While something of it is unanswered it is kept, and its token put again soon.
    async fn renew(&mut self) -> Result<(), Fault> {
        for (name, fault) in self.claims.put_all().await? {
            if self.senders.get(&*name).is_none_or(Outlet::is_idle) {
                tracing::warn!(entity = name, error = fault.detail, "no new token for a queue or topic: its sender is closed");
                self.let_go(&name).await;
            }
        }
        Ok(())
    }

    /// Writes all messages of one entity, in order. Answers what is to be waited for.
    async fn dispatch(
        &mut self,
        name: &str,
        messages: Vec<(usize, Prepared)>,
        alone: bool,
        outcomes: &mut [Outcome],
    ) -> Result<Vec<Sent>, Fault> {
        let Some(outlet) = self.senders.get_mut(name) else { return Err(Fault::link("a sender that was not attached")) };
        let own = outlet.sender.max_message_size().unwrap_or(PARCEL_BYTES);
        let (packed, refused) = pack(messages, own.min(self.bytes_max), alone);
        for (place, refusal) in refused {
            outcomes[place] = Outcome::Refused(refusal);
        }
        let mut sent = Vec::with_capacity(packed.len());
        for Packed { parcel, places } in packed {
            let written = match parcel {
                Parcel::One(message) => outlet.sender.send_batchable(message).await,
                Parcel::Several(message) => outlet.sender.send_batchable(Packed::sendable(message)).await,
            };
            match written {
                Ok(receipt) => sent.push(Sent { receipt, places, _unread: Arc::clone(&outlet.unread) }),
                Err(error @ (SendError::MessageSizeExceeded(_) | SendError::MessageEncodeError)) => {
                    let outcome = Fault::from(error).outcome();
                    for place in places {
                        outcomes[place] = outcome.clone();
                    }
                }
                Err(error) => return Err(Fault::from(error).while_doing(name)),
            }
        }
        Ok(sent)
    }

    async fn close(self, wire: Wire) {
        let Self { senders, .. } = self;
        let closed = async {
            for outlet in senders.into_values() {
                // What is not answered by then is unknown, as after any lost link.
                let _ = outlet.sender.close().await;
            }
        };
        if timeout(CLOSE_TIME, closed).await.is_err() {
            tracing::debug!("a link to Service Bus was closed with messages unanswered");
        }
        wire.close().await;
    }
}
