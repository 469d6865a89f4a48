//! A link worker against a broker that answers by script: what real servers do only when it hurts.

mod letters;
mod pauses;

use std::{
    any::Any,
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    broker::{Broker, Confirms, House, InFlight, Kind, LinkKey, OpenError, Origin, Outgoing, Probe, Publisher, Target},
    envelope::{Bare, Decode, DecodeRules, Format, RawMessage, decode},
    intake::{Arrival, Door, Intake, Receipts},
    journal::{
        Journal,
        transit::{self, Transit},
    },
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
    route::{Backoff, Breaker, Buried, Copy, DeadLetterTo, DeliveryRules, LaneId, Ordering, Routed},
    telemetry::Metrics,
    written::{AddressRule, Node, Problems, Span, TemplateText},
};

/// How the broker answers one batch.
type Script = Box<dyn FnMut(&[String]) -> Answer + Send>;

enum Answer {
    Outcomes(Vec<Outcome>),
    Dies(Reason),
    Silence,
}

/// Writes down what it was sent, link by link, and answers by script.
struct Scripted {
    held: Arc<std::sync::atomic::AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<Script>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl Broker for Scripted {
    fn kind(&self) -> &'static Kind {
        unreachable!()
    }
    fn display(&self) -> String {
        String::new()
    }
    fn origin(&self, _: &Node, _: &mut Problems) -> Option<Arc<dyn Origin>> {
        None
    }
    fn target(&self, _: &Node, _: &mut Problems) -> Option<Target> {
        None
    }
    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        self.seen.lock().unwrap().push("open".into());
        Ok(Box::new(ScriptedLink { held: Arc::clone(&self.held), seen: Arc::clone(&self.seen), script: Arc::clone(&self.script) }))
    }
    fn tap(&self, _: &Target) -> Result<Arc<dyn Origin>, String> {
        Err(String::new())
    }
    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}

struct ScriptedLink {
    held: Arc<std::sync::atomic::AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<Script>>,
}

#[async_trait]
impl Publisher for ScriptedLink {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let bodies: Vec<String> =
            batch.iter().map(|out| format!("{}={}", out.address, String::from_utf8_lossy(out.body))).collect();
        self.seen.lock().unwrap().extend(bodies.iter().cloned());
        match (self.script.lock().unwrap())(&bodies) {
            Answer::Outcomes(outcomes) => Ok(Box::pin(async move { Ok(outcomes) })),
            Answer::Dies(reason) => Ok(Box::pin(async move { Err(LinkDown::new(reason, "cut")) })),
            Answer::Silence => Ok(Box::pin(std::future::pending())),
        }
    }
    fn held(&self) -> Option<String> {
        self.held.load(std::sync::atomic::Ordering::Relaxed).then(|| "an alarm".to_owned())
    }
    async fn ping(&mut self) -> Result<(), LinkDown> {
        Ok(())
    }
    async fn close(self: Box<Self>) {}
}

fn delivered(bodies: &[String]) -> Answer {
    Answer::Outcomes(bodies.iter().map(|_| Outcome::Delivered(Proof::Confirmed)).collect())
}

fn refusal(reason: Reason) -> Outcome {
    Outcome::Refused(Refusal { reason, detail: "no".into() })
}

/// Answers `outcome` for the bodies that hold `text`, delivers the rest.
fn refuses(bodies: &[String], text: &str, outcome: &Outcome) -> Answer {
    let answer = |body: &String| if body.contains(text) { outcome.clone() } else { Outcome::Delivered(Proof::Confirmed) };
    Answer::Outcomes(bodies.iter().map(answer).collect())
}

/// A worker with its journal and the front door before it.
struct Rig {
    held: Arc<std::sync::atomic::AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    board: Arc<Board>,
    journal: Transit,
    door: Door,
    arrivals: mpsc::Receiver<Arrival>,
    intake: Intake,
    _closer: crate::intake::Closer,
    _stop: watch::Sender<bool>,
}

const LANE: LaneId = LaneId(0);
const GRAVE: LaneId = LaneId(1);

fn quick() -> DeliveryRules {
    DeliveryRules {
        backoff: Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(2), jitter: false },
        timeout: Duration::from_millis(200),
        breaker: Breaker { failures: 1000, keys: 2, probe: Duration::from_millis(10) },
        ..DeliveryRules::default()
    }
}

fn target() -> Target {
    let at = Span { source: "test".into(), bytes: 0..0, line: 0, column: 0 };
    Target {
        link: LinkKey { broker: "b".into(), part: "".into() },
        address: TemplateText { text: String::new(), at },
        rule: AddressRule { bytes_max: 100, forbidden: |_| false, name: "a test", encode: None },
        fields: Vec::new(),
        options: Arc::new(()) as Arc<dyn Any + Send + Sync>,
        in_flight: InFlight { batches: 4, messages: 64, batch_messages: 16 },
    }
}

impl Rig {
    fn start(rules: DeliveryRules, script: impl FnMut(&[String]) -> Answer + Send + 'static) -> Self {
        Self::with_grave(rules, Format::Payload, script)
    }

    /// With dead letters in this form.
    fn with_grave(rules: DeliveryRules, form: Format, script: impl FnMut(&[String]) -> Answer + Send + 'static) -> Self {
        let metrics = Arc::new(Metrics::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let broker =
            Arc::new(Scripted { held: Arc::clone(&held), seen: Arc::clone(&seen), script: Arc::new(Mutex::new(Box::new(script))) });
        let lane = |id, rules: DeliveryRules, format, dead_letter| {
            let name: Arc<str> = format!("{id:?}").into();
            let spec = LaneSpec {
                id,
                route: Arc::clone(&name),
                destination: name,
                source: "s".into(),
                target: target(),
                rules,
                format,
                dead_letter,
            };
            (Arc::new(spec), metrics.lane("r", &format!("{id:?}")))
        };
        let grave = DeliveryRules { max_errors: None, last_resort: true, ..quick() };
        let lanes =
            vec![lane(LANE, rules, Format::Payload, DeadLetterTo::Lane(GRAVE)), lane(GRAVE, grave, form, DeadLetterTo::Drop)];
        let views =
            lanes.iter().map(|(spec, metrics)| transit::Lane { required: spec.rules.required, metrics: metrics.clone() }).collect();
        let journal = Transit::new(views, 1000, 1 << 20, metrics.source("s"));
        let house = House::new("n".into(), "i".into(), Arc::clone(&metrics));
        let spec = LinkSpec { broker, key: target().link, lazy: false, lanes };
        let graves: Graves = Arc::new(|_, _| Ok(Buried { address: "grave".into(), fields: Box::default(), received: None }));
        let board = Arc::new(Board::new(2, std::time::Instant::now()));
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(LinkWorker::new(spec, journal.backlog(&[LANE, GRAVE]), house, graves, Arc::clone(&board)).run(stopping));
        let (door, arrivals) = Door::new(1000, 1 << 20, true, metrics.source("s"));
        let (intake, closer) = door.intake();
        Self { held, seen, board, journal, door, arrivals, intake, _closer: closer, _stop: stop }
    }

    /// Appends one batch; a message `k1` has the key `k`, and `-1` has none.
    async fn append(&mut self, messages: &[&str]) -> Receipts {
        let (mut offers, receipts) = self.intake.open();
        let raw = |text: &&str| RawMessage { body: format!("\"{text}\"").into(), carrier: Arc::new(Bare) };
        offers.room().await.unwrap().offer(messages.iter().map(raw).collect());
        let Arrival { batch, ticket } = self.arrivals.recv().await.unwrap();
        let rules = DecodeRules { shape: Decode::Bare, any: false, message_max: 1 << 20, broker: "b".into() };
        let mut routed = Routed { arena: "to".into(), ..Routed::default() };
        for (index, (raw, text)) in (0..).zip(batch.into_iter().zip(messages)) {
            routed.messages.push(decode(raw, &rules, 0).unwrap());
            let start = routed.arena.len() as u32;
            routed.arena.push_str(text.split(|c: char| c.is_ascii_digit()).next().unwrap().trim_matches('-'));
            let key = start..routed.arena.len() as u32;
            let copy = Copy {
                message: index,
                lane: LANE,
                address: 0..2,
                key,
                fields: Box::default(),
                headers: Box::default(),
                transformed: None,
                death: None,
            };
            routed.copies.push(copy);
        }
        self.journal.append(routed, ticket).await;
        receipts
    }

    async fn settled(&self) {
        let all = async {
            while self.door.held() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), all).await.unwrap_or_else(|_| panic!("never settled; seen {:?}", self.seen()));
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|body| body.replace(['"'], "").replace("to=", "")).collect()
    }
}

/// A script from a list of answers; when it is used up, everything is delivered.
fn script(answers: Vec<fn(&[String]) -> Answer>) -> impl FnMut(&[String]) -> Answer + Send {
    let mut answers = VecDeque::from(answers);
    move |bodies| answers.pop_front().map_or_else(|| delivered(bodies), |answer| answer(bodies))
}

#[tokio::test]
async fn delivers_in_order_and_settles() {
    let mut rig = Rig::start(quick(), delivered);
    let _receipts = rig.append(&["a1", "b1", "a2"]).await;
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1", "b1", "a2"]);
}

#[tokio::test]
async fn a_dead_link_repeats_what_was_in_flight_in_the_old_order() {
    let mut rig = Rig::start(quick(), script(vec![|_| Answer::Dies(Reason::Link)]));
    let _receipts = rig.append(&["a1", "b1", "a2"]).await;
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1", "b1", "a2", "open", "a1", "b1", "a2"]);
}

#[tokio::test]
async fn silence_beyond_the_timeout_ends_the_link() {
    let mut rig = Rig::start(quick(), script(vec![|_| Answer::Silence]));
    let _receipts = rig.append(&["a1"]).await;
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1", "open", "a1"]);
}

#[tokio::test]
async fn an_answer_behind_a_silent_one_is_not_believed_when_the_link_dies() {
    let mut rig = Rig::start(quick(), script(vec![|_| Answer::Silence, delivered]));
    let _first = rig.append(&["a1"]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _second = rig.append(&["a2"]).await;
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1", "a2", "open", "a1", "a2"], "a2 repeats: else a1 would come after it and nothing follow");
}

#[tokio::test]
async fn a_refused_message_parks_its_key_and_nobody_elses() {
    let rules = DeliveryRules {
        backoff: Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1), jitter: false },
        ..quick()
    };
    let mut rig = Rig::start(rules, script(vec![|bodies| refuses(bodies, "a1", &refusal(Reason::Refused))]));
    let _first = rig.append(&["a1", "b1"]).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let _second = rig.append(&["a2", "b2", "a3"]).await;
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1", "b1", "b2", "a1", "a2", "a3"]);
}

#[tokio::test]
async fn after_its_tries_a_bad_message_is_dead_lettered_and_its_key_flows_on() {
    let mut rig = Rig::start(quick(), |bodies: &[String]| {
        if bodies[0].starts_with("grave") { delivered(bodies) } else { refuses(bodies, "a1", &refusal(Reason::Refused)) }
    });
    let mut receipts = rig.append(&["a1", "a2"]).await;
    rig.settled().await;
    let seen = rig.seen();
    assert_eq!(seen.iter().filter(|body| *body == "a1").count(), 5, "max_errors is 5: {seen:?}");
    assert!(seen.contains(&"grave=a1".into()), "{seen:?}");
    assert_eq!(receipts.next().await.unwrap().through, Some(1));
}

#[tokio::test]
async fn strict_ordering_keeps_one_message_of_a_key_on_the_wire() {
    let rules = DeliveryRules { ordering: Ordering::Strict, ..quick() };
    let mut rig = Rig::start(rules, |bodies: &[String]| {
        let of_a = bodies.iter().filter(|body| body.contains("\"a")).count();
        assert!(of_a <= 1, "{bodies:?}");
        delivered(bodies)
    });
    let _receipts = rig.append(&["a1", "b1", "a2", "a3", "-1"]).await;
    rig.settled().await;
    let seen: Vec<_> = rig.seen().into_iter().filter(|body| body.starts_with('a')).collect();
    assert_eq!(seen, ["a1", "a2", "a3"]);
}

#[tokio::test]
async fn the_message_that_kills_the_link_is_found_and_buried() {
    let mut rig = Rig::start(DeliveryRules { max_errors: Some(1), ..quick() }, |bodies: &[String]| {
        let kills = bodies.iter().any(|body| body.starts_with("to=") && body.contains("b1"));
        if kills { Answer::Dies(Reason::Link) } else { delivered(bodies) }
    });
    let _receipts = rig.append(&["b1", "a1"]).await;
    rig.settled().await;
    let seen = rig.seen();
    assert!(seen.contains(&"grave=b1".into()), "{seen:?}");
    assert_eq!(seen.iter().filter(|body| *body == "open").count(), 6, "five deaths: {seen:?}");
}

#[tokio::test]
async fn a_deadline_passes_while_nothing_is_delivered() {
    let rules = DeliveryRules { deadline: Some(Duration::from_millis(50)), max_errors: None, ..quick() };
    let mut rig = Rig::start(rules, |bodies: &[String]| {
        if bodies[0].starts_with("grave") {
            return delivered(bodies);
        }
        Answer::Outcomes(vec![refusal(Reason::Unauthenticated); bodies.len()])
    });
    let _receipts = rig.append(&["a1"]).await;
    rig.settled().await;
    assert_eq!(rig.seen().last().unwrap(), "grave=a1");
}

#[tokio::test]
async fn what_the_source_withdrew_is_not_sent_any_more() {
    let rules = DeliveryRules {
        backoff: Backoff { initial: Duration::from_millis(700), max: Duration::from_secs(1), jitter: false },
        ..quick()
    };
    let mut rig = Rig::start(rules, |bodies: &[String]| Answer::Outcomes(vec![refusal(Reason::Refused); bodies.len()]));
    let receipts = rig.append(&["a1"]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(receipts);
    rig.settled().await;
    assert_eq!(rig.seen(), ["open", "a1"]);
}

#[tokio::test]
async fn an_open_breaker_counts_nothing_and_a_probe_closes_it() {
    let rules = DeliveryRules {
        max_errors: Some(3),
        breaker: Breaker { failures: 4, keys: 2, probe: Duration::from_millis(5) },
        ..quick()
    };
    let mut left = 30_usize;
    let mut rig = Rig::start(rules, move |bodies| {
        left = left.saturating_sub(bodies.len());
        if left > 0 { Answer::Outcomes(vec![refusal(Reason::Refused); bodies.len()]) } else { delivered(bodies) }
    });
    let _receipts = rig.append(&["a1", "b1", "c1"]).await;
    rig.settled().await;
    let seen = rig.seen();
    assert!(!seen.iter().any(|body| body.starts_with("grave")), "the breaker opened before the third try: {seen:?}");
}
