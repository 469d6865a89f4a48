//! The metrics of `docs/operations.md`: one registry a bridge, handles for those who count.

/// The registry.
#[derive(Debug, Default)]
pub struct Metrics {}

/// What a source counts.
#[derive(Debug, Clone, Default)]
pub struct SourceMetrics {}

impl SourceMetrics {
    /// Messages taken from the source.
    pub fn received(&self, _n: u64) {}
    /// Messages let go unsettled.
    pub fn released(&self, _n: u64) {}
    /// Messages taken and not settled, now.
    pub fn inflight(&self, _n: u64) {}
    /// The window.
    pub fn limit(&self, _n: u64) {}
}

/// What a lane (a destination of a route) counts.
#[derive(Debug, Clone, Default)]
pub struct LaneMetrics {}

/// What a broker counts.
#[derive(Debug, Clone, Default)]
pub struct BrokerMetrics {}

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
}
