//! The words of a template: what stands between its braces, and where the value comes from.

use std::borrow::Cow;

use super::SourceContext;
use crate::envelope::{HeaderValue, Message, Path};

/// What a template is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The message, as its route has it.
    pub message: &'a Message,
    /// The source it came from.
    pub source: &'a SourceContext,
}

/// One word, resolved when the template is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    MessageType,
    MessageName,
    MessageId,
    Prefix,
    Name,
    Instance,
    Source,
    Broker,
    Key,
    Time,
    /// A word of the transport: `queue`, `partition`; or `property.x`, without its prefix.
    Carried(Box<str>),
    Payload(Path),
    Header(Box<str>),
    Metadata(Box<str>),
}

/// Words that the configuration knows without a message.
const CONSTANT: [(&str, Word); 5] = [
    ("prefix", Word::Prefix),
    ("name", Word::Name),
    ("instance", Word::Instance),
    ("source", Word::Source),
    ("broker", Word::Broker),
];

/// Words that every message has, or may have.
const MESSAGE: [(&str, Word); 5] = [
    ("message_type", Word::MessageType),
    ("message_name", Word::MessageName),
    ("message_id", Word::MessageId),
    ("key", Word::Key),
    ("time", Word::Time),
];

/// Words of transports.
const CARRIED: [&str; 10] =
    ["queue", "exchange", "routing_key", "topic", "subscription", "partition", "offset", "channel", "stream", "path"];

/// Prefixes of words that name something of the message.
const OPEN: [&str; 4] = ["payload.", "header.", "property.", "metadata."];

impl Word {
    /// The word as written; an error is the nearest word there is, where one is near.
    pub(super) fn parse(text: &str) -> Result<Self, Option<String>> {
        if let Some((_, word)) = CONSTANT.iter().chain(&MESSAGE).find(|(name, _)| *name == text) {
            return Ok(word.clone());
        }
        if CARRIED.contains(&text) {
            return Ok(Self::Carried(text.into()));
        }
        let open = |prefix: &str| text.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        if let Some(path) = open("payload.").and_then(Path::parse) {
            return Ok(Self::Payload(path));
        }
        if let Some(name) = open("header.") {
            return Ok(Self::Header(name.into()));
        }
        if let Some(name) = open("property.") {
            return Ok(Self::Carried(name.into()));
        }
        open("metadata.").map(|name| Self::Metadata(name.into())).ok_or_else(|| nearest(text))
    }

    /// True where the value is known without a message.
    pub(super) fn is_constant(&self) -> bool {
        CONSTANT.iter().any(|(_, word)| word == self)
    }

    /// Its value where it needs no message.
    pub(super) fn constant<'a>(&self, source: &'a SourceContext) -> Option<&'a str> {
        Some(match self {
            Self::Prefix => &source.prefix,
            Self::Name => &source.name,
            Self::Instance => &source.instance,
            Self::Source => &source.source,
            Self::Broker => &source.broker,
            _ => return None,
        })
    }

    /// Its value. An empty value is none: an address that silently lost a part would be somebody else's.
    pub(super) fn value<'a>(&self, context: &Context<'a>) -> Option<Cow<'a, str>> {
        let message = context.message;
        let value = match self {
            Self::MessageType => Cow::Borrowed(message.message_type()),
            Self::MessageName => Cow::Borrowed(message.name()),
            Self::MessageId => Cow::Borrowed(message.id()),
            Self::Key => message.key()?,
            Self::Time => message.event_time()?,
            Self::Carried(name) => message.raw().carrier.word(name)?,
            Self::Payload(path) => message.field(path)?,
            Self::Header(name) => message.raw().carrier.header(name).and_then(HeaderValue::to_text)?,
            Self::Metadata(key) => message.metadata(key)?,
            Self::Prefix | Self::Name | Self::Instance | Self::Source | Self::Broker => {
                Cow::Borrowed(self.constant(context.source)?)
            }
        };
        (!value.is_empty()).then_some(value)
    }
}

/// The word that is most like `text`, where one is much like it.
fn nearest(text: &str) -> Option<String> {
    let near = |written: &str, known: &str| {
        let distance = strsim::damerau_levenshtein(written, known);
        (distance <= 1 + known.len() / 4).then_some(distance)
    };
    if let Some((head, tail)) = text.split_once('.') {
        let open = OPEN.iter().filter_map(|open| near(head, open.trim_end_matches('.')).map(|distance| (distance, open)));
        return open.min().map(|(_, open)| format!("{open}{tail}")).filter(|nearest| nearest != text);
    }
    let known = CONSTANT.iter().chain(&MESSAGE).map(|(name, _)| *name).chain(CARRIED);
    known.filter_map(|name| near(text, name).map(|distance| (distance, name))).min().map(|(_, name)| name.to_owned())
}
