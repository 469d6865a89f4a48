use std::sync::Arc;

use super::*;
use crate::{
    envelope::{Bare, Decode, DecodeRules, RawMessage},
    outcome::Reason,
    written::{self, AddressRule, Problems, TemplateText},
};

const CHANNEL: AddressRule = AddressRule {
    bytes_max: 64,
    forbidden: |character| character.is_control() || matches!(character, '*' | '?' | '['),
    name: "a Redis channel",
};

fn at() -> written::Span {
    written::Span { source: "rialto.yaml".into(), bytes: 0..0, line: 1, column: 1 }
}

fn template(text: &str) -> Template {
    let mut faults = Problems::default();
    let compiled = Template::compile(&TemplateText { text: text.to_owned(), at: at() }, &mut faults);
    compiled.unwrap_or_else(|| panic!("{text}: {faults:?}"))
}

fn source() -> SourceContext {
    SourceContext {
        source: "orders".into(),
        broker: "mq".into(),
        prefix: "rialto".into(),
        name: "test".into(),
        instance: "test-1".into(),
        decode: DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: "mq".into() },
        event: None,
        unrouted: Unrouted::DeadLetter,
        dead_letter: DeadLetterTo::Lane(LaneId(9)),
    }
}

fn destination(lane: u32, address: &str) -> Destination {
    Destination {
        lane: LaneId(lane),
        name: "live".into(),
        address: template(address),
        rule: CHANNEL,
        allow: None,
        fields: Vec::new(),
        headers: Vec::new(),
        key: None,
        matcher: None,
        when: None,
        dead_letter: DeadLetterTo::Lane(LaneId(9)),
    }
}

fn route(destinations: Vec<Destination>) -> Route {
    Route { name: "notify".into(), matcher: None, when: None, transform: None, key: None, destinations }
}

fn router(routes: Vec<Route>) -> Router {
    let grave = DeadLetterLane { lane: LaneId(9), address: template("orders.dead"), rule: CHANNEL, fields: Vec::new() };
    Router::new(source(), routes, vec![grave]).expect("small globs")
}

fn admit(router: &mut Router, bodies: &[&str]) -> Routed {
    let mut batch = Routed::default();
    for body in bodies {
        router.admit(RawMessage { body: body.as_bytes().to_vec().into(), carrier: Arc::new(Bare) }, 1_700_000_000_000, &mut batch);
    }
    batch
}

/// (message, lane, address, reason) of every copy.
fn copies(batch: &Routed) -> Vec<(u32, u32, &str, Option<Reason>)> {
    let copy = |copy: &Copy| (copy.message, copy.lane.0, batch.text(&copy.address), copy.death.as_ref().map(|death| death.reason));
    batch.copies.iter().map(copy).collect()
}

#[test]
fn a_pipeline_thread_may_take_its_router_along() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&router(Vec::new()));
}

#[test]
fn one_destination_without_an_address_buries_only_its_own_copy() {
    let mut router = router(vec![route(vec![destination(0, "app:{message_id}"), destination(1, "app:{payload.region}")])]);
    let batch = admit(&mut router, &[r#"{"event_id":"7"}"#, "no json", r#"{"event_id":"*","region":"eu"}"#]);
    let expected = [
        (0, 0, "app:7", None),
        (0, 9, "orders.dead", Some(Reason::Address)),
        (1, 9, "orders.dead", Some(Reason::Undecodable)),
        (2, 9, "orders.dead", Some(Reason::Address)),
        (2, 1, "app:eu", None),
    ];
    assert_eq!(copies(&batch), expected);
    assert!(batch.idle.is_empty());
}
