//! What a source says of an `http_server`: `path`, `verify`, `respond_within`.

use std::{any::Any, sync::Arc, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;

use super::{remembered::Remembered, settings::Settings, source::HttpSource, verify::Verify};
use crate::{
    broker::{House, OpenError, Origin, Source, Target},
    listen::Mount,
    outcome::Reason,
    written::{FromNode, Millis, Node, Problems, Size, Span},
};

/// As docs/configuration.md has it, where the source does not say.
const MESSAGE_MAX: Size = Size(1 << 20);

/// How long a request waits for its verdict.
const RESPOND_WITHIN: Millis = Millis(Duration::from_secs(10));

/// A path to post to.
#[derive(Debug)]
pub(super) struct HttpOrigin {
    settings: Arc<Settings>,
    broker: Arc<str>,
    /// `broker/path`.
    address: String,
    /// What a request must be.
    pub(super) terms: Arc<Terms>,
    /// Keys of requests; it outlives the incarnations of the source.
    pub(super) remembered: Arc<Remembered>,
}

/// What requests to one path must be, and how long they wait.
#[derive(Debug)]
pub(super) struct Terms {
    /// With its leading `/`, and none at its end.
    pub(super) path: Box<str>,
    /// Who may send; `None`: anybody who reaches the listener.
    pub(super) verify: Option<Verify>,
    pub(super) respond_within: Duration,
    /// The largest single message, in bytes.
    pub(super) message_max: u64,
    /// `decode: any`: bodies need not be JSON.
    pub(super) any: bool,
}

/// Reads a source; the short form is a path.
pub(super) fn read(node: &Node, broker: &Arc<str>, settings: &Arc<Settings>, faults: &mut Problems) -> Option<HttpOrigin> {
    let mut terms =
        Terms { path: "/".into(), verify: None, respond_within: RESPOND_WITHIN.0, message_max: MESSAGE_MAX.0, any: false };
    let written: String = if let Some(text) = node.text() {
        text.to_owned()
    } else {
        terms.verify = node.child("verify").and_then(|verify| Verify::read(verify, faults));
        terms.respond_within = node.get("respond_within", RESPOND_WITHIN, faults).0;
        // Both are read and judged by the source's own reader; here they only set limits.
        terms.message_max = peek(node, "message_max").unwrap_or(MESSAGE_MAX).0;
        terms.any = node.peek("decode").is_some_and(|decode| decode.items().iter().any(|item| item.text() == Some("any")));
        node.need("path", faults)?
    };
    if terms.respond_within.is_zero() {
        faults.fault(node.at(), "`respond_within` is more than 0: no request could be answered");
    }
    let at = node.child("path").unwrap_or(node).at();
    terms.path = path(&written, at, faults)?;
    if !settings.is_loopback() && node.peek("verify").is_none() {
        faults
            .fault(node.at(), format!("`{}` would take messages from whoever reaches {}", broker, settings.listener.address))
            .hint("write `verify` in this source, or listen on 127.0.0.1");
    }
    if let Some(fault) = terms.verify.as_ref().filter(|_| !settings.is_loopback()).and_then(|verify| verify.in_the_clear(settings))
    {
        faults.warn(node.at(), fault).hint("write `tls` in the broker, or end TLS in front of it");
    }
    let remembered = Remembered::new(terms.verify.as_ref().map_or(Duration::ZERO, Verify::replayable));
    Some(HttpOrigin {
        settings: Arc::clone(settings),
        broker: Arc::clone(broker),
        address: format!("{broker}{}", terms.path),
        terms: Arc::new(terms),
        remembered: Arc::new(remembered),
    })
}

/// A value whose faults somebody else tells.
fn peek<T: FromNode>(node: &Node, key: &str) -> Option<T> {
    T::from_node(node.peek(key)?, &mut Problems::default())
}

/// With a leading `/` and none at the end; `/` itself stays.
fn path(written: &str, at: &Span, faults: &mut Problems) -> Option<Box<str>> {
    let inner = written.strip_prefix('/').unwrap_or(written);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    if !inner.bytes().all(legal) || inner.split('/').any(|part| matches!(part, "." | "..")) || inner.contains("//") {
        faults
            .fault(at, format!("`{}` is no path (RFC 3986, 3.3)", written.escape_debug()))
            .hint("such as `/events`; other letters are percent-encoded, and there is no query");
        return None;
    }
    Some(format!("/{inner}").into())
}

impl HttpOrigin {
    /// The path.
    pub(super) fn path(&self) -> &str {
        &self.terms.path
    }

    /// Where its page is: the path, and the names of messages below it.
    pub(super) fn mount(&self) -> Mount {
        Mount::With(if self.path() == "/" { "".into() } else { self.path().into() })
    }
}

#[async_trait]
impl Origin for HttpOrigin {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        // Nobody sends again what was withdrawn: what was taken is delivered, and its producer told where that is still possible.
        false
    }

    fn rejects_natively(&self) -> bool {
        true
    }

    fn answers(&self) -> bool {
        true
    }

    async fn open(&self, house: &House) -> Result<Box<dyn Source>, OpenError> {
        // The bridge has bound it; a tool that reads one source has not.
        let listener = match house.listeners.of(&self.broker) {
            Some(listener) => listener,
            None => house
                .listeners
                .http(&self.broker, self.settings.listener.clone())
                .map_err(|error| OpenError { reason: Reason::Link, detail: format!("{error}: {}", error.source) })?,
        };
        let (terms, remembered) = (Arc::clone(&self.terms), Arc::clone(&self.remembered));
        let listeners = house.listeners.clone();
        Ok(Box::new(HttpSource { listener, listeners, place: self.mount(), terms, remembered }))
    }

    fn inlet(&self) -> Option<Target> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The source's own keys, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// Where to post: `PATH`, or `PATH/{message_name}`.
    path: String,
    /// Who may send: one of the two.
    verify: Option<super::verify::Written>,
    /// A request that has no verdict by then is answered 503 (default 10s).
    respond_within: Option<String>,
}
