//! Why a message is dead, and how its dead letter says so.

use std::borrow::Cow;

use crate::{
    envelope::{Message, Shape, push_extended, rfc3339},
    outcome::Reason,
};

/// Why a message is dead: the `rialto-dead-*` headers of docs/wire.md.
#[derive(Debug, Clone)]
pub struct Death {
    /// The route that gave up; empty for a message that met none.
    pub route: String,
    /// The source it came from.
    pub source: String,
    /// The destination that would not have it; empty for a message that met none.
    pub destination: String,
    /// The closed-set reason.
    pub reason: Reason,
    /// In words: the broker's, or the rejection's.
    pub error: String,
    /// Tries that counted.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub first_failed_at: i64,
    /// Milliseconds since the Unix epoch.
    pub last_failed_at: i64,
    /// The address it was to go to.
    pub original_address: String,
    /// Where it stood in its source.
    pub original_position: String,
}

impl Death {
    /// How the names of its headers begin.
    pub const PREFIX: &'static str = "rialto-dead-";

    /// It as headers (docs/wire.md, dead letters), each name without [`Death::PREFIX`]; times in RFC 3339. What is not known is empty, and
    /// is left out where the headers are written.
    pub fn headers(&self) -> [(&'static str, Cow<'_, str>); 10] {
        [
            ("route", Cow::Borrowed(&*self.route)),
            ("source", Cow::Borrowed(&*self.source)),
            ("destination", Cow::Borrowed(&*self.destination)),
            ("reason", Cow::Borrowed(self.reason.as_str())),
            ("error", Cow::Borrowed(&*self.error)),
            ("attempts", Cow::Owned(self.attempts.to_string())),
            ("first-failed-at", Cow::Owned(rfc3339(self.first_failed_at))),
            ("last-failed-at", Cow::Owned(rfc3339(self.last_failed_at))),
            ("original-address", Cow::Borrowed(&*self.original_address)),
            ("original-position", Cow::Borrowed(&*self.original_position)),
        ]
    }

    /// For a transport without headers: appends the message as an extended envelope with the same keys in its `metadata`; `source` is for
    /// a message that names none of its own. False, and
    /// nothing appended, for a message that could not be decoded: it has no envelope, and is sent as it came.
    pub fn wrap(&self, message: &Message, source: &str, body: &mut Vec<u8>) -> bool {
        if message.shape() == Shape::Opaque {
            return false;
        }
        let known = self.headers().into_iter().filter(|(_, value)| !value.is_empty());
        let further: Vec<(String, Cow<'_, str>)> = known.map(|(name, value)| ([Self::PREFIX, name].concat(), value)).collect();
        let further: Vec<(&str, &str)> = further.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
        push_extended(body, message, Some(source), message.hops(), &further);
        true
    }
}
