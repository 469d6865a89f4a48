//! What is published on a channel, as a source of the bridge gets it.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;

use crate::envelope::{Carrier, HeaderValue, Property, RawMessage};

/// The header that counts the bridges a message came through: the only one that goes with a message from route to route inside a
/// process, so that a circle of routes ends.
const HOPS: &str = "rialto-hops";

/// A channel has no headers (docs/wire.md): what comes with a body is the channel, and the hops of what a route published.
#[derive(Debug)]
struct OnChannel {
    channel: Bytes,
    hops: u32,
}

/// An event out of what was published on `channel`; `hops` are 0 for what a client published.
pub fn event(channel: &Bytes, body: &Bytes, hops: u32) -> RawMessage {
    RawMessage { body: body.clone(), carrier: Arc::new(OnChannel { channel: channel.clone(), hops }) }
}

impl Carrier for OnChannel {
    fn property(&self, _: Property) -> Option<Cow<'_, str>> {
        None
    }

    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        (self.hops > 0 && name == HOPS).then_some(HeaderValue::Int(i64::from(self.hops)))
    }

    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        if self.hops > 0 {
            each(HOPS, HeaderValue::Int(i64::from(self.hops)));
        }
    }

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "channel").then(|| String::from_utf8_lossy(&self.channel))
    }

    fn time(&self) -> Option<i64> {
        None
    }

    /// None: a number of this hub means nothing in its next life, and a message that is sent again gets another.
    fn position(&self) -> Option<String> {
        None
    }
}
