//! One link: letters to the engine, answers from it.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connect::{Connection, Dialer},
    engine::{Command, Engine, Office},
    queue::{Chain, Job, Slip},
    request::Letter,
    settings::Settings,
    target::Options,
};
use crate::{
    broker::{Confirms, OpenError, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Reason},
};

/// How long `close` waits for what is still on the wire.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// One link, one incarnation.
pub(super) struct WebhookPublisher {
    office: Arc<Office>,
    commands: mpsc::Sender<Command>,
    engine: AbortOnDropHandle<()>,
    ended: Arc<Mutex<Option<LinkDown>>>,
    hasher: RandomState,
    sent: u64,
}

impl WebhookPublisher {
    /// A link over the first of its connections.
    pub(super) fn start(settings: Arc<Settings>, dialer: Dialer, opened: Connection) -> Result<Self, OpenError> {
        // Each batch says at most two things more: that it is seen, and a ping beside it.
        let (commands, received) = mpsc::channel(4 * settings.concurrency);
        let office = Arc::new(Office::open(settings, dialer)?);
        let ended = Arc::new(Mutex::new(None));
        let engine = Engine::new(Arc::clone(&office), received, opened, Arc::clone(&ended));
        let engine: JoinHandle<()> = tokio::spawn(engine.run());
        let hasher = RandomState::new();
        Ok(Self { office, commands, engine: AbortOnDropHandle::new(engine), ended, hasher, sent: 0 })
    }

    fn job(&self, number: u64, index: usize, out: &Outgoing<'_>, body: Bytes) -> Result<Job<Letter>, Outcome> {
        let endpoint = &self.office.dialer.endpoint;
        let work = Letter::write(out, body, endpoint, &self.office.settings.headers).map_err(Outcome::Refused)?;
        let place = std::ptr::from_ref(out.target).addr();
        let chain: Option<Chain> = (!out.key.is_empty()).then(|| self.hasher.hash_one((place, out.key)));
        let templated = out.target.options.downcast_ref::<Options>().is_some_and(|options| options.templated);
        Ok(Job { slip: Slip { batch: number, index, place, chain, templated }, work })
    }
}

/// Why the link is no more.
fn end(ended: &Mutex<Option<LinkDown>>) -> LinkDown {
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    ended.clone().unwrap_or_else(|| LinkDown::new(Reason::Link, "the link was closed"))
}

#[async_trait]
impl Publisher for WebhookPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        self.sent += 1;
        let number = self.sent;
        // One buffer for the bodies of a batch.
        let mut bodies = BytesMut::with_capacity(batch.iter().map(|out| out.body.len()).sum());
        let (mut jobs, mut settled) = (Vec::with_capacity(batch.len()), Vec::new());
        for (index, out) in batch.iter().enumerate() {
            bodies.extend_from_slice(out.body);
            match self.job(number, index, out, bodies.split().freeze()) {
                Ok(job) => jobs.push(job),
                Err(outcome) => settled.push((index, outcome)),
            }
        }
        let (reply, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Send { number, jobs, settled, reply }).await;
        sent.map_err(|_| end(&self.ended))?;
        let (commands, ended) = (self.commands.clone(), Arc::clone(&self.ended));
        Ok(Box::pin(async move {
            let (outcomes, holds) = answered.await.map_err(|_| end(&ended))?;
            if holds {
                // Before anything that is handed over in knowledge of these answers; an engine that is gone holds nothing.
                let _ = commands.send(Command::Seen(number)).await;
            }
            Ok(outcomes)
        }))
    }

    fn times_each(&self) -> bool {
        true
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        let (reply, answered) = oneshot::channel();
        self.commands.send(Command::Ping(reply)).await.map_err(|_| end(&self.ended))?;
        answered.await.unwrap_or_else(|_| Err(end(&self.ended)))
    }

    async fn close(self: Box<Self>) {
        let Self { commands, mut engine, .. } = *self;
        if commands.send(Command::Close).await.is_err() {
            return;
        }
        if timeout(CLOSE_WITHIN, &mut engine).await.is_err() {
            tracing::debug!("a webhook's link was closed with requests unanswered");
        }
    }
}

impl fmt::Debug for WebhookPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookPublisher").field("office", &self.office.dialer).field("sent", &self.sent).finish_non_exhaustive()
    }
}
