//! Whom a message reaches, where, and what becomes of it when it reaches nobody.

mod admission;
mod addresses;
mod candidates;
mod deaths;
mod programs;

use super::*;
use crate::{
    envelope::{Decode, DecodeRules, Message, RawMessage, tests::Parcel},
    outcome::Reason,
    written::{self, AddressRule, Problems, TemplateText},
};

const NOW: i64 = 1_700_000_000_000;

const CHANNEL: AddressRule = AddressRule {
    bytes_max: 64,
    forbidden: |character| character.is_control() || matches!(character, '*' | '?' | '['),
    name: "a Redis channel",
    encode: None,
};

fn at() -> written::Span {
    written::Span { source: "rialto.yaml".into(), bytes: 0..0, line: 1, column: 1 }
}

fn template(text: &str) -> Template {
    let mut faults = Problems::default();
    let compiled = Template::compile(&TemplateText { text: text.to_owned(), at: at() }, &mut faults);
    compiled.unwrap_or_else(|| panic!("{text}: {faults:?}"))
}

fn pattern(globs: &[&str]) -> Pattern {
    let (at, mut faults) = (at(), Problems::default());
    let compiled = Pattern::compile(globs.iter().map(|glob| (*glob, &at)), &mut faults);
    compiled.unwrap_or_else(|| panic!("{globs:?}: {faults:?}"))
}

fn jq(text: &str) -> Jq {
    let mut faults = Problems::default();
    Jq::compile(text, &at(), &mut faults).unwrap_or_else(|| panic!("{text}: {faults:?}"))
}

fn source() -> SourceContext {
    SourceContext {
        source: "orders".into(),
        broker: "mq".into(),
        prefix: "rialto".into(),
        name: "shop".into(),
        instance: "shop-1".into(),
        decode: DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: "mq".into() },
        event: None,
        unrouted: Unrouted::DeadLetter,
        dead_letter: DeadLetterTo::Lane(LaneId(9)),
    }
}

fn destination(lane: u32, address: &str) -> Destination {
    Destination {
        lane: LaneId(lane),
        name: format!("d{lane}").into(),
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
    Route { name: "notify".into(), matcher: None, by_kind: false, when: None, transform: None, key: None, destinations }
}

fn router_of(source: SourceContext, routes: Vec<Route>) -> Router {
    let grave = DeadLetterLane { lane: LaneId(9), address: template("{source}.dead"), rule: CHANNEL, fields: Vec::new() };
    Router::new(source, routes, vec![grave]).expect("small globs")
}

fn router(routes: Vec<Route>) -> Router {
    router_of(source(), routes)
}

fn alone(body: impl AsRef<[u8]>) -> RawMessage {
    Parcel::default().with(body)
}

fn admit(router: &mut Router, messages: impl IntoIterator<Item = RawMessage>) -> Routed {
    let mut batch = Routed::default();
    for message in messages {
        router.admit(message, NOW, &mut batch);
    }
    batch
}

/// (message, lane, address, reason) of every copy.
fn copies(batch: &Routed) -> Vec<(u32, u32, &str, Option<Reason>)> {
    let copy = |copy: &Copy| (copy.message, copy.lane.0, batch.text(&copy.address), copy.death.as_ref().map(|death| death.reason));
    batch.copies.iter().map(copy).collect()
}

/// The words of the only dead letter.
fn error(batch: &Routed) -> &str {
    let deaths: Vec<_> = batch.copies.iter().filter_map(|copy| copy.death.as_ref()).collect();
    assert_eq!(deaths.len(), 1, "{:?}", copies(batch));
    &deaths[0].error
}

/// The message as a copy has it.
fn message_of<'b>(batch: &'b Routed, copy: &'b Copy) -> &'b Message {
    copy.transformed.as_deref().unwrap_or(&batch.messages[copy.message as usize])
}
