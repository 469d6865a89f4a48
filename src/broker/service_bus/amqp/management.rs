//! What is asked of an entity's `$management` node: locks renewed, messages peeked.
//!
//! "AMQP 1.0 in Azure Service Bus: request-response-based operations" names operations, keys and statuses.

use std::time::{Duration, Instant};

use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp_types::{
    messaging::{Body, Message, message::DecodeIntoMessage},
    primitives::{Array, OrderedMap, Value},
};
use serde_amqp::read::SliceReader;
use tokio::time::sleep;

use super::{
    ask::{Answer, Asker, Question},
    fault::Fault,
    held::{Due, uuid},
    inlet::{Book, open, remaining},
};

/// Between two looks at which locks are due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Locks renewed by one question.
const LOCKS_MAX: usize = 128;

/// A session's lock is renewed at the latest after this, for the same reason as a message's.
const RENEW_MAX: Duration = Duration::from_secs(20);

/// The node of one entity.
pub(super) struct Management(Asker);

/// The address of the node of an entity.
pub(super) fn node(entity: &str) -> String {
    format!("{entity}/$management")
}

impl Management {
    /// The caller bounds its time.
    pub(super) async fn attach(session: &mut SessionHandle<()>, entity: &str) -> Result<Self, Fault> {
        Ok(Self(Asker::attach(session, &node(entity)).await?))
    }

    /// Renews the locks of what is held until something fails. A lock that is lost is no failure: its message is let go.
    pub(super) async fn keep_messages(&mut self, book: &Book, entity: &str) -> Fault {
        loop {
            let due = open(book).due(Instant::now(), LOCKS_MAX);
            if due.is_empty() {
                sleep(LOOK_EVERY).await;
            } else if let Err(fault) = self.renew(&due, book, entity).await {
                return fault;
            }
        }
    }

    async fn renew(&mut self, due: &[Due], book: &Book, entity: &str) -> Result<(), Fault> {
        match self.renew_together(due).await {
            Ok(ends) => {
                let now = Instant::now();
                for (due, end) in due.iter().zip(ends) {
                    open(book).renewed(*due, remaining(end), now);
                }
                Ok(())
            }
            // One that is lost spoils the question: which one, only asking for each tells.
            Err(fault) if fault.is_lost_lock() && due.len() > 1 => {
                for one in due {
                    Box::pin(self.renew(std::slice::from_ref(one), book, entity)).await?;
                }
                Ok(())
            }
            Err(fault) if fault.is_lost_lock() => {
                if due.iter().any(|due| open(book).lost(*due)) {
                    tracing::warn!(source = %entity, "the lock of a message is lost while it is delivered: it comes again");
                }
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// When each lock ends then, in milliseconds since the Unix epoch.
    async fn renew_together(&mut self, due: &[Due]) -> Result<Vec<i64>, Fault> {
        let tokens = due.iter().map(|due| Value::Uuid(uuid(due.token))).collect();
        let body = map([("lock-tokens", Value::Array(Array(tokens)))]);
        let answer = self.0.ask(Question::new("com.microsoft:renew-lock", body)).await?;
        let ends: Vec<i64> = items(entry(&answer.body, "expirations")).filter_map(milliseconds).collect();
        if ends.len() == due.len() { Ok(ends) } else { Err(Fault::link("an answer to another number of locks")) }
    }

    /// Renews the lock of a session until something fails, a lost lock among it.
    pub(super) async fn keep_session(&mut self, session: &str, mut locked: Duration) -> Fault {
        loop {
            sleep((locked / 2).clamp(LOOK_EVERY, RENEW_MAX)).await;
            let body = map([("session-id", Value::String(session.to_owned()))]);
            locked = match self.0.ask(Question::new("com.microsoft:renew-session-lock", body)).await {
                Ok(answer) => match entry(&answer.body, "expiration").and_then(milliseconds) {
                    Some(end) => remaining(end),
                    None => return Fault::link("an answer without the lock's end"),
                },
                Err(fault) => return fault,
            };
        }
    }

    /// Up to `most` messages from a sequence number on, in whatever state they are. Nothing is locked, taken or counted.
    pub(super) async fn peek(&mut self, from: i64, most: i32) -> Result<Vec<Message<Body<Value>>>, Fault> {
        let body = map([("from-sequence-number", Value::Long(from)), ("message-count", Value::Int(most))]);
        let Answer { status, body } = self.0.ask(Question::new("com.microsoft:peek-message", body)).await?;
        if status == 204 {
            return Ok(Vec::new());
        }
        let encoded = items(entry(&body, "messages")).filter_map(|item| match entry(item, "message") {
            Some(Value::Binary(bytes)) => Some(bytes),
            _ => None,
        });
        let decoded = encoded.map(|bytes| Body::<Value>::decode_message_from_reader(SliceReader::new(bytes)));
        decoded.collect::<Result<_, _>>().map_err(|error| Fault::link(format!("a message that cannot be read: {error}")))
    }

    /// A round trip: the service has heard of all that was sent before.
    pub(super) async fn round_trip(&mut self) -> Result<(), Fault> {
        self.peek(i64::MAX, 1).await.map(drop)
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (Value::String(name.to_owned()), value)).collect::<OrderedMap<_, _>>())
}

fn entry<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Map(map) => map.get(&Value::String(name.to_owned())),
        _ => None,
    }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    match value {
        Some(Value::List(items)) => items.iter(),
        Some(Value::Array(items)) => items.0.iter(),
        _ => [].iter(),
    }
}

fn milliseconds(value: &Value) -> Option<i64> {
    match value {
        Value::Timestamp(time) => Some(time.milliseconds()),
        _ => None,
    }
}
