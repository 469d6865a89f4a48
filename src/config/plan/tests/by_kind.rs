//! A route without `to`: the kind of an event decides where it goes.

use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use crate::{
    broker::{
        AddressRule, Bound, Broker, House, InFlight, Kind, LinkKey, OpenError, Origin, Part, Probe, Promises, Publisher, Target,
    },
    written::{Node, Span, TemplateText},
};

static KIND: Kind = Kind {
    name: "bell",
    schemes: &[],
    given: None,
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: false,
        publisher: true,
        redelivers: false,
        ordered: false,
        headers: true,
        network: false,
        places: false,
        message_bytes_max: 1 << 20,
    },
    schema: |_: Part, _| schemars::Schema::default(),
    read: |_, _, _| None,
};

/// Takes events by their names, as a webhook and a handler do.
#[derive(Debug)]
struct Bell(Vec<(&'static str, &'static [&'static str], u32)>);

#[async_trait]
impl Broker for Bell {
    fn kind(&self) -> &'static Kind {
        &KIND
    }
    fn display(&self) -> String {
        "bells".into()
    }
    fn origin(&self, _: &Node, _: &mut Problems) -> Option<Arc<dyn Origin>> {
        None
    }
    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        let text: String = written.need("rope", faults)?;
        let rank: u32 = written.get("priority", 50, faults);
        Some(Target {
            link: LinkKey { broker: "bells".into(), part: "".into() },
            address: TemplateText { text, at: written.at().clone() },
            rule: AddressRule { bytes_max: 100, forbidden: |_| false, name: "a rope", encode: None },
            fields: Vec::new(),
            options: Arc::new(rank),
            in_flight: InFlight { batches: 1, messages: 1, batch_messages: 1 },
        })
    }
    fn rank(&self, target: &Target) -> u32 {
        *target.options.downcast_ref().unwrap()
    }
    fn bound(&self) -> Vec<Bound> {
        let at = Span::outside("program");
        let text = |text: &str| Node::scalar("bells", at.clone(), text);
        self.0
            .iter()
            .map(|(rope, handles, priority)| {
                let keys = [
                    ("broker", text("bells")),
                    ("name", text(rope)),
                    ("rope", text(rope)),
                    ("priority", text(&priority.to_string())),
                ];
                let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), (at.clone(), value))).collect();
                let written = Node::new("bells", at.clone(), written::Value::Map(keys));
                Bound { handles: handles.iter().map(|glob| (*glob).to_owned()).collect(), written }
            })
            .collect()
    }
    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        unreachable!("a plan dials nobody")
    }
    fn tap(&self, _: &Target) -> Result<Arc<dyn Origin>, String> {
        Err("a bell".into())
    }
    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}

/// A plan with bells, each with its rope, what it handles, and its rank.
fn with_bells(bells: Vec<(&'static str, &'static [&'static str], u32)>, rest: &str) -> (Option<Plan>, Problems) {
    let mut faults = Problems::default();
    let root = written::parse("test.yaml", &format!("{BROKERS}{rest}"), &mut faults).expect("YAML");
    let given = Given::default().with("bells", Arc::new(Bell(bells)));
    (read(&root, &given, &mut faults), faults)
}

/// Where an event goes: (destination's address, …), or what became of it instead.
fn goes(plan: &mut Plan, message_type: &str, name: &str) -> Result<Vec<String>, Idle> {
    let body = format!(r#"{{"message_type":"{message_type}","message_name":"{name}","message_id":"1","payload":{{}}}}"#);
    let mut batch = Routed::default();
    plan.pipelines[0].router.admit(RawMessage { body: Bytes::from(body), carrier: Arc::new(Bare) }, 0, &mut batch);
    match batch.idle.first() {
        Some((_, idle)) => Err(idle.clone()),
        None => Ok(batch.copies.iter().map(|copy| batch.text(&copy.address).to_owned()).collect()),
    }
}

#[test]
fn the_kind_of_an_event_decides_where_it_goes() {
    let (plan, faults) = with_bells(
        vec![("mail", &["User*"], 50), ("audit", &["UserJoined", "Order*"], 50)],
        "default_to: 'live/{message_type}'\nroutes: [{ from: mq/events, dead_letter: native, unrouted: ack }]",
    );
    let mut plan = plan.unwrap_or_else(|| panic!("{}", crate::config::render(&faults, false)));
    assert_eq!(goes(&mut plan, "notification_event", "UserJoined").unwrap(), ["notification_event"]);
    assert_eq!(goes(&mut plan, "ecst_event", "OrderPaid").unwrap(), ["ecst_event"]);
    assert_eq!(goes(&mut plan, "domain_event", "UserJoined").unwrap(), ["mail", "audit"]);
    assert_eq!(goes(&mut plan, "domain_event", "UserLeft").unwrap(), ["mail"]);
    assert_eq!(goes(&mut plan, "domain_event", "OrderPaid").unwrap(), ["audit"]);
    assert_eq!(goes(&mut plan, "domain_event", "Tick"), Err(Idle::Unrouted), "nobody is bound to it");
    assert_eq!(goes(&mut plan, "chat", "UserJoined"), Err(Idle::Unrouted), "no kind of the emitter's");
}

#[test]
fn without_a_default_only_bound_names_are_routed() {
    let (plan, faults) =
        with_bells(vec![("mail", &["*"], 50)], "routes: [{ from: mq/events, dead_letter: native, unrouted: ack }]");
    let mut plan = plan.unwrap_or_else(|| panic!("{}", crate::config::render(&faults, false)));
    assert_eq!(goes(&mut plan, "domain_event", "UserJoined").unwrap(), ["mail"]);
    assert_eq!(goes(&mut plan, "notification_event", "UserJoined"), Err(Idle::Unrouted));
}

#[test]
fn without_anybody_bound_a_domain_event_is_unrouted() {
    let mut plan =
        with_brokers("default_to: 'live/{message_type}'\nroutes: [{ from: mq/events, dead_letter: native, unrouted: ack }]");
    assert_eq!(goes(&mut plan, "notification_event", "N").unwrap(), ["notification_event"]);
    assert_eq!(goes(&mut plan, "domain_event", "N"), Err(Idle::Unrouted));
}

#[test]
fn a_routes_own_match_narrows_its_kinds() {
    let text = "default_to: 'live/{message_type}'
routes: [{ from: mq/events, dead_letter: native, unrouted: ack, match: { message_type: [domain_event, 'ecst*'], message_name: 'User*' } }]";
    let (plan, faults) = with_bells(vec![("audit", &["*"], 50)], text);
    let mut plan = plan.unwrap_or_else(|| panic!("{}", crate::config::render(&faults, false)));
    assert_eq!(goes(&mut plan, "domain_event", "UserJoined").unwrap(), ["audit"]);
    assert_eq!(goes(&mut plan, "domain_event", "OrderPaid"), Err(Idle::Unrouted));
    assert_eq!(goes(&mut plan, "ecst_event", "UserJoined").unwrap(), ["ecst_event"]);
    assert_eq!(goes(&mut plan, "notification_event", "UserJoined"), Err(Idle::Unrouted));
}

#[test]
fn who_is_bound_has_a_lane_of_its_own_in_the_order_of_rank() {
    let bells: Vec<(&str, &[&str], u32)> =
        vec![("late", &["*"], 90), ("usual", &["*"], 50), ("first", &["*"], 10), ("also", &["*"], 50)];
    let (plan, _) = with_bells(bells, "routes: [{ from: mq/events, dead_letter: native }]");
    let plan = plan.unwrap();
    let names: Vec<_> = plan.pipelines[0].lanes.iter().map(|lane| (&*lane.destination, &*lane.written)).collect();
    assert_eq!(names, [("first", "bells/first"), ("usual", "bells/usual"), ("also", "bells/also"), ("late", "bells/late")]);
}

#[test]
fn what_answers_in_any_order_has_one_message_of_a_key_on_the_wire() {
    use crate::route::Ordering;
    let text = "routes:
  - { name: a, from: mq/a, dead_letter: native }
  - { name: b, from: mq/b, dead_letter: native, ordering: none, to: { broker: bells, rope: x } }
  - { name: c, from: mq/c, dead_letter: native, to: live/c }";
    let (plan, faults) = with_bells(vec![("mail", &["*"], 50)], text);
    let plan = plan.unwrap_or_else(|| panic!("{}", crate::config::render(&faults, false)));
    let orders: Vec<_> = plan.pipelines.iter().map(|pipeline| pipeline.lanes[0].rules.ordering).collect();
    assert_eq!(orders, [Ordering::Strict, Ordering::None, Ordering::Key]);
}

#[test]
fn who_is_bound_and_never_reached_is_told() {
    let (plan, faults) = with_bells(vec![("mail", &["*"], 50)], "routes: [{ from: mq/events, to: live/x, dead_letter: native }]");
    assert!(plan.is_some());
    let told = messages(&faults);
    assert!(told.iter().any(|message| message.contains("every route says where its messages go")), "{told:?}");
}

#[test]
fn a_route_whose_kinds_go_nowhere_is_a_fault() {
    let only_domain = "routes: [{ from: mq/events, dead_letter: native, match: { message_type: domain_event } }]";
    let (_, faults) = try_plan(&format!("{BROKERS}default_to: live/x\n{only_domain}"));
    assert_eq!(messages(&faults)[0], "this route has no `to`, and none of its types goes anywhere without one");
    let (_, faults) = try_plan(&format!("{BROKERS}{only_domain}"));
    assert_eq!(messages(&faults)[0], "this route has no `to`");
}

#[test]
fn a_name_that_the_program_has_taken_is_a_fault() {
    let (plan, faults) = with_bells(vec![("mail", &["*"], 50)], "x-none: 1\nroutes: [{ from: mq/a, dead_letter: native }]");
    assert!(plan.is_some(), "{faults:?}");
    let mut faults = Problems::default();
    let root =
        written::parse("test.yaml", &format!("{BROKERS}routes: [{{ from: mq/a, to: live/b, dead_letter: drop }}]"), &mut faults);
    let given = Given::default().with("live", Arc::new(Bell(Vec::new())));
    assert!(read(&root.unwrap(), &given, &mut faults).is_none());
    assert!(messages(&faults).contains(&"the program itself brings a broker named `live`"), "{faults:?}");
}
