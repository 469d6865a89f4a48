//! What a source may say of the hub: `channel` or `pattern`. It hears what clients and other routes publish while it is open, and each
//! of them waits for its verdict.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use schemars::JsonSchema;

use super::target::OfHub;
use crate::{
    broker::{Ended, House, OpenError, Origin, Source, SourceError, Target},
    intake::{Calls, Intake, calls},
    live::hub::{Reading, Topic},
    written::{Node, Problems},
};

/// Calls that wait for a full window before a publisher waits in turn.
const WAITING_MAX: usize = 64;

/// Channels of the hub to read.
#[derive(Debug)]
pub(super) struct HubOrigin {
    address: String,
    topic: Topic,
}

/// Reads a source; the short form is a channel, or a pattern if it looks like one.
pub(super) fn read(node: &Node, broker: &Arc<str>, faults: &mut Problems) -> Option<HubOrigin> {
    let (name, topic) = match node.text() {
        Some(text) if text.contains(['*', '?', '[']) => (text.to_owned(), Topic::Pattern(text.to_owned().into())),
        Some(text) => (text.to_owned(), Topic::Channel(text.to_owned().into())),
        None => read_map(node, faults)?,
    };
    Some(HubOrigin { address: format!("{broker}/{name}"), topic })
}

fn read_map(node: &Node, faults: &mut Problems) -> Option<(String, Topic)> {
    let channel: Option<String> = node.opt("channel", faults);
    let pattern: Option<String> = node.opt("pattern", faults);
    match (channel, pattern) {
        (Some(channel), None) => Some((channel.clone(), Topic::Channel(channel.into()))),
        (None, Some(pattern)) => Some((pattern.clone(), Topic::Pattern(pattern.into()))),
        _ => {
            faults.fault(node.at(), "a source of the hub needs one of `channel` and `pattern`");
            None
        }
    }
}

#[async_trait]
impl Origin for HubOrigin {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    /// Nothing that is not settled comes again by itself: whoever published it is told, and publishes it again.
    fn holds(&self) -> bool {
        false
    }

    fn answers(&self) -> bool {
        true
    }

    fn announce(&self, house: &House) {
        house.hub.announce(self.topic.clone());
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        let (caller, calls) = calls(WAITING_MAX);
        Ok(Box::new(HubSource { calls, _reading: house.hub.read(self.topic.clone(), caller) }))
    }

    /// None: the hub of a process that only publishes one event (`rialto publish`) has nobody in it.
    fn inlet(&self) -> Option<Target> {
        None
    }

    fn reads(&self, target: &Target) -> bool {
        target.options.is::<OfHub>() && self.topic.takes(target.address.text.as_bytes())
    }

    /// Any of the hub's: what a template will be is not known.
    fn feeds_on(&self, target: &Target) -> bool {
        target.options.is::<OfHub>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One incarnation: while it lives, whoever publishes calls it.
struct HubSource {
    calls: Calls,
    _reading: Reading,
}

#[async_trait]
impl Source for HubSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        Ok(self.calls.serve(&intake).await.into())
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// One channel.
    channel: Option<String>,
    /// A pattern of channels, as Redis matches them.
    pattern: Option<String>,
}
