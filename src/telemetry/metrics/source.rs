//! What a source counts.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::families::{Families, Labels};

/// What a source counts. Cloning it is one reference count. The default counts for nobody: a tool that reads a source beside the
/// bridge, a test.
#[derive(Debug, Clone, Default)]
pub struct SourceMetrics(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    received: Counter,
    settled: [Counter; SourceAction::ALL.len()],
    released: Counter,
    inflight: Gauge,
    limit: Gauge,
    lag: Gauge,
    states: [Gauge; SourceState::ALL.len()],
    state: AtomicU8,
    duplicate: Counter,
}

impl SourceMetrics {
    pub(super) fn new(families: &Families, source: &Arc<str>) -> Self {
        let one = of(source);
        let counts = Counts {
            received: families.source_received.get_or_create_owned(&one),
            settled: SourceAction::ALL
                .map(|action| families.source_settled.get_or_create_owned(&with(source, "action", action.as_str()))),
            released: families.source_released.get_or_create_owned(&one),
            inflight: families.source_inflight.get_or_create_owned(&one),
            limit: families.source_limit.get_or_create_owned(&one),
            lag: families.source_lag.get_or_create_owned(&one),
            states: SourceState::ALL.map(|state| families.source_state.get_or_create_owned(&with(source, "state", state.as_str()))),
            state: AtomicU8::new(0),
            duplicate: families.duplicate.get_or_create_owned(&one),
        };
        let source = Self(Arc::new(counts));
        source.state(SourceState::Reconnecting);
        source
    }

    pub(super) fn retire(families: &Families, source: &Arc<str>) {
        let one = of(source);
        for counters in [&families.source_received, &families.source_released, &families.duplicate] {
            counters.remove(&one);
        }
        for gauges in [&families.source_inflight, &families.source_limit, &families.source_lag] {
            gauges.remove(&one);
        }
        for action in SourceAction::ALL {
            families.source_settled.remove(&with(source, "action", action.as_str()));
        }
        for state in SourceState::ALL {
            families.source_state.remove(&with(source, "state", state.as_str()));
        }
    }

    /// `n` messages were taken from the broker.
    pub fn received(&self, n: u64) {
        self.0.received.inc_by(n);
    }

    /// `n` messages are settled: what became of them.
    pub fn settled(&self, action: SourceAction, n: u64) {
        self.0.settled[action as usize].inc_by(n);
    }

    /// `n` messages were given back unsettled, because their incarnation ended.
    pub fn released(&self, n: u64) {
        self.0.released.inc_by(n);
    }

    /// `n` messages are taken and not settled.
    pub fn inflight(&self, n: u64) {
        self.0.inflight.set(gauge(n));
    }

    /// The window is `n` messages.
    pub fn limit(&self, n: u64) {
        self.0.limit.set(gauge(n));
    }

    /// `n` messages wait in the broker, as the broker tells.
    pub fn lag(&self, n: u64) {
        self.0.lag.set(gauge(n));
    }

    /// The source is in this state now.
    pub fn state(&self, state: SourceState) {
        self.0.state.store(state as u8, Ordering::Relaxed);
        for (each, series) in SourceState::ALL.iter().zip(&self.0.states) {
            series.set(i64::from(*each == state));
        }
    }

    /// `n` messages were seen before and not sent again.
    pub fn duplicate(&self, n: u64) {
        self.0.duplicate.inc_by(n);
    }

    /// The state it was last in.
    pub fn current(&self) -> SourceState {
        SourceState::ALL[usize::from(self.0.state.load(Ordering::Relaxed))]
    }
}

fn of(source: &Arc<str>) -> Labels<1> {
    [("source", source.clone())]
}

fn with(source: &Arc<str>, key: &'static str, word: &str) -> Labels<2> {
    [("source", source.clone()), (key, word.into())]
}

/// A gauge's value; a count beyond `i64` does not occur, and would be shown as the largest.
pub(super) fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The `action` label of `rialto_source_settled_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceAction {
    /// Every required destination has it.
    Delivered,
    /// At least one copy went to its dead letter.
    DeadLettered,
    /// `match` took it, `when` or `transform` did not.
    Filtered,
    /// No route matched.
    Unrouted,
    /// It could not be decoded or addressed.
    Rejected,
    /// Lost by choice.
    Dropped,
}

impl SourceAction {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Delivered, Self::DeadLettered, Self::Filtered, Self::Unrouted, Self::Rejected, Self::Dropped];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::DeadLettered => "dead_lettered",
            Self::Filtered => "filtered",
            Self::Unrouted => "unrouted",
            Self::Rejected => "rejected",
            Self::Dropped => "dropped",
        }
    }
}

/// The `state` label of `rialto_source_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Connected and reading.
    Running,
    /// Connected; another replica is active.
    Standby,
    /// Stopped reading because its destinations are paused.
    Paused,
    /// The window is full of parked messages.
    Blocked,
    /// Not connected.
    Reconnecting,
    /// What it read has come to its end.
    Finished,
}

impl SourceState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Running, Self::Standby, Self::Paused, Self::Blocked, Self::Reconnecting, Self::Finished];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Standby => "standby",
            Self::Paused => "paused",
            Self::Blocked => "blocked",
            Self::Reconnecting => "reconnecting",
            Self::Finished => "finished",
        }
    }
}
