//! `rialto tap`: prints what a destination receives, and never takes it from anybody.

use std::{borrow::Cow, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::{Console, Ended, Exit, Failure, Settings, house, runtime};
use crate::{
    broker::{House, Origin, Source},
    config::plan::{LanePlan, Plan},
    envelope::{Carrier, HeaderValue, RawMessage},
    intake::Door,
    outcome::Verdict,
    telemetry::SourceMetrics,
    written::{Node, Problems, Span, Value as Written},
};

/// Messages and bytes read ahead of what is printed.
const WINDOW: (usize, u64) = (1000, 16 << 20);

/// Between tries to open a lost tap again.
const REOPEN: Duration = Duration::from_secs(1);

/// Print what a destination receives, without taking it from anybody
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A route's name, a destination's name, or broker/address
    #[arg(value_name = "DESTINATION|ROUTE")]
    what: String,

    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub(super) fn run(args: &Args, settings: &Settings, console: Console) -> Ended {
    let plan = settings.plan()?;
    let origins = origins(&plan, &args.what)?;
    runtime()?.block_on(listen(origins, args.count, &house(&plan, "tap"), console))
}

/// What to read: every destination of the route, every destination of the name, or the one place.
fn origins(plan: &Plan, what: &str) -> Result<Vec<Arc<dyn Origin>>, Failure> {
    let lanes = || plan.pipelines.iter().flat_map(|pipeline| &pipeline.lanes);
    let any = |like: &dyn Fn(&LanePlan) -> bool| lanes().filter(|lane| like(lane)).collect::<Vec<_>>();
    let mut found = any(&|lane| *lane.written == *what);
    // Dead letters of a route are not what the route is for.
    for like in [|lane: &LanePlan, what: &str| *lane.route == *what, |lane: &LanePlan, what: &str| *lane.destination == *what] {
        if found.is_empty() {
            found = any(&|lane| !lane.is_dead_letter && like(lane, what));
        }
    }
    found.dedup_by(|one, other| one.written == other.written);
    let refused = |why: String| Failure::say(Exit::Usage, format!("`{what}` cannot be tapped: {why}"));
    if found.is_empty() {
        return Ok(vec![elsewhere(plan, what, refused)?]);
    }
    found.into_iter().map(|lane| lane.broker.tap(&lane.target).map_err(refused)).collect()
}

/// A place that no route names.
fn elsewhere(plan: &Plan, what: &str, refused: impl Fn(String) -> Failure) -> Result<Arc<dyn Origin>, Failure> {
    let known = what.split_once('/').and_then(|(broker, address)| Some((plan.brokers.get(broker)?, address)));
    let Some((broker, address)) = known else {
        let lanes = plan.pipelines.iter().flat_map(|pipeline| &pipeline.lanes).filter(|lane| !lane.is_dead_letter);
        let mut routes: Vec<_> = lanes.map(|lane| lane.route.as_ref()).collect();
        routes.dedup();
        let text = format!("no route, destination or broker/address `{what}`; there are the routes {}", routes.join(", "));
        return Err(Failure::say(Exit::Usage, text));
    };
    let mut faults = Problems::default();
    let node = Node::new("tap", argument(what), Written::Str(address.to_owned()));
    let target = broker.target(&node, &mut faults);
    match target.filter(|_| faults.is_ok()) {
        Some(target) => broker.tap(&target).map_err(refused),
        None => Err(refused(sentences(&faults))),
    }
}

/// The place of what stands on the command line.
pub(super) fn argument(text: &str) -> Span {
    Span { source: text.into(), bytes: 0..0, line: 0, column: 0 }
}

/// Faults of what stands on the command line: there is no line to show.
pub(super) fn sentences(faults: &Problems) -> String {
    faults.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ")
}

async fn listen(origins: Vec<Arc<dyn Origin>>, count: Option<u64>, house: &House, console: Console) -> Ended {
    let (door, mut arrivals) = Door::new(WINDOW.0, WINDOW.1, false, SourceMetrics::default());
    let mut readers = tokio::task::JoinSet::new();
    for origin in origins {
        let source = origin.open(house).await.map_err(|error| Failure::broker(error.reason, &error))?;
        Console::tell(&format!("listening to {}", origin.display()))?;
        readers.spawn(read(origin, source, door.clone(), house.clone()));
    }
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let arrival = tokio::select! {
            arrival = arrivals.recv() => arrival,
            // Without a handler for the signal the process ends by it, as it should.
            Ok(()) = tokio::signal::ctrl_c() => None,
        };
        let Some(arrival) = arrival else { break };
        for (index, message) in (0..).zip(&arrival.batch) {
            if left > 0 {
                print(message, console)?;
                left -= 1;
            }
            arrival.ticket.settle(index, Verdict::Accepted);
        }
    }
    // What a tap reads is its own: its sources end with their tasks, nothing has to be told.
    readers.shutdown().await;
    Ok(Exit::Success)
}

/// Reads, and opens again what was lost.
async fn read(origin: Arc<dyn Origin>, first: Box<dyn Source>, door: Door, house: House) {
    let mut source = Some(first);
    loop {
        if let Some(source) = source.take() {
            let (intake, _closer) = door.intake();
            match source.run(intake).await {
                Ok(_) => return,
                Err(error) => eprintln!("{} was lost: {error}; what comes until it is open again is missing", origin.display()),
            }
        }
        tokio::time::sleep(REOPEN).await;
        match origin.open(&house).await {
            Ok(opened) => source = Some(opened),
            Err(error) => eprintln!("{}: {error}", origin.display()),
        }
    }
}

fn print(message: &RawMessage, console: Console) -> Result<(), Failure> {
    let address = address(message.carrier.as_ref());
    if console.json {
        return Ok(Console::line(&Received::new(message, &address))?);
    }
    let body = String::from_utf8_lossy(&message.body);
    Ok(Console::text(&format!("{address} {}", printable(&body)))?)
}

/// Where it was published, as its transport says.
fn address(carrier: &dyn Carrier) -> String {
    if let Some(place) = carrier.word("channel").or_else(|| carrier.word("stream")) {
        return place.into_owned();
    }
    let exchange = carrier.word("exchange").filter(|exchange| !exchange.is_empty());
    match (exchange, carrier.word("routing_key")) {
        (Some(exchange), Some(key)) => format!("{exchange}/{key}"),
        (_, Some(key)) => key.into_owned(),
        _ => String::new(),
    }
}

/// Text without anything that would command a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    let commands = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if commands(character) { shown.extend(character.escape_unicode()) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

/// One message as `--json` prints it.
#[derive(Serialize)]
struct Received<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    headers: Map<String, Value>,
    #[serde(flatten)]
    body: Body<'a>,
}

/// The body, as what it is.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Body<'a> {
    /// JSON, byte for byte.
    #[serde(rename = "body")]
    Json(&'a RawValue),
    /// Text that is no JSON.
    Text(&'a str),
    /// Neither.
    Base64(String),
}

impl<'a> Received<'a> {
    fn new(message: &'a RawMessage, address: &'a str) -> Self {
        let mut headers = Map::new();
        message.carrier.headers(&mut |name, value| {
            headers.insert(name.to_owned(), json(value));
        });
        Self { address, time: message.carrier.time(), headers, body: Body::new(&message.body) }
    }
}

impl<'a> Body<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::Base64(BASE64.encode(bytes)) };
        // JSON over several lines would break the one line that a message has.
        match serde_json::from_str(text) {
            Ok(value) if !text.contains('\n') => Self::Json(value),
            _ => Self::Text(text),
        }
    }
}

fn json(value: HeaderValue<'_>) -> Value {
    match value {
        HeaderValue::Str(text) => text.into(),
        HeaderValue::Bytes(bytes) => BASE64.encode(bytes).into(),
        HeaderValue::Int(number) | HeaderValue::Time(number) => number.into(),
        HeaderValue::Float(number) => number.into(),
        HeaderValue::Bool(truth) => truth.into(),
        HeaderValue::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_cannot_command_the_terminal() {
        assert_eq!(printable("plain \u{e9}\n"), "plain \u{e9}\n");
        assert_eq!(printable("\u{1b}[2J\u{7}"), "\\u{1b}[2J\\u{7}");
    }

    #[test]
    fn a_body_is_shown_as_what_it_is() {
        let shown = |bytes: &[u8]| serde_json::to_string(&Body::new(bytes)).unwrap();
        assert_eq!(shown(br#"{"n":1.00}"#), r#"{"body":{"n":1.00}}"#);
        assert_eq!(shown(b"hello"), r#"{"text":"hello"}"#);
        assert_eq!(shown(b"{\n}"), r#"{"text":"{\n}"}"#);
        assert_eq!(shown(&[0xff]), r#"{"base64":"/w=="}"#);
    }
}
