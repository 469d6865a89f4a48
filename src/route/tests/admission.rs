use super::*;
use std::sync::Arc;

use crate::{envelope::Property, outcome::Refusal};

#[test]
fn a_pipeline_thread_may_take_its_router_along() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&router(Vec::new()));
}

#[test]
fn one_destination_without_an_address_buries_only_its_own_copy() {
    let mut router = router(vec![route(vec![destination(0, "app:{message_id}"), destination(1, "app:{payload.region}")])]);
    let bodies = [r#"{"event_id":"7"}"#, "no json", r#"{"event_id":"*","region":"eu"}"#];
    let batch = admit(&mut router, bodies.map(alone));
    let expected = [
        (0, 0, "app:7", None),
        (0, 9, "orders.dead", Some(Reason::Address)),
        (1, 9, "orders.dead", Some(Reason::Undecodable)),
        (2, 9, "orders.dead", Some(Reason::Address)),
        (2, 1, "app:eu", None),
    ];
    assert_eq!(copies(&batch), expected);
    assert!(batch.idle.is_empty() && batch.aside.is_empty());
    // What was half written for a copy that came to nothing is gone.
    assert_eq!(batch.arena, "app:7orders.deadorders.deadorders.deadapp:eu");
}

#[test]
fn every_route_that_matches_gets_a_copy() {
    let named = |name: &str| Some(Matcher { message_name: Some(pattern(&[name])), ..Matcher::default() });
    let by_header = Matcher { headers: vec![("x-region".into(), pattern(&["eu*", "us"]))], ..Matcher::default() };
    let by_source = Matcher { source: Some(pattern(&["ord*"])), ..Matcher::default() };
    let mut inside = destination(3, "d");
    inside.matcher = named("*Left");
    let mut router = router(vec![
        Route { matcher: named("User*"), ..route(vec![destination(0, "a")]) },
        Route { matcher: Some(by_header), ..route(vec![destination(1, "b")]) },
        Route { matcher: Some(by_source), ..route(vec![destination(2, "c"), inside]) },
    ]);
    let lanes = |router: &mut Router, message| {
        let batch = admit(router, [message]);
        assert!(batch.copies.iter().all(|copy| copy.death.is_none()));
        batch.copies.iter().map(|copy| copy.lane.0).collect::<Vec<_>>()
    };
    assert_eq!(lanes(&mut router, alone(r#"{"event":"UserJoined"}"#)), [0, 2]);
    assert_eq!(lanes(&mut router, alone(r#"{"event":"UserLeft"}"#)), [0, 2, 3]);
    assert_eq!(lanes(&mut router, Parcel::default().header("x-region", "eu-west").with("{}")), [1, 2]);
    // The event's own source is meant before the name of the source it was read from.
    let sourced = r#"{"message_type":"t","message_name":"N","message_id":"1","payload":1,"metadata":{"source":"billing"}}"#;
    assert_eq!(lanes(&mut router, Parcel::default().header("x-region", "us").with(sourced)), [1]);
}

#[test]
fn what_no_route_wants_goes_where_the_source_says() {
    let nobody = || {
        vec![Route {
            matcher: Some(Matcher { message_name: Some(pattern(&["X"])), ..Matcher::default() }),
            ..route(vec![destination(0, "a")])
        }]
    };
    let unmatched = Arc::new(Refusal::new(Reason::Unrouted, "no route matched `notification_event` `Event`"));
    let cases = [
        (Unrouted::Ack, DeadLetterTo::Drop, Some(Idle::Unrouted)),
        (Unrouted::Reject, DeadLetterTo::Drop, Some(Idle::Rejected(unmatched.clone()))),
        (Unrouted::DeadLetter, DeadLetterTo::Drop, Some(Idle::Dropped(Reason::Unrouted))),
        (Unrouted::DeadLetter, DeadLetterTo::Native, Some(Idle::Rejected(unmatched.clone()))),
        (Unrouted::DeadLetter, DeadLetterTo::Lane(LaneId(9)), None),
    ];
    for (unrouted, dead_letter, idle) in cases {
        let batch = admit(&mut router_of(SourceContext { unrouted, dead_letter, ..source() }, nobody()), [alone("{}")]);
        match idle {
            Some(idle) => assert_eq!((batch.idle.as_slice(), batch.copies.len()), ([(0, idle)].as_slice(), 0)),
            None => assert_eq!(error(&batch), "no route matched `notification_event` `Event`"),
        }
    }
}

#[test]
fn a_lost_copy_of_several_is_told_apart_from_a_lost_message() {
    let lossy = |dead_letter| Destination { dead_letter, ..destination(1, "{payload.x}") };
    let mut both = router(vec![route(vec![destination(0, "a"), lossy(DeadLetterTo::Drop)])]);
    let batch = admit(&mut both, [alone("{}")]);
    assert_eq!(copies(&batch), [(0, 0, "a", None)]);
    assert_eq!(batch.aside, [(0, LaneId(1), Idle::Dropped(Reason::Address))]);
    assert!(batch.idle.is_empty());
    let mut only = router(vec![route(vec![lossy(DeadLetterTo::Native)])]);
    let batch = admit(&mut only, [alone("{}")]);
    let [(0, Idle::Rejected(why))] = batch.idle.as_slice() else { panic!("{:?}", batch.idle) };
    assert_eq!(why.reason, Reason::Address);
    assert_eq!(batch.aside, [(0, LaneId(1), Idle::Rejected(Arc::clone(why)))]);
}

#[test]
fn a_cycle_of_routes_ends() {
    let mut router = router(vec![route(vec![destination(0, "a")])]);
    let hops = |hops: &str| Parcel::default().header("rialto-hops", hops).with("{}");
    let batch = admit(&mut router, [hops("8"), hops("9")]);
    assert_eq!(copies(&batch), [(0, 0, "a", None), (1, 9, "orders.dead", Some(Reason::Hops))]);
}

#[test]
fn a_bare_payload_is_called_what_the_source_says() {
    let event = EventRules {
        message_type: Some(template("ecst_event")),
        message_name: Some(template("{header.x-event-type|payload.type|message_name}")),
        message_id: Some(template("{payload.order}-{payload.step}")),
    };
    let mut router =
        router_of(SourceContext { event: Some(event), ..source() }, vec![route(vec![destination(0, "a:{message_id}")])]);
    let envelope = r#"{"message_type":"t","message_name":"N","message_id":"own","payload":{"order":1,"step":2}}"#;
    let named = Parcel::default().property(Property::Name, "FromTransport").property(Property::Id, "transport");
    let batch = admit(
        &mut router,
        [
            alone(r#"{"order":1,"step":2,"type":"Paid"}"#),
            named.with(r#"{"order":1,"step":3}"#),
            alone(envelope),
            alone(r#"{"order":1}"#),
        ],
    );
    let seen: Vec<_> = batch.messages.iter().map(|message| (message.message_type(), message.name(), message.id())).collect();
    let expected = [("ecst_event", "Paid", "1-2"), ("ecst_event", "FromTransport", "1-3"), ("t", "N", "own")];
    assert_eq!(seen[..3], expected);
    assert!(batch.messages[..3].iter().all(|message| !message.identity_unstable()));
    // An id that was asked for and is not there is no reason to invent one.
    assert_eq!(error(&batch), "`{payload.step}` has no value in this message");
}

#[test]
fn keys_fields_and_headers_are_rendered_beside_the_address() {
    let mut all = destination(0, "a");
    all.fields =
        vec![(template("{payload.ttl}"), None), (template("s:{payload.region}"), Some(CHANNEL)), (template("fixed"), None)];
    all.headers = vec![("x-id".into(), template("{message_id}"))];
    all.key = Some(template("{payload.region}"));
    let mut router = router(vec![Route { key: Some(template("{payload.id}")), ..route(vec![all, destination(1, "b")]) }]);
    let batch = admit(&mut router, [alone(r#"{"event_id":"7","region":"eu","id":5}"#)]);
    let [first, second] = batch.copies.as_slice() else { panic!("{:?}", copies(&batch)) };
    let fields: Vec<_> = first.fields.iter().map(|field| field.as_ref().map(|span| batch.text(span))).collect();
    assert_eq!(fields, [None, Some("s:eu"), Some("fixed")]);
    assert_eq!((&*first.headers[0].0, batch.text(&first.headers[0].1)), ("x-id", "7"));
    assert_eq!((batch.text(&first.key), batch.text(&second.key)), ("eu", "5"));
    // A key that was asked for and is not there is a rejection; so is an address among the fields.
    assert_eq!(
        error(&admit(&mut router, [alone(r#"{"event_id":"7","id":5}"#)])),
        "`{payload.region}` has no value in this message"
    );
}

#[test]
fn the_messages_own_key_is_the_default() {
    let mut router = router(vec![route(vec![destination(0, "a")])]);
    let batch = admit(
        &mut router,
        [
            Parcel::default().property(Property::Key, "customer-1").with("{}"),
            alone("{}"),
            Parcel::default().property(Property::Key, "k").with("nope"),
        ],
    );
    let keys: Vec<_> = batch.copies.iter().map(|copy| batch.text(&copy.key)).collect();
    assert_eq!(keys, ["customer-1", "", "k"]);
    let batch = admit(&mut router, [Parcel::default().property(Property::Key, &"k".repeat(8193)).with("{}")]);
    assert_eq!(copies(&batch)[0].3, Some(Reason::Address));
}
