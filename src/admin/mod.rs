//! What operators and orchestrators ask the process: probes and metrics. Read-only, without payloads.

mod probes;

pub use probes::{ListenError, Probes};
