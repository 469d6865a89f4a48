//! The families: each metric's name, help and labels.

use std::sync::{Arc, atomic::AtomicU64};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

/// A label set: keys of the closed list, values from the configuration or an enum.
pub(super) type Labels<const N: usize> = [(&'static str, Arc<str>); N];

/// A gauge of seconds.
pub(super) type Seconds = Gauge<f64, AtomicU64>;

pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram>;

/// Upper bounds, in seconds, of what happens within the bridge and on the way to a broker: up to the default `timeout` and past it.
const WORK_SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Upper bounds, in seconds, of a message's age: an outage makes it days.
const AGE_SECONDS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 21_600.0, 86_400.0];

/// Every family of a transit bridge.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) source_received: Counters<1>,
    pub(super) source_settled: Counters<2>,
    pub(super) source_released: Counters<1>,
    pub(super) source_inflight: Gauges<1>,
    pub(super) source_limit: Gauges<1>,
    pub(super) source_lag: Gauges<1>,
    pub(super) source_state: Gauges<2>,
    pub(super) routed: Counters<2>,
    pub(super) settled: Counters<3>,
    pub(super) pending: Gauges<2>,
    pub(super) parked: Gauges<2>,
    pub(super) oldest: Family<Labels<2>, Seconds>,
    pub(super) tries: Counters<3>,
    pub(super) paused: Gauges<3>,
    pub(super) stalled: Gauges<1>,
    pub(super) unheard: Counters<2>,
    pub(super) duplicate: Counters<1>,
    pub(super) route_seconds: Histograms<1>,
    pub(super) publish_seconds: Histograms<2>,
    pub(super) age_seconds: Histograms<1>,
    pub(super) broker_up: Gauges<1>,
    pub(super) broker_reconnects: Counters<1>,
    pub(super) certificate_expiry: Gauges<1>,
    pub(super) gateway_clients: Gauges<1>,
    pub(super) gateway_dropped: Counters<2>,
    pub(super) reload_good: Gauge,
    pub(super) reload_time: Seconds,
}

impl Families {
    /// Registers all of them, in the order of `docs/operations.md`.
    pub(super) fn register(to: &mut Registry) -> Self {
        let build = [("version", crate::VERSION), ("revision", crate::REVISION)];
        to.register("rialto_build", "The running build", Info::new(build.map(|(key, value)| (key, Arc::<str>::from(value)))));
        let families = Self::empty();
        families.register_sources(to);
        families.register_destinations(to);
        families.register_times(to);
        families.register_house(to);
        families
    }

    fn empty() -> Self {
        let work = || Histogram::new(WORK_SECONDS);
        let age = || Histogram::new(AGE_SECONDS);
        Self {
            source_received: Family::default(),
            source_settled: Family::default(),
            source_released: Family::default(),
            source_inflight: Family::default(),
            source_limit: Family::default(),
            source_lag: Family::default(),
            source_state: Family::default(),
            routed: Family::default(),
            settled: Family::default(),
            pending: Family::default(),
            parked: Family::default(),
            oldest: Family::default(),
            tries: Family::default(),
            paused: Family::default(),
            stalled: Family::default(),
            unheard: Family::default(),
            duplicate: Family::default(),
            route_seconds: Family::new_with_constructor(work),
            publish_seconds: Family::new_with_constructor(work),
            age_seconds: Family::new_with_constructor(age),
            broker_up: Family::default(),
            broker_reconnects: Family::default(),
            certificate_expiry: Family::default(),
            gateway_clients: Family::default(),
            gateway_dropped: Family::default(),
            reload_good: Gauge::default(),
            reload_time: Seconds::default(),
        }
    }

    fn register_sources(&self, to: &mut Registry) {
        to.register("rialto_source_received", "Messages taken from the source", self.source_received.clone());
        to.register(
            "rialto_source_settled",
            "Messages the source was told about, by what became of them",
            self.source_settled.clone(),
        );
        to.register(
            "rialto_source_released",
            "Messages given back unsettled when an incarnation ended; they come again",
            self.source_released.clone(),
        );
        to.register("rialto_source_inflight_messages", "Messages taken and not yet settled", self.source_inflight.clone());
        to.register(
            "rialto_source_inflight_limit",
            "The window: most messages taken and not yet settled",
            self.source_limit.clone(),
        );
        to.register("rialto_source_lag_messages", "Messages waiting in the source's broker, as it tells", self.source_lag.clone());
        to.register("rialto_source_state", "1 for the state the source is in", self.source_state.clone());
        to.register("rialto_messages_duplicate", "Messages seen before and not sent again", self.duplicate.clone());
    }

    fn register_destinations(&self, to: &mut Registry) {
        to.register("rialto_destination_routed", "Copies routed to the destination", self.routed.clone());
        to.register("rialto_destination_settled", "Copies ended, by how", self.settled.clone());
        to.register("rialto_destination_pending_messages", "Copies routed and not yet ended", self.pending.clone());
        to.register("rialto_destination_parked_messages", "Copies waiting behind a failed one of their key", self.parked.clone());
        to.register("rialto_destination_oldest_seconds", "Age of the oldest copy not yet ended", self.oldest.clone());
        to.register("rialto_tries", "Tries that failed, by why", self.tries.clone());
        to.register("rialto_lane_paused", "1 while the lane waits for its destination to be mended", self.paused.clone());
        to.register(
            "rialto_route_stalled",
            "1 while the route has backlog, a healthy destination and no progress",
            self.stalled.clone(),
        );
        to.register("rialto_messages_unheard", "Messages published to a channel without a subscriber", self.unheard.clone());
    }

    fn register_times(&self, to: &mut Registry) {
        to.register("rialto_route_duration_seconds", "From taken from the source to delivered", self.route_seconds.clone());
        to.register("rialto_publish_duration_seconds", "From handed to the link to answered", self.publish_seconds.clone());
        to.register("rialto_message_age_seconds", "From the message's own time to delivered", self.age_seconds.clone());
    }

    fn register_house(&self, to: &mut Registry) {
        to.register("rialto_broker_up", "1 while every link to the broker is up", self.broker_up.clone());
        to.register("rialto_broker_reconnects", "Links opened again after they were lost", self.broker_reconnects.clone());
        to.register(
            "rialto_tls_certificate_expiry_timestamp_seconds",
            "When the first of the certificates ends that the broker's servers and Rialto show each other",
            self.certificate_expiry.clone(),
        );
        to.register("rialto_gateway_clients", "Clients connected to the gateway", self.gateway_clients.clone());
        to.register("rialto_gateway_dropped_clients", "Clients sent away, by why", self.gateway_dropped.clone());
        to.register("rialto_config_last_reload_successful", "1 where the last reload was good", self.reload_good.clone());
        to.register(
            "rialto_config_last_reload_success_timestamp_seconds",
            "When the configuration was last taken, in seconds since the Unix epoch",
            self.reload_time.clone(),
        );
    }
}
