//! What a lane (one destination of one route) counts, and what its route does.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

use super::{
    families::{Families, Labels, Seconds},
    source::gauge,
};
use crate::outcome::Reason;

/// What a lane counts. Cloning it is one reference count.
#[derive(Debug, Clone)]
pub struct LaneMetrics(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    labels: Labels<2>,
    of_route: Arc<RouteMetrics>,
    routed: Counter,
    settled: [Counter; LaneOutcome::ALL.len()],
    pending: Gauge,
    parked: Gauge,
    oldest: Seconds,
    unheard: Counter,
    publish_seconds: Histogram,
    // A failed try looks its reason up: failing is not the hot path, and 24 series a lane that stay at 0 would be noise.
    tries: Family<Labels<3>, Counter>,
    paused: Family<Labels<3>, Gauge>,
    pause: Mutex<Pause>,
}

/// Why a lane is paused, and every reason it ever was, whose series are 0 now.
#[derive(Debug, Default)]
struct Pause {
    now: Option<Reason>,
    ever: BTreeSet<Reason>,
    tried: BTreeSet<Reason>,
}

impl LaneMetrics {
    pub(super) fn new(families: &Families, route: &Arc<str>, destination: &Arc<str>, of_route: Arc<RouteMetrics>) -> Self {
        let two = [("route", route.clone()), ("destination", destination.clone())];
        Self(Arc::new(Counts {
            of_route,
            routed: families.routed.get_or_create_owned(&two),
            settled: LaneOutcome::ALL.map(|outcome| families.settled.get_or_create_owned(&with(&two, "outcome", outcome.as_str()))),
            pending: families.pending.get_or_create_owned(&two),
            parked: families.parked.get_or_create_owned(&two),
            oldest: families.oldest.get_or_create_owned(&two),
            unheard: families.unheard.get_or_create_owned(&two),
            publish_seconds: families.publish_seconds.get_or_create_owned(&two),
            tries: families.tries.clone(),
            paused: families.paused.clone(),
            pause: Mutex::default(),
            labels: two,
        }))
    }

    pub(super) fn retire(&self, families: &Families) {
        let two = &self.0.labels;
        self.stalled(false);
        for counters in [&families.routed, &families.unheard] {
            counters.remove(two);
        }
        for gauges in [&families.pending, &families.parked] {
            gauges.remove(two);
        }
        families.oldest.remove(two);
        families.publish_seconds.remove(two);
        for outcome in LaneOutcome::ALL {
            families.settled.remove(&with(two, "outcome", outcome.as_str()));
        }
        let pause = self.pause();
        for reason in &pause.tried {
            families.tries.remove(&with(two, "reason", reason.as_str()));
        }
        for reason in &pause.ever {
            families.paused.remove(&with(two, "reason", reason.as_str()));
        }
    }

    /// `n` copies were routed here.
    pub fn routed(&self, n: u64) {
        self.0.routed.inc_by(n);
    }

    /// `n` copies ended.
    pub fn settled(&self, outcome: LaneOutcome, n: u64) {
        self.0.settled[outcome as usize].inc_by(n);
    }

    /// `n` copies are routed and not ended.
    pub fn pending(&self, n: u64) {
        self.0.pending.set(gauge(n));
    }

    /// `n` copies are parked.
    pub fn parked(&self, n: u64) {
        self.0.parked.set(gauge(n));
    }

    /// The oldest copy that has not ended is this old; 0 without one.
    pub fn oldest_seconds(&self, seconds: f64) {
        self.0.oldest.set(seconds);
    }

    /// One try failed.
    pub fn try_failed(&self, reason: Reason) {
        self.0.tries.get_or_create(&with(&self.0.labels, "reason", reason.as_str())).inc();
        self.pause().tried.insert(reason);
    }

    /// The lane is paused for `reason`, or no longer.
    pub fn paused(&self, reason: Option<Reason>) {
        let mut pause = self.pause();
        let was = std::mem::replace(&mut pause.now, reason);
        if let Some(was) = was.filter(|was| Some(*was) != reason) {
            self.0.paused.get_or_create(&with(&self.0.labels, "reason", was.as_str())).set(0);
        }
        if let Some(now) = reason {
            self.0.paused.get_or_create(&with(&self.0.labels, "reason", now.as_str())).set(1);
            pause.ever.insert(now);
        }
    }

    /// The lane has backlog, a healthy destination and no progress, or no longer; its route is stalled while one of its lanes is.
    pub fn stalled(&self, stalled: bool) {
        self.0.of_route.stalled(&self.0.labels[1].1, stalled);
    }

    /// `n` messages were published and nobody listened.
    pub fn unheard(&self, n: u64) {
        self.0.unheard.inc_by(n);
    }

    /// A batch was answered this long after it was handed to the link.
    pub fn publish_seconds(&self, seconds: f64) {
        self.0.publish_seconds.observe(seconds);
    }

    /// A message was delivered when it was this old by its own time.
    pub fn age_seconds(&self, seconds: f64) {
        self.0.of_route.age_seconds.observe(seconds);
    }

    /// A message was delivered this long after it was taken from its source.
    pub fn route_seconds(&self, seconds: f64) {
        self.0.of_route.route_seconds.observe(seconds);
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.0.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with(two: &Labels<2>, key: &'static str, word: &str) -> Labels<3> {
    [two[0].clone(), two[1].clone(), (key, word.into())]
}

/// What the lanes of one route share.
#[derive(Debug)]
pub(super) struct RouteMetrics {
    route_seconds: Histogram,
    age_seconds: Histogram,
    stalled: Gauge,
    stalled_lanes: Mutex<BTreeSet<Arc<str>>>,
}

impl RouteMetrics {
    pub(super) fn new(families: &Families, route: &Arc<str>) -> Self {
        let one = [("route", route.clone())];
        Self {
            route_seconds: families.route_seconds.get_or_create_owned(&one),
            age_seconds: families.age_seconds.get_or_create_owned(&one),
            stalled: families.stalled.get_or_create_owned(&one),
            stalled_lanes: Mutex::default(),
        }
    }

    pub(super) fn retire(families: &Families, route: &Arc<str>) {
        let one = [("route", route.clone())];
        families.route_seconds.remove(&one);
        families.age_seconds.remove(&one);
        families.stalled.remove(&one);
    }

    pub(super) fn is_stalled(&self) -> bool {
        !self.stalled_lanes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn stalled(&self, destination: &Arc<str>, stalled: bool) {
        let mut lanes = self.stalled_lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if stalled {
            lanes.insert(destination.clone());
        } else {
            lanes.remove(destination);
        }
        self.stalled.set(i64::from(!lanes.is_empty()));
    }
}

/// The `outcome` label of `rialto_destination_settled_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOutcome {
    /// The destination has it.
    Delivered,
    /// Its dead letter has it, or its source's broker got it back.
    DeadLettered,
    /// Lost by choice.
    Dropped,
    /// Damaged in the journal: never sent, kept aside.
    Quarantined,
}

impl LaneOutcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::DeadLettered, Self::Dropped, Self::Quarantined];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::DeadLettered => "dead_lettered",
            Self::Dropped => "dropped",
            Self::Quarantined => "quarantined",
        }
    }
}
