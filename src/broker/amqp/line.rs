//! One channel in confirm mode, for one exchange: a publish to a missing exchange closes its channel, and must not take others with it.
//!
//! **Order.** The first poll of a publish fixes its place on the wire. All of a batch are polled once, in order, before anything else.
//!
//! **Whose return is it.** RabbitMQ sends the `basic.return` of an unroutable message before that message's confirm, but lapin hands a
//! return to whichever confirm completes next. So the returns of a line are pooled and matched by (message id, exchange, routing key),
//! and a batch is judged only when every confirm up to its last one has come, and the confirms behind it have been looked into.
//! Then none of its returns can be missing: lapin queues returns in the order of publishing and takes one from the queue at each
//! confirm, so the queue is never longer than the number of returned messages that are not confirmed. Were a return of the judged
//! prefix still in it, all those would be behind it, and the queue longer by one than that number.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    future::poll_fn,
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lapin::{
    BasicProperties, Channel, Confirmation,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{fault::Fault, properties, target::IN_FLIGHT, wire::Wire};
use crate::outcome::{Outcome, Proof, Reason, Refusal};

/// A channel that confirms, and the task that reads its confirms.
#[derive(Debug)]
pub(super) struct Line {
    channel: Arc<Channel>,
    exchange: ShortString,
    parcels: mpsc::Sender<Parcel>,
    /// Held while a batch is published, so that no confirm is looked for before its parcel is there.
    gate: Arc<Mutex<()>>,
    hasher: RandomState,
    reader: JoinHandle<()>,
    /// Shared with every answer that is not read yet.
    unread: Arc<()>,
}

/// One message, ready to publish on a line.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// The outcomes of one batch, in order.
#[derive(Debug)]
pub(super) struct Answer {
    outcomes: oneshot::Receiver<Result<Vec<Outcome>, Fault>>,
    _unread: Arc<()>,
}

impl Answer {
    pub(super) async fn read(self) -> Result<Vec<Outcome>, Fault> {
        self.outcomes.await.unwrap_or_else(|_| Err(Fault::new(Reason::Link, "the link was closed")))
    }
}

/// One batch on its way.
struct Parcel {
    publishes: Vec<Publish>,
    answer: oneshot::Sender<Result<Vec<Outcome>, Fault>>,
}

struct Publish {
    state: State,
    /// Somebody's return that came with its confirm, until it is pooled.
    returned: Option<Box<BasicReturnMessage>>,
    /// What its return would be matched by.
    key: u64,
}

enum State {
    Waiting(BoxFuture<'static, lapin::Result<Confirmation>>),
    Acked,
    Nacked,
    Failed(Fault),
}

impl Line {
    /// `refuses`: the exchange is a template's, so a missing or forbidden one is its messages' fault, not the link's.
    pub(super) async fn open(wire: &Wire, exchange: ShortString, refuses: bool) -> Result<Self, Fault> {
        let channel = wire.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| Fault::of(&error))?;
        let (parcels, received) = mpsc::channel(IN_FLIGHT.batches);
        let gate = Arc::new(Mutex::new(()));
        let hasher = RandomState::new();
        let returns = Returns { hasher: hasher.clone(), found: HashMap::new() };
        let reader = Reader { received, gate: Arc::clone(&gate), waiting: VecDeque::new(), returns, refuses, dead: None };
        let reader = tokio::spawn(reader.run());
        Ok(Self { channel: Arc::new(channel), exchange, parcels, gate, hasher, reader, unread: Arc::new(()) })
    }

    /// Puts the batch on the channel, in order. Waits only while too many batches are unanswered.
    pub(super) async fn publish(&self, batch: Vec<Prepared>) -> Result<Answer, Fault> {
        let place = self.parcels.reserve().await.map_err(|_| Fault::new(Reason::Link, "the link was closed"))?;
        let (answer, outcomes) = oneshot::channel();
        let guard = lock(&self.gate);
        let publishes = batch.into_iter().map(|prepared| self.start(prepared)).collect();
        place.send(Parcel { publishes, answer });
        drop(guard);
        Ok(Answer { outcomes, _unread: Arc::clone(&self.unread) })
    }

    fn start(&self, prepared: Prepared) -> Publish {
        let Prepared { routing_key, properties, body } = prepared;
        let key = key_of(&self.hasher, &self.exchange, &routing_key, &properties);
        let (channel, exchange) = (Arc::clone(&self.channel), self.exchange.clone());
        let publish = async move {
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
        };
        let mut publish = Publish { state: State::Waiting(Box::pin(publish)), returned: None, key };
        // The poll that fixes its place. On a busy machine it may bring the answer already.
        let _ = publish.look(&mut Context::from_waker(Waker::noop()));
        publish
    }

    /// Nothing of it is unanswered or unread.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.unread) == 1
    }

    /// False after the broker closed the channel.
    pub(super) fn is_open(&self) -> bool {
        self.channel.status().connected() && !self.reader.is_finished()
    }

    /// Waits until everything is answered.
    pub(super) async fn flush(mut self) {
        // The reader ends when the last sender is gone and the last parcel answered.
        self.parcels = mpsc::channel(1).0;
        // It neither panics nor is cancelled while we wait for it; were it so, there would be nothing to wait for.
        let _ = (&mut self.reader).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Publish {
    /// Polls its confirm, if it still waits, and keeps what came with it.
    fn look(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let State::Waiting(confirm) = &mut self.state else { return Poll::Ready(()) };
        let Poll::Ready(confirmed) = confirm.as_mut().poll(context) else { return Poll::Pending };
        let (state, returned) = match confirmed {
            Ok(Confirmation::Ack(returned)) => (State::Acked, returned),
            Ok(Confirmation::Nack(returned)) => (State::Nacked, returned),
            Ok(Confirmation::NotRequested) => (State::Failed(Fault::new(Reason::Link, "the channel is not in confirm mode")), None),
            Err(error) => (State::Failed(Fault::of(&error)), None),
        };
        (self.state, self.returned) = (state, returned.map(Box::new));
        Poll::Ready(())
    }
}

/// Reads the confirms of one channel, oldest first.
struct Reader {
    received: mpsc::Receiver<Parcel>,
    gate: Arc<Mutex<()>>,
    /// Received, behind the one that is waited for.
    waiting: VecDeque<Parcel>,
    returns: Returns,
    refuses: bool,
    /// What ended the channel: the first error says it, those after it only that it is closed.
    dead: Option<Fault>,
}

impl Reader {
    async fn run(mut self) {
        while let Some(mut parcel) = self.next().await {
            for publish in &mut parcel.publishes {
                poll_fn(|context| publish.look(context)).await;
                self.returns.put(publish.returned.take());
            }
            self.look_behind();
            let answer = self.judge(&parcel.publishes);
            // Nobody listens where the batch was withdrawn.
            let _ = parcel.answer.send(answer);
        }
    }

    async fn next(&mut self) -> Option<Parcel> {
        match self.waiting.pop_front() {
            Some(parcel) => Some(parcel),
            None => self.received.recv().await,
        }
    }

    /// Looks once into every confirm behind the judged batch: one that has come may hold a return of that batch.
    fn look_behind(&mut self) {
        {
            let _published = lock(&self.gate);
            while let Ok(parcel) = self.received.try_recv() {
                self.waiting.push_back(parcel);
            }
        }
        let mut context = Context::from_waker(Waker::noop());
        for publish in self.waiting.iter_mut().flat_map(|parcel| &mut parcel.publishes) {
            // Pending ones are waited for when their turn comes, with a waker then.
            let _ = publish.look(&mut context);
            self.returns.put(publish.returned.take());
        }
    }

    fn judge(&mut self, publishes: &[Publish]) -> Result<Vec<Outcome>, Fault> {
        let mut outcomes = Vec::with_capacity(publishes.len());
        for publish in publishes {
            let returned = self.returns.take(publish.key);
            outcomes.push(match (&publish.state, returned) {
                (_, Some(detail)) => refused(Reason::Unroutable, detail),
                (State::Acked, None) => Outcome::Delivered(Proof::Confirmed),
                (State::Nacked, None) => refused(Reason::Refused, "the broker refused it (basic.nack)".into()),
                (State::Failed(fault), None) => {
                    let fault = self.dead.get_or_insert_with(|| fault.clone()).clone();
                    let of_address = matches!(fault.reason, Reason::Unroutable | Reason::Forbidden);
                    if !(self.refuses && fault.of_channel && of_address) {
                        return Err(fault);
                    }
                    refused(fault.reason, fault.detail)
                }
                (State::Waiting(_), None) => return Err(Fault::new(Reason::Link, "judged before its confirm came")),
            });
        }
        Ok(outcomes)
    }
}

fn refused(reason: Reason, detail: String) -> Outcome {
    Outcome::Refused(Refusal { reason, detail })
}

/// Returns whose messages are not judged yet.
struct Returns {
    hasher: RandomState,
    found: HashMap<u64, Vec<String>>,
}

impl Returns {
    fn put(&mut self, returned: Option<Box<BasicReturnMessage>>) {
        let Some(returned) = returned else { return };
        let key = key_of(&self.hasher, &returned.exchange, &returned.routing_key, &returned.properties);
        let detail = format!(
            "returned: {} {} (exchange `{}`, routing key `{}`)",
            returned.reply_code, returned.reply_text, returned.exchange, returned.routing_key
        );
        self.found.entry(key).or_default().push(detail);
    }

    /// Two messages with one key are the same message to the same address: whichever is judged first takes the return.
    fn take(&mut self, key: u64) -> Option<String> {
        if self.found.is_empty() {
            return None;
        }
        let details = self.found.get_mut(&key)?;
        let detail = details.pop();
        if details.is_empty() {
            self.found.remove(&key);
        }
        detail
    }
}

fn key_of(hasher: &RandomState, exchange: &ShortString, routing_key: &ShortString, properties: &BasicProperties) -> u64 {
    let mut state = hasher.build_hasher();
    exchange.hash(&mut state);
    routing_key.hash(&mut state);
    properties::id_of(properties).hash(&mut state);
    state.finish()
}

fn lock(gate: &Mutex<()>) -> MutexGuard<'_, ()> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}
