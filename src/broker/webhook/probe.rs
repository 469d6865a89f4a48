//! `rialto check --connect`.

use super::{connect::Dialer, settings::Settings};
use crate::{broker::Probe, telemetry::CertificateMetrics};

/// Connects, and sends nothing: no request is without a meaning for somebody's endpoint. Credentials and secrets are read.
pub(super) async fn probe(settings: &Settings, what: &Probe<'_>, metrics: &CertificateMetrics) -> Vec<String> {
    if let Probe::Origin(_) = what {
        return Vec::new();
    }
    let dialled = async { Dialer::new(settings, metrics)?.dial().await };
    let mut faults: Vec<String> = dialled.await.err().into_iter().map(|error| error.to_string()).collect();
    if let Ok(endpoint) = settings.endpoint()
        && let Err(error) = settings.authorization(&endpoint)
    {
        faults.push(error.to_string());
    }
    if let Some(Err(fault)) = settings.sign.as_ref().map(|ring| ring.keys(std::time::Instant::now())) {
        faults.push(format!("cannot sign: {fault}"));
    }
    faults
}
