//! Every metric name, span name and log field, in one place. A leaf.

mod metrics;

pub use metrics::{BrokerMetrics, LaneMetrics, Metrics, SourceAction, SourceMetrics, SourceState};
