//! A conversation over a WebSocket.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    asked::{Asked, Nonsense, What},
    door::{Door, Guest},
    frame,
};
use crate::{
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

/// Channels and patterns of one client.
const TOPICS_MAX: usize = 1_000;

/// Speaks with a client until one of both ends it.
pub(super) async fn converse(stream: Upgraded, door: Arc<Door>, guest: Guest) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, Some(config)).await;
    let subscriber = door.house.hub.subscriber(door.house.buffer);
    let publishing = FuturesOrdered::new();
    let mut conversation = Conversation { door, guest, socket, subscriber, publishing, replay: false };
    let end = conversation.run().await;
    conversation.part(end).await;
}

struct Conversation {
    door: Arc<Door>,
    guest: Guest,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    subscriber: Subscriber,
    /// Answers to publishes, in their order.
    publishing: FuturesOrdered<BoxFuture<'static, String>>,
    /// The next batch holds what waited in the ring, by topic: it is brought in order.
    replay: bool,
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
}

impl Conversation {
    async fn run(&mut self) -> End {
        let ping = self.door.pace.ping;
        let (mut heard, mut pinged) = (true, false);
        let mut look = Instant::now() + ping;
        loop {
            let step = tokio::select! {
                batch = self.subscriber.next() => self.deliver(batch).await,
                frame = self.socket.next(), if self.publishing.len() < PUBLISHES_MAX => {
                    heard = true;
                    self.hear(frame).await
                }
                Some(answer) = self.publishing.next() => self.say(answer).await,
                () = sleep_until(look) => {
                    look += ping;
                    let waits = self.publishing.len() >= PUBLISHES_MAX;
                    match (std::mem::take(&mut heard) || waits, std::mem::take(&mut pinged)) {
                        (true, _) => Ok(()),
                        (false, true) => Err(End::Silent),
                        (false, false) => {
                            pinged = true;
                            self.send(Message::Ping(Bytes::new())).await
                        }
                    }
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Writes what was published.
    async fn deliver(&mut self, batch: Result<VecDeque<Delivery>, Overflowed>) -> Result<(), End> {
        let Ok(mut batch) = batch else { return Err(End::Slow) };
        if std::mem::take(&mut self.replay) {
            batch.make_contiguous().sort_by_key(|delivery| delivery.message.seq);
        }
        let (socket, guest) = (&mut self.socket, &self.guest);
        let written = async {
            for delivery in batch.iter().filter(|delivery| guest.allows(&delivery.message.channel)) {
                socket.feed(text(frame::message(delivery))).await?;
            }
            socket.flush().await
        };
        in_time(self.door.pace.stall, written).await
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
        let id = id.as_deref();
        match what {
            What::Ping => self.say(frame::pong(id)).await,
            What::Publish { channel, .. } if !self.guest.allows(&channel) => {
                self.say(frame::error(id, "forbidden", "the token does not allow this channel")).await
            }
            What::Publish { channel, body } => {
                let (door, id) = (Arc::clone(&self.door), id.map(ToOwned::to_owned));
                let answer = async move { super::publish::publish(&door, channel, body, id.as_deref()).await };
                self.publishing.push_back(answer.boxed());
                Ok(())
            }
            What::Subscribe { topics, since } => {
                if let Some(refused) = self.refusal(&topics) {
                    return self.say(frame::error(id, refused.0, refused.1)).await;
                }
                let answers = self.subscribe(topics, since, id);
                self.say_all(answers).await
            }
            What::Unsubscribe { topics } => {
                let topics = if topics.is_empty() { self.subscriber.topics().iter().cloned().collect() } else { topics };
                for topic in &topics {
                    self.subscriber.unsubscribe(topic);
                }
                self.say(frame::ok(id, self.door.house.hub.last())).await
            }
        }
    }

    /// Why these may not be subscribed to.
    fn refusal(&self, topics: &[Topic]) -> Option<(&'static str, &'static str)> {
        let forbidden = |topic: &Topic| matches!(topic, Topic::Channel(name) if !self.guest.allows(name));
        if topics.iter().any(forbidden) {
            Some(("forbidden", "the token does not allow this channel"))
        } else if self.subscriber.topics().len() + topics.len() > TOPICS_MAX {
            Some(("too_many", "a client has at most 1000 channels and patterns"))
        } else {
            None
        }
    }

    /// Subscribes; answers what to say, before anything that was published.
    fn subscribe(&mut self, topics: Vec<Topic>, since: Option<Seq>, id: Option<&serde_json::value::RawValue>) -> Vec<String> {
        let mut answers = vec![frame::ok(id, self.door.house.hub.last())];
        let Some(since) = since else {
            for topic in topics {
                self.subscriber.subscribe(topic);
            }
            return answers;
        };
        self.replay = true;
        let subscriber = &mut self.subscriber;
        let gaps = topics.into_iter().filter_map(|topic| subscriber.subscribe_since(topic, since));
        // Each topic has the same hole, or a wider one.
        answers.extend(gaps.reduce(|one, two| if two.to > one.to { two } else { one }).map(frame::gap));
        answers
    }

    async fn say(&mut self, answer: String) -> Result<(), End> {
        self.send(text(answer)).await
    }

    async fn say_all(&mut self, answers: Vec<String>) -> Result<(), End> {
        for answer in answers {
            self.say(answer).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        in_time(self.door.pace.stall, self.socket.send(message)).await
    }

    /// Counts a client that is sent away, and tells it why, if it listens at all.
    async fn part(&mut self, end: End) {
        let (reason, code, why) = match end {
            End::Left => {
                // The library has answered a close already; what is left of it is written.
                let _ = timeout(self.door.pace.farewell, self.socket.flush()).await;
                return;
            }
            End::Slow => (DropReason::Slow, CloseCode::Again, "you read too slowly; come back with `since`"),
            End::Silent => (DropReason::Idle, CloseCode::Policy, "no answer to a ping"),
            End::Wrong(code, why) => (DropReason::Protocol, code, why),
        };
        self.door.metrics.dropped(reason);
        let frame = CloseFrame { code, reason: why.into() };
        // Who does not read, or is gone, is not told.
        let _ = timeout(self.door.pace.farewell, self.socket.close(Some(frame))).await;
    }
}

fn text(text: String) -> Message {
    Message::Text(Utf8Bytes::from(text))
}

/// A client that does not take what is written in time is slow.
async fn in_time(stall: Duration, written: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    tokio::select! {
        biased;
        written = written => written.map_err(|_| End::Left),
        () = sleep(stall) => Err(End::Slow),
    }
}

/// What a client did that ends the conversation.
fn wrong(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => End::Wrong(CloseCode::Size, "a message is at most 1 MiB"),
        Error::Utf8(_) => End::Wrong(CloseCode::Invalid, "text is not UTF-8"),
        Error::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => End::Left,
        Error::Protocol(_) => End::Wrong(CloseCode::Protocol, "that is no WebSocket frame of a client"),
        _ => End::Left,
    }
}
