//! Properties over arbitrary messages; a failure prints the smallest one and its seed.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// JSON as text: numbers of any size, repeated keys, any characters raw or escaped, white space where it may stand.
fn document() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,40})",
        "-?(0|[1-9][0-9]{0,5})\\.[0-9]{1,30}([eE][+-]?[0-9]{1,3})?",
        "-?[1-9][eE][+-]?[0-9]{1,3}"
    ];
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number, string()];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (prop::collection::vec((key(), inner), 0..6), space()).prop_map(|(members, space)| {
                let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
                format!("{{{space}{}{space}}}", members.join(","))
            }),
        ]
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n\t "), 1 => Just("\r\n")]
}

/// Keys, often the same ones, and those that recognition asks for.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"a\"".to_owned()),
        Just("\"payload\"".to_owned()),
        Just("\"event\"".to_owned()),
        Just("\"event_timestamp\"".to_owned()),
        Just("\"message\\u005fid\"".to_owned()),
        string()
    ]
}

/// A JSON string of any text, its characters raw or escaped, as a producer might spell it.
fn string() -> impl Strategy<Value = String> {
    prop::collection::vec((any::<char>(), any::<bool>()), 0..12).prop_map(|characters| {
        let mut spelled = "\"".to_owned();
        for (character, escaped) in characters {
            if escaped || character.is_control() || matches!(character, '"' | '\\') {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(spelled, "\\u{unit:04X}").expect("a string takes all");
                }
            } else {
                spelled.push(character);
            }
        }
        spelled + "\""
    })
}

/// A text as orjson spells it, which is how canonical envelopes have it.
fn canonical(text: &str) -> String {
    let mut out = Vec::new();
    json::push_string(&mut out, text);
    String::from_utf8(out).expect("UTF-8")
}

fn envelope(message_type: &str, name: &str, id: &str, payload: &str) -> String {
    let (message_type, name, id) = (canonical(message_type), canonical(name), canonical(id));
    format!(r#"{{"message_type":{message_type},"message_name":{name},"message_id":{id},"payload":{payload}}}"#)
}

proptest! {
    #[test]
    fn an_envelope_leaves_as_it_came(kind in any::<String>(), name in any::<String>(), id in ".+", payload in document()) {
        let body = envelope(&kind, &name, &id, &payload);
        let message = read(alone(&body));
        prop_assert_eq!((message.message_type(), message.name(), message.id()), (kind.as_str(), name.as_str(), id.as_str()));
        prop_assert_eq!(standard(&message), body);
        prop_assert_eq!(sent(&Format::Payload, &message).0, payload);
    }

    #[test]
    fn the_order_and_the_spelling_of_the_head_change_nothing(order in Just([0, 1, 2, 3]).prop_shuffle(), name in string(), payload in document(), space in space()) {
        let members = [r#""message_type":"t""#.to_owned(), format!(r#""message_name":{space}{name}"#), r#""message_id":"1""#.to_owned(), format!(r#""payload":{space}{payload}{space}"#)];
        let body = format!("{space}{{{}}}{space}", order.map(|index| members[index].clone()).join(&format!("{space},{space}")));
        let name: String = serde_json::from_str(&name).expect("a string");
        prop_assert_eq!(standard(&read(alone(body))), envelope("t", &name, "1", &payload));
    }

    #[test]
    fn a_bare_payload_is_never_touched(payload in document(), space in space()) {
        let message = read(alone(format!("{space}{payload}{space}")));
        prop_assert_eq!(message.shape(), Shape::Bare);
        prop_assert_eq!(message.payload(), payload.as_bytes());
    }

    #[test]
    fn an_envelope_comes_back_from_a_cloud_event(kind in any::<String>(), name in any::<String>(), id in ".+", payload in document(), prefix in prop::option::of(prop::sample::select(vec!["ce-", "ce_", "cloudEvents_", ""]))) {
        let body = envelope(&kind, &name, &id, &payload);
        let format = prefix.map_or_else(structured, binary);
        let event = read(received(sent(&format, &read(alone(&body)))));
        prop_assert_eq!(event.shape(), Shape::CloudEvent);
        prop_assert_eq!(standard(&event), body);
    }

    #[test]
    fn an_extended_envelope_is_the_standard_one_and_more(payload in document(), id in ".+") {
        let body = envelope("t", "N", &id, &payload);
        let extended = sent(&Format::Extended { source: "urn:rialto:test".into() }, &read(alone(&body))).0;
        let message = read(alone(&extended));
        prop_assert_eq!(message.shape(), Shape::Envelope);
        prop_assert_eq!(standard(&message), body);
        prop_assert_eq!(message.hops(), 1);
    }

    #[test]
    fn a_field_is_the_one_that_a_tree_would_have(payload in document(), path in prop::collection::vec(prop::sample::select(vec!["a", "payload", "event", "0", "1"]), 1..4)) {
        let message = read(alone(&payload));
        let tree: serde_json::Value = serde_json::from_str(&payload).unwrap_or_default();
        let node = path.iter().try_fold(&tree, |node, step| match node {
            serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => node.get(step),
        });
        let found = message.field(&Path::parse(&path.join(".")).expect("a path"));
        match node {
            Some(serde_json::Value::String(text)) => prop_assert_eq!(found.as_deref(), Some(text.as_str())),
            Some(serde_json::Value::Bool(truth)) => prop_assert_eq!(found, Some(truth.to_string().into())),
            Some(serde_json::Value::Number(_)) => prop_assert!(found.is_some()),
            // A number beyond the range of a float is more than serde_json's tree can hold; then there is no tree to compare with.
            _ => prop_assert!(found.is_none() || tree.is_null()),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64), any in any::<bool>()) {
        let valid = std::str::from_utf8(&body).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text.trim_start_matches('\u{feff}')).is_ok());
        let decoded = decode(alone(&body), &DecodeRules { any, ..rules() }, NOW);
        prop_assert_eq!(decoded.is_ok(), valid || any);
    }

    #[test]
    fn almost_json_is_read_or_refused(document in document(), cut in any::<prop::sample::Index>(), junk in "[\\[\\]{}\",:0-9a-z\\\\ ]{0,2}") {
        let mut at = cut.index(document.len() + 1);
        while !document.is_char_boundary(at) { at -= 1; }
        let broken = format!("{}{junk}{}", &document[..at], &document[at..]);
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&broken).is_ok();
        prop_assert_eq!(decode(alone(&broken), &pinned(Decode::Bare), NOW).is_ok(), valid);
    }
}
