//! What a destination may say of a webhook: `path`.

use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::{path, settings::Settings};
use crate::{
    broker::{Bound, InFlight, LinkKey, Target, TemplateText},
    written::{Node, Problems, Span, Value},
};

/// So many messages are handed over for each that is on the wire: those of one key wait for each other, and the rest must not.
const TURNS: usize = 4;

/// A destination's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// The path has a value in it: 403 and 404 are then this message's.
    pub(super) templated: bool,
}

/// Reads a destination; the short form is a path.
pub(super) fn read(node: &Node, broker: &Arc<str>, settings: &Settings, faults: &mut Problems) -> Option<Target> {
    let (text, at) = match node.text() {
        Some(text) => (text.to_owned(), node.at().clone()),
        None => match node.child("path") {
            Some(path) => (node.opt::<String>("path", faults)?, path.at().clone()),
            // The URL itself.
            None => (String::new(), node.at().clone()),
        },
    };
    let fixed = parts(&text);
    if fixed.contains('#') {
        faults.fault(&at, "what follows `#` in a path never reaches a server").hint("write `%23` where it is a part of the path");
    }
    let steps = fixed.split(['/', '?']).any(path::is_step);
    if steps || fixed.trim_start_matches('/').split('?').next().is_some_and(|path| path.contains("//")) || fixed.starts_with("//") {
        faults.fault(&at, format!("`{text}` has an empty segment, or one that climbs"));
    }
    let options = Options { templated: fixed.contains(VALUE) };
    let slots = settings.concurrency * TURNS;
    Some(Target {
        link: LinkKey { broker: Arc::clone(broker), part: host(settings) },
        address: TemplateText { text, at },
        rule: path::RULE,
        fields: Vec::new(),
        options: Arc::new(options),
        in_flight: InFlight { batches: slots, messages: slots, batch_messages: settings.concurrency },
    })
}

/// The host as written, so that one worker serves it.
fn host(settings: &Settings) -> Arc<str> {
    settings.endpoint().map(|endpoint| endpoint.authority.to_str().unwrap_or_default().into()).unwrap_or_default()
}

/// Stands for a value.
const VALUE: char = '\u{0}';

/// A template's own text, with [`VALUE`] for each placeholder. `{{` is a brace.
fn parts(template: &str) -> String {
    let mut fixed = String::with_capacity(template.len());
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' if letters.next_if_eq(&'{').is_some() => fixed.push('{'),
            '{' => {
                let mut quoted = false;
                letters.by_ref().find(|letter| {
                    quoted ^= *letter == '\'';
                    *letter == '}' && !quoted
                });
                fixed.push(VALUE);
            }
            letter => fixed.push(letter),
        }
    }
    fixed
}

/// The endpoint itself, for the events that it handles.
pub(super) fn bound(broker: &Arc<str>, settings: &Settings) -> Vec<Bound> {
    if settings.handles.is_empty() {
        return Vec::new();
    }
    let at = Span::outside("handles");
    let name = Node::new("broker", at.clone(), Value::Str(broker.to_string()));
    let written = Node::new("", at.clone(), Value::Map(IndexMap::from([("broker".to_owned(), (at, name))])));
    vec![Bound { handles: settings.handles.clone(), written }]
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// A template: put behind the URL's path. Values are percent-encoded and stay in their segment.
    path: Option<String>,
}

/// A webhook is no source.
#[derive(JsonSchema)]
pub(super) struct NoOrigin {}
