//! The connections of one link: one server, or the masters of a cluster with the slots they serve.
//!
//! The crate's cluster connection reconnects node by node behind our back, so that later messages of a key could overtake earlier
//! ones. Here the slots are read once, at the opening; when they turn out to be wrong (`MOVED`), the link ends and opens anew, and
//! everything in flight is sent again in its order.

use futures_util::future::join_all;
use redis::Value;

use super::{
    connect::{Dialer, OPEN_WITHIN, Purpose, address, bounded, odd},
    servers::{Form, Place},
    slot::{SLOTS, slot},
    wire::{Connection, Wire},
};
use crate::{broker::OpenError, outcome::Reason};

/// A slot that no master serves.
const NOBODY: u16 = u16::MAX;

/// The connections of one link.
#[derive(Debug)]
pub(super) struct Nodes {
    /// At least one is connected; a master that could not be reached answers for its slots with why.
    connections: Vec<Result<Connection, OpenError>>,
    /// Slot to index of `connections`; absent where there is one server for everything.
    slots: Option<Box<[u16]>>,
    /// Where everything goes that has no slot of its own.
    first: usize,
}

/// Why a key has no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Astray {
    /// No master serves its slot.
    Unserved,
    /// Its master could not be reached.
    Down(String),
}

impl Nodes {
    /// Connects to the master, or to all masters of a cluster.
    pub(super) async fn open(dialer: &Dialer) -> Result<Self, OpenError> {
        let wire = dialer.open(Purpose::Write).await?;
        if dialer.servers().form != Form::Cluster {
            return Ok(Self { connections: vec![Ok(wire.multiplex().await?)], slots: None, first: 0 });
        }
        bounded(OPEN_WITHIN, &dialer.servers().to_string(), Self::open_cluster(dialer, wire)).await
    }

    async fn open_cluster(dialer: &Dialer, mut asked: Wire) -> Result<Self, OpenError> {
        let (masters, slots) = ask_slots(&mut asked).await?;
        drop(asked);
        let openings = masters.iter().map(|place| async move {
            let (wire, _) = dialer.connect(place).await?;
            wire.multiplex().await
        });
        let connections = join_all(openings).await;
        match connections.iter().position(Result::is_ok) {
            Some(first) => Ok(Self { connections, slots: Some(slots), first }),
            None => Err(connections.into_iter().find_map(Result::err).unwrap_or_else(|| nobody(dialer))),
        }
    }

    /// The index of the connection for a key.
    pub(super) fn of_key(&self, key: &str) -> Result<usize, Astray> {
        let Some(slots) = &self.slots else { return Ok(self.first) };
        let node = slots[slot(key.as_bytes())];
        if node == NOBODY {
            return Err(Astray::Unserved);
        }
        match &self.connections[usize::from(node)] {
            Ok(_) => Ok(usize::from(node)),
            Err(error) => Err(Astray::Down(error.detail.clone())),
        }
    }

    /// The index of the connection for every `PUBLISH`: any node tells the whole cluster, and one node keeps them in order.
    pub(super) fn of_channel(&self) -> usize {
        self.first
    }

    /// How many connections there may be.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// A connection that [`Self::of_key`] or [`Self::of_channel`] named.
    pub(super) fn at(&self, index: usize) -> Option<&Connection> {
        self.connections[index].as_ref().ok()
    }

    /// Those that are connected.
    pub(super) fn connected(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter_map(|connection| connection.as_ref().ok())
    }
}

/// One connection to the master that owns a key.
pub(super) async fn owner(dialer: &Dialer, key: &str) -> Result<Wire, OpenError> {
    let mut wire = dialer.open(Purpose::Write).await?;
    if dialer.servers().form != Form::Cluster {
        return Ok(wire);
    }
    bounded(OPEN_WITHIN, &dialer.servers().to_string(), async {
        let (masters, slots) = ask_slots(&mut wire).await?;
        let node = slots[slot(key.as_bytes())];
        let Some(place) = masters.get(usize::from(node)) else {
            return Err(OpenError {
                reason: Reason::Throttled,
                detail: format!("no server of the cluster serves the slot of `{key}`"),
            });
        };
        Ok(dialer.connect(place).await?.0)
    })
    .await
}

fn nobody(dialer: &Dialer) -> OpenError {
    OpenError { reason: Reason::Throttled, detail: format!("{}: no server of the cluster serves any slot", dialer.servers()) }
}

async fn ask_slots(asked: &mut Wire) -> Result<(Vec<Place>, Box<[u16]>), OpenError> {
    let reply = asked.ask(redis::cmd("CLUSTER").arg("SLOTS").take(), "CLUSTER SLOTS").await?;
    read_slots(&reply, asked.place()).ok_or_else(|| odd(asked.place(), &reply))
}

/// Reads `CLUSTER SLOTS`: `[[from, to, [host, port, …], replicas…], …]`. An empty host is the one that was asked.
fn read_slots(reply: &Value, asked: &Place) -> Option<(Vec<Place>, Box<[u16]>)> {
    let Value::Array(ranges) = reply else { return None };
    let mut masters: Vec<Place> = Vec::new();
    let mut slots = vec![NOBODY; SLOTS].into_boxed_slice();
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = &range[..] else { return None };
        let place = match (address(master)?, asked) {
            (Place::Tcp(host, port), Place::Tcp(same, _)) if host.is_empty() || host == "?" => Place::Tcp(same.clone(), port),
            (place, _) => place,
        };
        let index = masters.iter().position(|known| *known == place).unwrap_or_else(|| {
            masters.push(place);
            masters.len() - 1
        });
        let served = slots.get_mut(usize::try_from(*from).ok()?..=usize::try_from(*to).ok()?)?;
        served.fill(u16::try_from(index).ok()?);
    }
    if masters.is_empty() { None } else { Some((masters, slots)) }
}
