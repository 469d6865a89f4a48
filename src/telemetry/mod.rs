//! Every metric name and log setting, and what the probes read, in one place. A leaf: it knows none of the stages.

mod health;
mod logs;
mod metrics;

pub use health::{Beat, Check, Health, Readiness, STUCK_AFTER};
pub use logs::{LogError, LogFormat, LogGuard, LogPlan, start as start_logs};
pub use metrics::{
    BrokerMetrics, CertificateMetrics, ClientHere, DropReason, GatewayMetrics, LaneMetrics, LaneOutcome, Metrics, Protocol,
    SourceAction, SourceMetrics, SourceState,
};
