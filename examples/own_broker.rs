//! A broker of one's own: a destination that writes each event to the terminal, with all that a real one needs.
//!
//!     cargo run --example own_broker
//!
//! `Broker` is what the configuration knows, `Target` one destination in it, `Publisher` one connection. Order, retries, back-off,
//! dead letters and metrics are Rialto's: a publisher tries once and says what came of it.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use rialto::{
    bridge::Bridge,
    broker::{
        AddressRule, Broker, Confirms, House, InFlight, Kind, LinkKey, OpenError, Origin, Outgoing, Probe, Promises, Publisher,
        Target, TemplateText,
    },
    embed::BoxError,
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
    testkit::{Memory, TestEvent},
    written::{Node, Problems},
};

/// What it promises. `schema` and `read` are for kinds that a file can have; this one is brought by the program.
static KIND: Kind = Kind {
    name: "terminal",
    schemes: &[],
    given: None,
    headers_key: None,
    attribute_prefix: "",
    promises: Promises {
        source: false,
        publisher: true,
        redelivers: false,
        ordered: true,
        headers: false,
        network: false,
        places: false,
        message_bytes_max: 1 << 20,
    },
    schema: |_, _| schemars::json_schema!({ "type": "object" }),
    read: |_, _, _| None,
};

#[derive(Debug)]
struct Terminal;

#[async_trait]
impl Broker for Terminal {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn display(&self) -> String {
        "this terminal".into()
    }

    fn origin(&self, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Origin>> {
        faults.fault(written.at(), "nothing can be read from a terminal that only shows");
        None
    }

    /// Reads `terminal/COLOUR`. Every fault has its place, so that the user sees the line.
    fn target(&self, written: &Node, faults: &mut Problems) -> Option<Target> {
        let text = written.text().map(str::to_owned).or_else(|| written.need("colour", faults))?;
        Some(Target {
            link: LinkKey { broker: "terminal".into(), part: "".into() },
            // A template: `terminal/{payload.colour}` is a colour for each event.
            address: TemplateText { text, at: written.at().clone() },
            rule: AddressRule { bytes_max: 20, forbidden: char::is_control, name: "a colour", encode: None },
            fields: Vec::new(),
            options: Arc::new(()),
            in_flight: InFlight { batches: 4, messages: 256, batch_messages: 64 },
        })
    }

    async fn link(&self, _: &LinkKey, _: &House) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(Screen { colours: HashSet::from(["red", "green", "blue"]) }))
    }

    fn tap(&self, _: &Target) -> Result<Arc<dyn Origin>, String> {
        Err("look at the terminal".into())
    }

    async fn probe(&self, _: &Probe<'_>, _: &House) -> Vec<String> {
        Vec::new()
    }
}

/// One connection.
struct Screen {
    colours: HashSet<&'static str>,
}

#[async_trait]
impl Publisher for Screen {
    /// One outcome for each message, in order. What nobody knows is `Outcome::Unknown`: it is sent again, and never counted.
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let outcomes = batch.iter().map(|outgoing| self.show(outgoing)).collect();
        Ok(Box::pin(async move { Ok(outcomes) }))
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}

impl Screen {
    fn show(&self, outgoing: &Outgoing<'_>) -> Outcome {
        let colour = outgoing.address;
        if !self.colours.contains(colour) {
            // It will be none the next time either: `Final` goes to the dead letter at once.
            return Outcome::Refused(Refusal::new(Reason::Final, format!("`{colour}` is no colour of this terminal")));
        }
        println!("[{colour}] {} {}", outgoing.message.name(), String::from_utf8_lossy(outgoing.body));
        Outcome::Delivered(Proof::Confirmed)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let queues = Memory::new();
    let bridge = Bridge::builder()
        .yaml("routes: [{ from: mq/lamps, to: 'terminal/{payload.colour}', dead_letter: mq/lamps.dead }]")
        .broker("mq", queues.broker())
        .broker("terminal", Arc::new(Terminal))
        .start()
        .await?;

    for colour in ["red", "green", "beige"] {
        queues.put("lamps", TestEvent::notification("LampLit").payload(format!(r#"{{"colour":"{colour}"}}"#)));
    }
    queues.expect_settled("lamps").await;
    let dead = queues.expect("lamps.dead", 1).await;
    println!("dead: {}", dead[0].header("rialto-dead-error").unwrap_or_default());
    bridge.drain().await;
    Ok(())
}
