//! CloudEvents in and out, structured and binary.

use super::*;

const EVENT: &str = concat!(
    r#"{"specversion":"1.0","id":"A234","source":"/cloudevents/spec","type":"com.example.someevent","subject":"x","time":"2018-04-05T17:31:00Z","#,
    r#""comexampleother":5,"flag":true,"traceparent":"00-a-b-01","gone":null,"datacontenttype":"application/json","data":{"a" : 1}}"#
);

fn cloud(media: &str, body: &str) -> RawMessage {
    Parcel::default().property(Property::ContentType, media).with(body)
}

#[test]
fn a_structured_event_is_told_by_its_content_type() {
    for media in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8", "application/cloudevents"] {
        let message = read(cloud(media, EVENT));
        assert_eq!(message.shape(), Shape::CloudEvent, "{media}");
        assert_eq!((message.id(), message.name(), message.message_type()), ("A234", "com.example.someevent", "notification_event"));
        assert_eq!(message.payload(), br#"{"a" : 1}"#);
        assert_eq!(message.metadata("source").as_deref(), Some("/cloudevents/spec"));
        assert_eq!(message.metadata("subject").as_deref(), Some("x"));
        assert_eq!(message.event_time().as_deref(), Some("2018-04-05T17:31:00Z"));
    }
    assert!(refused(cloud("application/cloudevents-batch+json", "[]"), &rules()).contains("batch"));
    assert!(refused(cloud("application/cloudevents+avro", EVENT), &rules()).contains("no JSON"));
}

#[test]
fn attributes_without_a_place_in_an_envelope_are_kept() {
    let expected = concat!(
        r#"{"specversion":"1.0","id":"A234","source":"/cloudevents/spec","type":"com.example.someevent","messagetype":"notification_event","#,
        r#""subject":"x","time":"2018-04-05T17:31:00Z","comexampleother":5,"flag":true,"traceparent":"00-a-b-01","#,
        r#""datacontenttype":"application/json","data":{"a" : 1}}"#
    );
    let message = read(
        Parcel::default()
            .property(Property::ContentType, "application/cloudevents+json")
            .header("traceparent", "later")
            .with(EVENT),
    );
    assert_eq!(
        sent(&structured(), &message),
        (expected.into(), "application/cloudevents+json".into(), vec![("rialto-hops".into(), "1".into())])
    );
    for prefix in ["ce-", "ce_", "cloudEvents_", "cloudEvents:"] {
        let (body, media, headers) = sent(&binary(prefix), &message);
        assert_eq!((body.as_str(), media.as_str()), (r#"{"a" : 1}"#, "application/json"));
        assert!(headers.contains(&(format!("{prefix}comexampleother"), "5".to_owned())), "{headers:?}");
        let again = read(received((body, media, headers)));
        assert_eq!(again.shape(), Shape::CloudEvent);
        assert_eq!((again.id(), again.attribute("subject"), again.attribute("flag")), ("A234", Some("x"), Some("true")));
    }
}

#[test]
fn an_event_is_whole_or_none() {
    let cases = [
        (r#"{"id":"1","source":"s","type":"t"}"#, "`specversion` is missing"),
        (r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, "version `0.3`"),
        (r#"{"specversion":"1.0","source":"s","type":"t"}"#, "`id` is missing"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, "`source` is missing"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":7}"#, "`type` is missing or no text"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","x":{}}"#, "attribute `x`"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":""}"#, "both"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"!"}"#, "not base64"),
        ("[]", "no object"),
        ("nope", "not JSON"),
    ];
    for (body, detail) in cases {
        let said = refused(cloud("application/cloudevents+json", body), &rules());
        assert!(said.contains(detail), "{body}: {said}");
    }
}

#[test]
fn four_attributes_among_the_headers_are_a_binary_event() {
    let headers = |prefix: &str, names: &[&str]| {
        names.iter().fold(Parcel::default(), |parcel, name| {
            parcel.header(&format!("{prefix}{name}"), if *name == "specversion" { "1.0" } else { name })
        })
    };
    for prefix in ["ce-", "ce_", "cloudEvents_", "cloudEvents:", ""] {
        let all = ["specversion", "id", "source", "type", "messagetype", "subject"];
        let message = read(headers(prefix, &all).with("{\"event_id\":\"9\"}"));
        assert_eq!((message.shape(), message.id(), message.message_type()), (Shape::CloudEvent, "id", "messagetype"), "{prefix}");
        assert_eq!(message.attribute("subject"), Some("subject"));
        assert_eq!(read(headers(prefix, &all[1..]).with("{}")).shape(), Shape::Bare);
        assert_eq!(read(headers(prefix, &["specversion", "id", "type"]).with("{}")).shape(), Shape::Bare);
    }
    let encoded = headers("ce-", &["specversion", "id", "source"]).header("ce-type", "Euro%20%E2%82%AC%20%F0%9F%98%80");
    assert_eq!(read(encoded.with("{}")).name(), "Euro € 😀");
    assert_eq!(read(headers("ce_", &["specversion", "id", "source", "type"]).with("")).payload(), b"null");
}

#[test]
fn data_that_are_no_json_go_through_where_any_allows() {
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"text/plain","data_base64":"aGk="}"#;
    assert!(refused(cloud("application/cloudevents+json", event), &rules()).contains("`text/plain` are not JSON"));
    let any = DecodeRules { any: true, ..rules() };
    let message = decode(cloud("application/cloudevents+json", event), &any, NOW).expect("any");
    assert_eq!(message.payload(), br#"{"datacontenttype":"text/plain","data_base64":"aGk="}"#);
    let (body, media, headers) = sent(&binary("ce_"), &message);
    assert_eq!((body.as_str(), media.as_str()), ("hi", "text/plain"));
    let again = decode(received((body, media, headers)), &any, NOW).expect("any");
    let expected = concat!(
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","messagetype":"notification_event","#,
        r#""datacontenttype":"text/plain","data_base64":"aGk="}"#
    );
    assert_eq!(sent(&structured(), &again).0, expected);
    // JSON in base64 is JSON.
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"application/json","data_base64":"eyJhIjogMX0="}"#;
    assert_eq!(read(cloud("application/cloudevents+json", event)).payload(), br#"{"a": 1}"#);
}

#[test]
fn what_an_envelope_knows_becomes_attributes() {
    let envelope = concat!(
        r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"7","payload":{"event_timestamp":"2023-03-07T09:26:02.588855"},"#,
        r#""metadata":{"source":"orders","correlation_id":"c","causation_id":"k","sequence":42,"tenant":"t1"}}"#
    );
    let prefixed =
        Format::CloudEvents(CloudEvents { mode: Mode::Structured, type_prefix: "com.acme.".into(), source: "urn:x".into() });
    let raw = Parcel::default().property(Property::Key, "customer-1").with(envelope);
    let expected = concat!(
        r#"{"specversion":"1.0","id":"7","source":"orders","type":"com.acme.Paid","messagetype":"ecst_event","time":"2023-03-07T09:26:02.588855Z","#,
        r#""correlationid":"c","causationid":"k","tenant":"t1","sequence":"00000000000000000042","partitionkey":"customer-1","#,
        r#""data":{"event_timestamp":"2023-03-07T09:26:02.588855"}}"#
    );
    let message = read(raw);
    assert_eq!(sent(&prefixed, &message).0, expected);
    let again = read(received(sent(&prefixed, &message)));
    assert_eq!(again.key().as_deref(), Some("customer-1"));
    assert_eq!(again.metadata("sequence").as_deref(), Some("00000000000000000042"));
    let extended = sent(&Format::Extended { source: "urn:x".into() }, &again).0;
    assert!(extended.contains(r#""sequence":42"#), "{extended}");
}
