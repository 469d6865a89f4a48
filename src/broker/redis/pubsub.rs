//! A channel or a pattern, heard while we are connected. At most once: nobody keeps what is published meanwhile.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use redis::{Cmd, PushKind, Value};

use super::{answers, carrier::Heard, stream::LATE, wire::Wire};
use crate::{
    broker::{Ended, OpenError, Source, SourceError, untold::alongside},
    envelope::RawMessage,
    intake::{Intake, Offers},
    outcome::Reason,
};

/// After so long a silence the server is asked whether it lives; with [`LATE`] its death is noticed within five seconds.
const SILENCE: Duration = Duration::from_secs(2);

/// One batch holds at most so many messages and, but for the last of them, so many bytes.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// What is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listening {
    /// `SUBSCRIBE`
    Channel(Arc<str>),
    /// `PSUBSCRIBE`
    Pattern(Arc<str>),
    /// `SSUBSCRIBE`: only for `tap`, because a source that must stay with the shard of one channel is better a stream.
    Sharded(Arc<str>),
}

impl Listening {
    fn command(&self) -> Cmd {
        let (verb, what) = match self {
            Self::Channel(channel) => ("SUBSCRIBE", channel),
            Self::Pattern(pattern) => ("PSUBSCRIBE", pattern),
            Self::Sharded(channel) => ("SSUBSCRIBE", channel),
        };
        redis::cmd(verb).arg(&**what).take()
    }
}

/// One incarnation: one subscribed connection. What is not taken from it stays in the socket: a window that is full slows the
/// server's sending, and past the server's own output limit it cuts us off.
#[derive(Debug)]
pub(super) struct PubSubSource {
    wire: Wire,
}

/// What came in.
enum Incoming {
    Message(RawMessage),
    /// An answer to `PING`, or a confirmation.
    Other,
}

impl PubSubSource {
    /// Subscribes on a connection; the caller bounds the time.
    pub(super) async fn subscribe(mut wire: Wire, listening: &Listening) -> Result<Self, OpenError> {
        wire.send(&[listening.command()]).await?;
        match wire.next().await? {
            Value::ServerError(error) => Err(answers::open_error(&error, "a subscription", &wire.place().to_string())),
            _ => Ok(Self { wire }),
        }
    }

    async fn read(mut self, mut offers: Offers, intake: &Intake) -> Result<(), SourceError> {
        let mut asked = false;
        loop {
            let patience = if asked { LATE } else { SILENCE };
            let first = tokio::select! {
                biased;
                () = intake.closed() => return Ok(()),
                first = tokio::time::timeout(patience, self.wire.next()) => first,
            };
            let value = match first {
                Ok(value) => value.map_err(broken)?,
                Err(_) if asked => {
                    return Err(SourceError { reason: Reason::Timeout, detail: "PING was not answered in time".into() });
                }
                Err(_) => {
                    self.wire.send(&[redis::cmd("PING")]).await.map_err(broken)?;
                    asked = true;
                    continue;
                }
            };
            asked = false;
            let mut batch = Vec::new();
            let mut bytes = 0;
            let mut next = Some(value);
            while let Some(value) = next {
                if let Incoming::Message(message) = incoming(value)? {
                    bytes += message.body.len();
                    batch.push(message);
                }
                let full = batch.len() >= BATCH_MESSAGES || bytes >= BATCH_BYTES;
                next = if full { None } else { self.wire.next().now_or_never().transpose().map_err(broken)? };
            }
            if !batch.is_empty() {
                let Ok(room) = offers.room().await else { return Ok(()) };
                room.offer(batch);
            }
        }
    }
}

#[async_trait]
impl Source for PubSubSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        let reading = self.read(offers, &intake);
        alongside(reading, receipts).await
    }
}

/// RESP2 sends lists, RESP3 pushes.
fn incoming(value: Value) -> Result<Incoming, SourceError> {
    let mut parts = match value {
        Value::Push { kind: PushKind::Message | PushKind::SMessage, data } => data,
        Value::Push { kind: PushKind::PMessage, mut data } => data.split_off(1.min(data.len())),
        Value::Array(mut data) => match data.first() {
            Some(Value::BulkString(kind)) if kind == b"message" || kind == b"smessage" => data.split_off(1),
            Some(Value::BulkString(kind)) if kind == b"pmessage" => data.split_off(2.min(data.len())),
            _ => return Ok(Incoming::Other),
        },
        Value::ServerError(error) => {
            return Err(SourceError { reason: answers::reason_of_code(error.code()), detail: answers::words(&error) });
        }
        _ => return Ok(Incoming::Other),
    };
    match (parts.pop(), parts.pop()) {
        (Some(Value::BulkString(body)), Some(Value::BulkString(channel))) => {
            Ok(Incoming::Message(RawMessage { body: Bytes::from(body), carrier: Arc::new(Heard { channel }) }))
        }
        _ => Err(SourceError { reason: Reason::Link, detail: "a pub/sub message of the wrong shape".into() }),
    }
}

fn broken(error: OpenError) -> SourceError {
    SourceError { reason: error.reason, detail: error.detail }
}
