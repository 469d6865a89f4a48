//! From the tree as written to the plan as meant: every value checked, every template, glob and jq filter compiled, every fault found
//! in one pass.
//!
//! Reading goes down the tree level by level ([`top`], [`brokers`], [`source`], [`route`], [`destination`]); [`pipeline`] then puts
//! together what runs: one pipeline for each source that a route reads.

mod brokers;
mod circles;
mod compile;
mod dead_letter;
mod destination;
mod doors;
mod fingerprint;
mod format;
mod hold;
mod matching;
mod once;
mod outline;
mod pipeline;
mod placed;
mod policy;
mod route;
mod rules;
mod source;
mod top;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use indexmap::IndexMap;

use crate::{
    broker::{Broker, Origin, Target},
    envelope::Format,
    gateway,
    route::{DeadLetterTo, DeliveryRules, LaneId, Router},
    telemetry::{LogPlan, Readiness},
    written::{Node, Problems},
};

pub use outline::{DeadLetterOutline, DestinationOutline, Outline, RouteOutline, RulesOutline, SourceOutline};
pub use top::ShutdownPlan;

/// What the bridge runs.
#[derive(Debug)]
pub struct Plan {
    /// In consumer groups, client names, logs, metrics.
    pub name: Arc<str>,
    /// This process: Redis consumer name, AMQP connection name.
    pub instance: Arc<str>,
    /// `{prefix}` in templates.
    pub prefix: Arc<str>,
    /// What goes to stderr.
    pub log: LogPlan,
    /// Where probes and metrics listen; `None`: `off`.
    pub telemetry: Option<SocketAddr>,
    /// The doors for live clients; `None`: `off`.
    pub gateway: Option<gateway::Settings>,
    /// What `/readyz` asks.
    pub readiness: Readiness,
    /// How the process ends.
    pub shutdown: ShutdownPlan,
    /// Warnings are faults.
    pub strict: bool,
    /// All brokers, by name, in the order of the file.
    pub brokers: IndexMap<Arc<str>, Arc<dyn Broker>>,
    /// One for each source that a route reads.
    pub pipelines: Vec<PipelinePlan>,
    /// The same for people.
    pub outline: Outline,
}

/// One source and what it feeds.
#[derive(Debug)]
pub struct PipelinePlan {
    /// The source's name.
    pub source: Arc<str>,
    /// The name of the broker that it reads.
    pub broker: Arc<str>,
    /// What it reads.
    pub origin: Arc<dyn Origin>,
    /// Messages taken and not yet settled.
    pub window: usize,
    /// The same by size, in bytes.
    pub window_bytes: u64,
    /// Who its messages are for.
    pub router: Router,
    /// Its destinations, then its dead letters; a lane's [`LaneId`] is its index.
    pub lanes: Vec<LanePlan>,
    /// What it was built from, hashed: a reload keeps a pipeline whose fingerprint is the same.
    pub fingerprint: String,
}

/// One destination of one route, or one place of dead letters.
#[derive(Debug, Clone)]
pub struct LanePlan {
    /// Its index in [`PipelinePlan::lanes`].
    pub id: LaneId,
    /// The route's name: a metric label.
    pub route: Arc<str>,
    /// The destination's name: a metric label.
    pub destination: Arc<str>,
    /// `broker/address`, with the templates as written.
    pub written: Arc<str>,
    /// The system.
    pub broker: Arc<dyn Broker>,
    /// The place in it.
    pub target: Target,
    /// How deliveries are tried, timed and ended.
    pub rules: DeliveryRules,
    /// The form of what is published.
    pub format: Format,
    /// Where what it cannot deliver goes.
    pub dead_letter: DeadLetterTo,
    /// It never gives up and sends bodies as they came.
    pub is_dead_letter: bool,
    /// Its link is opened at first use: an idle connection costs memory.
    pub lazy: bool,
}

/// Brokers that the program brings along, beside those of the configuration: what a library's user wrote, and handlers.
#[derive(Debug, Clone, Default)]
pub struct Given(IndexMap<Arc<str>, Arc<dyn Broker>>);

impl Given {
    /// With one more. A broker that was given under the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, broker: Arc<dyn Broker>) -> Self {
        self.0.insert(name.into(), broker);
        self
    }

    /// All of them, in the order in which they were given.
    pub fn brokers(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<dyn Broker>)> {
        self.0.iter()
    }
}

impl Plan {
    /// Who can come in where, in a sentence each; none where nothing listens but the probes.
    pub fn doors(&self) -> Vec<String> {
        doors::sentences(self)
    }
}

/// Reads the whole tree. The plan is there only where no fault is; warnings stay beside it.
pub fn read(root: &Node, given: &Given, faults: &mut Problems) -> Option<Plan> {
    let top = top::read(root, faults);
    let brokers = brokers::Brokers::read(root, given, faults);
    let bound = brokers.bound();
    doors::check(root, &brokers, faults);
    let mut sources = source::Sources::read(root, &brokers, faults);
    let routes = route::read(root, &bound, &brokers, &mut sources, faults);
    let house = pipeline::House { top: &top, brokers: &brokers };
    let (pipelines, outlines) = pipeline::all(house, &sources, &routes, faults);
    circles::warn(&sources, &routes, faults);
    unused(&brokers, &sources, &routes, faults);
    root.finish(faults);
    faults.say_once();
    if top.strict {
        faults.make_strict();
    }
    if !faults.is_ok() {
        return None;
    }
    Some(Plan {
        outline: Outline { name: top.name.to_string(), sources: outlines },
        name: top.name,
        instance: top.instance,
        prefix: top.prefix,
        log: top.log,
        telemetry: top.telemetry,
        gateway: top.gateway,
        readiness: top.readiness,
        shutdown: top.shutdown,
        strict: top.strict,
        brokers: brokers.built(),
        pipelines,
    })
}

/// What was named and is never used is more often a slip of the pen than meant.
fn unused(brokers: &brokers::Brokers, sources: &source::Sources<'_>, routes: &[route::Route<'_>], faults: &mut Problems) {
    for source in sources.known.values().flatten() {
        if !routes.iter().any(|route| route.source == source.name) {
            faults.warn(&source.at, format!("no route reads the source `{}`", source.name));
        }
    }
    let unused = brokers.named.iter().filter(|(_, named)| named.broker.is_some() && !named.used.get());
    for (name, named) in unused {
        faults.warn(&named.at, format!("nothing uses the broker `{name}`"));
    }
}
