//! The source's supervisor: opens it, opens it again, pauses it while nobody takes what it reads, and drains it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::watch as signal;
use tracing::{info, warn};

use super::{Order, PipelineSpec};
use crate::{
    broker::{Ended, House, Origin, Source, SourceError},
    deliver::Board,
    intake::{Closer, Door},
    outcome::Reason,
    route::LaneId,
    telemetry::{BrokerMetrics, SourceMetrics, SourceState},
};

/// Between two attempts to open: 100 ms, doubling to this, with jitter. G14: flow resumes within 5 s.
const REOPEN_INITIAL: Duration = Duration::from_millis(100);
const REOPEN_MAX: Duration = Duration::from_secs(3);

/// An incarnation that lived so long was well: the next failure begins with the shortest pause.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// An opening that takes longer is given up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// With all required lanes paused for this long, the source is let go: one delivery count for a whole outage, and no
/// `consumer_timeout` of the broker runs out over messages that cannot be delivered (guarantees, RabbitMQ).
const PAUSE_AFTER: Duration = Duration::from_secs(60);

/// What is settled by then is told before a paused source is let go.
const PAUSE_GRACE: Duration = Duration::from_secs(1);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Owns the incarnations of one source.
pub(super) struct Supervisor {
    name: Arc<str>,
    origin: Arc<dyn Origin>,
    house: House,
    door: Door,
    board: Arc<Board>,
    required: Vec<LaneId>,
    metrics: SourceMetrics,
    broker: BrokerMetrics,
    orders: signal::Receiver<Order>,
    attempts: u32,
    /// Why it was lost or not to be had, since it was last well: each reason is said once.
    said: BTreeSet<Reason>,
    /// It was opened, and was lost before it was well.
    flaps: bool,
}

/// Why an incarnation is over.
enum Over {
    /// The source ended by itself.
    Ended(Result<Ended, (Reason, String)>),
    /// Nobody takes what it reads.
    Paused,
    /// The pipeline stops.
    Ordered,
}

impl Supervisor {
    pub(super) fn new(spec: &PipelineSpec, door: Door, board: Arc<Board>, orders: signal::Receiver<Order>) -> Self {
        let required = spec.lanes().iter().filter(|lane| lane.required && !lane.last_resort).map(|lane| lane.id).collect();
        Self {
            name: Arc::clone(&spec.source),
            origin: Arc::clone(&spec.origin),
            house: spec.house.clone(),
            door,
            board,
            required,
            metrics: spec.metrics.clone(),
            broker: spec.house.metrics.broker(&spec.broker),
            orders,
            attempts: 0,
            said: BTreeSet::new(),
            flaps: false,
        }
    }

    /// Runs until ordered to drain or stop, and the source has drained or was stopped; or until what it reads has come to its end.
    pub(super) async fn run(mut self) {
        self.metrics.state(SourceState::Reconnecting);
        loop {
            let source = tokio::select! {
                _ = self.orders.wait_for(|order| *order != Order::Run) => return,
                source = open(&self.origin, &self.house) => source,
            };
            let over = match source {
                Ok(source) => self.incarnation(source).await,
                Err(failed) => Over::Ended(Err(failed)),
            };
            match over {
                Over::Ordered => return,
                Over::Ended(Ok(Ended::Finished)) => return self.finished(),
                Over::Paused => self.wait_for_lanes().await,
                Over::Ended(ended) => self.ended(ended).await,
            }
            if *self.orders.borrow() != Order::Run {
                return;
            }
        }
    }

    /// One connection's life.
    async fn incarnation(&mut self, source: Box<dyn Source>) -> Over {
        let opened = Instant::now();
        match self.attempts {
            0 => info!(source = %self.name, from = %self.origin.display(), "source reads"),
            // It is said once it lasts.
            _ if self.flaps => {}
            _ => self.reads_again(),
        }
        self.broker.up(true);
        self.metrics.state(SourceState::Running);
        let (intake, closer) = self.door.intake();
        let mut running = source.run(intake);
        let mut paused_since = None;
        loop {
            let ordered = tokio::select! {
                ended = &mut running => {
                    self.flaps = opened.elapsed() < WELL_AFTER;
                    return Over::Ended(ended.map_err(|error| (error.reason, error.detail)));
                }
                _ = self.orders.wait_for(|order| *order != Order::Run) => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            if ordered {
                self.drain(&closer, running).await;
                return Over::Ordered;
            }
            let now = Instant::now();
            if self.attempts > 0 && now.duration_since(opened) >= WELL_AFTER {
                self.well();
            }
            // A source that holds nothing back would lose what it is not there to hear.
            if !self.origin.holds() || !self.all_paused() {
                paused_since = None;
            } else if now.duration_since(*paused_since.get_or_insert(now)) >= PAUSE_AFTER {
                closer.close();
                // What ends it, and how, does not matter: it is let go either way.
                let _ = tokio::time::timeout(PAUSE_GRACE, &mut running).await;
                return Over::Paused;
            }
        }
    }

    fn reads_again(&self) {
        info!(source = %self.name, from = %self.origin.display(), "source reads again");
    }

    /// It has read for a while.
    fn well(&mut self) {
        if std::mem::take(&mut self.flaps) {
            self.reads_again();
        }
        self.attempts = 0;
        self.said.clear();
    }

    /// Stops reading and waits until all that was offered is told upstream, or until the order to stop at once.
    async fn drain(&mut self, closer: &Closer, running: BoxFuture<'_, Result<Ended, SourceError>>) {
        closer.close();
        tokio::select! {
            ended = running => if let Err(error) = ended {
                warn!(source = %self.name, reason = %error.reason, error = %error.detail, "source lost while draining; what was unsettled comes again");
            },
            _ = self.orders.wait_for(|order| *order == Order::Stop) => {}
        }
    }

    fn finished(&self) {
        self.metrics.state(SourceState::Finished);
        info!(source = %self.name, from = %self.origin.display(), "source has come to its end");
    }

    async fn ended(&mut self, ended: Result<Ended, (Reason, String)>) {
        self.metrics.state(SourceState::Reconnecting);
        let broken = match ended {
            Ok(_) => false,
            Err((reason, error)) => {
                self.broker.up(false);
                if self.said.insert(reason) {
                    warn!(source = %self.name, from = %self.origin.display(), %reason, %error, "source lost or not to be had; trying again");
                }
                true
            }
        };
        if self.attempts > 0 || broken {
            self.broker.reconnected();
        }
        let ceiling = REOPEN_INITIAL.saturating_mul(1 << self.attempts.min(10)).min(REOPEN_MAX);
        self.attempts = self.attempts.saturating_add(1);
        let pause = ceiling / 2 + (ceiling / 2).mul_f64(fastrand::f64());
        let _ = tokio::time::timeout(pause, self.orders.wait_for(|order| *order != Order::Run)).await;
    }

    async fn wait_for_lanes(&mut self) {
        self.metrics.state(SourceState::Paused);
        warn!(source = %self.name, "every required destination has been paused for 60 s: the source is let go until one is back");
        while self.all_paused() {
            if tokio::time::timeout(LOOK_EVERY, self.orders.wait_for(|order| *order != Order::Run)).await.is_ok() {
                return;
            }
        }
    }

    fn all_paused(&self) -> bool {
        !self.required.is_empty() && self.required.iter().all(|lane| self.board.paused(*lane))
    }
}

async fn open(origin: &Arc<dyn Origin>, house: &House) -> Result<Box<dyn Source>, (Reason, String)> {
    match tokio::time::timeout(OPEN_TIMEOUT, origin.open(house)).await {
        Ok(Ok(source)) => Ok(source),
        Ok(Err(error)) => Err((error.reason, error.detail)),
        Err(_) => Err((Reason::Timeout, "no answer while opening".into())),
    }
}
