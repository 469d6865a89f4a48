use super::*;
use crate::envelope::decode;

fn death() -> Death {
    Death {
        route: "notify".to_owned(),
        source: "orders".to_owned(),
        destination: "live".to_owned(),
        reason: Reason::Timeout,
        error: "no answer \"in\" 15s\n".to_owned(),
        attempts: 5,
        first_failed_at: 1_678_181_162_588,
        last_failed_at: 1_678_181_200_000,
        original_address: "app:7".to_owned(),
        original_position: String::new(),
    }
}

#[test]
fn a_dead_letter_names_its_death() {
    let death = death();
    let headers = death.headers();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let expected = [
        ("route", "notify"),
        ("source", "orders"),
        ("destination", "live"),
        ("reason", "timeout"),
        ("error", "no answer \"in\" 15s\n"),
        ("attempts", "5"),
        ("first-failed-at", "2023-03-07T09:26:02.588Z"),
        ("last-failed-at", "2023-03-07T09:26:40Z"),
        ("original-address", "app:7"),
        ("original-position", ""),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn a_transport_without_headers_gets_them_in_the_metadata() {
    let envelope = r#"{"message_type":"t","message_name":"N","message_id":"7","payload":{ "a":1 }"#;
    let message = decode(alone(format!("{envelope},\"metadata\":{{\"tenant\":\"acme\",\"hops\":2}}}}")), &source().decode, NOW)
        .expect("an envelope");
    let mut body = Vec::new();
    assert!(death().wrap(&message, "urn:rialto:test", &mut body));
    let expected = concat!(
        r#","metadata":{"source":"urn:rialto:test","tenant":"acme","hops":2,"rialto-dead-route":"notify","rialto-dead-source":"orders","rialto-dead-destination":"live","#,
        r#""rialto-dead-reason":"timeout","rialto-dead-error":"no answer \"in\" 15s\n","rialto-dead-attempts":"5","#,
        r#""rialto-dead-first-failed-at":"2023-03-07T09:26:02.588Z","rialto-dead-last-failed-at":"2023-03-07T09:26:40Z","#,
        r#""rialto-dead-original-address":"app:7"}}"#
    );
    assert_eq!(String::from_utf8(body).expect("UTF-8"), format!("{envelope}{expected}"));
    let undecoded = decode(alone("nope"), &source().decode, NOW).expect_err("no JSON");
    let mut body = Vec::new();
    assert!(!death().wrap(&undecoded.message, "urn:rialto:test", &mut body) && body.is_empty());
}

#[test]
fn a_rejection_dies_with_all_that_is_known_of_it() {
    let mut router = router(vec![route(vec![destination(4, "app:{payload.region}")])]);
    let batch = admit(&mut router, [Parcel::default().position("orders/0/42").with("{}")]);
    let death = batch.copies[0].death.as_ref().expect("a death");
    assert_eq!((death.route.as_str(), death.destination.as_str(), death.source.as_str()), ("notify", "d4", "orders"));
    assert_eq!((death.attempts, death.first_failed_at, death.original_position.as_str()), (0, NOW, "orders/0/42"));
}

#[test]
fn a_dead_letter_of_a_binary_cloud_event_keeps_its_attributes() {
    let event =
        || Parcel::default().header("ce_specversion", "1.0").header("ce_id", "1").header("ce_source", "s").header("ce_type", "T");
    let names = |message: &Message| {
        let mut names = Vec::new();
        message.headers(&mut |name, _| names.push(name.to_owned()));
        names
    };
    let mut router = router(vec![route(vec![destination(0, "{payload.x}")])]);
    let batch = admit(&mut router, [event().with("{}")]);
    assert_eq!(names(message_of(&batch, &batch.copies[0])).len(), 4);
    assert!(names(&batch.messages[0]).is_empty());
    let buried = router.bury(LaneId(9), &batch.messages[0]).expect("a constant address");
    assert_eq!((buried.address.as_str(), names(&buried.received.expect("the attributes")).len()), ("orders.dead", 4));
    let plain = admit(&mut router, [alone("{}")]);
    assert!(router.bury(LaneId(9), &plain.messages[0]).expect("a constant address").received.is_none());
    assert!(router.bury(LaneId(7), &plain.messages[0]).is_err());
}
