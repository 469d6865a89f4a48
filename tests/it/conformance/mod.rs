//! One contract, run over every kind of broker against its real server. A kind declares what it promises ([`Promises`]), and the
//! suites ask exactly that of it.
//!
//! A kind joins with a [`Stand`] (how its server is reached, filled and looked into by somebody who is not Rialto) and one line in
//! [`for_every_kind`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use rialto::broker::{Broker, House, KINDS, Kind, Origin, Promises, Target};
use tokio::time::{Instant, sleep};

use crate::support::{self, PATIENCE, Running};

mod amqp;
pub(crate) mod cable;
mod file;
mod handler;
mod http_server;
mod hub;
pub(crate) mod kafka;
mod publishers;
mod redis;
mod service_bus;
mod sources;
mod webhook;

pub(crate) use cable::Cable;

/// The kinds and their stands: (module, stand).
macro_rules! for_every_kind {
    ($suite:ident) => {
        $suite!(amqp, crate::conformance::amqp::RabbitMq);
        $suite!(handler, crate::conformance::handler::Functions);
        $suite!(http_server, crate::conformance::http_server::Posting);
        $suite!(hub, crate::conformance::hub::InProcess);
        $suite!(kafka, crate::conformance::kafka::Kafka);
        $suite!(redis, crate::conformance::redis::Redis);
        $suite!(service_bus, crate::conformance::service_bus::Amqp);
        $suite!(service_bus_https, crate::conformance::service_bus::Https);
        $suite!(webhook, crate::conformance::webhook::Server);
        $suite!(file, crate::conformance::file::Directory);
    };
}
pub(crate) use for_every_kind;

/// A kind's real server, as the suites need it.
#[async_trait]
pub(crate) trait Stand: Send + Sync {
    /// Starts or finds the server. Where there is none the test fails, and says how to start one.
    async fn start() -> Self
    where
        Self: Sized;

    /// Which kind it is.
    fn kind(&self) -> &'static Kind;

    /// What of its kind's promises this server keeps: a kind may be reached by more than one.
    fn promises(&self) -> Promises {
        self.kind().promises
    }

    /// The process that Rialto's side runs in; a kind that lives in it has one for the whole test.
    fn house(&self) -> House {
        support::house()
    }

    /// `host:port` of the server; empty for a kind that is not reached over a network.
    fn server(&self) -> String;

    /// The broker's settings for a server at that address, in YAML.
    fn settings(&self, address: &str) -> String;

    /// A fresh, empty place to write and to read.
    async fn place(&self) -> Place;

    /// A body as this kind's producers spell it: one line, where a message is a line.
    fn spelled(&self, body: String) -> String {
        body
    }

    /// Puts messages at a place, in order, as a foreign client does.
    async fn put(&self, place: &Place, bodies: &[String]);

    /// Reads all that is at a place, in order, as a foreign client does, and leaves nothing that would be read again.
    async fn found(&self, place: &Place) -> Vec<Found>;

    /// Messages that a source of this place would still get, those it holds unsettled among them.
    async fn waiting(&self, place: &Place) -> usize;

    /// Whether a message that is accepted while one before it is not stays accepted over a lost connection.
    fn settles_singly(&self) -> bool {
        true
    }

    /// A destination that takes the messages to one address and refuses those to another.
    async fn picky(&self) -> Picky;
}

/// Where to write and read.
#[derive(Debug)]
pub(crate) struct Place {
    /// A source's keys, in YAML.
    pub(crate) origin: String,
    /// A destination's keys, in YAML.
    pub(crate) target: String,
    /// The rendered address of that destination.
    pub(crate) address: String,
}

/// A destination with a hole in it.
#[derive(Debug)]
pub(crate) struct Picky {
    /// Its keys, in YAML.
    pub(crate) target: String,
    /// Messages to this address are delivered.
    pub(crate) good: String,
    /// Messages to this one are refused, each for itself.
    pub(crate) bad: String,
}

/// A message as a foreign client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) body: Vec<u8>,
    /// The transport's own id.
    pub(crate) id: Option<String>,
    /// The transport's own type.
    pub(crate) name: Option<String>,
    /// Headers as text.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Found {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Rialto on one side, a place on the server on the other, and the cable between them.
pub(crate) struct Scene<S> {
    pub(crate) stand: S,
    pub(crate) cable: Cable,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) place: Place,
}

impl<S: Stand> Scene<S> {
    /// `None` where the kind does not promise what the suite asks.
    pub(crate) async fn set(asked: impl Fn(&Promises) -> bool) -> Option<Self> {
        let stand = S::start().await;
        let promises = stand.promises();
        if !promises.places || !asked(&promises) {
            return None;
        }
        let cable = Cable::to(&stand.server()).await;
        let broker = support::broker(stand.kind(), &stand.settings(&cable.address().to_string()));
        let place = stand.place().await;
        Some(Self { stand, cable, broker, place })
    }

    pub(crate) fn promises(&self) -> Promises {
        self.stand.promises()
    }

    pub(crate) fn house(&self) -> House {
        self.stand.house()
    }

    /// An incarnation of a source of the place.
    pub(crate) async fn running(&self, window: usize) -> Running {
        self.running_with(window, 64 << 20).await
    }

    pub(crate) async fn running_with(&self, window: usize, window_bytes: u64) -> Running {
        Running::open_in(&self.house(), &*self.origin(), window, window_bytes).await
    }

    pub(crate) fn origin(&self) -> Arc<dyn Origin> {
        support::origin(&*self.broker, &self.place.origin)
    }

    pub(crate) fn target(&self) -> Target {
        support::target(&*self.broker, &self.place.target)
    }

    pub(crate) async fn put(&self, bodies: &[String]) {
        self.stand.put(&self.place, bodies).await;
    }

    pub(crate) async fn found(&self) -> Vec<Found> {
        self.stand.found(&self.place).await
    }

    /// Waits until nothing is left for a source, as told by the server.
    pub(crate) async fn is_read_up(&self) {
        if !self.promises().redelivers {
            // Nobody upstream remembers what was accepted.
            return;
        }
        eventually("everything is accepted", || async { self.stand.waiting(&self.place).await == 0 }).await;
    }
}

/// Bodies that name their place in the order.
pub(crate) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"event_id\":\"{number:06}\"}}")).collect()
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// No kind escapes the suites.
#[test]
fn every_kind_has_a_stand() {
    let mut stands: Vec<&str> = Vec::new();
    macro_rules! name {
        ($kind:ident, $stand:ty) => {
            stands.push(stringify!($kind));
        };
    }
    for_every_kind!(name);
    // A kind without places cannot be filled or looked into: it has tests of its own.
    let placed = KINDS.iter().filter(|kind| kind.promises.places);
    let missing: Vec<_> = placed.map(|kind| kind.name).filter(|name| !stands.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
