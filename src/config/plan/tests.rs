//! What a plan runs: lanes, rules, fingerprints. Faults and their pages are fixtures: `tests/config/bad`.

mod by_kind;

use std::time::Duration;

use bytes::Bytes;

use super::{Given, PipelinePlan, Plan, read};
use crate::{
    envelope::{Bare, Format, Mode, RawMessage},
    route::{DeadLetterTo, Idle, LaneId, NoReceivers, Routed},
    written::{self, Problems},
};

fn plan(text: &str) -> Plan {
    let (plan, faults) = try_plan(text);
    plan.unwrap_or_else(|| panic!("{}", crate::config::render(&faults, false)))
}

fn try_plan(text: &str) -> (Option<Plan>, Problems) {
    let mut faults = Problems::default();
    let root = written::parse("test.yaml", text, &mut faults).expect("YAML");
    (read(&root, &Given::default(), &mut faults), faults)
}

fn messages(faults: &Problems) -> Vec<&str> {
    faults.iter().map(|problem| &*problem.message).collect()
}

const BROKERS: &str = "brokers: { mq: 'amqp://localhost', live: 'redis://localhost', far: 'rediss://u:swordfish@far' }\n";

fn with_brokers(rest: &str) -> Plan {
    plan(&format!("{BROKERS}{rest}"))
}

fn labels(pipeline: &PipelinePlan) -> Vec<(u32, &str, &str, &str)> {
    pipeline.lanes.iter().map(|lane| (lane.id.0, &*lane.route, &*lane.destination, &*lane.written)).collect()
}

#[test]
fn the_first_file_of_the_manual_is_one_pipeline_of_two_lanes() {
    let plan = with_brokers(
        "routes: [{ from: mq/orders.events, to: 'live/app:{message_type}:{message_id}', dead_letter: mq/orders.dead }]",
    );
    assert_eq!((&*plan.name, &*plan.prefix, plan.pipelines.len()), ("rialto", "rialto", 1));
    assert!(plan.instance.starts_with("rialto-"), "{}", plan.instance);
    let pipeline = &plan.pipelines[0];
    assert_eq!(
        (&*pipeline.source, &*pipeline.broker, pipeline.window, pipeline.window_bytes),
        ("mq/orders.events", "mq", 1000, 64 << 20)
    );
    assert_eq!(
        labels(pipeline),
        [
            (0, "mq/orders.events", "live", "live/app:{message_type}:{message_id}"),
            (1, "mq/orders.events", "dead_letter", "mq/orders.dead")
        ]
    );
    let (lane, grave) = (&pipeline.lanes[0], &pipeline.lanes[1]);
    assert_eq!((&lane.dead_letter, lane.is_dead_letter, lane.lazy), (&DeadLetterTo::Lane(LaneId(1)), false, false));
    assert!(lane.rules.required && lane.rules.templated);
    assert_eq!((grave.is_dead_letter, grave.lazy, grave.rules.max_errors, grave.rules.deadline), (true, true, None, None));
    assert!(grave.rules.required && !grave.rules.templated, "a missing grave is the lane's fault, not the message's");
}

#[test]
fn equal_dead_letters_share_a_lane_and_each_other_has_its_own() {
    let plan = with_brokers(
        "sources: { orders: { broker: mq, queue: orders, dead_letter: mq/dead } }
routes:
  - { name: a, from: orders, to: [live/a, far/a], dead_letter: mq/dead }
  - { name: b, from: orders, to: live/b, dead_letter: { broker: mq, queue: b.dead } }
  - { name: c, from: orders, to: live/c, dead_letter: drop }
  - { name: d, from: orders, to: live/d, dead_letter: native }
  - { name: orders, from: orders, to: live/e, dead_letter: mq/e.dead }",
    );
    let pipeline = &plan.pipelines[0];
    let graves: Vec<_> = labels(pipeline).into_iter().filter(|(id, ..)| pipeline.lanes[*id as usize].is_dead_letter).collect();
    assert_eq!(
        graves,
        [
            (6, "orders", "dead_letter", "mq/dead"),
            (7, "b", "dead_letter", "mq/b.dead"),
            (8, "orders", "dead_letter_2", "mq/e.dead")
        ]
    );
    let ends: Vec<_> = pipeline.lanes[..6].iter().map(|lane| lane.dead_letter.clone()).collect();
    let lane = |id| DeadLetterTo::Lane(LaneId(id));
    assert_eq!(ends, [lane(6), lane(6), lane(7), DeadLetterTo::Drop, DeadLetterTo::Native, lane(8)]);
}

#[test]
fn routes_that_write_one_address_share_its_source_and_what_they_agree_on() {
    let plan = with_brokers(
        "routes:
  - { name: a, from: mq/x, to: live/a, decode: bare }
  - { name: b, from: mq/x, to: live/b, dead_letter: mq/x.dead }
  - { name: c, from: mq/y, to: live/c, dead_letter: native }",
    );
    assert_eq!(plan.pipelines.iter().map(|pipeline| &*pipeline.source).collect::<Vec<_>>(), ["mq/x", "mq/y"]);
    assert_eq!(plan.pipelines[0].lanes[0].dead_letter, DeadLetterTo::Lane(LaneId(2)));
    assert_eq!(plan.outline.sources[0].decode, "bare");
}

#[test]
fn defaults_lie_under_every_destination() {
    let plan = with_brokers(
        "defaults: { max_errors: 2, timeout: 3s, on_no_receivers: retry, maxlen: 10 }
routes:
  - { name: a, from: mq/a, to: live/a, dead_letter: native }
  - { name: b, from: mq/b, to: { broker: live, channel: b, timeout: 1s, on_no_receivers: ok, stream: c }, dead_letter: native }
  - { name: c, from: mq/c, to: mq/d, dead_letter: native }",
    );
    let rules = |pipeline: usize| plan.pipelines[pipeline].lanes[0].rules.clone();
    assert_eq!(rules(2).on_no_receivers, NoReceivers::Ok, "a queue has no receivers to count");
    assert_eq!(
        (rules(0).max_errors, rules(0).timeout, rules(0).on_no_receivers),
        (Some(2), Duration::from_secs(3), NoReceivers::Retry)
    );
    assert_eq!(
        (rules(1).max_errors, rules(1).timeout, rules(1).on_no_receivers),
        (Some(2), Duration::from_secs(1), NoReceivers::Ok)
    );
}

#[test]
fn a_fault_in_defaults_is_said_once() {
    let (_, faults) = try_plan(&format!(
        "{BROKERS}defaults: {{ timeout: 0s, timeuot: 1s }}
routes: [{{ from: mq/a, to: [live/a, far/b, {{ broker: mq, queue: c }}], dead_letter: native }}]"
    ));
    assert_eq!(messages(&faults), ["`timeout` must be longer than 0", "unknown key `timeuot`"]);
}

#[test]
fn tries_are_unlimited_where_only_a_deadline_is_written() {
    let plan = with_brokers(
        "routes:
  - from: mq/a
    dead_letter: native
    to:
      - { name: a, broker: live, channel: a, deadline: 1m }
      - { name: b, broker: live, channel: b, deadline: 1m, max_errors: 3 }
      - { name: c, broker: live, channel: c }",
    );
    let errors: Vec<_> = plan.pipelines[0].lanes.iter().map(|lane| lane.rules.max_errors).collect();
    assert_eq!(errors, [None, Some(3), Some(5)]);
}

#[test]
fn a_fingerprint_changes_with_what_its_pipeline_is_built_from_and_nothing_else() {
    let base = "sources: { orders: { broker: mq, queue: orders, dead_letter: native } }
routes:
  - { name: a, from: orders, to: live/a }
  - { name: b, from: mq/other, to: far/b, dead_letter: native }";
    let prints = |text: &str| plan(text).pipelines.into_iter().map(|pipeline| pipeline.fingerprint).collect::<Vec<_>>();
    let was = prints(&format!("{BROKERS}{base}"));
    let changed = |brokers: &str, rest: &str| {
        let is = prints(&format!("{brokers}{rest}"));
        was.iter().zip(&is).map(|(was, is)| was != is).collect::<Vec<_>>()
    };
    assert_eq!(changed(&format!("\n# moved\n\n{BROKERS}"), base), [false, false]);
    assert_eq!(changed(&BROKERS.replace("swordfish", "sardine"), base), [false, true], "a password of its destination");
    assert_eq!(changed(&BROKERS.replace("amqp://localhost", "amqp://127.0.0.1"), base), [true, true], "the broker that both read");
    assert_eq!(changed(BROKERS, &base.replace("live/a", "live/z")), [true, false], "a destination");
    assert_eq!(changed(BROKERS, &base.replace("queue: orders,", "queue: orders, window: 5,")), [true, false], "its source");
    assert_eq!(changed(BROKERS, &format!("{base}\nprefix: shop")), [true, true], "a word of templates");
    assert_eq!(changed(BROKERS, &format!("{base}\ndefaults: {{ timeout: 1s }}")), [true, true], "what lies under destinations");
    assert_eq!(changed(BROKERS, &format!("{base}\nlog: {{ level: debug }}")), [false, false], "nothing of theirs");
    assert!(was.iter().all(|print| !print.contains("swordfish")));
}

#[test]
fn secrets_show_nowhere_in_a_plan() {
    let plan = with_brokers("routes: [{ from: mq/a, to: far/a, dead_letter: drop }]");
    let told = serde_json::to_string(&plan.outline).unwrap();
    for text in [format!("{plan:?}"), told] {
        assert!(!text.contains("swordfish"), "{text}");
    }
}

#[test]
fn warnings_are_faults_under_strict() {
    let text = format!("{BROKERS}routes: [{{ from: mq/a, to: far/a, dead_letter: drop }}, {{ from: live/x, to: mq/y }}]\n");
    let (planned, faults) = try_plan(&text);
    assert!(planned.is_some());
    assert_eq!(messages(&faults), ["messages that cannot be delivered are lost by choice (`dead_letter: drop`)"]);
    let (planned, _) = try_plan(&format!("{text}strict: true\n"));
    assert!(planned.is_none());
}

#[test]
fn the_forms_of_an_envelope_know_their_transport() {
    let plan = with_brokers(
        "name: orders
routes:
  - from: mq/a
    dead_letter: native
    to:
      - { name: a, broker: live, channel: a, envelope: cloudevents }
      - { name: b, broker: live, stream: b, envelope: { cloudevents: { mode: binary, type_prefix: com.example. } } }
      - { name: c, broker: mq, queue: c, envelope: { cloudevents: { mode: binary, source: /orders } } }",
    );
    let events: Vec<_> = plan.pipelines[0]
        .lanes
        .iter()
        .map(|lane| match &lane.format {
            Format::CloudEvents(events) => (events.mode, &*events.type_prefix, &*events.source),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        events,
        [
            (Mode::Structured, "", "urn:rialto:orders"),
            (Mode::Binary { prefix: "" }, "com.example.", "urn:rialto:orders"),
            (Mode::Binary { prefix: "cloudEvents_" }, "", "/orders")
        ]
    );
}
