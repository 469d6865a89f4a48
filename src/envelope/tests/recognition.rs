//! What arrives is told apart: envelopes, bare payloads, and what is neither.

use super::*;

const ENVELOPE: &str = r#"{"message_type":"t","message_name":"N","message_id":"1","payload":{"a":1}}"#;

#[test]
fn exactly_four_or_five_keys_are_an_envelope() {
    use Shape::{Bare, Envelope};
    let cases = [
        (ENVELOPE, Envelope),
        // Any order, any white space.
        ("\n{ \"payload\" : [ 1 ] ,\t\"message_id\":\"1\", \"message_name\":\"N\",\r\n\"message_type\":\"t\" } ", Envelope),
        // Keys spelled with escapes are the same keys.
        (r#"{"message\u005ftype":"t","message_name":"N","message_id":"1","payload":null}"#, Envelope),
        (r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"metadata":{"source":"s"}}"#, Envelope),
        (r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"metadata":null}"#, Envelope),
        // Another fifth key, three keys, six keys.
        (r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"more":{}}"#, Bare),
        (r#"{"message_type":"t","message_name":"N","message_id":"1"}"#, Bare),
        (r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"metadata":{},"more":1}"#, Bare),
        // A repeated key could mean two messages to two readers.
        (r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"payload":2}"#, Bare),
        (r#"{"message_type":"t","message_name":"N","message_id":"1","message_id":"2"}"#, Bare),
        ("{}", Bare),
        ("[]", Bare),
        ("\"text\"", Bare),
        (" -0.0e-7 ", Bare),
        ("null", Bare),
        ("\u{feff}{}", Bare),
    ];
    for (body, shape) in cases {
        assert_eq!(read(alone(body)).shape(), shape, "{body}");
    }
}

#[test]
fn an_envelope_that_is_broken_is_no_bare_payload() {
    let cases = [
        (r#"{"message_type":1,"message_name":"N","message_id":"1","payload":1}"#, "`message_type` of the envelope is not text"),
        (r#"{"message_type":"t","message_name":null,"message_id":"1","payload":1}"#, "`message_name` of the envelope is not text"),
        (r#"{"message_type":"t","message_name":"N","message_id":7,"payload":1}"#, "`message_id` of the envelope is not text"),
        (
            r#"{"message_type":"\ud800","message_name":"N","message_id":"7","payload":1}"#,
            "`message_type` of the envelope is not text",
        ),
        (
            r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"metadata":[]}"#,
            "`metadata` of the envelope is not an object",
        ),
    ];
    for (body, detail) in cases {
        assert_eq!(refused(alone(body), &rules()), format!("undecodable: {detail}"));
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let bodies: [&[u8]; 12] = [
        b"",
        b" ",
        b"nope",
        b"{",
        b"{} {}",
        b"[1,]",
        b"{\"a\":1,}",
        b"\xff\xfe",
        b"\"\xc3\x28\"",
        b"01",
        b"{\"a\":\"\n\"}",
        b"NaN",
    ];
    for body in bodies {
        let undecoded = decode(alone(body), &rules(), NOW).expect_err("a rejection");
        assert_eq!(undecoded.rejection.reason, crate::outcome::Reason::Undecodable, "{body:?}");
        // The dead letter gets what came.
        assert_eq!((undecoded.message.shape(), undecoded.message.payload()), (Shape::Opaque, body));
    }
}

#[test]
fn depth_has_a_bound_whatever_stands_in_strings() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(read(alone(nested(128))).payload().len(), 256);
    assert!(refused(alone(nested(129)), &rules()).contains("deeper than 128"));
    assert!(refused(alone(nested(1_000_000)), &DecodeRules { message_max: 1 << 22, ..rules() }).starts_with("undecodable"));
    let brackets = format!("[{},\"{}\\\"[\",{{}}]", nested(1), "[{".repeat(500));
    assert_eq!(read(alone(&brackets)).payload(), brackets.as_bytes());
    let wide = format!("[{}1]", "[],".repeat(1000));
    assert_eq!(read(alone(&wide)).payload(), wide.as_bytes());
}

#[test]
fn size_is_looked_at_before_anything_else() {
    let rules = DecodeRules { message_max: 4, any: true, ..rules() };
    assert_eq!(refused(alone("nope!"), &rules), "oversize: 5 bytes, `message_max` is 4");
    assert_eq!(decode(alone("null"), &rules, NOW).expect("fits").payload(), b"null");
}

#[test]
fn a_bare_payload_is_named_by_its_transport_then_by_itself() {
    let named = Parcel::default().property(Property::Name, "FromType").property(Property::Type, "ecst_event");
    let cases = [
        (Parcel::default(), r#"{"x":1}"#, "notification_event", "Event"),
        (Parcel::default(), r#"{"event":"E"}"#, "notification_event", "E"),
        (Parcel::default(), r#"{"event":"E","event_name":"En\u0041me"}"#, "notification_event", "EnAme"),
        (Parcel::default(), r#"{"event":{"a":1},"event_name":""}"#, "notification_event", "Event"),
        (named, r#"{"event":"E","event_name":"N"}"#, "ecst_event", "FromType"),
        (Parcel::default().property(Property::Name, ""), "[]", "notification_event", "Event"),
    ];
    for (parcel, body, message_type, name) in cases {
        let message = read(parcel.with(body));
        assert_eq!((message.message_type(), message.name()), (message_type, name), "{body}");
    }
}

#[test]
fn a_pin_leaves_the_choice_to_nobody() {
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"T","data":{"b":2}}"#;
    let hook = r#"{"type":"user.created","timestamp":"2023-03-07T09:26:02Z","data":{"c":3}}"#;
    let cases = [
        (Decode::Bare, ENVELOPE, Some((Shape::Bare, ENVELOPE))),
        (Decode::Envelope, ENVELOPE, Some((Shape::Envelope, r#"{"a":1}"#))),
        (Decode::Envelope, event, None),
        (Decode::Envelope, "[]", None),
        (Decode::CloudEvents, event, Some((Shape::CloudEvent, r#"{"b":2}"#))),
        (Decode::CloudEvents, ENVELOPE, None),
        (Decode::StandardWebhook, hook, Some((Shape::StandardWebhook, r#"{"c":3}"#))),
        (Decode::StandardWebhook, event, None),
        (Decode::StandardWebhook, "7", None),
        // Without a pin neither of these two is more than a payload.
        (Decode::Auto, event, Some((Shape::Bare, event))),
        (Decode::Auto, hook, Some((Shape::Bare, hook))),
    ];
    for (shape, body, expected) in cases {
        let decoded = decode(alone(body), &pinned(shape), NOW).ok();
        let decoded = decoded.as_ref().map(|message| (message.shape(), std::str::from_utf8(message.payload()).expect("UTF-8")));
        assert_eq!(decoded, expected, "{shape:?} {body}");
    }
    let headers =
        Parcel::default().header("ce-specversion", "1.0").header("ce-id", "1").header("ce-source", "s").header("ce-type", "T");
    assert_eq!(decode(headers.with(ENVELOPE), &pinned(Decode::Envelope), NOW).expect("pinned").shape(), Shape::Envelope);
}

#[test]
fn a_standard_webhook_brings_its_name_and_time() {
    let hook = r#"{"type":"user.created","timestamp":"2023-03-07T09:26:02.5+01:00","data":{"event_id":"e1"}}"#;
    let message = decode(alone(hook), &pinned(Decode::StandardWebhook), NOW).expect("a webhook");
    assert_eq!((message.name(), message.id()), ("user.created", "e1"));
    assert_eq!(message.event_time().as_deref(), Some("2023-03-07T08:26:02.5Z"));
    let hook = r#"{"type":"user.created","timestamp":"2023-03-07T08:26:02.5Z","data":{"event_id":"e1"}}"#;
    assert_eq!(sent(&Format::StandardWebhook, &message).0, hook);
}

#[test]
fn any_wraps_what_is_not_json() {
    let rules = DecodeRules { any: true, ..rules() };
    let message =
        decode(Parcel::default().property(Property::ContentType, "image/png").with(b"\x89PNG"), &rules, NOW).expect("any");
    assert_eq!(message.payload(), br#"{"datacontenttype":"image/png","data_base64":"iVBORw=="}"#);
    let message = decode(alone("plain"), &rules, NOW).expect("any");
    assert_eq!(message.payload(), br#"{"datacontenttype":"application/octet-stream","data_base64":"cGxhaW4="}"#);
    assert_eq!(
        sent(&Format::Payload, &message),
        ("plain".into(), "application/octet-stream".into(), vec![("rialto-hops".into(), "1".into())])
    );
    // JSON stays what it is, and a body that nests too deep is no body of another kind.
    assert_eq!(decode(alone("{}"), &rules, NOW).expect("JSON").payload(), b"{}");
    assert!(refused(alone("[".repeat(200) + &"]".repeat(200)), &rules).contains("deeper"));
}
