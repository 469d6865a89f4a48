//! The systems at both ends. One folder each, with the same files in each: `mod.rs` (its [`Kind`], settings and targets),
//! `source.rs` (consumes), `publisher.rs` (publishes).
//!
//! Adding a broker touches one new folder and its entry in [`KINDS`]; `CONTRIBUTING.md` has the recipe.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::{
    envelope::Message,
    intake::{FeedEnd, Intake},
    listen::{HttpSettings, Mount},
    outcome::{LinkDown, Outcome},
    written::{Node, Problems},
};

pub use crate::written::{AddressRule, TemplateText};
pub use errors::{OpenError, SourceError};
pub use house::House;
pub use kind::{Kind, Part, Promises, WINDOW};
pub use remark::{Described, Remark};
pub(crate) use schema::OneOrMany;
pub use target::{Field, InFlight, LinkKey, Target};

pub mod amqp;
mod bearer;
mod errors;
pub mod file;
pub mod handler;
mod http_client;
pub mod http_server;
mod fnv1a;
mod house;
pub mod hub;
pub mod kafka;
mod kind;
mod lines;
mod plain;
pub mod redis;
mod remark;
mod retry_after;
pub mod schedule;
mod schema;
pub mod service_bus;
pub mod standard_webhooks;
pub mod stdio;
mod target;
mod tls;
mod untold;
pub mod webhook;

/// Every kind of broker there is: the one table that the configuration, the schema and the conformance suites read.
pub static KINDS: &[&Kind] = &[
    &amqp::KIND,
    &handler::KIND,
    &http_server::KIND,
    &kafka::KIND,
    &redis::KIND,
    &service_bus::KIND,
    &hub::KIND,
    &stdio::KIND,
    &file::KIND,
    &schedule::KIND,
    &webhook::KIND,
];

/// A configured system: checked settings, no connection.
#[async_trait]
pub trait Broker: fmt::Debug + Send + Sync {
    /// Its kind, as in [`KINDS`].
    fn kind(&self) -> &'static Kind;

    /// URLs to show to people, without credentials.
    fn display(&self) -> String;

    /// Something to read, from a source's own keys or the short form's address (a string node). `declare` and the source's
    /// window are part of the node that it reads.
    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>>;

    /// Messages that its sources may have taken and not settled, where they do not say (`window`).
    fn window(&self) -> u32 {
        WINDOW
    }

    /// Somewhere to publish, from a destination's own keys or the short form's address (a string node).
    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target>;

    /// Whether a publish to `target` answers how many heard it, so that `on_no_receivers` has a meaning; `Err` is a sentence that
    /// says why it does not (a stream, a cluster, a queue).
    fn hears(&self, target: &Target) -> Result<(), String> {
        let _ = target;
        Err(format!("a broker of kind `{}` does not say how many received a message", self.kind().name))
    }

    /// Whether headers travel beside the body of what is published to `target`: a channel has a body and nothing else.
    fn carries_headers(&self, target: &Target) -> bool {
        let _ = target;
        self.kind().promises.headers
    }

    /// Opens one link. One try: the caller owns the retry. Bounded in time by the implementation (10 s).
    async fn link(&self, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError>;

    /// Makes one transaction of reading `origin` and publishing to `targets`, all of this broker (`exactly_once`): what stands for
    /// them from now on. `Err` is a sentence that says why it cannot be.
    fn relay(&self, origin: &dyn Origin, targets: &[Target]) -> Result<Relayed, String> {
        let _ = (origin, targets);
        Err(format!("a broker of kind `{}` has no transactions over what is read and what is published", self.kind().name))
    }

    /// Something that reads what `target` receives and never takes it from anybody (`rialto tap`): a subscription, a stream from
    /// `$`, an exclusive queue bound to a named exchange. `Err` is a sentence that says why this target cannot be tapped.
    /// Templates in the target's address become the widest pattern of the system.
    fn tap(&self, target: &Target) -> Result<Arc<dyn Origin>, String>;

    /// The address on which this broker listens for its sources, where it does (an `http_server`): bound once, when the bridge starts.
    fn listens(&self) -> Option<HttpSettings> {
        None
    }

    /// The paths of its sources: while a source is not open, its path answers that it may be soon, and not that there is nothing.
    fn paths(&self) -> Vec<Mount> {
        Vec::new()
    }

    /// What of this broker is bound to names of domain events by itself (`handles`): where such an event goes whose route has no `to`.
    fn bound(&self) -> Vec<Bound> {
        Vec::new()
    }

    /// The order in which an event is handed to several destinations, lower first: a handler's `priority`.
    fn rank(&self, target: &Target) -> u32 {
        let _ = target;
        RANK
    }

    /// What whoever reads the configuration should know of one end beyond what holds of every kind: `explain` says it.
    fn remarks(&self, end: &Described<'_>) -> Vec<Remark> {
        let _ = end;
        Vec::new()
    }

    /// Dials the broker and checks that the named things are there and allowed; `rialto check --connect`.
    /// Answers one sentence per fault.
    async fn probe(&self, what: &Probe<'_>, house: &House) -> Vec<String>;
}

/// The rank of a destination that says nothing of it.
pub const RANK: u32 = 50;

/// A destination that takes domain events by their name, without a route that names it.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Globs of the event names.
    pub handles: Vec<String>,
    /// The destination in its long form, with the key `broker`: as if it had been written in a `to`.
    pub written: Node,
}

/// Both ends of an exchange that happens wholly or not at all ([`Broker::relay`]).
#[derive(Debug)]
pub struct Relayed {
    /// Reads the same, and leaves the position to the transactions.
    pub origin: Arc<dyn Origin>,
    /// Publish to the same, in the order in which they were given, over one link.
    pub targets: Vec<Target>,
}

/// What `check --connect` asks of a broker.
#[derive(Debug)]
pub enum Probe<'a> {
    /// Only that it answers.
    Broker,
    /// That this origin could be opened.
    Origin(&'a dyn Origin),
    /// That this target could be published to.
    Target(&'a Target),
}

/// Something to read, checked but not open.
#[async_trait]
pub trait Origin: fmt::Debug + Send + Sync {
    /// As a person would name it: `mq/orders.events`.
    fn display(&self) -> String;

    /// The `broker/address` this origin reads, to refuse a source that would read its own dead letters.
    fn address(&self) -> &str;

    /// False where a message taken is a message gone (pub/sub): such a source defaults to `dead_letter: drop`, and `explain` warns.
    fn holds(&self) -> bool;

    /// True where the broker can dead-letter a rejected message itself (`dead_letter: native`).
    fn rejects_natively(&self) -> bool {
        false
    }

    /// True where those dead letters are always there, and keep what is rejected whole: the default then.
    fn keeps_rejected(&self) -> bool {
        false
    }

    /// True where each producer waits for the verdict on its own message (an HTTP request): without a `dead_letter`, what cannot be
    /// delivered or routed is refused to its producer, and nothing is lost by it.
    fn answers(&self) -> bool {
        false
    }

    /// How long this origin's broker lets a message stay unsettled before it closes the consumer, with room for the answer's way;
    /// `None` where it waits for ever or its claim is renewed. Rules that could hold a message longer are refused.
    fn hold_max(&self) -> Option<Duration> {
        None
    }

    /// True where this origin's identity at its broker is the bridge's `name` (a consumer group that nobody wrote), so that the name
    /// must be written: two bridges with the default name would share their messages.
    fn goes_by_name(&self) -> bool {
        false
    }

    /// Says that this origin will be opened in a moment, so that what is published inside this process is not missed meanwhile.
    fn announce(&self, house: &House) {
        let _ = house;
    }

    /// Opens one incarnation. One try: the caller owns the retry. Bounded in time by the implementation (10 s).
    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError>;

    /// A target that puts a message where this origin reads it (`rialto publish`, tests); `None` where there is no single such place
    /// (a pattern).
    fn inlet(&self) -> Option<Target>;

    /// Whether it would read what is published to `target`: a source that reads its own dead letters, or a circle of routes. Templates
    /// count as text. Two names for one server are not recognised.
    fn reads(&self, target: &Target) -> bool {
        self.inlet().is_some_and(|inlet| inlet.is_same_place(target))
    }

    /// Whether what is published to `target` may come here without leaving the process. Templates count as anything.
    fn feeds_on(&self, target: &Target) -> bool {
        let _ = target;
        false
    }

    /// The same origin, which creates this target too when it opens: a dead letter of a source that creates what it reads (`declare`).
    /// `None` where it creates nothing, or the target is not its to create.
    fn declaring(&self, target: &Target) -> Option<Arc<dyn Origin>> {
        let _ = target;
        None
    }

    /// For downcasts inside the kind's own folder (`probe`, `tap`, `publish`).
    fn as_any(&self) -> &dyn Any;
}

/// One incarnation of a source: one connection, no reconnecting inside.
#[async_trait]
pub trait Source: Send {
    /// Reads until `intake` closes (then drains: stops reading, tells upstream what settles, returns), the broker ends it, or
    /// the future is dropped (then the connection is closed and nothing more is acknowledged).
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError>;
}

/// Why an incarnation ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The intake closed, and everything that had been offered was told upstream.
    Drained,
    /// A message was abandoned: what was settled is told, the rest comes again.
    Abandoned,
    /// What is read has come to its end for good (the last line of a file or of standard input), and all of it was settled: there is
    /// nothing to open again.
    Finished,
}

impl From<FeedEnd> for Ended {
    fn from(end: FeedEnd) -> Self {
        match end {
            FeedEnd::Drained => Self::Drained,
            FeedEnd::Abandoned => Self::Abandoned,
        }
    }
}

/// The answers of one batch: one outcome per message, in order.
pub type Confirms = BoxFuture<'static, Result<Vec<Outcome>, LinkDown>>;

/// One link, one incarnation.
#[async_trait]
pub trait Publisher: Send {
    /// Hands the whole batch to the link, in order, before it returns; waiting is the link's back-pressure. The future answers one
    /// outcome per message, in order. `LinkDown`, a timeout, or a `send` dropped half way ends the link.
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown>;

    /// Why the broker holds this link back, while it does (AMQP `connection.blocked`). What is in flight meanwhile is neither lost nor
    /// late: its time does not run, and the link is not given up for it.
    fn held(&self) -> Option<String> {
        None
    }

    /// True where each message has its own [`Outgoing::timeout`] here, and one that passes it is answered `Refused(Timeout)`, which
    /// counts as a try: an endpoint that takes messages one by one (a webhook, a handler) may be slow for one and well for the next.
    /// A batch waits its turn in such a link, so the caller takes it for dead only after the time of all that is in flight.
    fn times_each(&self) -> bool {
        false
    }

    /// A cheap round trip, to notice a dead link that has nothing to send. The caller bounds its time.
    async fn ping(&mut self) -> Result<(), LinkDown>;

    /// Flushes and closes; after this, or a drop, no byte of this link is sent any more.
    async fn close(self: Box<Self>);
}

/// One message for one destination, rendered.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// What it is: id, name, type, and the headers it came with.
    pub message: &'a Message,
    /// [`Target::address`] rendered.
    pub address: &'a str,
    /// The ordering key; empty where it has none.
    pub key: &'a str,
    /// The bytes to publish.
    pub body: &'a [u8],
    /// MIME type of `body`; empty for the default, JSON.
    pub content_type: &'a str,
    /// Headers to set beside those the message came with, winning over them (`headers:`, CloudEvents attributes, `rialto-dead-*`).
    pub headers: &'a [(&'a str, &'a str)],
    /// [`Target::fields`] rendered; `None` where the template had no value.
    pub fields: &'a [Option<&'a str>],
    /// Which try of this message this is, from 1.
    pub attempt: u32,
    /// How long this one try may take. It binds a publisher that [times each message](Publisher::times_each); of others, the caller
    /// times the batch.
    pub timeout: Duration,
}
