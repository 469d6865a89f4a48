//! `sources`: what is read, and how much of it may be unsettled.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    brokers::{Brokers, Place},
    fingerprint,
    policy::Policy,
};
use crate::{
    broker::{Origin, WINDOW},
    written::{Node, Problems, Size, Span, Value, suggestion},
};

/// Bytes taken and not yet settled, unless written.
const WINDOW_BYTES: u64 = 64 << 20;
/// The largest body that is looked into.
const MESSAGE_MAX: u64 = 1 << 20;

/// A source as read; which routes it feeds is not known here.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) name: Arc<str>,
    pub(super) at: Span,
    /// Written in a route's `from`, without an entry in `sources`.
    pub(super) inline: bool,
    pub(super) broker: Arc<str>,
    /// `None` where its own keys had faults.
    pub(super) origin: Option<Arc<dyn Origin>>,
    pub(super) window: usize,
    pub(super) window_bytes: u64,
    pub(super) message_max: u64,
    pub(super) policy: Policy<'a>,
    /// For the fingerprint of its pipeline.
    pub(super) written: String,
}

/// All sources, the named ones first. `None`: it had faults, and what refers to it is not to be called unknown.
#[derive(Debug, Default)]
pub(super) struct Sources<'a> {
    pub(super) known: IndexMap<Arc<str>, Option<Source<'a>>>,
}

impl<'a> Sources<'a> {
    /// Reads `sources`.
    pub(super) fn read(root: &'a Node, brokers: &Brokers, faults: &mut Problems) -> Self {
        let mut sources = Self::default();
        let Some(node) = root.child("sources") else { return sources };
        if !matches!(node.value(), Value::Map(_) | Value::Null) {
            faults.fault(node.at(), "`sources` is a map: a name for each source, and its settings");
        }
        for (name, at, written) in node.entries() {
            if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
                faults.fault(at, format!("`{name}` cannot name a source: it is empty, or has a `/` or a control character"));
            }
            let source = match written.value() {
                Value::Str(text) => short(name, at, written, text, brokers, faults),
                Value::Map(_) => long(name, at, written, brokers, faults),
                _ => {
                    faults.fault(written.at(), format!("source `{name}` is `broker/address`, or a map of its settings"));
                    None
                }
            };
            sources.known.insert(name.into(), source);
        }
        sources
    }

    /// The source that a route's `from` means: a name, or `broker/address` for one with defaults, which routes that write the same
    /// address share.
    pub(super) fn from(&mut self, node: &'a Node, brokers: &Brokers, faults: &mut Problems) -> Option<Arc<str>> {
        let Some(text) = node.text() else {
            let hint = "settings of a source stand under `sources`; `from` names it";
            faults.fault(node.at(), "`from` is a source's name or `broker/address`").hint(hint);
            return None;
        };
        if let Some((name, _)) = self.known.get_key_value(text) {
            return Some(name.clone());
        }
        if !text.contains('/') {
            let fault = faults.fault(node.at(), format!("no source is named `{text}`"));
            let otherwise = || "`from` may say `broker/address` where a source needs no settings".to_owned();
            fault.hint(suggestion(text, self.known.keys().map(AsRef::as_ref)).unwrap_or_else(otherwise));
            return None;
        }
        let source = short(text, node.at(), node, text, brokers, faults).map(|source| Source { inline: true, ..source });
        if let Some(source) = &source {
            self.refuse_twin(source, faults);
        }
        let name: Arc<str> = text.into();
        self.known.insert(name.clone(), source);
        Some(name)
    }

    /// An inline source that reads what a named one reads would compete with it for every message.
    fn refuse_twin(&self, inline: &Source<'_>, faults: &mut Problems) {
        let Some(address) = inline.origin.as_ref().map(|origin| origin.address()) else { return };
        let twin = self
            .known
            .values()
            .flatten()
            .find(|other| !other.inline && other.origin.as_ref().is_some_and(|origin| origin.address() == address));
        if let Some(twin) = twin {
            faults
                .fault(&inline.at, format!("`{address}` is what the source `{}` reads", twin.name))
                .also(&twin.at, "named here")
                .hint(format!("`from: {}`", twin.name));
        }
    }
}

fn short<'a>(name: &str, at: &Span, node: &'a Node, text: &str, brokers: &Brokers, faults: &mut Problems) -> Option<Source<'a>> {
    let Place { name: broker_name, broker, written } = brokers.short(node, text, faults)?;
    Some(Source {
        name: name.into(),
        at: at.clone(),
        inline: false,
        origin: broker.origin(&written, faults),
        broker: broker_name,
        window: broker.window() as usize,
        window_bytes: WINDOW_BYTES,
        message_max: MESSAGE_MAX,
        policy: Policy::default(),
        written: fingerprint::canonical(node),
    })
}

fn long<'a>(name: &str, at: &Span, node: &'a Node, brokers: &Brokers, faults: &mut Problems) -> Option<Source<'a>> {
    let broker = brokers.long(node, faults);
    let window = broker.as_ref().map_or(WINDOW, |(_, broker)| broker.window());
    let window = node.get::<u32>("window", window, faults) as usize;
    let window_bytes = node.get("window_bytes", Size(WINDOW_BYTES), faults).0;
    let message_max = node.get("message_max", Size(MESSAGE_MAX), faults).0;
    check_window(node, window, window_bytes, message_max, faults);
    let policy = Policy::read(node, faults);
    let (broker_name, broker) = broker?;
    let origin = broker.origin(node, faults);
    for key in ["verify", "respond_within"] {
        only_where_called(key, node, broker.kind().name, faults);
    }
    node.finish(faults);
    Some(Source {
        name: name.into(),
        at: at.clone(),
        inline: false,
        broker: broker_name,
        origin,
        window,
        window_bytes,
        message_max,
        policy,
        written: fingerprint::canonical(node),
    })
}

/// Keys of sources to which producers come, written in one that goes to its producers itself.
fn only_where_called(key: &'static str, node: &Node, kind: &str, faults: &mut Problems) {
    let asked = node.asked().is_none_or(|asked| asked.iter().any(|asked| asked == key));
    if let Some(at) = node.key_at(key).filter(|_| !asked) {
        faults
            .fault(at, format!("a source of kind `{kind}` has no `{key}`: no producer calls it"))
            .hint("it belongs to sources of an `http_server`");
        // Said: it is not also unknown.
        let _ = node.child(key);
    }
}

fn check_window(node: &Node, window: usize, window_bytes: u64, message_max: u64, faults: &mut Problems) {
    let at = |key| node.child(key).unwrap_or(node).at();
    if window == 0 {
        faults.fault(at("window"), "`window` is at least 1: nothing could be read");
    }
    if message_max == 0 {
        faults.fault(at("message_max"), "`message_max` is at least 1: every message would be rejected");
    }
    if window_bytes < message_max {
        let key = if node.child("window_bytes").is_some() { "window_bytes" } else { "message_max" };
        faults
            .fault(at(key), "`window_bytes` is smaller than `message_max`: one message could fill the window alone")
            .hint("a window holds several messages: raise `window_bytes`");
    }
}
