use bytes::Bytes;

use super::*;

fn rules() -> DecodeRules {
    DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: "mq".into() }
}

fn bare(body: &'static str) -> RawMessage {
    RawMessage { body: Bytes::from_static(body.as_bytes()), carrier: std::sync::Arc::new(Bare) }
}

fn encoded(message: &Message) -> String {
    let (mut body, mut headers) = (Vec::new(), HeaderArena::default());
    assert_eq!(Format::Standard.encode(message, &mut body, &mut headers), "");
    String::from_utf8(body).expect("UTF-8")
}

#[test]
fn diators_envelope_passes_byte_for_byte() {
    let body = concat!(
        r#"{"message_type":"notification_event","message_name":"UserJoinedNotificationEvent","#,
        r#""message_id":"9f62e977-73f7-462b-92cb-8ea658d3bcb5","payload":{"event_id":"9f62e977-73f7-462b-92cb-8ea658d3bcb5","#,
        r#""event_timestamp":"2023-03-07T09:26:02.588855","user_id":123}}"#
    );
    let message = decode(bare(body), &rules(), 0).expect("an envelope");
    assert_eq!(message.shape(), Shape::Envelope);
    assert_eq!(message.name(), "UserJoinedNotificationEvent");
    assert_eq!(encoded(&message), body);
}

#[test]
fn a_bare_payload_is_wrapped_untouched() {
    let message = decode(bare(" {\"event_id\": \"7\",\n\"n\": 1e22} "), &rules(), 0).expect("JSON");
    assert_eq!((message.shape(), message.id(), message.identity_unstable()), (Shape::Bare, "7", false));
    let whole = "{\"message_type\":\"notification_event\",\"message_name\":\"Event\",\"message_id\":\"7\",\"payload\":{\"event_id\": \"7\",\n\"n\": 1e22}}";
    assert_eq!(encoded(&message), whole);
}
