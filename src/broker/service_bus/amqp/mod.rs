//! Service Bus over AMQP 1.0: all consuming, and publishing where `transport: amqp` says so.
//!
//! ```text
//!   wire     one connection, unplugged when dropped      line        a connection with its tokens    claims   tokens on `$cbs`
//!   ask      questions and answers over links            management  locks renewed, messages peeked   fault    what an error means
//!   source   one link, one feed                          sessions    several, by session              ahead    how much to let come
//!   inlet    a link that reads: credit, offers, settling held        what is held and its locks
//!   carrier  what came beside a body                     message     an outgoing message              parcel   several in one transfer
//!   publisher one link                                   outbox      a sender for each entity          peeks    looks without taking
//!   probe    what `check --connect` asks
//! ```

mod ahead;
mod ask;
mod carrier;
mod claims;
mod fault;
mod held;
mod inlet;
mod line;
mod management;
mod message;
mod outbox;
mod parcel;
mod peeks;
pub(super) mod probe;
mod publisher;
mod sessions;
mod source;
mod wire;

pub(super) use carrier::Place;
pub(super) use publisher::Link;

use tokio::time::timeout;

use super::settings::Settings;
use crate::broker::{House, OpenError, Source};
use fault::Fault;
use line::Line;
use wire::OPEN_TIME;

/// What a source reads, and how.
pub(super) struct Reading {
    pub(super) place: Place,
    /// How many sessions at a time; `None` for an entity without sessions.
    pub(super) sessions: Option<usize>,
    /// The largest body that is taken, in bytes.
    pub(super) message_max: u64,
}

/// Opens one incarnation of a source. One try, bounded in time.
pub(super) async fn open(broker: &str, settings: &Settings, reading: Reading, house: &House) -> Result<Box<dyn Source>, OpenError> {
    let path = reading.place.path.clone();
    match timeout(OPEN_TIME, try_open(broker, settings, reading, house)).await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(Fault::late(path, OPEN_TIME).into()),
    }
}

async fn try_open(broker: &str, settings: &Settings, reading: Reading, house: &House) -> Result<Box<dyn Source>, Fault> {
    let line = Line::open(broker, settings, house).await?;
    let Reading { place, sessions, message_max } = reading;
    Ok(match sessions {
        Some(at_once) => Box::new(sessions::SessionSource::attach(line, place, message_max, at_once).await?),
        None => Box::new(source::BusSource::attach(line, place, message_max).await?),
    })
}

/// Opens a look at a queue. One try, bounded in time.
pub(super) async fn peek(broker: &str, settings: &Settings, place: Place, house: &House) -> Result<Box<dyn Source>, OpenError> {
    let path = place.path.clone();
    let opened = async { peeks::Peeks::attach(Line::open(broker, settings, house).await?, place).await };
    match timeout(OPEN_TIME, opened).await {
        Ok(opened) => Ok(Box::new(opened?)),
        Err(_) => Err(Fault::late(path, OPEN_TIME).into()),
    }
}
