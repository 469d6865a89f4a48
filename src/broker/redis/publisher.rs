//! One link to Redis: a batch is one pipeline a server, several in flight, an outcome for every message.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture, future::join_all, poll};
use redis::{Pipeline, RedisResult, Value};
use tokio::{sync::Semaphore, task::coop};

use super::{
    answers::{self, Answer},
    command,
    nodes::{Astray, Nodes},
    target::{Options, Stream},
    wire::{Connection, Greeting, PIPELINES_MAX},
};
use crate::{
    broker::{Confirms, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Proof, Reason},
};

/// Below [`PIPELINES_MAX`], so that a pipeline finds its place in the crate's queue when it is first polled, and `PING` still fits. A
/// backstop: link workers keep to the target's `in_flight`, which is far lower.
const IN_FLIGHT_MAX: usize = PIPELINES_MAX / 2;

/// How long `WAIT` may block for lagging replicas. Four batches of it stay below the time for an answer.
const WAIT_MILLISECONDS: u64 = 1_000;

/// A link of a cluster that lacks a server is opened anew after this, to see whether there is another by now.
const LACKING_FOR: Duration = Duration::from_secs(2);

/// How long `close` waits for what is still on the wire.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One link, one incarnation.
#[derive(Debug)]
pub(super) struct RedisPublisher {
    nodes: Nodes,
    opened: Instant,
    places: Arc<Semaphore>,
    state: Arc<State>,
}

/// What the answers of earlier batches say about the link.
#[derive(Debug, Default)]
struct State {
    /// Set once: the next `send` ends the link.
    ended: Mutex<Option<LinkDown>>,
    /// The last `WAIT` found too few replicas: ask before writing, or every retry would write another copy.
    short: AtomicBool,
}

impl State {
    fn end(&self, down: &LinkDown) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get_or_insert_with(|| down.clone());
    }

    fn check(&self) -> Result<(), LinkDown> {
        match &*self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(down) => Err(down.clone()),
            None => Ok(()),
        }
    }
}

/// Where a message's answers will be found.
#[derive(Debug)]
enum Place {
    /// Not sent: this is the outcome.
    Unsent(Outcome),
    /// So many commands on the pipelines of these servers: first of the stream, then of the channel.
    Sent { stream: Option<(usize, Option<u32>)>, channel: Option<usize> },
}

type Replies = BoxFuture<'static, RedisResult<Vec<Value>>>;

impl RedisPublisher {
    /// A link over open connections.
    pub(super) fn new(nodes: Nodes) -> Self {
        Self { nodes, opened: Instant::now(), places: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), state: Arc::default() }
    }

    /// Puts a message's commands on the pipelines, in the order of the batch.
    fn place(&self, out: &Outgoing<'_>, short: bool, pipelines: &mut [Pipeline]) -> Place {
        let Some(options) = out.target.options.downcast_ref::<Options>() else {
            return Place::Unsent(Outcome::Unknown(Reason::Link));
        };
        let mut stream = None;
        if let Some(Stream { maxlen, replicas }) = options.stream {
            let beside = options.channel.and_then(|_| out.fields.first().copied().flatten());
            let key = beside.unwrap_or(out.address);
            if short && replicas.is_some() {
                return Place::Unsent(throttled("too few replicas keep up with the master"));
            }
            match self.nodes.of_key(key) {
                Ok(node) => {
                    pipelines[node].add_command(command::add(key, maxlen, out));
                    stream = Some((node, replicas));
                }
                Err(astray) => return Place::Unsent(self.astray(astray)),
            }
        }
        let mut channel = None;
        if let Some(kind) = options.channel {
            let node = match kind {
                super::target::Channel::Plain => Ok(self.nodes.of_channel()),
                super::target::Channel::Sharded => self.nodes.of_key(out.address),
            };
            match node {
                Ok(node) => {
                    pipelines[node].add_command(command::publish(kind, out.address, out.body));
                    channel = Some(node);
                }
                // A stream that is written already would be written again; its own server is alive, so this is rare.
                Err(astray) if stream.is_none() => return Place::Unsent(self.astray(astray)),
                Err(astray) => self.state.end(&LinkDown::new(Reason::Throttled, format_args!("{astray:?}"))),
            }
        }
        Place::Sent { stream, channel }
    }

    fn astray(&self, astray: Astray) -> Outcome {
        let detail = match astray {
            Astray::Unserved => "no server of the cluster serves this slot".to_owned(),
            Astray::Down(detail) => detail,
        };
        if self.opened.elapsed() > LACKING_FOR {
            self.state.end(&LinkDown::new(Reason::Throttled, &detail));
        }
        throttled(&detail)
    }

    /// Asks whether the replicas are back, where they were too few. Answers whether they still are.
    async fn still_short(&self, batch: &[Outgoing<'_>]) -> Result<bool, LinkDown> {
        if !self.state.short.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let Some(wanted) = batch.iter().filter_map(replicas).max() else { return Ok(true) };
        for connection in self.nodes.connected() {
            let mut requests = connection.requests.clone();
            let reply =
                requests.send_packed_command(&command::wait(wanted, 1)).await.map_err(|error| answers::link_down(&error))?;
            if !matches!(reply, Value::Int(found) if found >= i64::from(wanted)) {
                return Ok(true);
            }
        }
        self.state.short.store(false, Ordering::Relaxed);
        Ok(false)
    }
}

fn replicas(out: &Outgoing<'_>) -> Option<u32> {
    out.target.options.downcast_ref::<Options>()?.stream?.replicas
}

fn throttled(detail: &str) -> Outcome {
    Outcome::Throttled { after: None, detail: detail.to_owned() }
}

#[async_trait]
impl Publisher for RedisPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        self.state.check()?;
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|error| LinkDown::new(Reason::Link, error))?;
        let short = self.still_short(batch).await?;
        let mut pipelines: Vec<Pipeline> = (0..self.nodes.len()).map(|_| Pipeline::with_capacity(batch.len())).collect();
        let places: Vec<Place> = batch.iter().map(|out| self.place(out, short, &mut pipelines)).collect();
        let wanted = places.iter().filter_map(|place| match place {
            Place::Sent { stream: Some((_, replicas)), .. } => *replicas,
            _ => None,
        });
        let wanted = wanted.max();
        let mut replies: Vec<Replies> = Vec::with_capacity(pipelines.len());
        for (node, mut pipeline) in pipelines.into_iter().enumerate() {
            match self.nodes.at(node) {
                Some(connection) if !pipeline.is_empty() => {
                    if let Some(wanted) = wanted {
                        pipeline.add_command(command::wait(wanted, WAIT_MILLISECONDS));
                    }
                    replies.push(start(connection, pipeline).await);
                }
                _ => replies.push(ready(Ok(Vec::new())).boxed()),
            }
        }
        let state = Arc::clone(&self.state);
        Ok(Box::pin(async move {
            let answered = join_all(replies).await;
            drop(permit);
            let answered: RedisResult<Vec<Vec<Value>>> = answered.into_iter().collect();
            let judged = match answered {
                Ok(replies) => judge(places, replies, wanted.is_some(), &state),
                Err(error) => Err(answers::link_down(&error)),
            };
            judged.inspect_err(|down| state.end(down))
        }))
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        self.state.check()?;
        for connection in self.nodes.connected() {
            // HELLO tells the role, too: on a master that became a replica, PUBLISH would go on succeeding and reach nobody.
            let mut requests = connection.requests.clone();
            let reply = requests.send_packed_command(&redis::cmd("HELLO")).await.map_err(|error| answers::link_down(&error))?;
            let mut greeting = Greeting::default();
            greeting.read(&reply);
            if greeting.replica == Some(true) {
                return Err(LinkDown::new(Reason::Throttled, format_args!("{} became a replica", connection.place)));
            }
            if let Value::ServerError(error) = &reply
                && answers::meaning(error.code()) == answers::Meaning::Login
            {
                return Err(LinkDown::new(Reason::Unauthenticated, answers::words(error)));
            }
        }
        Ok(())
    }

    async fn close(self: Box<Self>) {
        // An answer to the last question means that all before it are answered, whether or not anybody has looked at them yet.
        let questions = self.nodes.connected().map(|connection| async {
            let mut requests = connection.requests.clone();
            requests.send_packed_command(&redis::cmd("PING")).await
        });
        let answered = tokio::time::timeout(CLOSE_WITHIN, join_all(questions)).await;
        if !answered.is_ok_and(|answers| answers.iter().all(Result::is_ok)) {
            tracing::debug!("a Redis link was closed with commands unanswered");
        }
    }
}

/// Fixes a pipeline's place on the wire: its first poll, without a task's budget that could delay it, puts it into the connection's
/// queue before anything that is sent later.
async fn start(connection: &Connection, pipeline: Pipeline) -> Replies {
    let mut requests = connection.requests.clone();
    let sending = async move {
        let count = pipeline.len();
        requests.send_packed_commands(&pipeline, 0, count).await
    };
    let mut sending: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(coop::unconstrained(sending));
    match poll!(&mut sending) {
        std::task::Poll::Ready(replies) => ready(replies).boxed(),
        std::task::Poll::Pending => sending,
    }
}

/// One outcome per message, in the batch's order.
fn judge(places: Vec<Place>, replies: Vec<Vec<Value>>, waited: bool, state: &State) -> Result<Vec<Outcome>, LinkDown> {
    let mut replicated = vec![None; replies.len()];
    let mut replies: Vec<_> = replies
        .into_iter()
        .zip(&mut replicated)
        .map(|(mut replies, replicated)| {
            if waited {
                *replicated = replies.pop();
            }
            replies.into_iter()
        })
        .collect();
    let mut outcomes = Vec::with_capacity(places.len());
    for place in places {
        outcomes.push(match place {
            Place::Unsent(outcome) => outcome,
            Place::Sent { stream, channel } => {
                let kept = match stream {
                    Some((node, copies)) => {
                        let kept = one(replies[node].next(), state)?;
                        Some(enough(kept, copies, replicated[node].as_ref(), state))
                    }
                    None => None,
                };
                let told = match channel {
                    Some(node) => Some(one(replies[node].next(), state)?),
                    None => None,
                };
                both(kept, told)
            }
        });
    }
    Ok(outcomes)
}

/// Judges one reply; what ends the link is noted, or answered at once where nothing else on it can be trusted.
fn one(reply: Option<Value>, state: &State) -> Result<Outcome, LinkDown> {
    let reply = reply.ok_or_else(|| LinkDown::new(Reason::Link, "fewer answers than commands"))?;
    match answers::answer(&reply) {
        Answer::Done(proof) => Ok(Outcome::Delivered(proof)),
        Answer::Failed(outcome) => Ok(outcome),
        Answer::Moved(outcome, down) => {
            state.end(&down);
            Ok(outcome)
        }
        Answer::Ended(down) => Err(down),
    }
}

/// An entry that too few replicas have is not delivered yet: it will be written again once they keep up.
fn enough(kept: Outcome, wanted: Option<u32>, replicated: Option<&Value>, state: &State) -> Outcome {
    let (Outcome::Delivered(_), Some(wanted)) = (&kept, wanted) else { return kept };
    match replicated {
        Some(Value::Int(found)) if *found >= i64::from(wanted) => kept,
        Some(Value::Int(found)) => {
            state.short.store(true, Ordering::Relaxed);
            throttled(&format!("{found} of {wanted} replicas have the entry after {WAIT_MILLISECONDS} ms"))
        }
        _ => Outcome::Unknown(Reason::Link),
    }
}

/// A message for a stream and a channel is delivered when both have it; the failure of either is its outcome.
fn both(kept: Option<Outcome>, told: Option<Outcome>) -> Outcome {
    match (kept, told) {
        (Some(Outcome::Delivered(_)) | None, Some(told)) => told,
        (Some(kept), _) => kept,
        (None, None) => Outcome::Delivered(Proof::Confirmed),
    }
}
