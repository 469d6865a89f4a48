//! What leaves: the five forms, and that payloads pass byte for byte.

use super::*;

const DIATOR: &str = concat!(
    r#"{"message_type":"notification_event","message_name":"UserJoinedNotificationEvent","#,
    r#""message_id":"9f62e977-73f7-462b-92cb-8ea658d3bcb5","payload":{"event_id":"9f62e977-73f7-462b-92cb-8ea658d3bcb5","#,
    r#""event_timestamp":"2023-03-07T09:26:02.588855","user_id":123}}"#
);

#[test]
fn diators_envelope_passes_byte_for_byte() {
    let message = read(alone(DIATOR));
    assert_eq!(message.name(), "UserJoinedNotificationEvent");
    assert_eq!(sent(&Format::Standard, &message), (DIATOR.into(), String::new(), vec![("rialto-hops".into(), "1".into())]));
}

#[test]
fn a_payload_is_wrapped_untouched() {
    let payload = "{\"event_id\": \"7\",\n \"n\": 1e22, \"n\": -0.0, \"big\": 123456789012345678901234567890}";
    let message = read(alone(format!("\u{feff} {payload} \r\n")));
    let expected =
        format!(r#"{{"message_type":"notification_event","message_name":"Event","message_id":"7","payload":{payload}}}"#);
    assert_eq!(standard(&message), expected);
    assert_eq!(sent(&Format::Payload, &message).0, payload);
}

#[test]
fn the_head_is_spelled_as_orjson_spells_it() {
    // orjson.dumps of the same text: raw UTF-8, DEL and U+2028 as they are, short escapes where JSON has them.
    let name = "\"\\/\u{8}\t\n\u{c}\r\u{0}\u{1f}\u{7f}\u{2028}é𝄞";
    let body = serde_json::json!({"message_type": "t", "message_name": name, "message_id": "1", "payload": null}).to_string();
    let message = read(alone(body));
    assert_eq!(message.name(), name);
    let expected = "{\"message_type\":\"t\",\"message_name\":\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\u{7f}\u{2028}é𝄞\",\"message_id\":\"1\",\"payload\":null}";
    assert_eq!(standard(&message), expected);
}

#[test]
fn metadata_says_what_is_known_in_order() {
    let format = Format::Extended { source: "urn:rialto:test".into() };
    let head = r#"{"message_type":"notification_event","message_name":"Event","message_id":"7","payload":{"event_id":"7"}"#;
    let alone = read(alone(r#"{"event_id":"7"}"#));
    assert_eq!(sent(&format, &alone).0, format!(r#"{head},"metadata":{{"source":"urn:rialto:test","hops":1}}}}"#));
    let mut parcel =
        Parcel::default().property(Property::CorrelationId, "c\"1").header("traceparent", "00-a-b-01").header("rialto-hops", "2");
    parcel.time = Some(1_678_181_162_588);
    let known = r#""source":"urn:rialto:test","timestamp":"2023-03-07T09:26:02.588Z","correlation_id":"c\"1","traceparent":"00-a-b-01","hops":3"#;
    assert_eq!(sent(&format, &read(parcel.with(r#"{"event_id":"7"}"#))).0, format!(r#"{head},"metadata":{{{known}}}}}"#));
}

#[test]
fn metadata_that_came_goes_on_as_it_came() {
    let head = r#"{"message_type":"t","message_name":"N","message_id":"1","payload":[]"#;
    let came = r#""custom":{"deep":[1]},"version":3,"source":"orders","tenant":null,"hops":1,"epoch":1e2"#;
    let message = read(Parcel::default().property(Property::CorrelationId, "c").with(format!("{head},\"metadata\":{{{came}}}}}")));
    let goes = r#""source":"orders","correlation_id":"c","version":3,"epoch":1e2,"hops":2,"custom":{"deep":[1]}"#;
    assert_eq!(sent(&Format::Extended { source: "urn:x".into() }, &message).0, format!("{head},\"metadata\":{{{goes}}}}}"));
    assert_eq!(standard(&message), format!("{head}}}"));
    let known: Vec<_> =
        ["source", "version", "epoch", "correlation_id", "hops", "custom", "tenant"].map(|key| message.metadata(key)).into();
    let known: Vec<Option<&str>> = known.iter().map(Option::as_deref).collect();
    assert_eq!(known, [Some("orders"), Some("3"), Some("1e2"), Some("c"), Some("1"), None, None]);
}

#[test]
fn hops_are_counted_wherever_they_stand() {
    let extended = r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"metadata":{"hops":5}}"#;
    assert_eq!(read(alone(extended)).hops(), 5);
    assert_eq!(read(Parcel::default().header("rialto-hops", "7").with(extended)).hops(), 7);
    assert_eq!(read(Parcel::default().header("rialto-hops", "-1").with("{}")).hops(), 0);
}

#[test]
fn fields_are_found_without_a_tree() {
    let payload = r#"{"a":{"b":[10,{"c":"d\u00e9"}],"e":null,"":1},"a.b":2,"dup":1,"dup":2,"k\u0065y":true,"n":1.50,"o":{}}"#;
    let message = read(alone(payload));
    let field = |path: &str| message.field(&Path::parse(path).expect("a path")).map(std::borrow::Cow::into_owned);
    let cases = [
        ("a.b.0", Some("10")),
        ("a.b.1.c", Some("dé")),
        ("a.b.2", None),
        ("a.b.x", None),
        ("a.e", None),
        ("a", None),
        ("o", None),
        ("dup", Some("2")),
        ("key", Some("true")),
        ("n", Some("1.50")),
        ("n.x", None),
        ("none.at.all", None),
    ];
    for (path, expected) in cases {
        assert_eq!(field(path).as_deref(), expected, "{path}");
    }
    assert_eq!(Path::parse("a..b"), None);
}

#[test]
fn a_dead_letter_keeps_the_attributes_that_others_do_not_get() {
    let parcel =
        Parcel::default().header("ce-specversion", "1.0").header("ce-id", "1").header("ce-source", "s").header("ce-type", "T");
    let message = read(parcel.header("x-tenant", "a").header("rialto-dead-reason", "timeout").with("{}"));
    let headers = |message: &Message| {
        let mut names = Vec::new();
        message.headers(&mut |name, _| names.push(name.to_owned()));
        names
    };
    assert_eq!(headers(&message), ["x-tenant"]);
    assert_eq!(headers(&message.as_received()), ["ce-specversion", "ce-id", "ce-source", "ce-type", "x-tenant"]);
}
