//! What one message costs on its way from body to copies, without any broker: `cargo bench --bench micro`.
//!
//! Each figure is the fastest of many rounds: the least that the work needs, and what a busy machine disturbs least.

use std::{hint::black_box, sync::Arc, time::Instant};

use rialto::{
    envelope::{Bare, Decode, DecodeRules, Format, HeaderArena, Message, RawMessage, decode},
    route::{DeadLetterTo, Destination, Jq, LaneId, Matcher, Pattern, Route, Routed, Router, SourceContext, Template, Unrouted},
    written::{AddressRule, Problems, Span, TemplateText},
};

/// Messages a round, as many as the bridge takes at once.
const BATCH: u32 = 256;
const ROUNDS: u32 = 2000;
const NOW: i64 = 1_700_000_000_000;

fn main() {
    println!("{:<52} {:>10}", "one message", "ns");
    for size in [256, 1024] {
        decoding(size);
        admission(size);
    }
    looking_inside();
    candidates();
}

/// Runs `work` in rounds of a batch and prints the nanoseconds of one.
fn measure(what: &str, mut work: impl FnMut()) {
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..BATCH).for_each(|_| work());
        start.elapsed()
    };
    let best = (0..ROUNDS).map(|_| round(&mut work)).min().unwrap_or_default();
    println!("{what:<52} {:>10.0}", best.as_nanos() as f64 / f64::from(BATCH));
}

fn decoding(size: usize) {
    let rules = rules();
    for (shape, raw) in [("envelope", envelope(size)), ("bare payload", bare(size))] {
        measure(&format!("decode, {shape} of {size} B"), || drop(black_box(decode(raw.clone(), &rules, NOW))));
        let message = decoded(raw);
        let (mut body, mut headers) = (Vec::new(), HeaderArena::default());
        measure(&format!("encode standard, {shape} of {size} B"), || {
            body.clear();
            headers.clear();
            black_box(Format::Standard.encode(&message, &mut body, &mut headers));
        });
    }
}

fn admission(size: usize) {
    let mut router = router(vec![route("live", None)]);
    let raw = envelope(size);
    let mut batch = Routed::default();
    measure(&format!("decode, route, render, envelope of {size} B"), || {
        batch.messages.clear();
        batch.copies.clear();
        batch.arena.clear();
        router.admit(raw.clone(), NOW, &mut batch);
    });
    assert_eq!(batch.copies.len(), 1, "the message reached its destination");
}

fn looking_inside() {
    let raw = envelope(1024);
    let mut batch = Routed::default();
    let mut with = |what: &str, route: Route| {
        let mut router = router(vec![route]);
        measure(what, || {
            batch = Routed::default();
            router.admit(raw.clone(), NOW, &mut batch);
        });
    };
    let mut field = route("live", None);
    field.destinations[0].address = template("app:{payload.user_id}");
    with("the same with `{payload.user_id}`, 1024 B", field);
    with("the same with `when`, 1024 B", Route { when: Some(jq(".payload.user_id > 100")), ..route("live", None) });
    with(
        "the same with `transform`, 1024 B",
        Route { transform: Some(jq("del(.payload.event_timestamp)")), ..route("live", None) },
    );
}

fn candidates() {
    let named = |index: usize| route(&format!("r{index}"), Some(&format!("Name{index}*")));
    let mut router = router((0..1000).map(named).collect());
    measure("candidates of 1,000 name globs, seen before", || drop(black_box(router.candidates("t", "Name500Created"))));
    let long = format!("Name500{}", "x".repeat(300));
    measure("candidates of 1,000 name globs, never remembered", || drop(black_box(router.candidates("t", &long))));
}

/// An envelope whose body has about `size` bytes.
fn envelope(size: usize) -> RawMessage {
    let head = r#"{"message_type":"notification_event","message_name":"UserJoinedNotificationEvent","message_id":"9f62e977-73f7-462b-92cb-8ea658d3bcb5","payload":"#;
    raw(format!("{head}{}}}", payload(size - head.len())))
}

fn bare(size: usize) -> RawMessage {
    raw(payload(size))
}

/// A payload as services write them: a few fields, a list of small objects.
fn payload(size: usize) -> String {
    let mut payload = r#"{"event_id":"9f62e977-73f7-462b-92cb-8ea658d3bcb5","event_timestamp":"2023-03-07T09:26:02.588855","user_id":123,"items":["#.to_owned();
    let item = r#"{"sku":"A-1029","count":3,"price":"19.90"}"#;
    while payload.len() + item.len() + 2 < size {
        payload.push_str(item);
        payload.push(',');
    }
    payload.push_str("null]}");
    payload
}

fn raw(body: String) -> RawMessage {
    RawMessage { body: body.into(), carrier: Arc::new(Bare) }
}

fn rules() -> DecodeRules {
    DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: "mq".into() }
}

fn decoded(raw: RawMessage) -> Message {
    decode(raw, &rules(), NOW).unwrap_or_else(|undecoded| panic!("{}", undecoded.rejection))
}

fn at() -> Span {
    Span { source: "bench".into(), bytes: 0..0, line: 0, column: 0 }
}

fn template(text: &str) -> Template {
    Template::compile(&TemplateText { text: text.to_owned(), at: at() }, &mut Problems::default()).expect("a template")
}

fn jq(text: &str) -> Jq {
    Jq::compile(text, &at(), &mut Problems::default()).expect("a program")
}

fn route(name: &str, glob: Option<&str>) -> Route {
    let at = at();
    let names = |glob| Pattern::compile([(glob, &at)], &mut Problems::default());
    let matcher = glob.map(|glob| Matcher { message_name: names(glob), ..Matcher::default() });
    let rule = AddressRule {
        bytes_max: 1024,
        forbidden: |character| character.is_control() || "*?[".contains(character),
        name: "a channel",
        encode: None,
    };
    let destination = Destination {
        lane: LaneId(0),
        name: name.into(),
        address: template("app:{message_type}:{message_id}"),
        rule,
        allow: None,
        fields: Vec::new(),
        headers: Vec::new(),
        key: None,
        matcher: None,
        when: None,
        dead_letter: DeadLetterTo::Drop,
    };
    Route { name: name.into(), matcher, by_kind: false, when: None, transform: None, key: None, destinations: vec![destination] }
}

fn router(routes: Vec<Route>) -> Router {
    let source = SourceContext {
        source: "orders".into(),
        broker: "mq".into(),
        prefix: "rialto".into(),
        name: "bench".into(),
        instance: "bench-1".into(),
        decode: rules(),
        event: None,
        unrouted: Unrouted::Ack,
        dead_letter: DeadLetterTo::Drop,
    };
    Router::new(source, routes, Vec::new()).expect("small globs")
}
