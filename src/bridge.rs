//! The whole bridge on one page: every stage wired, started, drained; the only file that knows all of them.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::{
    broker::{Broker, House, LinkKey, Origin, Target},
    config::plan::{LanePlan, PipelinePlan, Plan},
    deliver::{LaneSpec, LinkSpec},
    gateway::Gateway,
    listen::ListenError,
    pipeline::{Pipeline, PipelineSpec},
    report::Reports,
    shutdown::Asked,
    telemetry::{Health, Metrics},
};

/// A running bridge.
pub struct Bridge {
    house: House,
    health: Arc<Health>,
    running: BTreeMap<Arc<str>, Running>,
    gateway: Option<Gateway>,
    timeout: Duration,
    delay: Duration,
}

/// A pipeline, and what it was built from.
struct Running {
    fingerprint: String,
    pipeline: Pipeline,
    lanes: Vec<(Arc<str>, Arc<str>)>,
    origin: Arc<dyn Origin>,
    targets: Vec<Target>,
}

/// How the bridge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was taken is delivered and told upstream.
    Drained,
    /// `shutdown.timeout` passed; what was unsettled comes again from its source.
    TimedOut,
    /// A second signal; the process exits with this code.
    Forced(u8),
}

/// Where a bridge listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The `http_server` brokers, by name.
    pub http: BTreeMap<Arc<str>, SocketAddr>,
    /// The gateway's door for Redis clients.
    pub resp: Option<SocketAddr>,
}

/// The bridge did not start: exit 74.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is in use, or not ours.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No thread for a pipeline.
    #[error("a pipeline has no thread")]
    Thread(#[from] io::Error),
}

/// A changed pipeline must let go of its source before the new one reads it. One that cannot finish so soon (its destination is
/// down) leaves what it holds to the new one: the source sends it again.
const RELOAD_DRAIN: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Bridge {
    /// Starts every pipeline of a plan. Brokers need not be there: each pipeline connects when it can.
    /// Listeners are bound first; one that cannot be is the only reason not to start, beside the system's own.
    pub fn start(plan: Plan, metrics: Arc<Metrics>, health: Arc<Health>) -> Result<Self, StartError> {
        Self::start_reporting(plan, metrics, health, Reports::default())
    }

    /// The same, where somebody is told what a person should look at.
    pub fn start_reporting(plan: Plan, metrics: Arc<Metrics>, health: Arc<Health>, reports: Reports) -> Result<Self, StartError> {
        let house = House { reports, ..House::new(plan.name, plan.instance, metrics) };
        for (name, broker) in &plan.brokers {
            if let Some(settings) = broker.listens() {
                let listener = house.listeners.http(name, settings)?;
                info!(broker = %name, address = %listener.address(), "listening");
            }
        }
        // Nobody may publish before those who read are at least expected.
        plan.pipelines.iter().for_each(|pipeline| pipeline.origin.announce(&house));
        let open = |settings| Gateway::open(settings, &house.hub, &house.listeners, &house.metrics);
        let gateway = plan.gateway.as_ref().map(open).transpose()?;
        // The gateway's pages are there: from now on what is not expected is not there at all.
        expect(&house, plan.brokers.iter());
        let (timeout, delay) = (plan.shutdown.timeout, plan.shutdown.delay);
        let mut bridge = Self { house, health, running: BTreeMap::new(), gateway, timeout, delay };
        for pipeline in plan.pipelines {
            bridge.begin(pipeline)?;
        }
        bridge.health.started();
        Ok(bridge)
    }

    /// Where it listens, the ports that the system chose included.
    pub fn addresses(&self) -> Addresses {
        let resp = self.gateway.as_ref().and_then(Gateway::resp);
        Addresses { http: self.house.listeners.addresses(), resp }
    }

    /// Runs until asked to stop, or until every source has come to its end (`cat events | rialto run`) and nobody can come in by the
    /// gateway. `reload` answers the plan that the configuration makes now, or `None` after it has told why there
    /// is none: then nothing changes.
    pub async fn run(mut self, mut asked: mpsc::Receiver<Asked>, mut reload: impl FnMut() -> Option<Plan>) -> Stopped {
        loop {
            let asked = tokio::select! {
                asked = asked.recv() => asked,
                () = self.finished() => None,
            };
            let Some(Asked::Reload) = asked else { break };
            let plan = reload();
            self.house.metrics.reloaded(plan.is_some(), SystemTime::now());
            if let Some(plan) = plan {
                self.adopt(plan).await;
            }
        }
        info!(timeout = ?self.timeout, "stopping: sources first, then what they have sent");
        self.health.draining();
        tokio::select! {
            stopped = self.drain() => {
                // Last: until now the doors answered whoever waits for what was taken.
                if let Some(gateway) = self.gateway.take() {
                    gateway.close().await;
                }
                self.house.listeners.close();
                stopped
            }
            code = second(&mut asked) => Stopped::Forced(code),
        }
    }

    /// Completes when there is nothing left to do and nothing can come.
    async fn finished(&self) {
        if self.gateway.is_some() || self.running.is_empty() {
            return std::future::pending().await;
        }
        for running in self.running.values() {
            running.pipeline.finished().await;
        }
    }

    /// Stops reading, finishes what was taken, and ends. A pipeline that others feed inside this process reads until they have ended.
    async fn drain(&mut self) -> Stopped {
        tokio::time::sleep(self.delay).await;
        let drained = async {
            let mut left: Vec<_> = self.running.values().collect();
            while !left.is_empty() {
                let (fed, mut first): (Vec<_>, Vec<_>) = left.iter().copied().partition(|running| running.is_fed_by(&left));
                if first.is_empty() {
                    // They feed each other in a circle.
                    first.clone_from(&left);
                }
                for running in &first {
                    running.pipeline.drain();
                }
                // Bounded by the whole: a wait that gave up by itself would pass for an end.
                ended(first.iter().copied()).await;
                left = if first.len() == left.len() { Vec::new() } else { fed };
            }
        };
        if tokio::time::timeout(self.timeout, drained).await.is_ok() {
            return Stopped::Drained;
        }
        for running in self.running.values().filter(|running| !running.pipeline.ended()) {
            warn!(source = running.pipeline.name(), "not drained in time; what is unsettled comes again from its source");
            running.pipeline.stop();
        }
        wait(self.running.values(), Duration::from_secs(2)).await;
        Stopped::TimedOut
    }

    /// Takes a new plan: pipelines that did not change are not touched.
    async fn adopt(&mut self, plan: Plan) {
        (self.house.name, self.house.instance) = (plan.name, plan.instance);
        (self.timeout, self.delay) = (plan.shutdown.timeout, plan.shutdown.delay);
        self.health.set_readiness(plan.readiness);
        expect(&self.house, plan.brokers.iter());
        let fresh: BTreeMap<_, _> = plan.pipelines.into_iter().map(|pipeline| (Arc::clone(&pipeline.source), pipeline)).collect();
        let stays = |name: &Arc<str>, running: &Running| fresh.get(name).is_some_and(|new| new.fingerprint == running.fingerprint);
        let leaving: Vec<_> =
            self.running.iter().filter(|(name, running)| !stays(name, running)).map(|(name, _)| Arc::clone(name)).collect();
        let leaving: Vec<_> = leaving.into_iter().filter_map(|name| self.running.remove(&name)).collect();
        self.end(leaving, &fresh).await;
        let starts = fresh.iter().filter(|(name, _)| !self.running.contains_key(*name));
        starts.for_each(|(_, pipeline)| pipeline.origin.announce(&self.house));
        for (name, pipeline) in fresh {
            if self.running.contains_key(&name) {
                continue;
            }
            info!(source = %name, "reload: pipeline starts");
            if let Err(error) = self.begin(pipeline) {
                error!(source = %name, %error, "the pipeline cannot start");
            }
        }
    }

    async fn end(&self, leaving: Vec<Running>, fresh: &BTreeMap<Arc<str>, PipelinePlan>) {
        for running in &leaving {
            info!(source = running.pipeline.name(), "reload: pipeline changed or gone; it drains");
            running.pipeline.drain();
        }
        if !wait(leaving.iter(), RELOAD_DRAIN).await {
            for running in &leaving {
                running.pipeline.stop();
            }
            wait(leaving.iter(), Duration::from_secs(2)).await;
        }
        for running in leaving {
            let now: Vec<_> = fresh.get(running.pipeline.name()).map(labels).unwrap_or_default();
            for (route, destination) in running.lanes.iter().filter(|lane| !now.contains(lane)) {
                self.house.metrics.retire_lane(route, destination);
            }
            if !fresh.contains_key(running.pipeline.name()) {
                self.house.metrics.retire_source(running.pipeline.name());
            }
        }
    }

    fn begin(&mut self, plan: PipelinePlan) -> io::Result<()> {
        let beat = self.health.pipeline(&plan.source, Instant::now());
        let (name, fingerprint, lanes) = (Arc::clone(&plan.source), plan.fingerprint.clone(), labels(&plan));
        let (origin, targets) = (Arc::clone(&plan.origin), plan.lanes.iter().map(|lane| lane.target.clone()).collect());
        let pipeline = Pipeline::start(wire(plan, &self.house), beat)?;
        self.running.insert(name, Running { fingerprint, pipeline, lanes, origin, targets });
        Ok(())
    }
}

impl Running {
    /// Whether one of the others publishes what this one reads, and waits until it has settled it.
    fn is_fed_by(&self, others: &[&Self]) -> bool {
        let mut feeds = others.iter().filter(|other| !std::ptr::eq(**other, self)).flat_map(|other| &other.targets);
        self.origin.answers() && feeds.any(|target| self.origin.feeds_on(target))
    }
}

/// Tells the listeners where their brokers' sources are.
fn expect<'a>(house: &House, brokers: impl Iterator<Item = (&'a Arc<str>, &'a Arc<dyn Broker>)>) {
    for (name, broker) in brokers {
        if let Some(listener) = house.listeners.of(name) {
            listener.expect(broker.paths());
        }
    }
}

/// From a plan to what its pipeline runs: lanes that share a link share a worker.
fn wire(plan: PipelinePlan, house: &House) -> PipelineSpec {
    let mut links: BTreeMap<LinkKey, LinkSpec> = BTreeMap::new();
    for lane in plan.lanes {
        let link = links.entry(lane.target.link.clone()).or_insert_with(|| LinkSpec {
            broker: Arc::clone(&lane.broker),
            key: lane.target.link.clone(),
            lazy: true,
            lanes: Vec::new(),
        });
        link.lazy &= lane.lazy;
        let metrics = house.metrics.lane(&lane.route, &lane.destination);
        link.lanes.push((Arc::new(spec(lane, &plan.source)), metrics));
    }
    PipelineSpec {
        metrics: house.metrics.source(&plan.source),
        source: plan.source,
        broker: plan.broker,
        origin: plan.origin,
        window: plan.window,
        window_bytes: plan.window_bytes,
        router: plan.router,
        links: links.into_values().collect(),
        house: house.clone(),
    }
}

fn spec(lane: LanePlan, source: &Arc<str>) -> LaneSpec {
    LaneSpec {
        id: lane.id,
        route: lane.route,
        destination: lane.destination,
        source: Arc::clone(source),
        target: lane.target,
        rules: lane.rules,
        format: lane.format,
        dead_letter: lane.dead_letter,
    }
}

fn labels(plan: &PipelinePlan) -> Vec<(Arc<str>, Arc<str>)> {
    plan.lanes.iter().map(|lane| (Arc::clone(&lane.route), Arc::clone(&lane.destination))).collect()
}

/// Waits until all have ended; false where the time was over first.
async fn wait(pipelines: impl Iterator<Item = &Running> + Clone, timeout: Duration) -> bool {
    tokio::time::timeout(timeout, ended(pipelines)).await.is_ok()
}

/// Waits until all have ended.
async fn ended(pipelines: impl Iterator<Item = &Running> + Clone) {
    while !pipelines.clone().all(|running| running.pipeline.ended()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The exit code of a second signal to stop.
async fn second(asked: &mut mpsc::Receiver<Asked>) -> u8 {
    loop {
        match asked.recv().await {
            Some(Asked::Stop { code }) => return code,
            Some(Asked::Reload) => {}
            None => return std::future::pending().await,
        }
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("house", &self.house).field("pipelines", &self.running.keys()).finish_non_exhaustive()
    }
}
