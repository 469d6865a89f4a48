//! Questions and answers over a pair of links: how `$cbs` takes tokens and `$management` renews locks and peeks (AMQP Management,
//! working draft 9, and "AMQP 1.0 in Azure Service Bus: request-response-based operations").

use std::time::Duration;

use fe2o3_amqp::{Receiver, Sender, link::RecvError, session::SessionHandle};
use fe2o3_amqp_types::{
    messaging::{ApplicationProperties, Body, Message, MessageId, Outcome, Properties},
    primitives::{OrderedMap, SimpleValue, Value},
};
use tokio::time::timeout;

use super::fault::Fault;
use crate::outcome::Reason;

/// How long one answer may take.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A pair of links to a node that answers.
pub(super) struct Asker {
    node: String,
    sender: Sender,
    receiver: Receiver,
    /// The name by which the node finds the answering link.
    reply_to: String,
    asked: u64,
}

/// A question: what is put beside its body.
pub(super) struct Question {
    pub(super) properties: OrderedMap<String, SimpleValue>,
    pub(super) body: Value,
}

/// An answer with a status of success.
#[derive(Debug)]
pub(super) struct Answer {
    /// 200 and on; 204 where there was nothing.
    pub(super) status: i64,
    pub(super) body: Value,
}

impl Question {
    pub(super) fn new(operation: &str, body: Value) -> Self {
        Self { properties: OrderedMap::new(), body }.with("operation", operation)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<SimpleValue>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }
}

impl Asker {
    /// Attaches both links. The caller bounds its time.
    pub(super) async fn attach(session: &mut SessionHandle<()>, node: &str) -> Result<Self, Fault> {
        let of = |fault: Fault| fault.while_doing(node);
        let reply_to = format!("rialto-{}", uuid::Uuid::new_v4().simple());
        let sender = Sender::builder().name(format!("{reply_to}-questions")).target(node);
        let sender = Box::pin(sender.attach(session)).await;
        let receiver = Receiver::builder().name(format!("{reply_to}-answers")).source(node).target(reply_to.as_str());
        let receiver = Box::pin(receiver.attach(session)).await;
        Ok(Self {
            node: node.to_owned(),
            sender: sender.map_err(|error| of(error.into()))?,
            receiver: receiver.map_err(|error| of(error.into()))?,
            reply_to,
            asked: 0,
        })
    }

    /// Asks and waits for the answer, for [`ANSWER_TIME`]. An answer that says no is a fault. Cancelled or late, the answer is passed
    /// over when it comes.
    pub(super) async fn ask(&mut self, question: Question) -> Result<Answer, Fault> {
        let Ok(answered) = timeout(ANSWER_TIME, Box::pin(self.try_ask(question))).await else {
            return Err(Fault::late(&self.node, ANSWER_TIME));
        };
        answered.map_err(|fault| fault.while_doing(&self.node))
    }

    async fn try_ask(&mut self, question: Question) -> Result<Answer, Fault> {
        self.asked += 1;
        let id = MessageId::Ulong(self.asked);
        let message = Message::builder()
            .properties(Properties::builder().message_id(id.clone()).reply_to(self.reply_to.as_str()).build())
            .application_properties(ApplicationProperties(question.properties))
            .value(question.body)
            .build();
        match self.sender.send(message).await? {
            Outcome::Accepted(_) => {}
            Outcome::Rejected(rejected) => {
                return Err(rejected.error.as_ref().map_or_else(|| Fault::link("the question was rejected"), Fault::of));
            }
            other => return Err(Fault::link(format!("the question was not taken: {other:?}"))),
        }
        loop {
            let message = self.next().await?;
            let answers = message.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref());
            if answers == Some(&id) {
                return read(message);
            }
        }
    }

    async fn next(&mut self) -> Result<Message<Body<Value>>, Fault> {
        let delivery = match self.receiver.recv::<Body<Value>>().await {
            Ok(delivery) => delivery,
            Err(RecvError::MessageDecode(error)) => return Err(Fault::link(format!("an answer that cannot be read: {error}"))),
            Err(error) => return Err(error.into()),
        };
        self.receiver.accept(&delivery).await?;
        Ok(delivery.into_message())
    }
}

/// `$cbs` says `status-code`, `$management` says `statusCode`.
fn read(message: Message<Body<Value>>) -> Result<Answer, Fault> {
    let properties = message.application_properties.unwrap_or_default();
    let said = |names: [&str; 2]| names.iter().find_map(|name| properties.get(*name));
    let status = said(["statusCode", "status-code"]).and_then(number).ok_or_else(|| Fault::link("an answer without a status"))?;
    let body = match message.body {
        Body::Value(value) => value.0,
        Body::Data(_) | Body::Sequence(_) | Body::Empty => Value::Null,
    };
    if (200..300).contains(&status) {
        return Ok(Answer { status, body });
    }
    let words = said(["statusDescription", "status-description"]).map(text).unwrap_or_default();
    let fault = match said(["errorCondition", "error-condition"]).map(text).filter(|condition| !condition.is_empty()) {
        Some(condition) => Fault::of_condition(&condition, &words),
        None => Fault::new(of_status(status), format!("{status}: {words}")),
    };
    Err(fault)
}

/// Where no condition is named, the status is one of HTTP.
fn of_status(status: i64) -> Reason {
    match status {
        401 => Reason::Unauthenticated,
        403 => Reason::Forbidden,
        404 => Reason::Unroutable,
        429 | 503 => Reason::Throttled,
        _ => Reason::Link,
    }
}

fn number(value: &SimpleValue) -> Option<i64> {
    Some(match value {
        SimpleValue::Int(number) => i64::from(*number),
        SimpleValue::Uint(number) => i64::from(*number),
        SimpleValue::Long(number) => *number,
        SimpleValue::Ulong(number) => i64::try_from(*number).ok()?,
        SimpleValue::Short(number) => i64::from(*number),
        SimpleValue::Ushort(number) => i64::from(*number),
        SimpleValue::Byte(number) => i64::from(*number),
        SimpleValue::Ubyte(number) => i64::from(*number),
        _ => return None,
    })
}

fn text(value: &SimpleValue) -> String {
    match value {
        SimpleValue::String(text) => text.clone(),
        SimpleValue::Symbol(symbol) => symbol.0.clone(),
        _ => String::new(),
    }
}
