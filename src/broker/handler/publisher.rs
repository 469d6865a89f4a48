//! A link to one handler: its calls in flight.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Event, Handling, job::Job, stage::Stage};
use crate::{
    broker::{Confirms, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Reason},
    report::Reports,
};

/// How long the end of a link waits for the calls that run. A drain has waited for them long before; after it, they are in the way of
/// the end of the process.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Calls one handler.
pub(super) struct HandlerPublisher {
    name: Arc<str>,
    handling: Arc<Handling>,
    stage: Stage,
    reports: Reports,
    calls: TaskTracker,
    /// Drops the calls that run when the link is dropped: what they were to do is tried again elsewhere.
    ends: CancellationToken,
    _ends: DropGuard,
}

impl HandlerPublisher {
    pub(super) fn new(name: &Arc<str>, handling: &Arc<Handling>, stage: Stage, reports: Reports) -> Self {
        let ends = CancellationToken::new();
        Self {
            name: name.clone(),
            handling: handling.clone(),
            stage,
            reports,
            calls: TaskTracker::new(),
            _ends: ends.clone().drop_guard(),
            ends,
        }
    }
}

#[async_trait]
impl Publisher for HandlerPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let mut answers = Vec::with_capacity(batch.len());
        for outgoing in batch {
            let (answer, answered) = oneshot::channel();
            let job = Job {
                name: self.name.clone(),
                handler: self.handling.handler.clone(),
                event: Event::of(outgoing),
                timeout: outgoing.timeout,
                answer,
                ends: self.ends.clone(),
                running: self.calls.token(),
                reports: self.reports.clone(),
            };
            self.stage.start(job).await?;
            answers.push(answered);
        }
        Ok(Box::pin(async move {
            let mut outcomes = Vec::with_capacity(answers.len());
            for answered in answers {
                // A call that is gone without a word was dropped with its link or its runtime: nobody can say what it did.
                outcomes.push(answered.await.unwrap_or(Outcome::Unknown(Reason::Link)));
            }
            Ok(outcomes)
        }))
    }

    fn times_each(&self) -> bool {
        true
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        self.stage.ping()
    }

    async fn close(self: Box<Self>) {
        self.calls.close();
        // Those that are left are dropped with the link; their events come again.
        if tokio::time::timeout(CLOSE_WITHIN, self.calls.wait()).await.is_err() {
            tracing::debug!("handlers were dropped with events unanswered");
        }
    }
}
