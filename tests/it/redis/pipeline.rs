//! The other side of a source's front door, as a test plays it: takes what arrives and says what became of it.

use std::{collections::VecDeque, time::Duration};

use rialto::{
    broker::{Ended, House, Origin, SourceError},
    intake::{Arrival, Closer, Door, Ticket},
    outcome::Verdict,
    telemetry::Metrics,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One incarnation of a source, running.
pub(crate) struct Pipeline {
    arrivals: mpsc::Receiver<Arrival>,
    waiting: VecDeque<Taken>,
    closer: Option<Closer>,
    running: JoinHandle<Result<Ended, SourceError>>,
}

/// One message that arrived.
pub(crate) struct Taken {
    pub(crate) raw: rialto::envelope::RawMessage,
    ticket: std::sync::Arc<Ticket>,
    index: u32,
}

impl Taken {
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.raw.body).expect("text")
    }

    pub(crate) fn settle(self, verdict: Verdict) {
        self.ticket.settle(self.index, verdict);
    }

    pub(crate) fn accept(self) {
        self.settle(Verdict::Accepted);
    }
}

impl Pipeline {
    /// Opens a source and runs it with a window of so many messages.
    pub(crate) async fn open(origin: &dyn Origin, house: &House, window: usize) -> Self {
        let source = origin.open(house).await.unwrap_or_else(|error| panic!("{}: {error}", origin.display()));
        let (door, arrivals) = Door::new(window, 64 << 20, origin.holds(), Metrics::new().source("test"));
        let (intake, closer) = door.intake();
        Self { arrivals, waiting: VecDeque::new(), closer: Some(closer), running: tokio::spawn(source.run(intake)) }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Taken {
        timeout(PATIENCE, self.arrive()).await.expect("a message in time").expect("a running source")
    }

    /// The next message, if one comes within so long.
    pub(crate) async fn next_within(&mut self, patience: Duration) -> Option<Taken> {
        timeout(patience, self.arrive()).await.ok().flatten()
    }

    async fn arrive(&mut self) -> Option<Taken> {
        if self.waiting.is_empty() {
            let arrival = self.arrivals.recv().await?;
            let ticket = std::sync::Arc::new(arrival.ticket);
            let taken = arrival.batch.into_iter().zip(0..).map(|(raw, index)| Taken { raw, ticket: ticket.clone(), index });
            self.waiting.extend(taken);
        }
        self.waiting.pop_front()
    }

    /// Closes the intake, accepts nothing more, and answers how the source ended.
    pub(crate) async fn close(mut self) -> Result<Ended, SourceError> {
        drop(self.closer.take());
        timeout(PATIENCE, &mut self.running).await.expect("an end in time").expect("no panic")
    }

    /// Waits for the source to end by itself.
    pub(crate) async fn ended(&mut self) -> Result<Ended, SourceError> {
        timeout(PATIENCE, &mut self.running).await.expect("an end in time").expect("no panic")
    }

    /// Stops it as a crash would: nothing more is said to the server.
    pub(crate) async fn crash(self) {
        self.running.abort();
        drop(self.running.await);
    }
}
