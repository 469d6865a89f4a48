//! What goes over the wire beside the body (docs/wire.md, "Per broker").

use std::{collections::BTreeMap, sync::Arc};

use lapin::{
    BasicProperties,
    types::{AMQPValue, ByteArray, FieldArray, FieldTable},
};
use rialto::{
    envelope::{Carrier, HeaderValue, Message},
    outcome::{Outcome, Proof, Reason},
};

use super::{Rabbit, unique};
use crate::support::{Running, accept, house, message, message_with, origin, outgoing, send, target};

const ENVELOPE: &str = r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"id-7","payload":{"n":1}}"#;

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let entries: BTreeMap<_, _> = entries.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    entries.into()
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Puts a message on a queue and reads it as Rialto does.
async fn through(rabbit: &Rabbit, body: &str, properties: BasicProperties) -> Message {
    let queue = rabbit.queue().await;
    rabbit.put(&queue, body.as_bytes(), properties).await;
    let mut running = Running::open(&*origin(&*rabbit.broker(), &queue), 10).await;
    let batch = running.next().await;
    accept(&batch);
    let raw = batch.batch[0].clone();
    running.close().await.expect("an orderly end");
    message_with(raw.body, raw.carrier)
}

/// Publishes one message with Rialto and takes it with another client.
async fn published(rabbit: &Rabbit, keys: &str, fields: &[Option<&str>], message: &Message, body: &[u8]) -> BasicProperties {
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let target = target(&*broker, &format!("{{ queue: {queue}, {keys} }}"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let mut out = outgoing(&target, message, &queue);
    (out.body, out.fields) = (body, fields);
    assert_eq!(send(&mut *link, &[out]).await, [Outcome::Delivered(Proof::Confirmed)]);
    rabbit.get(&queue).await.expect("a message").delivery.properties
}

#[tokio::test]
async fn a_message_has_the_properties_of_the_wire_page() {
    let rabbit = Rabbit::connect().await;
    let properties = published(&rabbit, "", &[], &message(ENVELOPE), b"{}").await;
    let text_of = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    assert_eq!(text_of(properties.message_id()).as_deref(), Some("id-7"));
    assert_eq!(text_of(properties.kind()).as_deref(), Some("Paid"));
    assert_eq!(text_of(properties.content_type()).as_deref(), Some("application/json"));
    assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    assert_eq!(properties.headers().as_ref().and_then(|headers| headers.inner().get("message_type")), Some(&text("ecst_event")));
    assert_eq!((properties.expiration(), properties.priority()), (&None, &None));
}

#[tokio::test]
async fn a_destinations_fields_are_properties() {
    let rabbit = Rabbit::connect().await;
    let keys = "expiration: '{payload.ttl}', priority: 7, content_type: '{payload.type}'";
    let properties = published(&rabbit, keys, &[Some("60000"), Some("7"), Some("text/x")], &message(ENVELOPE), b"{}").await;
    assert_eq!(properties.expiration().as_ref().map(ToString::to_string).as_deref(), Some("60000"));
    assert_eq!(*properties.priority(), Some(7));
    assert_eq!(properties.content_type().as_ref().map(ToString::to_string).as_deref(), Some("text/x"));
}

/// RabbitMQ would close the channel for it, and with it everything in flight.
#[tokio::test]
async fn a_field_that_makes_no_property_is_refused_alone() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let target = target(&*broker, &format!("{{ queue: {queue}, expiration: '{{payload.ttl}}' }}"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let one = message("{}");
    let mut outs = [outgoing(&target, &one, &queue), outgoing(&target, &one, &queue), outgoing(&target, &one, &queue)];
    let (bad, good): ([_; 1], [_; 1]) = ([Some("soon")], [Some("1000000")]);
    (outs[0].fields, outs[1].fields, outs[2].fields) = (&good, &bad, &good);
    let outcomes = send(&mut *link, &outs).await;
    assert!(matches!(&outcomes[1], Outcome::Refused(refusal) if refusal.reason == Reason::Final), "{outcomes:?}");
    assert_eq!(rabbit.ready(&queue).await, 2);
}

#[tokio::test]
async fn what_came_from_amqp_goes_on_with_its_types() {
    let rabbit = Rabbit::connect().await;
    let headers = [
        ("text", text("ü")),
        ("bytes", AMQPValue::ByteArray(ByteArray::from(&[0, 255][..]))),
        ("short", AMQPValue::ShortShortInt(-3)),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("float", AMQPValue::Double(-0.5)),
        ("truth", AMQPValue::Boolean(true)),
        ("when", AMQPValue::Timestamp(1_700_000_000)),
        ("nothing", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(FieldArray::from(vec![text("a"), AMQPValue::LongInt(1)]))),
        ("traceparent", text("00-1")),
        ("x-death", AMQPValue::FieldArray(FieldArray::default())),
        ("x-first-death-queue", text("q")),
    ];
    let properties = BasicProperties::default()
        .with_headers(table(&headers))
        .with_correlation_id("c-1".into())
        .with_reply_to("answers".into())
        .with_app_id("shop".into())
        .with_priority(4)
        .with_timestamp(1_700_000_000)
        .with_expiration("600000".into())
        .with_user_id("guest".into())
        .with_content_encoding("identity".into());
    let came = through(&rabbit, ENVELOPE, properties).await;
    assert_eq!(came.raw().carrier.header("short"), Some(HeaderValue::Int(-3)));
    let went = published(&rabbit, "", &[], &came, b"{}").await;
    let text_of = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    assert_eq!(text_of(went.correlation_id()).as_deref(), Some("c-1"));
    assert_eq!(text_of(went.reply_to()).as_deref(), Some("answers"));
    assert_eq!(text_of(went.app_id()).as_deref(), Some("shop"));
    assert_eq!((*went.priority(), *went.timestamp()), (Some(4), Some(1_700_000_000)));
    assert_eq!((went.expiration(), went.user_id()), (&None, &None), "spent, and not ours");
    assert_eq!(went.content_encoding(), &None, "of a body that is not this one");
    let headers = went.headers().clone().expect("headers");
    let found: BTreeMap<_, _> = headers.inner().iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let expected = BTreeMap::from([
        ("text", text("ü")),
        ("bytes", AMQPValue::ByteArray(ByteArray::from(&[0, 255][..]))),
        ("short", AMQPValue::LongLongInt(-3)),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("float", AMQPValue::Double(-0.5)),
        ("truth", AMQPValue::Boolean(true)),
        ("when", AMQPValue::Timestamp(1_700_000_000)),
        ("nothing", AMQPValue::Void),
        ("list", text(r#"["a",1]"#)),
        ("traceparent", text("00-1")),
        ("message_type", text("ecst_event")),
    ]);
    assert_eq!(found, expected);
}

/// `CC` makes RabbitMQ route a copy to each queue it names: a message would choose its own destinations.
#[tokio::test]
async fn a_message_cannot_choose_further_queues() {
    let rabbit = Rabbit::connect().await;
    let stolen = rabbit.queue().await;
    for name in ["CC", "BCC"] {
        let copies = AMQPValue::FieldArray(FieldArray::from(vec![text(&stolen)]));
        // As another transport would carry it: RabbitMQ itself takes BCC away, and routes by CC at once.
        let carrier = Headers(vec![(name, copies.clone())]);
        published(&rabbit, "", &[], &message_with(ENVELOPE, Arc::new(carrier)), ENVELOPE.as_bytes()).await;
        assert_eq!(rabbit.ready(&stolen).await, 0, "{name}");
    }
}

/// The attributes of a binary CloudEvent describe the body they came with: beside another they would be a lie.
#[tokio::test]
async fn cloud_event_attributes_stay_with_their_body() {
    let rabbit = Rabbit::connect().await;
    let attributes = ["id", "source", "type", "specversion"].map(|name| (format!("cloudEvents:{name}"), text("1.0")));
    let headers: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let came = through(&rabbit, r#"{"n":1}"#, BasicProperties::default().with_headers(table(&headers))).await;
    assert_eq!(came.id(), "1.0", "read as a CloudEvent");
    let with_another = published(&rabbit, "", &[], &came, b"{}").await;
    assert!(!with_another.headers().as_ref().is_some_and(|headers| headers.contains_key("cloudEvents:id")));
    let dead = published(&rabbit, "", &[], &came.as_received(), br#"{"n":1}"#).await;
    assert!(dead.headers().as_ref().is_some_and(|headers| headers.contains_key("cloudEvents:id")), "a dead letter keeps them");
}

/// Naive: the client library panics over a property of more than 255 bytes.
#[tokio::test]
async fn long_ids_and_names_go_another_way() {
    let rabbit = Rabbit::connect().await;
    let (id, name) = ("i".repeat(300), "n".repeat(300));
    let long = message(format!(r#"{{"message_type":"t","message_name":"{name}","message_id":"{id}","payload":1}}"#));
    let properties = published(&rabbit, "", &[], &long, b"{}").await;
    assert_eq!(properties.message_id(), &None);
    let header = properties.headers().as_ref().and_then(|headers| headers.inner().get("message_id").cloned());
    assert_eq!(header, Some(text(&id)));

    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let target = target(&*broker, "queue: '{payload.q}'");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let (missing, over) = (unique("missing"), "q".repeat(256));
    let batch = [outgoing(&target, &long, &queue), outgoing(&target, &long, &missing), outgoing(&target, &long, &over)];
    let outcomes = send(&mut *link, &batch).await;
    assert_eq!(outcomes[0], Outcome::Delivered(Proof::Confirmed));
    assert!(matches!(&outcomes[1], Outcome::Refused(refusal) if refusal.reason == Reason::Unroutable), "{outcomes:?}");
    assert!(matches!(&outcomes[2], Outcome::Refused(refusal) if refusal.reason == Reason::Address), "{outcomes:?}");
}

/// A carrier with headers of AMQP's types only.
#[derive(Debug)]
struct Headers(Vec<(&'static str, AMQPValue)>);

impl Carrier for Headers {
    fn property(&self, _: rialto::envelope::Property) -> Option<std::borrow::Cow<'_, str>> {
        None
    }
    fn header(&self, _: &str) -> Option<HeaderValue<'_>> {
        None
    }
    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        for (name, value) in &self.0 {
            let AMQPValue::FieldArray(items) = value else { continue };
            let Some(AMQPValue::LongString(text)) = items.as_slice().first() else { continue };
            each(name, HeaderValue::Str(&text.to_string()));
        }
    }
    fn word(&self, _: &str) -> Option<std::borrow::Cow<'_, str>> {
        None
    }
    fn time(&self) -> Option<i64> {
        None
    }
    fn position(&self) -> Option<String> {
        None
    }
}
