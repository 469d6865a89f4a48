//! One incarnation of a source: its page is mounted while it runs.

use std::sync::Arc;

use async_trait::async_trait;

use super::{budget::Budget, delivery::Delivery, inlet::Inlet, origin::Terms, remembered::Remembered};
use crate::{
    broker::{Ended, Source, SourceError},
    intake::{Intake, calls},
    listen::{HttpListener, Listeners, Mount},
    outcome::Reason,
};

/// Requests whose messages wait for room in the window; more are refused at once (503).
const WAITING_MAX: usize = 1024;

/// A page to be mounted.
pub(super) struct HttpSource {
    pub(super) listener: Arc<HttpListener>,
    /// The listener is served as long as these are there.
    pub(super) listeners: Listeners,
    pub(super) place: Mount,
    pub(super) terms: Arc<Terms>,
    pub(super) remembered: Arc<Remembered>,
}

#[async_trait]
impl Source for HttpSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (caller, calls) = calls(WAITING_MAX);
        let budget = Budget::new(intake.window_bytes());
        let delivery = Delivery { caller, terms: self.terms, remembered: self.remembered, metrics: intake.metrics().clone() };
        let inlet = Inlet { delivery: Arc::new(delivery), budget, window_bytes: intake.window_bytes() };
        let mounted = self.listener.mount(self.place, Arc::new(inlet)).map_err(|taken| SourceError {
            reason: Reason::Link,
            // An older incarnation that is still answering, or another source; either ends or is a fault of the configuration.
            detail: taken.to_string(),
        })?;
        let end = calls.serve(&intake).await;
        drop((mounted, self.listeners));
        Ok(end.into())
    }
}
