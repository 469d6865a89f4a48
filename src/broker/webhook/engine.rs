//! The task of a link: hands letters to connections, and tells the answers. It owns every socket: dropped, it is off the network.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hyper::header::HeaderValue;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    connect::{Connection, Dialer},
    exchange::{self, Exchanged},
    queue::{Job, Queue, Reply, Slip},
    request::Letter,
    settings::Settings,
};
use crate::{
    broker::OpenError,
    outcome::{LinkDown, Outcome, Reason, Refusal},
};

/// A server that takes connections only to close them is found out in this time.
const CLOSED_AT_ONCE: Duration = Duration::from_millis(50);

/// What the publisher asks for.
pub(super) enum Command {
    /// A batch with its number: letters, and answers to what makes none.
    Send { number: u64, jobs: Vec<Job<Letter>>, settled: Vec<(usize, Outcome)>, reply: oneshot::Sender<Reply> },
    /// The answers of a batch that holds something back have been taken.
    Seen(u64),
    /// Whether the server is there.
    Ping(oneshot::Sender<Result<(), LinkDown>>),
    /// Finish, and close.
    Close,
}

/// What all connections of a link have in common.
pub(super) struct Office {
    pub(super) dialer: Dialer,
    pub(super) settings: Arc<Settings>,
    credentials: Mutex<Credentials>,
}

/// The value of `Authorization`, where there is one.
#[derive(Debug, Default)]
enum Credentials {
    #[default]
    Unread,
    Read(Option<HeaderValue>),
}

/// The task.
pub(super) struct Engine {
    office: Arc<Office>,
    commands: mpsc::Receiver<Command>,
    queue: Queue<Letter>,
    /// The last used last: the others may grow old.
    idle: Vec<Connection>,
    trips: FuturesUnordered<BoxFuture<'static, Landed>>,
    /// As many trips at once as the server takes connections.
    ceiling: usize,
    /// Ids of messages under which connections broke, and how often in a row.
    breaks: HashMap<String, u32>,
    /// Set once, for who comes too late to be told.
    ended: Arc<Mutex<Option<LinkDown>>>,
}

/// Who is back.
enum Landed {
    Answered(Slip, Outcome, Option<Connection>),
    /// The connection broke under the message with this id.
    Broken(Slip, String, LinkDown),
    /// There was no connection to be had.
    Unreached(Box<Job<Letter>>, LinkDown),
    Pinged(Result<Connection, LinkDown>, oneshot::Sender<Result<(), LinkDown>>),
}

/// A message under which so many connections in a row broke is what breaks them.
const BREAKS_MAX: u32 = 3;
/// Forgotten when there are more, which is when the network is at fault.
const BREAKS_KEPT_MAX: usize = 1024;

impl Office {
    /// Reads the credentials.
    pub(super) fn open(settings: Arc<Settings>, dialer: Dialer) -> Result<Self, OpenError> {
        let office = Self { dialer, settings, credentials: Mutex::default() };
        office.authorization().map_err(|detail| OpenError { reason: Reason::Unauthenticated, detail })?;
        if let Some(ring) = &office.settings.sign {
            let failed = |fault| OpenError { reason: Reason::Unauthenticated, detail: format!("cannot sign: {fault}") };
            ring.keys(Instant::now()).map_err(failed)?;
        }
        Ok(office)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let mut known = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Credentials::Read(value) = &*known {
            return Ok(value.clone());
        }
        let value = self.settings.authorization(&self.dialer.endpoint).map_err(|error| error.to_string())?;
        *known = Credentials::Read(value.clone());
        Ok(value)
    }

    /// A token may have been changed since it was read.
    fn forget(&self) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = Credentials::Unread;
    }

    /// Adds what belongs to this moment.
    fn seal(&self, letter: &mut Letter) -> Result<(), Refusal> {
        let refused = |why: String| Refusal::new(Reason::Unauthenticated, why);
        let authorization = self.authorization().map_err(refused)?;
        let keys = match &self.settings.sign {
            Some(ring) => Some(ring.keys(Instant::now()).map_err(|fault| refused(format!("cannot sign: {fault}")))?),
            None => None,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        letter.seal(authorization.as_ref(), keys.as_deref(), now);
        Ok(())
    }
}

impl Engine {
    /// A task with one connection open.
    pub(super) fn new(
        office: Arc<Office>,
        commands: mpsc::Receiver<Command>,
        opened: Connection,
        ended: Arc<Mutex<Option<LinkDown>>>,
    ) -> Self {
        let ceiling = office.settings.concurrency;
        let (queue, idle, trips) = (Queue::default(), vec![opened], FuturesUnordered::new());
        Self { office, commands, queue, idle, trips, ceiling, breaks: HashMap::new(), ended }
    }

    /// Runs until the link is closed or down.
    pub(super) async fn run(mut self) {
        let mut closing = false;
        while !(closing && self.queue.is_empty()) {
            self.start_trips();
            tokio::select! {
                biased;
                Some(landed) = self.trips.next(), if !self.trips.is_empty() => {
                    if let Err(down) = self.landed(landed) {
                        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(down);
                        self.queue.fail();
                        return;
                    }
                }
                command = self.commands.recv(), if !closing => match command {
                    Some(Command::Send { number, jobs, settled, reply }) => self.queue.add(number, jobs, settled, reply),
                    Some(Command::Seen(number)) => self.queue.seen(number),
                    Some(Command::Ping(reply)) => self.ping(reply),
                    Some(Command::Close) | None => closing = true,
                },
                else => return,
            }
        }
    }

    fn start_trips(&mut self) {
        while self.trips.len() < self.ceiling
            && let Some(job) = self.queue.next()
        {
            let connection = self.take_idle();
            self.trips.push(trip(Arc::clone(&self.office), connection, job).boxed());
        }
    }

    fn take_idle(&mut self) -> Option<Connection> {
        let now = Instant::now();
        while let Some(mut connection) = self.idle.pop() {
            if connection.is_usable(now) {
                return Some(connection);
            }
        }
        None
    }

    fn landed(&mut self, landed: Landed) -> Result<(), LinkDown> {
        match landed {
            Landed::Answered(slip, outcome, connection) => {
                if matches!(&outcome, Outcome::Refused(refusal) if refusal.reason == Reason::Unauthenticated) {
                    self.office.forget();
                }
                self.ceiling = self.office.settings.concurrency;
                self.idle.extend(connection);
                self.queue.answered(slip, outcome);
                Ok(())
            }
            Landed::Broken(slip, id, down) => {
                let outcome = self.broken(id, down);
                self.queue.answered(slip, outcome);
                Ok(())
            }
            // Others have a connection: the server takes no more of them, and theirs will do.
            Landed::Unreached(job, _) if !self.trips.is_empty() => {
                self.ceiling = self.trips.len();
                self.queue.put_back(*job);
                Ok(())
            }
            Landed::Unreached(_, down) => Err(down),
            Landed::Pinged(Ok(connection), reply) => {
                self.idle.push(connection);
                // Who does not wait any more has given the link up.
                let _ = reply.send(Ok(()));
                Ok(())
            }
            Landed::Pinged(Err(down), reply) => {
                let _ = reply.send(Err(down.clone()));
                if self.trips.is_empty() { Err(down) } else { Ok(()) }
            }
        }
    }

    /// Nobody knows whether it arrived; but a message that breaks one connection after the other is refused by it.
    fn broken(&mut self, id: String, down: LinkDown) -> Outcome {
        if self.breaks.len() >= BREAKS_KEPT_MAX {
            self.breaks.clear();
        }
        let breaks = self.breaks.entry(id).or_default();
        *breaks += 1;
        if *breaks < BREAKS_MAX {
            return Outcome::Unknown(Reason::Link);
        }
        *breaks = 0;
        Outcome::Refused(Refusal::new(Reason::KillsLink, down.detail))
    }

    /// A server that answers is there, and so is one that keeps a connection open; otherwise it is connected to. Nothing is sent: no
    /// request is without a meaning for somebody's endpoint.
    fn ping(&mut self, reply: oneshot::Sender<Result<(), LinkDown>>) {
        let now = Instant::now();
        self.idle.retain_mut(|connection| connection.is_usable(now));
        if !self.trips.is_empty() || !self.idle.is_empty() {
            let _ = reply.send(Ok(()));
            return;
        }
        let office = Arc::clone(&self.office);
        let connecting = async move {
            let opened = match office.dialer.dial().await {
                Ok(mut connection) => closed_at_once(&mut connection).await.map(|()| connection),
                Err(error) => Err(LinkDown::new(error.reason, error.detail)),
            };
            Landed::Pinged(opened, reply)
        };
        self.trips.push(connecting.boxed());
    }
}

const AT_ONCE: &str = "the server closes connections at once";

/// Waits a moment for a server that takes a connection only to close it.
pub(super) async fn closed_at_once(connection: &mut Connection) -> Result<(), LinkDown> {
    match timeout(CLOSED_AT_ONCE, &mut connection.driver).await {
        Ok(Err(error)) => Err(at_once(&exchange::down(&error))),
        Ok(Ok(())) => Err(LinkDown::new(Reason::Link, AT_ONCE)),
        Err(_) => Ok(()),
    }
}

fn at_once(down: &LinkDown) -> LinkDown {
    LinkDown::new(down.reason, format_args!("{AT_ONCE}: {}", down.detail))
}

/// One letter there, and its answer back.
async fn trip(office: Arc<Office>, mut idle: Option<Connection>, mut job: Job<Letter>) -> Landed {
    loop {
        let connection = match idle.take() {
            Some(connection) => connection,
            None => match office.dialer.dial().await {
                Ok(connection) => connection,
                Err(error) => return Landed::Unreached(Box::new(job), LinkDown::new(error.reason, error.detail)),
            },
        };
        if let Err(refusal) = office.seal(&mut job.work) {
            return Landed::Answered(job.slip, Outcome::Refused(refusal), Some(connection));
        }
        let request = std::mem::take(&mut job.work.request);
        // Of a connection's first request only: connections are few.
        let first = connection.is_fresh().then(|| request.clone());
        match (exchange::exchange(connection, request, job.work.timeout).await, first) {
            (Exchanged::Answered(outcome, connection), _) => return Landed::Answered(job.slip, outcome, connection),
            // The server minds our certificate, and has taken nothing: no message's fault.
            (Exchanged::Broken(down) | Exchanged::Unsent(_, down), Some(request)) if down.reason == Reason::Tls => {
                job.work.request = request;
                return Landed::Unreached(Box::new(job), at_once(&down));
            }
            (Exchanged::Broken(down), _) => return Landed::Broken(job.slip, job.work.id, down),
            (Exchanged::Unsent(_, down), Some(_)) => return Landed::Broken(job.slip, job.work.id, at_once(&down)),
            // It was closed while nobody looked, and nothing of the request was on it.
            (Exchanged::Unsent(unsent, _), None) => job.work.request = *unsent,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("queue", &self.queue).field("idle", &self.idle.len()).finish_non_exhaustive()
    }
}
