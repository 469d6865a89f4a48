//! `rialto publish`: puts an event where a source reads, and waits until its broker has it.

use std::{
    borrow::Cow,
    fs,
    io::{self, Read},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use uuid::Uuid;

use super::{Console, Ended, Exit, Failure, Settings, house, runtime};
use crate::{
    broker::{Broker, House, Outgoing, Target},
    config::plan::{PipelinePlan, Plan},
    envelope::{Carrier, Decode, DecodeRules, Format, HeaderArena, HeaderValue, Message, Property, RawMessage, decode},
    outcome::Outcome,
    route::Template,
    written::Problems,
};

/// From handing the event to the link until the broker confirmed it; opening the link has its own bound.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Put an event where a source reads, and wait until its broker has it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The source: its name, or its broker/address
    source: String,

    /// The event's payload, as JSON; `-`: standard input; `@FILE`: a file
    #[arg(default_value = "-", allow_negative_numbers = true)]
    payload: String,

    /// `message_type`
    #[arg(long = "type", value_name = "TYPE", default_value = "notification_event")]
    message_type: String,

    /// `message_name`
    #[arg(long, default_value = "Event")]
    name: String,

    /// `message_id`; without it a new UUID (version 7)
    #[arg(long)]
    id: Option<String>,

    /// A header beside the event; repeatable
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Publish the payload as it is, without an envelope: type, name and id travel in the transport's properties
    #[arg(long)]
    bare: bool,
}

fn header(written: &str) -> Result<(String, String), String> {
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is NAME=VALUE".to_owned()),
    }
}

pub(super) fn run(args: Args, settings: &Settings, console: Console) -> Ended {
    let plan = settings.plan()?;
    let pipeline = source(&plan, &args.source)?;
    let Some(inlet) = pipeline.origin.inlet() else {
        let text = format!("`{}` reads from many places: there is no single one to publish to", args.source);
        return Err(Failure::say(Exit::Usage, text));
    };
    let payload = payload(&args.payload)?;
    let broker = &plan.brokers[&pipeline.broker];
    let event = Event::new(args, payload)?;
    runtime()?.block_on(put(broker.as_ref(), &inlet, &event, &house(&plan, "publish")))?;
    if console.json {
        let told = serde_json::json!({ "id": event.message.id(), "source": *pipeline.source, "bytes": event.body.len() });
        Console::line(&told)?;
    } else {
        Console::text(event.message.id())?;
    }
    Ok(Exit::Success)
}

/// The source of this name, or the one that reads this `broker/address`.
pub(super) fn source<'a>(plan: &'a Plan, wanted: &str) -> Result<&'a PipelinePlan, Failure> {
    let named = plan.pipelines.iter().find(|pipeline| *pipeline.source == *wanted);
    let found = named.or_else(|| plan.pipelines.iter().find(|pipeline| pipeline.origin.address() == wanted));
    found.ok_or_else(|| {
        let known: Vec<_> = plan.pipelines.iter().map(|pipeline| pipeline.source.as_ref()).collect();
        Failure::say(Exit::Usage, format!("no route reads a source `{wanted}`; there are: {}", known.join(", ")))
    })
}

fn payload(written: &str) -> Result<Vec<u8>, Failure> {
    match written.strip_prefix('@') {
        Some(path) => fs::read(path).with_context(|| path.to_owned()).map_err(|error| Failure::new(Exit::Io, error)),
        None if written == "-" => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        None => Ok(written.as_bytes().to_vec()),
    }
}

/// What is published.
struct Event {
    message: Message,
    body: Vec<u8>,
}

impl Event {
    fn new(args: Args, payload: Vec<u8>) -> Result<Self, Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let bare = args.bare;
        let carrier = Arguments {
            id: args.id.unwrap_or_else(|| Uuid::now_v7().to_string()),
            name: args.name,
            message_type: args.message_type,
            headers: args.headers,
            now,
        };
        let rules = DecodeRules { shape: Decode::Bare, any: bare, message_max: u64::MAX, broker: "".into() };
        let raw = RawMessage { body: Bytes::from(payload), carrier: Arc::new(carrier) };
        let message = decode(raw, &rules, now).map_err(|undecoded| {
            let rejection = undecoded.rejection;
            Failure::say(Exit::BadData, format!("the payload: {}", rejection.detail))
        })?;
        let mut body = Vec::new();
        if bare {
            body.extend_from_slice(&message.raw().body);
        } else {
            Format::Standard.encode(&message, &mut body, &mut HeaderArena::default());
        }
        Ok(Self { message, body })
    }
}

/// What stands on the command line beside the payload.
#[derive(Debug)]
struct Arguments {
    id: String,
    name: String,
    message_type: String,
    headers: Vec<(String, String)>,
    now: i64,
}

impl Carrier for Arguments {
    fn property(&self, property: Property) -> Option<Cow<'_, str>> {
        match property {
            Property::Id => Some(Cow::Borrowed(&self.id)),
            Property::Name => Some(Cow::Borrowed(&self.name)),
            Property::Type => Some(Cow::Borrowed(&self.message_type)),
            Property::Key | Property::ContentType | Property::CorrelationId => None,
        }
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| HeaderValue::Str(value))
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        for (name, value) in &self.headers {
            each(name, HeaderValue::Str(value));
        }
    }

    fn word(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn time(&self) -> Option<i64> {
        Some(self.now)
    }

    fn position(&self) -> Option<String> {
        None
    }
}

async fn put(broker: &dyn Broker, inlet: &Target, event: &Event, house: &House) -> Result<(), Failure> {
    let address = fixed(inlet)?;
    let mut link = broker.link(&inlet.link, house).await.map_err(|error| Failure::broker(error.reason, &error))?;
    let fields = vec![None; inlet.fields.len()];
    let outgoing = Outgoing {
        target: inlet,
        message: &event.message,
        address: &address,
        key: "",
        body: &event.body,
        content_type: "",
        headers: &[],
        fields: &fields,
        attempt: 1,
        timeout: TIMEOUT,
    };
    let sent = tokio::time::timeout(TIMEOUT, async { link.send(&[outgoing]).await?.await }).await;
    let answers = match sent {
        Ok(Ok(answers)) => answers,
        Ok(Err(down)) => return Err(Failure::broker(down.reason, format!("unknown whether the event arrived: {down}"))),
        Err(_) => return Err(Failure::say(Exit::Unavailable, "unknown whether the event arrived: no answer in 15 s")),
    };
    link.close().await;
    match answers.into_iter().next() {
        Some(Outcome::Delivered(_)) => Ok(()),
        Some(Outcome::Throttled { detail, .. }) => Err(Failure::say(Exit::Unavailable, detail)),
        Some(Outcome::Refused(refusal)) => Err(Failure::broker(refusal.reason, format!("{}: {}", refusal.reason, refusal.detail))),
        Some(Outcome::Unknown(reason)) => Err(Failure::broker(reason, format!("unknown whether the event arrived: {reason}"))),
        // It was alone: there is no other to be refused in its stead.
        Some(Outcome::Unsent) | None => Err(Failure::new(Exit::Panic, anyhow!("the link answered nothing for one message"))),
    }
}

/// The text of an inlet's address, which has no value in it.
fn fixed(inlet: &Target) -> Result<String, Failure> {
    let mut faults = Problems::default();
    match Template::compile(&inlet.address, &mut faults) {
        Some(template) if template.is_fixed() => Ok(template.pattern()),
        _ => Err(Failure::say(Exit::Panic, format!("the inlet `{}` has values in it", inlet.address.text))),
    }
}
