//! What the probes read: is each pipeline alive, has the bridge started, is it draining, are its brokers up and its routes moving.
//!
//! Pure data and pure judgement; time is passed in. Brokers, sources and stalled routes are read from [`Metrics`], so that a
//! probe and a dashboard cannot disagree.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Metrics, SourceState};

/// A pipeline that has not beaten for this long is stuck. It beats at least every few seconds, idle or not.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// `health.readiness`: what `/readyz` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// The process runs. A native sidecar's readiness is its Pod's, and a restart of Redis must not take the application out of
    /// its Service.
    #[default]
    Process,
    /// Every broker is connected.
    Connected,
    /// No route is stalled.
    Routes,
}

/// The state of one bridge.
#[derive(Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    origin: Instant,
    started: AtomicBool,
    draining: AtomicBool,
    readiness: Mutex<Readiness>,
    beats: Mutex<Beats>,
}

#[derive(Debug, Default)]
struct Beats {
    next: u64,
    last: BTreeMap<u64, (Arc<str>, Arc<AtomicU64>)>,
}

/// One pipeline's sign of life; dropped, the pipeline is no longer expected to give any.
#[derive(Debug)]
pub struct Beat {
    health: Arc<Health>,
    number: u64,
    last: Arc<AtomicU64>,
}

/// One thing that a probe asked, and the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was asked: `pipeline orders`, `broker mq`.
    pub name: String,
    /// The answer, where it is not good: in words, without payloads or credentials.
    pub fault: Option<String>,
}

impl Health {
    /// A bridge that has not started.
    pub fn new(metrics: Arc<Metrics>, readiness: Readiness, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            origin: now,
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            readiness: Mutex::new(readiness),
            beats: Mutex::default(),
        })
    }

    /// The configuration is valid and the listeners are bound; brokers do not matter here.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The bridge stops: not ready from now on.
    pub fn draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// A reload changed `health.readiness`.
    pub fn set_readiness(&self, readiness: Readiness) {
        *lock(&self.readiness) = readiness;
    }

    /// From now on the pipeline of the source `name` is expected to beat.
    pub fn pipeline(self: &Arc<Self>, name: &str, now: Instant) -> Beat {
        let last = Arc::new(AtomicU64::new(self.millis(now)));
        let mut beats = lock(&self.beats);
        let number = beats.next;
        beats.next += 1;
        beats.last.insert(number, (name.into(), last.clone()));
        Beat { health: self.clone(), number, last }
    }

    /// What `/livez` asks: no pipeline is stuck. (That it is answered at all shows that the house runtime runs.)
    pub fn live(&self, now: Instant) -> Vec<Check> {
        let now = self.millis(now);
        let stuck = STUCK_AFTER.as_millis() as u64;
        let check = |(name, last): &(Arc<str>, Arc<AtomicU64>)| {
            let silent = now.saturating_sub(last.load(Ordering::Relaxed));
            let fault = (silent > stuck).then(|| format!("no sign of life for {} s", silent / 1000));
            Check { name: format!("pipeline {name}"), fault }
        };
        lock(&self.beats).last.values().map(check).collect()
    }

    /// What `/startupz` asks: configuration valid, listeners bound. Never brokers: a startup probe holds the application back.
    pub fn startup(&self) -> Vec<Check> {
        let started = self.started.load(Ordering::Acquire);
        vec![Check { name: "started".into(), fault: (!started).then(|| "still starting".into()) }]
    }

    /// What `/readyz` asks, by `health.readiness`.
    pub fn ready(&self) -> Vec<Check> {
        let mut checks = self.startup();
        let draining = self.draining.load(Ordering::Acquire);
        checks.push(Check { name: "accepting".into(), fault: draining.then(|| "shutting down".into()) });
        match *lock(&self.readiness) {
            Readiness::Process => {}
            Readiness::Connected => checks.extend(self.connected()),
            Readiness::Routes => checks.extend(self.stalled()),
        }
        checks
    }

    /// Everything a person would want to know, for `?verbose`; does not decide.
    pub fn details(&self) -> Vec<Check> {
        let mut checks = self.connected();
        checks.extend(self.stalled());
        checks.extend(self.metrics.sources().into_iter().map(|(name, state)| {
            let fault = (!matches!(state, SourceState::Running | SourceState::Standby | SourceState::Finished))
                .then(|| state.as_str().into());
            Check { name: format!("source {name}"), fault }
        }));
        checks
    }

    fn connected(&self) -> Vec<Check> {
        let check =
            |(name, up): (Arc<str>, bool)| Check { name: format!("broker {name}"), fault: (!up).then(|| "not connected".into()) };
        self.metrics.brokers().into_iter().map(check).collect()
    }

    fn stalled(&self) -> Vec<Check> {
        let check = |name: Arc<str>| Check { name: format!("route {name}"), fault: Some("stalled".into()) };
        self.metrics.stalled_routes().into_iter().map(check).collect()
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }
}

impl Beat {
    /// The pipeline is alive.
    pub fn beat(&self, now: Instant) {
        self.last.store(self.health.millis(now), Ordering::Relaxed);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        lock(&self.health.beats).last.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(readiness: Readiness) -> (Arc<Metrics>, Arc<Health>, Instant) {
        let (metrics, now) = (Arc::new(Metrics::new()), Instant::now());
        (metrics.clone(), Health::new(metrics, readiness, now), now)
    }

    fn good(checks: &[Check]) -> bool {
        checks.iter().all(|check| check.fault.is_none())
    }

    #[test]
    fn a_silent_pipeline_is_not_live_until_it_beats_or_ends() {
        let (_, health, start) = health(Readiness::Process);
        let (orders, other) = (health.pipeline("orders", start), health.pipeline("other", start));
        let late = start + STUCK_AFTER + Duration::from_secs(1);
        assert!(good(&health.live(start + STUCK_AFTER)));
        other.beat(late);
        let named: Vec<_> = health.live(late).into_iter().filter(|check| check.fault.is_some()).map(|check| check.name).collect();
        assert_eq!(named, ["pipeline orders"]);
        orders.beat(late);
        assert!(good(&health.live(late)));
        drop((orders, other));
        assert!(health.live(late + STUCK_AFTER * 9).is_empty());
    }

    #[test]
    fn ready_means_started_and_not_draining() {
        let (metrics, health, _) = health(Readiness::Process);
        metrics.broker("mq").up(false);
        metrics.lane("r", "d").stalled(true);
        assert!(!good(&health.ready()));
        health.started();
        assert!(good(&health.startup()) && good(&health.ready()), "brokers and routes do not matter under `process`");
        health.draining();
        assert!(good(&health.startup()) && !good(&health.ready()));
    }

    #[test]
    fn readiness_connected_asks_every_broker() {
        let (metrics, health, _) = health(Readiness::Connected);
        health.started();
        let (mq, live) = (metrics.broker("mq"), metrics.broker("live"));
        mq.up(true);
        live.up(false);
        assert!(!good(&health.ready()));
        live.up(true);
        assert!(good(&health.ready()));
    }

    #[test]
    fn readiness_routes_asks_for_stalled_ones() {
        let (metrics, health, _) = health(Readiness::Routes);
        health.started();
        metrics.broker("mq").up(false);
        let lane = metrics.lane("r", "d");
        assert!(good(&health.ready()));
        lane.stalled(true);
        assert!(!good(&health.ready()));
    }

    #[test]
    fn a_standby_source_is_no_fault() {
        let (metrics, health, _) = health(Readiness::Process);
        metrics.source("s").state(SourceState::Standby);
        assert!(good(&health.details()));
        metrics.source("s").state(SourceState::Blocked);
        assert!(!good(&health.details()));
    }
}
