//! The queue between those who see something and those who tell it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::warn;

use super::{ErrorReporter, Report};

/// Reports that wait for a reporter; one more is dropped and counted.
const WAITING_MAX: usize = 256;
/// Passing one report on.
const REPORT_WITHIN: Duration = Duration::from_secs(10);
/// Between two lines about reports that were lost.
const LOST_SAID_EVERY: Duration = Duration::from_secs(30);

/// Where reports are handed in. Cheap to clone; without a reporter it costs a null check.
#[derive(Clone, Default)]
pub struct Reports(Option<Arc<[Desk]>>);

struct Desk {
    queue: mpsc::Sender<Report>,
    wants_payload: bool,
    lost: Arc<AtomicU64>,
    bridge: Arc<str>,
    instance: Arc<str>,
}

/// The other end of a queue: run it beside the bridge. It ends when the last [`Reports`] is gone and all are told.
pub struct Courier {
    queue: mpsc::Receiver<Report>,
    reporter: Arc<dyn ErrorReporter>,
    lost: Arc<AtomicU64>,
}

impl Reports {
    /// A queue and a courier for each reporter.
    pub fn to(reporters: Vec<Arc<dyn ErrorReporter>>, bridge: &Arc<str>, instance: &Arc<str>) -> (Self, Vec<Courier>) {
        let (mut desks, mut couriers) = (Vec::new(), Vec::new());
        for reporter in reporters {
            let (sender, queue) = mpsc::channel(WAITING_MAX);
            let lost = Arc::new(AtomicU64::new(0));
            let wants_payload = reporter.wants_payload();
            let (bridge, instance) = (bridge.clone(), instance.clone());
            desks.push(Desk { queue: sender, wants_payload, lost: lost.clone(), bridge, instance });
            couriers.push(Courier { queue, reporter, lost });
        }
        let reports = if desks.is_empty() { Self::default() } else { Self(Some(desks.into())) };
        (reports, couriers)
    }

    /// Hands a report in and never waits. `report` is asked for one only where somebody is told, and whether that one wants payloads.
    pub fn tell(&self, report: impl Fn(bool) -> Report) {
        for desk in self.0.iter().flat_map(|desks| desks.iter()) {
            let Ok(place) = desk.queue.try_reserve() else {
                desk.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            place.send(Report {
                bridge: desk.bridge.to_string(),
                instance: desk.instance.to_string(),
                ..report(desk.wants_payload)
            });
        }
    }

    /// Reports that no reporter got: its queue was full, or it failed. Over all reporters.
    pub fn lost(&self) -> u64 {
        self.0.iter().flat_map(|desks| desks.iter()).map(|desk| desk.lost.load(Ordering::Relaxed)).sum()
    }
}

impl Courier {
    /// Tells the reporter, one after the other.
    pub async fn run(mut self) {
        let (mut said, mut said_at) = (0, None::<Instant>);
        while let Some(report) = self.queue.recv().await {
            let told = tokio::time::timeout(REPORT_WITHIN, self.reporter.report(&report)).await;
            let error = match told {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer in {} s", REPORT_WITHIN.as_secs())),
            };
            if error.is_some() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            let lost = self.lost.load(Ordering::Relaxed);
            if lost > said && said_at.is_none_or(|at| at.elapsed() >= LOST_SAID_EVERY) {
                let why = error.as_deref().unwrap_or("more came than it takes");
                warn!(lost = lost - said, error = why, "the error reporter did not get every report");
                (said, said_at) = (lost, Some(Instant::now()));
            }
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").field("reporters", &self.0.as_ref().map_or(0, |desks| desks.len())).finish()
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}
