//! One incarnation of a source with sessions: several links on one connection, each with the session that the service gave it.
//!
//! A session is an order domain, so each has a feed of its own. A link keeps its session while messages come; idle for a while it is
//! given back, and the link waits for the next one that has messages and no reader. A session whose lock is lost ends alone: what was
//! not settled of it comes again to whoever gets it next.

use std::time::Duration;

use async_trait::async_trait;
use fe2o3_amqp::{
    Receiver,
    link::{CreditMode, ReceiverAttachError},
    session::SessionHandle,
};
use fe2o3_amqp_types::{
    definitions::{ErrorCondition, ReceiverSettleMode, SenderSettleMode},
    messaging,
    primitives::{OrderedMap, Symbol, Value},
};
use futures_util::future::try_join_all;
use tokio::{sync::Mutex, time::timeout};

use super::{
    ahead::Ahead,
    carrier::Place,
    fault::Fault,
    inlet::{Book, Inlet, Read, remaining},
    line::Line,
    management::{Management, node},
    source::{leave, link_name},
    wire::{OPEN_TIME, Wire},
};
use crate::{
    broker::{Ended, Source, SourceError},
    intake::{FeedEnd, Intake},
};

/// Which session: null asks for any that has messages and no reader.
const SESSION_FILTER: &str = "com.microsoft:session-filter";

/// In the service's answer: when the lock of the session ends, in ticks of .NET.
const LOCKED_UNTIL: &str = "com.microsoft:locked-until-utc";

/// How long the service may wait for a session with messages, in a link's property.
const TIMEOUT: &str = "com.microsoft:timeout";

/// No session in so long: the link asks again, which also shows that the connection lives.
const ACCEPT_TIME: Duration = Duration::from_secs(30);

/// The service's answer may come so much later than it was asked to.
const LATE: Duration = Duration::from_secs(10);

/// A session that brought nothing for so long is given back.
const IDLE: Duration = Duration::from_secs(3);

/// 1970 in ticks of .NET, which are a ten-millionth of a second and begin with the year 1.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;

/// An open queue or subscription with sessions, none of which is taken yet.
pub(super) struct SessionSource {
    line: Line,
    beside: SessionHandle<()>,
    place: Place,
    message_max: u64,
    at_once: usize,
}

/// What the places of all links begin with. They begin side by side and one after the other, when the source is open already: a
/// hundred of them on a long way take their time.
struct Ground {
    wire: Mutex<Wire>,
    /// The AMQP session of all nodes that renew.
    beside: Mutex<SessionHandle<()>>,
}

/// One link's place: its AMQP session, and the node that renews.
struct Slot {
    session: SessionHandle<()>,
    management: Management,
}

/// Why all slots end.
enum Halt {
    Abandoned,
    Broken(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

/// A session that is ours for now.
struct Accepted {
    receiver: Receiver,
    id: String,
    locked: Duration,
}

impl SessionSource {
    /// Finds the node of the entity, for `at_once` sessions to come. The caller bounds its time.
    pub(super) async fn attach(mut line: Line, place: Place, message_max: u64, at_once: usize) -> Result<Self, Fault> {
        line.claims.put(&place.path).await?;
        line.claims.put(&node(&place.path)).await?;
        let mut beside = line.wire.session().await?;
        Management::attach(&mut beside, &place.path).await?;
        Ok(Self { line, beside, place, message_max, at_once })
    }
}

#[async_trait]
impl Source for SessionSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        // The wire is this future's own: dropped at any await, it shuts the socket, and nothing more is settled.
        let Self { line: Line { wire, mut claims }, beside, place, message_max, at_once } = *self;
        let ground = Ground { wire: Mutex::new(wire), beside: Mutex::new(beside) };
        let share = Share { messages: (intake.window() / at_once).max(1), slots: at_once as u64, message_max };
        let running = (0..at_once).map(|_| Slot::run(&ground, &intake, &place, &share));
        let ended = tokio::select! {
            ended = try_join_all(running) => ended,
            fault = claims.keep() => return Err(fault.into()),
        };
        let wire = ground.wire.into_inner();
        match ended {
            Ok(_) => {
                wire.close().await;
                Ok(Ended::Drained)
            }
            Err(Halt::Abandoned) => {
                wire.close().await;
                Ok(Ended::Abandoned)
            }
            Err(Halt::Broken(fault)) => Err(fault.into()),
        }
    }
}

/// What one link may take of the window.
struct Share {
    messages: usize,
    slots: u64,
    message_max: u64,
}

impl Slot {
    /// In its turn.
    async fn begin(ground: &Ground, place: &Place) -> Result<Self, Fault> {
        let late = |_| Fault::late(&place.path, OPEN_TIME);
        let mut wire = ground.wire.lock().await;
        let session = timeout(OPEN_TIME, wire.session()).await.map_err(late)??;
        drop(wire);
        let mut beside = ground.beside.lock().await;
        let management = timeout(OPEN_TIME, Management::attach(&mut beside, &place.path)).await.map_err(late)??;
        Ok(Self { session, management })
    }

    /// One session after the other, until the intake closes.
    async fn run(ground: &Ground, intake: &Intake, place: &Place, share: &Share) -> Result<(), Halt> {
        let mut slot = tokio::select! {
            biased;
            () = intake.closed() => return Ok(()),
            begun = Self::begin(ground, place) => begun?,
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = intake.closed() => return Ok(()),
                accepted = accept(&mut slot.session, place) => accepted?,
            };
            let Some(accepted) = accepted else { continue };
            let id = accepted.id.clone();
            match slot.read(accepted, intake, place, share).await {
                Ok(Read::Idle) => {}
                Ok(Read::Ended(FeedEnd::Drained)) => return Ok(()),
                Ok(Read::Ended(FeedEnd::Abandoned)) => return Err(Halt::Abandoned),
                Err(fault) if fault.is_lost_lock() => {
                    tracing::warn!(source = %place.path, session = id, "the lock of a session is lost: what is not settled comes again");
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    async fn read(&mut self, accepted: Accepted, intake: &Intake, place: &Place, share: &Share) -> Result<Read, Fault> {
        let Accepted { receiver, id, locked } = accepted;
        let book = Book::default();
        let ahead = Ahead::new(share.messages, intake.window_bytes() / share.slots, share.message_max);
        let mut inlet = Inlet { receiver, book: &book, place, ahead, locks_messages: false, idle_max: Some(IDLE) };
        let read = tokio::select! {
            read = inlet.run(intake) => read?,
            fault = self.management.keep_session(&id, locked) => return Err(fault),
        };
        // Another session can be had all the same, whatever became of this one.
        leave(inlet, &mut self.session, &mut self.management).await;
        Ok(read)
    }
}

/// Waits for a session; `None` where there was none in a while.
async fn accept(session: &mut SessionHandle<()>, place: &Place) -> Result<Option<Accepted>, Fault> {
    let source = messaging::Source::builder().address(&*place.path).add_to_filter_using_legacy_format(SESSION_FILTER, Value::Null);
    let mut properties = OrderedMap::new();
    properties.insert(Symbol::from(TIMEOUT), Value::Uint(u32::try_from(ACCEPT_TIME.as_millis()).unwrap_or(u32::MAX)));
    let attaching = Receiver::builder()
        .name(link_name(place))
        .source(source.build())
        .properties(properties)
        .sender_settle_mode(SenderSettleMode::Unsettled)
        .receiver_settle_mode(ReceiverSettleMode::Second)
        .credit_mode(CreditMode::Manual)
        .attach(session);
    let receiver = match timeout(ACCEPT_TIME + LATE, Box::pin(attaching)).await {
        Ok(Ok(receiver)) => receiver,
        Ok(Err(ReceiverAttachError::RemoteClosedWithError(error))) if is_timeout(&error.condition) => return Ok(None),
        Ok(Err(error)) => return Err(Fault::from(error).while_doing(&place.path)),
        Err(_) => return Err(Fault::late(&place.path, ACCEPT_TIME + LATE)),
    };
    let filter = receiver.source().as_ref().and_then(|source| source.filter.as_ref());
    let id = filter.and_then(|filter| filter.get(&Symbol::from(SESSION_FILTER)).cloned());
    let Some(Value::String(id)) = id else { return Err(Fault::link("a session without a name")) };
    let until = receiver.properties(|properties| properties.as_ref()?.get(&Symbol::from(LOCKED_UNTIL)).cloned());
    let locked = match until {
        Some(Value::Long(ticks)) => remaining((ticks - UNIX_EPOCH_TICKS) / 10_000),
        Some(Value::Timestamp(time)) => remaining(time.milliseconds()),
        _ => Duration::ZERO,
    };
    Ok(Some(Accepted { receiver, id, locked }))
}

fn is_timeout(condition: &ErrorCondition) -> bool {
    matches!(condition, ErrorCondition::Custom(symbol) if symbol.as_str() == "com.microsoft:timeout")
}
