//! A bridge that runs inside a program.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    admin::Probes,
    bridge::{Addresses, Stopped},
    report::Reports,
    shutdown::Asked,
    telemetry::{Health, Metrics},
};

/// After the bridge has ended, reports that wait have so long to be told.
const LAST_REPORTS_WITHIN: Duration = Duration::from_secs(5);

/// A running bridge. Dropped, it drains by itself, with nobody who waits for it.
#[derive(Debug)]
pub struct Running {
    pub(super) asked: mpsc::Sender<Asked>,
    pub(super) ended: JoinHandle<Stopped>,
    pub(super) couriers: Vec<JoinHandle<()>>,
    pub(super) reports: Reports,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) addresses: Addresses,
    pub(super) probes: Option<Probes>,
}

impl Running {
    /// Where it listens, the ports that the system chose included.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its metrics in the text format of `OpenMetrics`, for the program's own endpoint.
    pub fn metrics(&self) -> String {
        // Writing to text cannot fail.
        self.metrics.encode().unwrap_or_default()
    }

    /// What `/readyz` would say: true where every check holds.
    pub fn is_ready(&self) -> bool {
        self.health.ready().iter().all(|check| check.fault.is_none())
    }

    /// Reports that no reporter got, because it was slow or down.
    pub fn reports_lost(&self) -> u64 {
        self.reports.lost()
    }

    /// Stops reading, delivers what was taken, waits for handlers that run, and ends; at most `shutdown.timeout` (25 s). What is unsettled
    /// then comes again from its source.
    pub async fn drain(self) -> Stopped {
        let Self { asked, ended, couriers, reports, probes, .. } = self;
        // A bridge that has ended already does not listen.
        let _ = asked.send(Asked::Stop { code: 0 }).await;
        let stopped = ended.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the bridge ended by itself");
            Stopped::TimedOut
        });
        drop((reports, probes));
        let told = async {
            for courier in couriers {
                let _ = courier.await;
            }
        };
        let _ = tokio::time::timeout(LAST_REPORTS_WITHIN, told).await;
        stopped
    }
}
