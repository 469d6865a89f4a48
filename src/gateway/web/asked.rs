//! What a WebSocket client says: one JSON object a message (docs/wire.md, "The gateway's frames").

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::live::hub::{Seq, Topic};

/// The longest `id` that is said again in an answer, in bytes of JSON.
const ID_MAX: usize = 128;

/// One request.
#[derive(Debug)]
pub(super) struct Asked {
    /// Said again in the answer: a JSON number or string.
    pub(super) id: Option<Box<RawValue>>,
    pub(super) what: What,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum What {
    /// To hear these, from now on or from after a place in the stream.
    Subscribe { topics: Vec<Topic>, since: Option<Seq> },
    /// To hear these no more; with none named, nothing at all.
    Unsubscribe { topics: Vec<Topic> },
    /// To publish a body, which is the JSON as it was written, on a channel.
    Publish { channel: Bytes, body: Bytes },
    /// An answer, to see that somebody is there.
    Ping,
}

/// What is wrong with a request, and the id to answer under, where it has one.
#[derive(Debug)]
pub(super) struct Nonsense {
    pub(super) id: Option<Box<RawValue>>,
    pub(super) why: String,
}

/// A request as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    op: Op,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    patterns: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    since: Option<String>,
    channel: Option<String>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Op {
    Subscribe,
    Unsubscribe,
    Publish,
    Ping,
}

impl Asked {
    /// Reads one message.
    pub(super) fn read(text: &str) -> Result<Self, Nonsense> {
        let written: Written<'_> =
            serde_json::from_str(text).map_err(|error| Nonsense { id: None, why: format!("not a request: {error}") })?;
        let id = written.id.map(id).transpose().map_err(|why| Nonsense { id: None, why: why.to_owned() })?;
        match written.what() {
            Ok(what) => Ok(Self { id, what }),
            Err(why) => Err(Nonsense { id, why }),
        }
    }
}

/// The id as it will be said again.
fn id(raw: &RawValue) -> Result<Box<RawValue>, &'static str> {
    let text = raw.get();
    let simple = text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    if simple && text.len() <= ID_MAX { Ok(raw.to_owned()) } else { Err("`id` is a number or a string of at most 128 bytes") }
}

impl Written<'_> {
    fn what(self) -> Result<What, String> {
        self.only_its_own_keys()?;
        match self.op {
            Op::Subscribe => {
                let since = self.since.as_deref().map(str::parse).transpose().map_err(|error| format!("`since`: {error}"))?;
                let topics = topics(self.patterns, self.channels);
                if topics.is_empty() {
                    Err("`patterns` or `channels` say what to subscribe to".to_owned())
                } else {
                    Ok(What::Subscribe { topics, since })
                }
            }
            Op::Unsubscribe => Ok(What::Unsubscribe { topics: topics(self.patterns, self.channels) }),
            Op::Publish => {
                let channel = self.channel.ok_or("`channel` is missing")?;
                let message = self.message.ok_or("`message` is missing")?;
                // A copy: a part of the frame would keep the whole buffer of its connection for as long as the ring keeps the message.
                Ok(What::Publish { channel: channel.into(), body: Bytes::copy_from_slice(message.get().as_bytes()) })
            }
            Op::Ping => Ok(What::Ping),
        }
    }

    /// A key of another op would be a wish that is silently not granted.
    fn only_its_own_keys(&self) -> Result<(), String> {
        let written = [
            ("patterns", self.patterns.is_some(), matches!(self.op, Op::Subscribe | Op::Unsubscribe)),
            ("channels", self.channels.is_some(), matches!(self.op, Op::Subscribe | Op::Unsubscribe)),
            ("since", self.since.is_some(), self.op == Op::Subscribe),
            ("channel", self.channel.is_some(), self.op == Op::Publish),
            ("message", self.message.is_some(), self.op == Op::Publish),
        ];
        match written.into_iter().find(|(_, written, known)| *written && !known) {
            Some((key, ..)) => Err(format!("`{key}` has no meaning in this op")),
            None => Ok(()),
        }
    }
}

fn topics(patterns: Option<Vec<String>>, channels: Option<Vec<String>>) -> Vec<Topic> {
    let patterns = patterns.into_iter().flatten().map(|glob| Topic::Pattern(glob.into()));
    patterns.chain(channels.into_iter().flatten().map(|name| Topic::Channel(name.into()))).collect()
}
