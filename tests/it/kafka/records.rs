//! What a message looks like as a record, to a client that is not Rialto.

use std::{borrow::Cow, sync::Arc};

use rialto::{
    broker::Outgoing,
    envelope::{Carrier, HeaderValue, Property},
    outcome::Outcome,
};

use super::mock::{Mock, Seen, TOPIC};
use crate::support::{message, message_with, outgoing, send};

/// What came from somewhere that has all of it.
#[derive(Debug)]
struct Rich;

impl Carrier for Rich {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        match property {
            Property::CorrelationId => Some("c-1".into()),
            Property::ContentType => Some("application/vnd.order+json".into()),
            _ => None,
        }
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        (name == "rialto-schema-id").then_some(HeaderValue::Str("258"))
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        each("x-twice", HeaderValue::Str("one"));
        each("x-twice", HeaderValue::Bytes(&[0xff, 0]));
        each("x-number", HeaderValue::Int(-7));
        each("x-nothing", HeaderValue::Null);
        each("message_id", HeaderValue::Str("not this one"));
        each("rialto-schema-id", HeaderValue::Str("258"));
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "topic" => Some("source".into()),
            "partition" => Some("3".into()),
            "offset" => Some("4294967296".into()),
            _ => None,
        }
    }

    fn time(&self) -> Option<i64> {
        Some(1_700_000_000_123)
    }

    fn position(&self) -> Option<String> {
        None
    }
}

/// Nothing but the word that there was no value.
#[derive(Debug)]
struct Gone;

impl Carrier for Gone {
    fn property(&self, _: Property) -> Option<Cow<'_, str>> {
        None
    }
    fn header(&self, _: &str) -> Option<HeaderValue<'_>> {
        None
    }
    fn headers(&self, _: &mut dyn FnMut(&str, HeaderValue<'_>)) {}
    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "tombstone").then_some(Cow::Borrowed(""))
    }
    fn time(&self) -> Option<i64> {
        None
    }
    fn position(&self) -> Option<String> {
        None
    }
}

const BODY: &str = r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"id-7","payload":{"n":1}}"#;

const DEATH: &[(&str, &str)] =
    &[("rialto-dead-route", "state"), ("rialto-dead-reason", "undecodable"), ("rialto-dead-error", "the body is not JSON")];

/// Publishes one message and reads it back.
async fn published(target: &str, change: impl FnOnce(&mut Outgoing<'_>)) -> Seen {
    let mock = Mock::with(1);
    let target = mock.target(target);
    let rich = message_with(BODY, Arc::new(Rich));
    let mut out = outgoing(&target, &rich, TOPIC);
    change(&mut out);
    let outcomes = send(&mut *mock.link(&target).await, &[out]).await;
    assert!(matches!(outcomes[..], [Outcome::Delivered(_)]), "{outcomes:?}");
    mock.seen().remove(0)
}

#[tokio::test]
async fn a_record_says_what_the_message_is() {
    let seen = published("topic: orders", |out| {
        out.key = "customer-1";
        out.headers = &[("x-region", "eu"), ("x-number", "8")];
    })
    .await;
    assert_eq!((seen.key.as_deref(), seen.text()), (Some("customer-1"), BODY));
    for (name, values) in [
        ("message_id", &[&b"id-7"[..]][..]),
        ("message_name", &[b"Paid"]),
        ("message_type", &[b"ecst_event"]),
        ("content-type", &[b"application/vnd.order+json"]),
        ("correlation_id", &[b"c-1"]),
        ("x-twice", &[b"one", &[0xff, 0]]),
        ("x-number", &[b"8"]),
        ("x-region", &[b"eu"]),
        ("rialto-schema-id", &[b"258"]),
    ] {
        assert_eq!(seen.header(name), values, "{name}");
    }
    assert!(seen.headers.contains(&("x-nothing".to_owned(), None)), "null stays null");
    assert_eq!(seen.timestamp, Some(1_700_000_000_123), "the message's own time");
}

#[tokio::test]
async fn a_tombstone_stays_one_and_null_stays_a_value() {
    let mock = Mock::with(1);
    let target = mock.target("topic: orders");
    let (gone, null) = (message_with("null", Arc::new(Gone)), message("null"));
    let mut link = mock.link(&target).await;
    send(&mut *link, &[outgoing(&target, &gone, TOPIC), outgoing(&target, &null, TOPIC)]).await;
    let values: Vec<_> = mock.seen().into_iter().map(|record| record.value).collect();
    assert_eq!(values, [None, Some(b"null".to_vec())]);
}

/// The hashes of `org.apache.kafka.common.utils.UtilsTest.testMurmur2`, of which the Java client's partitioner takes the lower 31 bits.
#[tokio::test]
async fn keys_go_where_the_java_client_puts_them() {
    const PARTITIONS: i32 = 12;
    let hashes = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let mock = Mock::with(PARTITIONS);
    let target = mock.target("topic: orders");
    let one = message("{}");
    let batch: Vec<_> = hashes.iter().map(|(key, _)| Outgoing { key, ..outgoing(&target, &one, TOPIC) }).collect();
    send(&mut *mock.link(&target).await, &batch).await;
    let seen = mock.seen();
    for (key, hash) in hashes {
        let record = seen.iter().find(|record| record.key.as_deref() == Some(key)).expect("written");
        assert_eq!(record.partition, (hash & i32::MAX) % PARTITIONS, "{key}");
    }
}

#[tokio::test]
async fn a_schemas_prefix_is_put_on_with_the_id_that_the_message_came_with_or_the_one_that_is_written() {
    let carried = published("{ topic: orders, schema_prefix: confluent }", |_| {}).await;
    assert_eq!(carried.value.as_deref(), Some([&[0, 0, 0, 1, 2], BODY.as_bytes()].concat().as_slice()));
    assert!(carried.header("rialto-schema-id").is_empty(), "the value says it");
    let written = published("{ topic: orders, schema_prefix: apicurio, schema_id: 9 }", |out| out.fields = &[Some("9")]).await;
    assert_eq!(written.value.as_deref(), Some([&[0, 0, 0, 0, 0, 0, 0, 0, 9], BODY.as_bytes()].concat().as_slice()));
}

#[tokio::test]
async fn without_an_id_nothing_is_written_and_trying_again_cannot_help() {
    let mock = Mock::with(1);
    let target = mock.target("{ topic: orders, schema_prefix: confluent }");
    let bare = message("{}");
    let outcomes = send(&mut *mock.link(&target).await, &[outgoing(&target, &bare, TOPIC)]).await;
    let Outcome::Refused(refusal) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(refusal.detail.contains("rialto-schema-id"), "{refusal}");
    assert!(mock.seen().is_empty());
}

#[tokio::test]
async fn a_dead_letter_speaks_kafka_connects_words_beside_ours() {
    let seen = published("{ topic: orders, headers: connect }", |out| out.headers = DEATH).await;
    for (name, value) in [
        ("rialto-dead-reason", "undecodable"),
        ("__connect.errors.topic", "source"),
        ("__connect.errors.partition", "3"),
        ("__connect.errors.offset", "4294967296"),
        ("__connect.errors.connector.name", "state"),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
        ("__connect.errors.exception.class.name", "rialto.undecodable"),
        ("__connect.errors.exception.message", "the body is not JSON"),
    ] {
        assert_eq!(seen.header(name), [value.as_bytes()], "{name}");
    }
}

#[tokio::test]
async fn a_dead_letter_speaks_springs_words_beside_ours() {
    let seen = published("{ topic: orders, headers: spring }", |out| out.headers = DEATH).await;
    assert_eq!(seen.header("rialto-dead-reason"), [b"undecodable"]);
    assert_eq!(seen.header("kafka_dlt-original-topic"), [b"source"]);
    assert_eq!(seen.header("kafka_dlt-original-partition"), [3_i32.to_be_bytes()], "an int");
    assert_eq!(seen.header("kafka_dlt-original-offset"), [4_294_967_296_i64.to_be_bytes()], "a long");
    assert_eq!(seen.header("kafka_dlt-original-timestamp"), [1_700_000_000_123_i64.to_be_bytes()]);
    assert_eq!(seen.header("kafka_dlt-original-timestamp-type"), [b"CreateTime"]);
    assert_eq!(seen.header("kafka_dlt-exception-fqcn"), [b"rialto.undecodable"]);
    assert_eq!(seen.header("kafka_dlt-exception-message"), [b"the body is not JSON"]);
}

#[tokio::test]
async fn what_is_no_dead_letter_has_no_such_words() {
    for style in ["connect", "spring"] {
        let seen = published(&format!("{{ topic: orders, headers: {style} }}"), |_| {}).await;
        let theirs = |name: &str| name.starts_with("__connect") || name.starts_with("kafka_dlt");
        assert!(!seen.headers.iter().any(|(name, _)| theirs(name)), "{:?}", seen.headers);
    }
}
