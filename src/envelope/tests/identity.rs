//! Where `message_id` comes from, and which one survives a redelivery.

use uuid::Uuid;

use super::*;

#[test]
fn the_first_identity_that_exists_counts() {
    let envelope = r#"{"message_type":"t","message_name":"N","message_id":"own","payload":{"event_id":"inner"}}"#;
    let nameless = r#"{"message_type":"t","message_name":"N","message_id":null,"payload":{"event_id":"inner"}}"#;
    let full = || Parcel::default().property(Property::Id, "transport").header("message_id", "header").position("t/0/7");
    let cases = [
        (full(), envelope, "own"),
        (full(), nameless, "transport"),
        (full(), r#"{"event_id":"inner"}"#, "transport"),
        (Parcel::default().header("message_id", "header"), r#"{"event_id":"inner"}"#, "header"),
        (Parcel::default().property(Property::Id, ""), r#"{"event_id":"in\u006eer"}"#, "inner"),
        (Parcel::default().position("t/0/7"), nameless, "inner"),
        // A number identifies as well as a text.
        (Parcel::default(), r#"{"event_id":123456789012345678901234567890}"#, "123456789012345678901234567890"),
    ];
    for (parcel, body, id) in cases {
        let message = read(parcel.with(body));
        assert_eq!((message.id(), message.identity_unstable()), (id, false), "{body}");
    }
}

#[test]
fn a_position_identifies_across_redeliveries() {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:rialto:position");
    let expected = Uuid::new_v5(&namespace, b"mq/orders/0/42").to_string();
    for body in [r#"{"event_id":""}"#, r#"{"event_id":null}"#, "[1]"] {
        let message = read(Parcel::default().position("orders/0/42").with(body));
        assert_eq!((message.id(), message.identity_unstable()), (expected.as_str(), false));
    }
    let elsewhere = DecodeRules { broker: "other".into(), ..rules() };
    let message = decode(Parcel::default().position("orders/0/42").with("[1]"), &elsewhere, NOW).expect("JSON");
    assert_ne!(message.id(), expected, "another broker's position is another place");
}

#[test]
fn what_nothing_identifies_gets_a_new_id_each_time() {
    let (first, second) = (read(alone("{}")), read(alone("{}")));
    assert!(first.identity_unstable() && second.identity_unstable());
    assert_ne!(first.id(), second.id());
    let id = Uuid::parse_str(first.id()).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(id.get_timestamp().expect("a time").to_unix(), (1_700_000_000, 0));
    assert_eq!(first.id(), id.hyphenated().to_string());
}

#[test]
fn what_cannot_be_decoded_is_identified_too() {
    let undecoded = decode(Parcel::default().property(Property::Id, "m1").with("nope"), &rules(), NOW).expect_err("no JSON");
    assert_eq!(undecoded.message.id(), "m1");
}
