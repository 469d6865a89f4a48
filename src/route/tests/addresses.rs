use proptest::prelude::*;

use super::*;
use crate::envelope::{Property, decode};

fn render(text: &str, message: RawMessage) -> Result<String, String> {
    let source = source();
    let message = decode(message, &source.decode, NOW).expect("JSON");
    let mut out = "before".to_owned();
    let rendered = template(text).render(&Context { message: &message, source: &source }, Some(&CHANNEL), &mut out);
    let (before, address) = out.split_at(6);
    assert_eq!(before, "before");
    rendered.map(|()| address.to_owned()).map_err(|rejection| {
        assert_eq!(address, "", "a rejection leaves nothing behind");
        rejection.to_string()
    })
}

#[test]
fn every_word_has_its_value() {
    let envelope =
        r#"{"message_type":"t","message_name":"N","message_id":"7","payload":{"a":{"b":[1,"x"]}},"metadata":{"tenant":"acme"}}"#;
    let mut parcel = Parcel::default().property(Property::Key, "k").header("x-dotted.name", "h").header("empty", "");
    parcel =
        parcel.word("queue", "orders.events").word("routing_key", "order.paid").word("app_id", "shop").word("subscription", "eu");
    parcel.time = Some(1_678_181_162_588);
    let cases = [
        ("{message_type}:{message_name}:{message_id}", "t:N:7"),
        ("{prefix}/{name}/{instance}/{source}/{broker}", "rialto/shop/shop-1/orders/mq"),
        ("{queue} {routing_key} {property.app_id} {key}", "orders.events order.paid shop k"),
        ("{queue} {topic|subscription}", "orders.events eu"),
        ("{payload.a.b.1}{payload.a.b.0}", "x1"),
        ("{header.x-dotted.name}", "h"),
        ("{metadata.tenant}", "acme"),
        ("{time}", "2023-03-07T09:26:02.588Z"),
        ("{payload.none|header.none|'nobody'}", "nobody"),
        ("{ payload.none | message_id }", "7"),
        // Empty is missing; a fallback of nothing is nothing.
        ("{header.empty|'e'}-{payload.none|''}", "e-"),
        ("{payload.none|'a''b|}{'}", "a'b|}{"),
        ("{{{message_id}}", "{7}"),
        ("no braces } at all", "no braces } at all"),
        ("", ""),
        // The template's own text may hold what values may not.
        ("*[?{message_id}", "*[?7"),
    ];
    for (text, expected) in cases {
        assert_eq!(render(text, parcel.clone().with(envelope)).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_value_that_would_go_elsewhere_is_rejected() {
    let cases = [
        (r#"{"event_id":"a*"}"#, "address: the value of `{message_id}` holds '*', which may not come into a Redis channel"),
        (r#"{"event_id":"a\n"}"#, "address: the value of `{message_id}` holds '\\n', which may not come into a Redis channel"),
        (r#"{"event_id":"\u0000"}"#, "address: the value of `{message_id}` holds '\\0', which may not come into a Redis channel"),
        (
            r#"{"event_id":"1234567890123456789012345678901234567890123456789012345678901"}"#,
            "address: 65 bytes are too long for a Redis channel, which takes 64",
        ),
    ];
    for (body, detail) in cases {
        assert_eq!(render("app:{message_id}", alone(body)), Err(detail.to_owned()));
    }
    assert_eq!(
        render("app:{payload.o|header.x}", alone(r#"{"o":{}}"#)),
        Err("address: `{payload.o|header.x}` has no value in this message".to_owned())
    );
    assert_eq!(
        render("{message_type}:{message_id}", alone(r#"{"event_id":"a:b/c d{é}"}"#)).as_deref(),
        Ok("notification_event:a:b/c d{é}")
    );
}

#[test]
fn faults_say_what_and_how_to_mend_it() {
    let cases = [
        ("{mesage_id}", "unknown word `mesage_id` in a template", Some("did you mean `message_id`?")),
        ("{paylod.a}", "unknown word `paylod.a` in a template", Some("did you mean `payload.a`?")),
        ("{nonsense}", "unknown word `nonsense` in a template", None),
        ("{payload.}", "unknown word `payload.` in a template", None),
        ("{payload.a..b}", "unknown word `payload.a..b` in a template", None),
        ("{}", "`{}` holds an empty word", None),
        ("{a|}", "unknown word `a` in a template", None),
        ("{message_id", "`{` is never closed in `{message_id`", Some("write `{{` for a brace that is none of a template")),
        ("{'x}", "`{` is never closed in `{'x}`", Some("write `{{` for a brace that is none of a template")),
    ];
    for (text, message, hint) in cases {
        let mut faults = Problems::default();
        assert!(Template::compile(&TemplateText { text: text.to_owned(), at: at() }, &mut faults).is_none(), "{text}");
        let found: Vec<_> = faults.iter().map(|fault| (fault.message.as_str(), fault.hint.as_deref())).collect();
        assert_eq!(found, [(message, hint)]);
    }
}

#[test]
fn a_template_knows_whether_messages_have_a_say() {
    let cases = [
        ("orders.dead", true, true, "orders.dead"),
        ("{source}.{name|'x'}", false, true, "*.*"),
        ("a:{message_id}:b", false, false, "a:*:b"),
        ("{header.x|name}", false, false, "*"),
    ];
    for (text, fixed, constant, pattern) in cases {
        let template = template(text);
        assert_eq!(
            (template.is_fixed(), template.is_constant(), template.pattern().as_str()),
            (fixed, constant, pattern),
            "{text}"
        );
        assert_eq!(template.constant(&source()).is_some(), constant);
    }
    assert_eq!(template("{source}.{name|'x'}").constant(&source()).as_deref(), Some("orders.shop"));
}

#[test]
fn allow_bounds_the_whole_address() {
    let mut bounded = destination(0, "app:{message_type}:{message_id}");
    bounded.allow = Some(pattern(&["app:notification_event:*"]));
    let mut router = router(vec![route(vec![bounded])]);
    let typed = |kind: &str| Parcel::default().property(Property::Type, kind).with(r#"{"event_id":"7"}"#);
    let batch = admit(&mut router, [typed("notification_event"), typed("notification_event:x"), typed("admin")]);
    let addresses: Vec<_> = copies(&batch).into_iter().map(|(_, _, address, _)| address).collect();
    assert_eq!(addresses, ["app:notification_event:7", "app:notification_event:x:7", "orders.dead"]);
    assert_eq!(error(&batch), "`app:admin:7` is outside what `allow` allows");
}

proptest! {
    /// Whatever a message holds: an address keeps the template's own text around each value, and no value brings what the rule forbids.
    #[test]
    fn no_value_leaves_its_place(kind in any::<String>(), name in any::<String>(), id in any::<String>()) {
        let body = serde_json::json!({"message_type": kind, "message_name": name, "message_id": id, "payload": null}).to_string();
        let rendered = render("app:{message_type}/{message_name|'none'}:{message_id}", alone(&body));
        let name = if name.is_empty() { "none" } else { name.as_str() };
        let legal = |text: &str| !text.is_empty() && !text.chars().any(CHANNEL.forbidden);
        // An empty id is none: the message then gets another one.
        let expected = format!("app:{kind}/{name}:{id}");
        if id.is_empty() {
            prop_assert_eq!(rendered.is_ok(), legal(&kind) && legal(name) && expected.len() + 36 <= CHANNEL.bytes_max);
        } else if legal(&kind) && legal(name) && legal(&id) && expected.len() <= CHANNEL.bytes_max {
            prop_assert_eq!(rendered, Ok(expected));
        } else {
            prop_assert!(rendered.is_err());
        }
    }

    #[test]
    fn any_text_compiles_or_is_a_fault(text in "[{}|'a-z._ ]{0,24}") {
        let mut faults = Problems::default();
        let compiled = Template::compile(&TemplateText { text, at: at() }, &mut faults);
        prop_assert_eq!(compiled.is_some(), faults.iter().count() == 0);
    }
}
