//! The metrics of `docs/operations.md`: one registry a bridge, handles for those who count.
//!
//! A handle is found once, when a source, lane or link is built; counting on it is an atomic addition. Label sets are closed:
//! names from the configuration and the words of the enums here, never ids, channels or payload values.

mod broker;
mod certificates;
mod families;
mod gateway;
mod lane;
mod process;
mod source;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::registry::Registry;

use self::{broker::BrokerLinks, families::Families, lane::RouteMetrics};
pub use self::{
    broker::BrokerMetrics,
    certificates::CertificateMetrics,
    gateway::{ClientHere, DropReason, GatewayMetrics, Protocol},
    lane::{LaneMetrics, LaneOutcome},
    source::{SourceAction, SourceMetrics, SourceState},
};

/// The registry and every handle given out.
pub struct Metrics {
    registry: Registry,
    families: Families,
    given: Mutex<Given>,
}

/// Handles by name, so that a source that is opened again counts on where it was.
#[derive(Debug, Default)]
struct Given {
    sources: BTreeMap<Arc<str>, SourceMetrics>,
    routes: BTreeMap<Arc<str>, Arc<RouteMetrics>>,
    lanes: BTreeMap<(Arc<str>, Arc<str>), LaneMetrics>,
    brokers: BTreeMap<Arc<str>, Arc<BrokerLinks>>,
    certificates: BTreeMap<Arc<str>, CertificateMetrics>,
}

impl Metrics {
    /// A registry with every family of a transit bridge and nothing counted.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        process::register(&mut registry);
        Self { registry, families, given: Mutex::default() }
    }

    /// What the source `name` counts. The same handle for the same name.
    pub fn source(&self, name: &str) -> SourceMetrics {
        let mut given = self.given();
        if let Some(known) = given.sources.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        let fresh = SourceMetrics::new(&self.families, &name);
        given.sources.insert(name, fresh.clone());
        fresh
    }

    /// What the lane from `route` to `destination` counts. The same handle for the same pair.
    pub fn lane(&self, route: &str, destination: &str) -> LaneMetrics {
        let pair: (Arc<str>, Arc<str>) = (route.into(), destination.into());
        let mut given = self.given();
        if let Some(known) = given.lanes.get(&pair) {
            return known.clone();
        }
        let of_route =
            given.routes.entry(pair.0.clone()).or_insert_with(|| Arc::new(RouteMetrics::new(&self.families, &pair.0))).clone();
        let fresh = LaneMetrics::new(&self.families, &pair.0, &pair.1, of_route);
        given.lanes.insert(pair, fresh.clone());
        fresh
    }

    /// What one link to the broker `name` counts. Each call is a link of its own: a broker is up while every link that spoke is.
    pub fn broker(&self, name: &str) -> BrokerMetrics {
        let mut given = self.given();
        let name: Arc<str> = name.into();
        let links = given.brokers.entry(name.clone()).or_insert_with(|| Arc::new(BrokerLinks::new(&self.families, &name)));
        BrokerMetrics::new(links.clone())
    }

    /// What the links to the broker `name` see of certificates. The same handle for the same name.
    pub fn certificates(&self, name: &str) -> CertificateMetrics {
        let name: Arc<str> = name.into();
        let fresh = || CertificateMetrics::new(&self.families, &name);
        self.given().certificates.entry(name.clone()).or_insert_with(fresh).clone()
    }

    /// What one door of the gateway counts.
    pub fn gateway(&self, protocol: Protocol) -> GatewayMetrics {
        GatewayMetrics::new(&self.families, protocol)
    }

    /// A reload ended: `rialto_config_last_reload_successful` and, after a good one, its time.
    pub fn reloaded(&self, good: bool, at: SystemTime) {
        self.families.reload_good.set(i64::from(good));
        if good {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            self.families.reload_time.set(since.as_secs_f64());
        }
    }

    /// Forgets a source that a reload removed: its series end.
    pub fn retire_source(&self, name: &str) {
        if let Some((name, _)) = self.given().sources.remove_entry(name) {
            SourceMetrics::retire(&self.families, &name);
        }
    }

    /// Forgets a lane that a reload removed, and its route with the last lane of it: their series end.
    pub fn retire_lane(&self, route: &str, destination: &str) {
        let pair: (Arc<str>, Arc<str>) = (route.into(), destination.into());
        let mut given = self.given();
        if let Some(lane) = given.lanes.remove(&pair) {
            lane.retire(&self.families);
            if !given.lanes.keys().any(|(of, _)| *of == pair.0) {
                given.routes.remove(&pair.0);
                RouteMetrics::retire(&self.families, &pair.0);
            }
        }
    }

    /// Every source and its state, by name.
    pub fn sources(&self) -> Vec<(Arc<str>, SourceState)> {
        self.given().sources.iter().map(|(name, source)| (name.clone(), source.current())).collect()
    }

    /// Every broker that a link spoke about, and whether all its links are up, by name.
    pub fn brokers(&self) -> Vec<(Arc<str>, bool)> {
        self.given().brokers.iter().filter_map(|(name, links)| Some((name.clone(), links.up()?))).collect()
    }

    /// The routes of which a lane is stalled, by name.
    pub fn stalled_routes(&self) -> Vec<Arc<str>> {
        self.given().routes.iter().filter(|(_, route)| route.is_stalled()).map(|(name, _)| name.clone()).collect()
    }

    /// The whole exposition in the `OpenMetrics` text format, version 1.0.0.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
