//! One incarnation of a source without sessions: one connection that only reads, one link, one feed.

use async_trait::async_trait;
use fe2o3_amqp::{Receiver, link::CreditMode, session::SessionHandle};
use fe2o3_amqp_types::definitions::{ReceiverSettleMode, SenderSettleMode};
use tokio::time::timeout;

use super::{
    ahead::Ahead,
    carrier::Place,
    fault::Fault,
    inlet::{Book, Inlet, Read},
    line::Line,
    management::{Management, node},
    wire::CLOSE_TIME,
};
use crate::{
    broker::{Ended, Source, SourceError},
    intake::Intake,
};

/// An open queue or subscription, not read yet.
pub(super) struct BusSource {
    line: Line,
    receiver: Receiver,
    management: Management,
    place: Place,
    message_max: u64,
    // The AMQP sessions of the link and of its node, which end with them.
    session: SessionHandle<()>,
    beside: SessionHandle<()>,
}

impl BusSource {
    /// Attaches the link and its node. The caller bounds its time.
    pub(super) async fn attach(mut line: Line, place: Place, message_max: u64) -> Result<Self, Fault> {
        line.claims.put(&place.path).await?;
        line.claims.put(&node(&place.path)).await?;
        let mut session = line.wire.session().await?;
        let receiver = Receiver::builder()
            .name(link_name(&place))
            .source(&*place.path)
            .sender_settle_mode(SenderSettleMode::Unsettled)
            .receiver_settle_mode(ReceiverSettleMode::Second)
            .credit_mode(CreditMode::Manual);
        let receiver = Box::pin(receiver.attach(&mut session)).await;
        let receiver = receiver.map_err(|error| Fault::from(error).while_doing(&place.path))?;
        let mut beside = line.wire.session().await?;
        let management = Management::attach(&mut beside, &place.path).await?;
        Ok(Self { line, receiver, management, place, message_max, session, beside })
    }
}

/// A name that no other link has.
pub(super) fn link_name(place: &Place) -> String {
    format!("rialto-{}-{}", place.path, uuid::Uuid::new_v4().simple())
}

#[async_trait]
impl Source for BusSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        // The wire is this future's own: dropped at any await, it shuts the socket, and nothing more is settled.
        let Self { line: Line { wire, mut claims }, receiver, mut management, place, message_max, mut session, beside: _beside } =
            *self;
        let book = Book::default();
        let ahead = Ahead::new(intake.window(), intake.window_bytes(), message_max);
        let mut inlet = Inlet { receiver, book: &book, place: &place, ahead, locks_messages: true, idle_max: None };
        let read = tokio::select! {
            read = inlet.run(&intake) => read?,
            fault = management.keep_messages(&book, &place.path) => return Err(fault.into()),
            fault = claims.keep() => return Err(fault.into()),
        };
        let Read::Ended(end) = read else { return Err(Fault::link("an idle link that was to be kept").into()) };
        leave(inlet, &mut session, &mut management).await;
        wire.close().await;
        Ok(end.into())
    }
}

/// Gives back what was on its way, and detaches, within [`CLOSE_TIME`]. What fails is logged and ends nothing: all that settled is told,
/// and a connection that is gone is noticed by whoever uses it next.
pub(super) async fn leave(inlet: Inlet<'_>, session: &mut SessionHandle<()>, management: &mut Management) {
    let place = inlet.place;
    let left = timeout(CLOSE_TIME, give_back(inlet, session, management)).await;
    if let Err(fault) = left.unwrap_or_else(|_| Err(Fault::late("the link's end", CLOSE_TIME))) {
        tracing::warn!(
            source = %place.path,
            reason = %fault.reason,
            error = fault.detail,
            "a link ended before all that was on its way was given back: it comes again when its lock ends"
        );
    }
}

/// Not before the service has heard what became of each message: where it handles a detach first, the messages stay locked. Only a
/// question on the link's own AMQP session is sure to come after what was said there.
async fn give_back(mut inlet: Inlet<'_>, session: &mut SessionHandle<()>, management: &mut Management) -> Result<(), Fault> {
    management.round_trip().await?;
    inlet.give_back().await?;
    Management::attach(session, &inlet.place.path).await?.round_trip().await?;
    Ok(inlet.receiver.close().await?)
}
