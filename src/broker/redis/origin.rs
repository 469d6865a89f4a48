//! What a source may say of Redis: `stream` with its group, `channel`, `pattern`.

use std::{any::Any, sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::Value;
use schemars::JsonSchema;

use super::{
    carrier::EntryId,
    connect::{Dialer, OPEN_WITHIN, Purpose, bounded},
    group::{self, Start},
    held::Mark,
    nodes,
    pubsub::{Listening, PubSubSource},
    settings::Settings,
    stream::{Group, StreamSource},
    target::{self, CHANNEL, Channel, Options, STREAM, Stream},
};
use crate::{
    broker::{House, OpenError, Origin, Source, Target, TemplateText},
    written::{Millis, Node, Problems, Span},
};

/// Peers that have not touched their entries for so long are taken for dead.
const IDLE_CLAIM: Duration = Duration::from_secs(60);

/// Less than this, and a peer that is only busy would be taken for dead.
const IDLE_CLAIM_MIN: Duration = Duration::from_secs(1);

/// Something of a Redis to read.
#[derive(Debug)]
pub(super) struct RedisOrigin {
    /// Of the broker.
    pub(super) settings: Arc<Settings>,
    broker: Arc<str>,
    address: String,
    /// What it reads.
    pub(super) what: What,
}

/// What is read.
#[derive(Debug)]
pub(super) enum What {
    /// A stream by a group.
    Stream(StreamOrigin),
    /// A channel or a pattern.
    Listen(Listening),
    /// A stream from its end, for `tap`: nothing is taken from anybody.
    Tail(Arc<str>),
}

/// A stream by a group.
#[derive(Debug)]
pub(super) struct StreamOrigin {
    /// The stream's key.
    pub(super) key: Arc<str>,
    /// The group's name; absent: the house's.
    pub(super) group: Option<Arc<str>>,
    start: Start,
    idle_claim: Duration,
    mark: Arc<Mark>,
}

/// Reads a source; the short form is a channel, or a pattern if it looks like one.
pub(super) fn read(node: &Node, broker: &Arc<str>, settings: &Arc<Settings>, faults: &mut Problems) -> Option<RedisOrigin> {
    let what = match node.text() {
        Some(text) if text.contains(['*', '?', '[']) => What::Listen(Listening::Pattern(Arc::from(text))),
        Some(text) => What::Listen(Listening::Channel(Arc::from(text))),
        None => read_map(node, faults)?,
    };
    Some(RedisOrigin::new(broker, settings, what))
}

fn read_map(node: &Node, faults: &mut Problems) -> Option<What> {
    let stream: Option<String> = node.opt("stream", faults);
    let channel: Option<String> = node.opt("channel", faults);
    let pattern: Option<String> = node.opt("pattern", faults);
    let group: Option<String> = node.opt("group", faults);
    let start = node.child("start").and_then(|start| read_start(start, faults));
    let idle_claim: Option<Millis> = node.opt("idle_claim", faults);
    if stream.is_none() && (group.is_some() || start.is_some() || idle_claim.is_some()) {
        faults.fault(node.at(), "`group`, `start` and `idle_claim` belong to a `stream`");
    }
    let idle_claim = idle_claim.map_or(IDLE_CLAIM, |written| written.0);
    if idle_claim < IDLE_CLAIM_MIN {
        faults.fault(node.at(), "`idle_claim` under 1 s would take entries from peers that are only busy");
    }
    match (stream, channel, pattern) {
        (Some(key), None, None) => Some(What::Stream(StreamOrigin {
            key: key.into(),
            group: group.map(Into::into),
            start: start.unwrap_or(Start::Earliest),
            idle_claim: idle_claim.max(IDLE_CLAIM_MIN),
            mark: Arc::default(),
        })),
        (None, Some(channel), None) => Some(What::Listen(Listening::Channel(channel.into()))),
        (None, None, Some(pattern)) => Some(What::Listen(Listening::Pattern(pattern.into()))),
        _ => {
            faults.fault(node.at(), "a Redis source needs one of `stream`, `channel`, `pattern`");
            None
        }
    }
}

fn read_start(node: &Node, faults: &mut Problems) -> Option<Start> {
    match node.text() {
        Some("earliest") => Some(Start::Earliest),
        Some("latest") => Some(Start::Latest),
        Some(id) if id.contains('-') => match EntryId::parse(id.as_bytes()) {
            Some(id) => Some(Start::After(id)),
            None => node.expected("`earliest`, `latest` or an entry's id", None, faults),
        },
        _ => node.expected("`earliest`, `latest` or an entry's id", None, faults),
    }
}

impl RedisOrigin {
    /// An origin of a broker.
    pub(super) fn new(broker: &Arc<str>, settings: &Arc<Settings>, what: What) -> Self {
        let name = match &what {
            What::Stream(StreamOrigin { key, .. }) | What::Tail(key) => key,
            What::Listen(Listening::Channel(name) | Listening::Pattern(name) | Listening::Sharded(name)) => name,
        };
        Self { settings: Arc::clone(settings), broker: Arc::clone(broker), address: format!("{broker}/{name}"), what }
    }

    async fn open_stream(&self, stream: &StreamOrigin, house: &House) -> Result<Box<dyn Source>, OpenError> {
        let dialer = Dialer::new(&self.broker, &self.settings, house)?;
        let mut acker = nodes::owner(&dialer, &stream.key).await?;
        let mut reader = nodes::owner(&dialer, &stream.key).await?;
        let name = stream.group.clone().unwrap_or_else(|| Arc::clone(&house.name));
        group::ensure(&mut acker, &stream.key, &name, stream.start, &stream.mark).await?;
        let reader_id = match reader.ask(redis::cmd("CLIENT").arg("ID").take(), "CLIENT ID").await {
            Ok(Value::Int(id)) => Some(id),
            // Not allowed, or behind a proxy: a blocking read then ends by itself.
            _ => None,
        };
        let group =
            Group { key: Arc::clone(&stream.key), name, consumer: Arc::clone(&house.instance), idle_claim: stream.idle_claim };
        let mark = Arc::clone(&stream.mark);
        Ok(Box::new(StreamSource { group, reader: reader.multiplex().await?, reader_id, acker: acker.multiplex().await?, mark }))
    }

    async fn open_listener(&self, listening: &Listening, house: &House) -> Result<Box<dyn Source>, OpenError> {
        let dialer = Dialer::new(&self.broker, &self.settings, house)?;
        let wire = match listening {
            Listening::Sharded(channel) => nodes::owner(&dialer, channel).await?,
            _ => dialer.open(Purpose::Listen).await?,
        };
        Ok(Box::new(PubSubSource::subscribe(wire, listening).await?))
    }
}

/// Whether a `PSUBSCRIBE` pattern hears a channel. Redis' patterns are globs without alternatives.
fn is_heard_by(pattern: &str, channel: &str) -> bool {
    let plain = pattern.replace('{', "\\{").replace('}', "\\}").replace("[^", "[!");
    let glob = globset::GlobBuilder::new(&plain).literal_separator(false).backslash_escape(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(channel))
}

#[async_trait]
impl Origin for RedisOrigin {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        matches!(self.what, What::Stream(_))
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        bounded(OPEN_WITHIN, &self.address, async {
            match &self.what {
                What::Stream(stream) => self.open_stream(stream, house).await,
                What::Listen(listening) => self.open_listener(listening, house).await,
                What::Tail(key) => super::tap::open(&self.broker, &self.settings, key, house).await,
            }
        })
        .await
    }

    fn inlet(&self) -> Option<Target> {
        let text = |text: &str| TemplateText { text: text.to_owned(), at: Span::outside("inlet") };
        match &self.what {
            What::Stream(StreamOrigin { key, .. }) | What::Tail(key) => {
                let stream = Some(Stream { maxlen: None, replicas: None });
                Some(target::target(&self.broker, text(key), STREAM, None, Options { channel: None, stream }))
            }
            What::Listen(Listening::Channel(channel)) => {
                let options = Options { channel: Some(Channel::Plain), stream: None };
                Some(target::target(&self.broker, text(channel), CHANNEL, None, options))
            }
            What::Listen(Listening::Sharded(channel)) => {
                let options = Options { channel: Some(Channel::Sharded), stream: None };
                Some(target::target(&self.broker, text(channel), CHANNEL, None, options))
            }
            What::Listen(Listening::Pattern(_)) => None,
        }
    }

    fn goes_by_name(&self) -> bool {
        matches!(&self.what, What::Stream(StreamOrigin { group: None, .. }))
    }

    fn reads(&self, target: &Target) -> bool {
        match &self.what {
            What::Listen(Listening::Pattern(pattern)) => {
                let told = target.options.downcast_ref::<Options>().is_some_and(|options| options.channel == Some(Channel::Plain));
                told && *target.link.broker == *self.broker && is_heard_by(pattern, &target.address.text)
            }
            // A stream may be written beside a channel, too.
            What::Stream(StreamOrigin { key, .. }) if !target.fields.is_empty() => {
                *target.link.broker == *self.broker && target.fields.iter().any(|field| field.text.text == **key)
            }
            _ => self.inlet().is_some_and(|inlet| inlet.is_same_place(target)),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// A stream, read by a group.
    stream: Option<String>,
    /// The group's name; absent: the configuration's `name`.
    group: Option<String>,
    /// Where a new group begins: `earliest`, `latest` or after an entry's id.
    start: Option<String>,
    /// Entries that a peer has not touched for so long are taken over: `60s`.
    idle_claim: Option<String>,
    /// A channel: at most once.
    channel: Option<String>,
    /// A pattern of channels: at most once.
    pattern: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hear_what_redis_says_they_hear() {
        for (pattern, channel) in [("app:*", "app:a/b"), ("app:?", "app:x"), ("a[^b]c", "axc"), ("{x}*", "{x}y"), ("\\*", "*")] {
            assert!(is_heard_by(pattern, channel), "{pattern} {channel}");
        }
        for (pattern, channel) in [("app:*", "apps:x"), ("app:?", "app:"), ("a[^b]c", "abc"), ("{x,y}", "x")] {
            assert!(!is_heard_by(pattern, channel), "{pattern} {channel}");
        }
    }
}
