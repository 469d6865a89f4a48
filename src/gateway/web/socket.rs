//! A conversation over a WebSocket.

use std::{collections::VecDeque, future::Future, mem::take, pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    asked::{Asked, Nonsense, What},
    door::{Door, Guest},
    frame,
    listening::{in_order, listen},
};
use crate::{
    gateway::publishing::{Published, Publishing, Untaken},
    live::hub::{Delivery, Overflowed, Seq, Subscriber, Topic},
    telemetry::DropReason,
};

/// What is read at once. The library's own default would take 128 KiB of every client.
const READ_BYTES: usize = 4 << 10;

/// What is gathered before it is written.
const WRITE_BYTES: usize = 8 << 10;

/// The largest message from a client, in one frame or many: what a source takes by default (`message_max`).
const MESSAGE_MAX: usize = 1 << 20;

/// Publishes of one client that wait for their verdicts; meanwhile its next words wait in its socket.
const PUBLISHES_MAX: usize = 32;

/// Speaks with a client until one of both ends it.
pub(super) async fn converse(stream: Upgraded, door: Arc<Door>, guest: Guest) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let mut conversation = Conversation {
        socket: WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, Some(config)).await,
        subscriber: door.house.hub.subscriber(door.house.buffer),
        batch: VecDeque::new(),
        replay: false,
        publishing: Publishing::new(door.house.hub.clone()),
        asked: VecDeque::new(),
        door,
        guest,
    };
    let end = conversation.run().await;
    conversation.part(end).await;
}

struct Conversation {
    door: Arc<Door>,
    guest: Guest,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    subscriber: Subscriber,
    /// What is being written; its memory is used again.
    batch: VecDeque<Delivery>,
    /// The next batch holds what waited in the ring.
    replay: bool,
    publishing: Publishing,
    /// The ids of the publishes that wait for their verdicts, in their order.
    asked: VecDeque<Option<Box<RawValue>>>,
}

/// Why a conversation is over.
enum End {
    /// The client said so, or is gone.
    Left,
    /// It reads too slowly.
    Slow,
    /// It did not answer a ping.
    Silent,
    /// It does not keep to the protocol.
    Wrong(CloseCode, &'static str),
    /// The doors close.
    Closing,
}

impl Conversation {
    async fn run(&mut self) -> End {
        let ping = self.door.pace.ping;
        let mut closing = pin!(self.door.house.closing.clone().cancelled_owned());
        let (mut heard, mut pinged) = (true, false);
        let mut look = Instant::now() + ping;
        loop {
            // Who has many publishes open is not read from; its next words, and its pongs, wait in its socket.
            let reads = self.publishing.waiting() < PUBLISHES_MAX;
            let step = tokio::select! {
                filled = self.subscriber.next_into(&mut self.batch) => self.deliver(filled).await,
                frame = self.socket.next(), if reads => {
                    heard = true;
                    self.hear(frame).await
                }
                answers = self.publishing.next(), if !self.asked.is_empty() => self.answer(answers).await,
                () = sleep_until(look) => {
                    look += ping;
                    match (take(&mut heard) || !reads, take(&mut pinged)) {
                        (true, _) => Ok(()),
                        (false, true) => Err(End::Silent),
                        (false, false) => {
                            pinged = true;
                            self.send(Message::Ping(Bytes::new())).await
                        }
                    }
                }
                () = &mut closing => Err(End::Closing),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Writes what was published.
    async fn deliver(&mut self, filled: Result<(), Overflowed>) -> Result<(), End> {
        if filled.is_err() {
            return Err(End::Slow);
        }
        if take(&mut self.replay) {
            in_order(&mut self.batch);
        }
        let Self { socket, batch, subscriber, door, .. } = self;
        let written = async {
            for delivery in batch.drain(..) {
                socket.feed(text(frame::message(&delivery))).await?;
            }
            socket.flush().await
        };
        in_time(door, subscriber, written).await
    }

    /// Does what a client says.
    async fn hear(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), End> {
        match frame {
            None | Some(Ok(Message::Close(_))) => Err(End::Left),
            Some(Err(error)) => Err(wrong(&error)),
            Some(Ok(Message::Text(text))) => self.obey(&text).await,
            Some(Ok(Message::Binary(_))) => {
                self.say(frame::error(None, "bad_request", "requests are JSON text, not binary frames")).await
            }
            // A pong is written by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
        }
    }

    async fn obey(&mut self, text: &str) -> Result<(), End> {
        let Asked { id, what } = match Asked::read(text) {
            Ok(asked) => asked,
            Err(Nonsense { id, why }) => return self.say(frame::error(id.as_deref(), "bad_request", &why)).await,
        };
        match what {
            What::Ping => self.say(frame::pong(id.as_deref())).await,
            What::Publish { channel, body } => self.publish(channel, body, id).await,
            What::Subscribe { topics, since } => {
                for answer in self.subscribe(topics, since, id.as_deref()) {
                    self.say(answer).await?;
                }
                Ok(())
            }
            What::Unsubscribe { topics } => {
                let topics = if topics.is_empty() { self.subscriber.topics().iter().cloned().collect() } else { topics };
                for topic in &topics {
                    self.subscriber.unsubscribe(topic);
                }
                self.say(frame::ok(id.as_deref(), self.door.house.hub.last())).await
            }
        }
    }

    /// Subscribes; answers what to say before anything that was published.
    fn subscribe(&mut self, topics: Vec<Topic>, since: Option<Seq>, id: Option<&RawValue>) -> Vec<String> {
        if let Some(topic) = topics.iter().find(|topic| !self.guest.may_use(topic)) {
            let why = format!("the token does not allow `{}`", String::from_utf8_lossy(topic.name()));
            return vec![frame::error(id, "forbidden", &why)];
        }
        // Before what is published meanwhile: a client that comes back to here misses nothing.
        let ok = frame::ok(id, self.door.house.hub.last());
        match listen(&mut self.subscriber, topics, since) {
            Ok(gap) => {
                self.replay |= since.is_some();
                [ok].into_iter().chain(gap.map(frame::gap)).collect()
            }
            Err(too_much) => vec![frame::error(id, "too_many", &too_much.to_string())],
        }
    }

    async fn publish(&mut self, channel: Bytes, body: Bytes, id: Option<Box<RawValue>>) -> Result<(), End> {
        if !self.guest.may_use(&Topic::Channel(channel.clone())) {
            let why = format!("the token does not allow `{}`", String::from_utf8_lossy(&channel));
            return self.say(frame::error(id.as_deref(), "forbidden", &why)).await;
        }
        if let Some(receivers) = self.publishing.publish(channel, body) {
            return self.say(frame::published(id.as_deref(), receivers)).await;
        }
        self.asked.push_back(id);
        self.publishing.hand_over().await;
        Ok(())
    }

    /// Tells what became of publishes.
    async fn answer(&mut self, answers: Vec<Published>) -> Result<(), End> {
        for answer in answers {
            let id = self.asked.pop_front().flatten();
            let id = id.as_deref();
            let said = match answer {
                Ok(receivers) => frame::published(id, receivers),
                Err(why) => frame::error(id, code(&why), &why.to_string()),
            };
            self.say(said).await?;
        }
        Ok(())
    }

    async fn say(&mut self, answer: String) -> Result<(), End> {
        self.send(text(answer)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        in_time(&self.door, &self.subscriber, self.socket.send(message)).await
    }

    /// Counts a client that is sent away, and tells it why, if it listens at all.
    async fn part(mut self, end: End) {
        let farewell = self.door.pace.farewell;
        let (reason, code, why) = match end {
            // The library has answered a close already; what is left of it is written.
            End::Left => return drop(timeout(farewell, self.socket.flush()).await),
            End::Closing => {
                let waiting = self.subscriber.next_into(&mut self.batch).now_or_never();
                if let Some(filled) = waiting {
                    // The farewell says what there is to say.
                    let _ = timeout(farewell, self.deliver(filled)).await;
                }
                (None, CloseCode::Away, "Rialto stops")
            }
            End::Slow => (Some(DropReason::Slow), CloseCode::Again, "you read too slowly; come back with `since`"),
            End::Silent => (Some(DropReason::Idle), CloseCode::Policy, "no answer to a ping"),
            End::Wrong(code, why) => (Some(DropReason::Protocol), code, why),
        };
        if let Some(reason) = reason {
            self.door.metrics.dropped(reason);
        }
        let frame = CloseFrame { code, reason: why.into() };
        // Who does not read, or is gone, is not told.
        if let Ok(Ok(())) = timeout(farewell, self.socket.close(Some(frame))).await {
            let _ = timeout(farewell, self.socket.get_mut().shutdown()).await;
        }
    }
}

fn text(text: String) -> Message {
    Message::Text(Utf8Bytes::from(text))
}

/// A client that does not take what is written is slow: as soon as its buffer has overflowed meanwhile, and after a time anyway.
async fn in_time(door: &Door, subscriber: &Subscriber, written: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    tokio::select! {
        biased;
        written = written => written.map_err(|_| End::Left),
        _ = subscriber.overflowed() => Err(End::Slow),
        () = sleep(door.pace.stall) => Err(End::Slow),
    }
}

fn code(why: &Untaken) -> &'static str {
    match why {
        Untaken::Refused(_) => "rejected",
        Untaken::Late => "timeout",
        Untaken::Unanswered(_) => "unanswered",
    }
}

/// What a client did that ends the conversation.
fn wrong(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => End::Wrong(CloseCode::Size, "a message is at most 1 MiB"),
        Error::Utf8(_) => End::Wrong(CloseCode::Invalid, "text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Left,
        Error::Protocol(_) => End::Wrong(CloseCode::Protocol, "that is no WebSocket frame of a client"),
        _ => End::Left,
    }
}
