//! What a message is in a request: body, broker properties, application properties.

use std::{borrow::Cow, sync::Arc};

use rialto::{
    envelope::{Carrier, HeaderValue, Property},
    outcome::{Outcome, Reason},
};

use super::{Namespace, Rig, Said, namespace::Message, reason};
use crate::support;

/// A message of a transport that has everything.
#[derive(Debug)]
struct Rich;

impl Carrier for Rich {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        match property {
            Property::Id => Some("id-1".into()),
            Property::Name => Some("Paid \u{1f600}".into()),
            Property::Type => Some("ecst_event".into()),
            Property::CorrelationId => Some("c-1".into()),
            Property::Key | Property::ContentType => None,
        }
    }
    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        (name == "traceparent").then_some(HeaderValue::Str("00-a-b-01"))
    }
    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        each("traceparent", HeaderValue::Str("00-a-b-01"));
        each("Tenant", HeaderValue::Str("\u{dc}ber\"\\\n"));
        each("n", HeaderValue::Int(-7));
        each("f", HeaderValue::Float(2.0));
        each("ok", HeaderValue::Bool(true));
        each("nothing", HeaderValue::Null);
        each("bytes", HeaderValue::Bytes(&[0xff, 0x00]));
        each("message_id", HeaderValue::Str("another transport's"));
        each("region", HeaderValue::Str("its own"));
    }
    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "reply_to").then_some("answers".into())
    }
    fn time(&self) -> Option<i64> {
        None
    }
    fn position(&self) -> Option<String> {
        None
    }
}

/// Sends one message to `orders` and answers it as it was posted.
async fn posted(rig: &mut Rig, body: &[u8], said: &Said<'_>) -> Message {
    let outcome = rig.one(&support::message_with(body.to_vec(), Arc::new(Rich)), said).await;
    assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    rig.namespace.messages("orders").pop().expect("a message")
}

#[tokio::test]
async fn properties_stand_where_service_bus_has_them_and_headers_keep_their_types() {
    let mut rig = Rig::to(Namespace::start().await).await;
    let headers = [("region", "eu"), ("rialto-dead-reason", "refused")];
    let message = posted(&mut rig, b"{\"a\":1}", &Said { headers: &headers, key: "k", ..Said::default() }).await;
    for (name, due) in [
        ("MessageId", "id-1"),
        ("Label", "Paid \u{1f600}"),
        ("CorrelationId", "c-1"),
        ("PartitionKey", "k"),
        ("ReplyTo", "answers"),
    ] {
        assert_eq!(message.broker(name), Some(due), "{name}");
    }
    assert_eq!(message.broker("ContentType"), None, "a body that goes on as it came keeps its own, even none");
    let user = serde_json::json!({
        "traceparent": "00-a-b-01", "Diagnostic-Id": "00-a-b-01", "Tenant": "\u{dc}ber\"\\\n", "n": -7, "f": 2.0, "ok": true,
        "bytes": "/wA=", "message_type": "ecst_event", "region": "eu", "rialto-dead-reason": "refused",
    });
    assert_eq!(message.json["UserProperties"], user);
}

#[tokio::test]
async fn a_body_arrives_as_the_bytes_it_is() {
    let mut rig = Rig::to(Namespace::start().await).await;
    for body in [
        "{\"u\":\"\u{e9}\u{1f600}\u{2028}\u{7f}\",\"e\":\"\\u0000\\n\\\"\\\\\",\"n\":12345678901234567890,\"f\":1e22, \"a\" : [ ] }",
        "\"\"",
        "[[],{}]",
    ] {
        let message = posted(&mut rig, body.as_bytes(), &Said::default()).await;
        assert_eq!(message.body(), body.as_bytes());
        assert_eq!(message.user("rialto-encoding"), None);
    }
    for body in [&[0xff, 0xfe, 0x00][..], b"\x00\x1f\x7f", &[0xc3]] {
        let message =
            posted(&mut rig, b"{}", &Said { body: Some(body), content_type: "application/octet-stream", ..Said::default() }).await;
        assert_eq!(message.body(), body);
        assert_eq!(message.user("rialto-encoding").is_some(), std::str::from_utf8(body).is_err());
        assert_eq!(message.broker("ContentType"), Some("application/octet-stream"));
        assert_eq!(message.user("content-type"), Some("application/octet-stream"));
    }
}

/// Sessions and schedules come by templates of the destination.
#[tokio::test]
async fn a_session_is_its_own_partition_key_and_a_schedule_is_a_date() {
    let target = "{ topic: orders, session_id: '{payload.s}', scheduled_at: '{payload.at}' }";
    let mut rig = Rig::with(Namespace::start().await, "", target).await;
    for (at, due) in [
        ("2026-11-21T18:00:00Z", "Sat, 21 Nov 2026 18:00:00 GMT"),
        ("2026-11-21T18:00:00.588855", "Sat, 21 Nov 2026 18:00:00 GMT"),
        ("2026-11-21T18:00:00+02:00", "Sat, 21 Nov 2026 16:00:00 GMT"),
    ] {
        let fields = [Some("s-1"), Some(at)];
        let message = posted(&mut rig, b"{}", &Said { fields: &fields, key: "k", ..Said::default() }).await;
        assert_eq!((message.broker("SessionId"), message.broker("PartitionKey")), (Some("s-1"), None));
        assert_eq!(message.broker("ScheduledEnqueueTimeUtc"), Some(due), "{at}");
    }
    let message = posted(&mut rig, b"{}", &Said { fields: &[None, None], ..Said::default() }).await;
    assert_eq!((message.broker("SessionId"), message.broker("ScheduledEnqueueTimeUtc")), (None, None));
    let long = "s".repeat(129);
    for fields in [[Some(long.as_str()), None], [None, Some("tomorrow")]] {
        let outcome = rig.one(&support::message("{}"), &Said { fields: &fields, ..Said::default() }).await;
        assert_eq!(reason(&outcome), Some(Reason::Final), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_is_too_long_for_an_id_becomes_a_short_one_that_is_always_the_same() {
    let mut rig = Rig::to(Namespace::start().await).await;
    let id = "i".repeat(200);
    let body = format!("{{\"message_type\":\"t\",\"message_name\":\"N\",\"message_id\":\"{id}\",\"payload\":{{}}}}");
    let key = "k".repeat(200);
    let mut seen = Vec::new();
    for _ in 0..2 {
        rig.one(&support::message(body.clone()), &Said { key: &key, ..Said::default() }).await;
        let message = rig.namespace.messages("orders").pop().expect("a message");
        assert_eq!(message.user("message_id"), Some(id.as_str()));
        seen.push((message.broker("MessageId").map(str::to_owned), message.broker("PartitionKey").map(str::to_owned)));
    }
    assert_eq!(seen[0], seen[1]);
    let (short, partition) = &seen[0];
    assert!(short.as_ref().is_some_and(|id| id.len() == 36) && partition.as_ref().is_some_and(|key| key.len() == 36), "{seen:?}");
}

#[tokio::test]
async fn a_name_that_no_queue_can_have_is_refused_and_asks_nobody() {
    let mut rig = Rig::with(Namespace::start().await, "", "queue: 'a/{payload.q}'").await;
    let message = support::message("1");
    for name in ["a/..", "a/", "a b", "a?b", "a%2e", &"x".repeat(261)] {
        let batch = [support::outgoing(&rig.target, &message, name)];
        let outcomes = support::send(&mut *rig.link, &batch).await;
        assert_eq!(reason(&outcomes[0]), Some(Reason::Address), "{name}: {outcomes:?}");
    }
    assert!(rig.namespace.posts().is_empty());
}
