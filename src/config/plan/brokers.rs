//! `brokers`: systems, named once; and `broker/address`, the short form that names one with a place in it.

use std::{cell::Cell, sync::Arc};

use indexmap::IndexMap;

use super::{Given, fingerprint, matching::HANDLED};
use crate::{
    broker::{Bound, Broker, Described, KINDS, Kind, Remark},
    written::{Node, Problems, Span, Value, scheme_of, suggestion},
};

/// Kinds of the grammar that this version does not have, with the schemes of their URLs.
const LATER: &[(&str, &[&str])] = &[("outbox", &["postgres", "postgresql"])];

/// One entry of `brokers`.
#[derive(Debug)]
pub(super) struct Named {
    /// Where its name stands.
    pub(super) at: Span,
    /// The checked settings; `None` where they had faults, so that what refers to it is not called unknown.
    pub(super) broker: Option<Arc<dyn Broker>>,
    /// What it was read from, for the fingerprint of the pipelines that use it.
    pub(super) written: String,
    /// A source, destination or dead letter refers to it.
    pub(super) used: Cell<bool>,
}

/// All of them, in the order written.
#[derive(Debug, Default)]
pub(super) struct Brokers {
    pub(super) named: IndexMap<Arc<str>, Named>,
}

/// A broker and what was written after its name.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The broker's name.
    pub(super) name: Arc<str>,
    /// Its settings.
    pub(super) broker: Arc<dyn Broker>,
    /// What its `origin` or `target` reads: the short form's address as a string node, or the long form's map.
    pub(super) written: Node,
}

impl Brokers {
    /// Reads `brokers`, after those that the program gives.
    pub(super) fn read(root: &Node, given: &Given, faults: &mut Problems) -> Self {
        let mut brokers = Self::of_program(given, faults);
        let Some(node) = root.child("brokers") else {
            if brokers.named.is_empty() {
                faults.fault(root.at(), "`brokers` is missing").hint("`brokers: { mq: amqp://localhost:5672 }`");
            }
            return brokers;
        };
        if !matches!(node.value(), Value::Map(_)) {
            faults.fault(node.at(), "`brokers` is a map: a name for each system, and its URL or settings");
        }
        for (name, at, written) in node.entries() {
            check_name(name, at, faults);
            if brokers.named.contains_key(name) {
                faults.fault(at, format!("the program itself brings a broker named `{name}`")).hint("call this one something else");
                continue;
            }
            let broker = one(name, written, faults);
            let named = Named { at: at.clone(), broker, written: fingerprint::canonical(written), used: Cell::new(false) };
            brokers.named.insert(name.into(), named);
        }
        brokers
    }

    fn of_program(given: &Given, faults: &mut Problems) -> Self {
        let at = Span::outside("program");
        let mut brokers = Self::default();
        for (name, broker) in given.brokers() {
            check_name(name, &at, faults);
            // What of them changed, a reload cannot see: the program gave them once.
            let named = Named { at: at.clone(), broker: Some(broker.clone()), written: String::new(), used: Cell::new(false) };
            brokers.named.insert(name.clone(), named);
        }
        brokers
    }

    /// Those without faults.
    pub(super) fn built(self) -> IndexMap<Arc<str>, Arc<dyn Broker>> {
        self.named.into_iter().filter_map(|(name, named)| Some((name, named.broker?))).collect()
    }

    /// What takes domain events by their name without a route that says so, as destinations that match those names.
    pub(super) fn bound(&self) -> Vec<Node> {
        let brokers = self.named.values().filter_map(|named| named.broker.as_ref());
        brokers.flat_map(|broker| broker.bound()).map(matching_names).collect()
    }

    /// The kind of a broker; empty where it had faults.
    pub(super) fn kind(&self, name: &str) -> &'static str {
        self.named.get(name).and_then(|named| named.broker.as_ref()).map_or("", |broker| broker.kind().name)
    }

    /// What a broker has to say of one of its ends; nothing where it had faults.
    pub(super) fn remarks(&self, name: &str, end: &Described<'_>) -> Vec<Remark> {
        let broker = self.named.get(name).and_then(|named| named.broker.as_ref());
        broker.map(|broker| broker.remarks(end)).unwrap_or_default()
    }

    /// What a broker was read from.
    pub(super) fn written(&self, name: &str) -> &str {
        self.named.get(name).map_or("", |named| &named.written)
    }

    /// Finds a broker by name; an unknown name is a fault. `None` without a fault: its settings had theirs.
    pub(super) fn find(&self, name: &str, at: &Span, faults: &mut Problems) -> Option<(Arc<str>, Arc<dyn Broker>)> {
        if let Some((_, name, named)) = self.named.get_full(name) {
            named.used.set(true);
            return named.broker.clone().map(|broker| (name.clone(), broker));
        }
        let otherwise = || format!("`brokers` has {}", list(self.named.keys().map(AsRef::as_ref)));
        let near = suggestion(name, self.named.keys().map(AsRef::as_ref)).unwrap_or_else(otherwise);
        let given = KINDS.iter().find(|kind| kind.name == name).and_then(|kind| kind.given);
        let hint = given.map_or(near, str::to_owned);
        faults.fault(at, format!("no broker is named `{name}`")).hint(hint);
        None
    }

    /// Reads the short form `broker/address`: everything after the first `/` is the address, verbatim.
    pub(super) fn short(&self, node: &Node, text: &str, faults: &mut Problems) -> Option<Place> {
        let Some((name, address)) = text.split_once('/') else {
            let fault = faults.fault(node.at(), format!("`{text}` is no `broker/address`"));
            if self.named.contains_key(text) {
                fault.hint(format!("say where in it: `{text}/…`"));
            }
            return None;
        };
        let (name, broker) = self.find(name, node.at(), faults)?;
        if address.is_empty() {
            faults.fault(node.at(), format!("`{text}` names no place in the broker `{name}`"));
            return None;
        }
        Some(Place { name, broker, written: Node::new(node.path(), node.at().clone(), Value::Str(address.to_owned())) })
    }

    /// Reads the long form: a map with the key `broker`, which the broker's kind reads on.
    pub(super) fn long(&self, node: &Node, faults: &mut Problems) -> Option<(Arc<str>, Arc<dyn Broker>)> {
        let name: String = node.need("broker", faults)?;
        let at = node.child("broker").unwrap_or(node).at();
        self.find(&name, at, faults)
    }
}

/// The destination of whoever is bound, with the condition that it is bound by.
fn matching_names(Bound { handles, written }: Bound) -> Node {
    let (path, at) = (written.path().to_owned(), written.at().clone());
    let text = |text: String| Node::new(&*path, at.clone(), Value::Str(text));
    let names = Node::new(&*path, at.clone(), Value::List(handles.into_iter().map(text).collect()));
    let kinds = [("message_type", text(HANDLED.to_owned())), ("message_name", names)];
    let condition = kinds.into_iter().map(|(key, node)| (key.to_owned(), (at.clone(), node))).collect();
    let condition = Node::new(&*path, at.clone(), Value::Map(condition));
    let mut keys = match written.into_value() {
        Value::Map(keys) => keys,
        _ => IndexMap::new(),
    };
    keys.insert("match".to_owned(), (at.clone(), condition));
    Node::new(path, at, Value::Map(keys))
}

/// A name that can stand before a `/`, in a metric label and in a file.
fn check_name(name: &str, at: &Span, faults: &mut Problems) {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(legal) {
        faults.fault(at, format!("`{name}` cannot name a broker: letters, digits, `_`, `-` and `.` can"));
    }
}

fn one(name: &str, written: &Node, faults: &mut Problems) -> Option<Arc<dyn Broker>> {
    match written.value() {
        Value::Str(url) => (by_scheme(url, written, faults)?.read)(name, written, faults),
        Value::Map(entries) => {
            let mut kinds = entries.iter();
            let (Some((kind, (at, settings))), None) = (kinds.next(), kinds.next()) else {
                let message = format!("broker `{name}` has one key, its kind, and its settings under it");
                faults.fault(written.at(), message).hint(format!("`{name}: {{ amqp: {{ url: … }} }}`"));
                return None;
            };
            (by_name(kind, at, faults)?.read)(name, settings, faults)
        }
        _ => {
            faults.fault(written.at(), format!("broker `{name}` is a URL, or a map whose key is its kind"));
            None
        }
    }
}

/// The kind whose scheme a URL has. The URL itself may hold a password: only its scheme is ever shown.
fn by_scheme(url: &str, written: &Node, faults: &mut Problems) -> Option<&'static Kind> {
    let Some(scheme) = scheme_of(url) else {
        faults
            .fault(written.at(), "this is no URL")
            .hint("a broker's short form is a URL: `amqp://host:5672`, `redis://host:6379`");
        return None;
    };
    if let Some(kind) = KINDS.iter().find(|kind| kind.schemes.contains(&scheme)) {
        return Some(kind);
    }
    if let Some((kind, _)) = LATER.iter().find(|(_, schemes)| schemes.contains(&scheme)) {
        not_built(kind, written.at(), faults);
        return None;
    }
    let schemes = KINDS.iter().flat_map(|kind| kind.schemes).copied();
    let usual = KINDS.iter().filter_map(|kind| kind.schemes.first()).copied();
    let near = suggestion(scheme, schemes).filter(|hint| hint.starts_with("did"));
    let hint = near.unwrap_or_else(|| format!("such as {}", list(usual)));
    faults.fault(written.at(), format!("no kind of broker has URLs that begin with `{scheme}://`")).hint(hint);
    None
}

fn by_name(name: &str, at: &Span, faults: &mut Problems) -> Option<&'static Kind> {
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return Some(kind);
    }
    if LATER.iter().any(|(kind, _)| *kind == name) {
        not_built(name, at, faults);
        return None;
    }
    let kinds = || KINDS.iter().map(|kind| kind.name);
    let hint = suggestion(name, kinds()).unwrap_or_else(|| format!("there are {}", list(kinds())));
    faults.fault(at, format!("`{name}` is no kind of broker")).hint(hint);
    None
}

fn not_built(kind: &str, at: &Span, faults: &mut Problems) {
    let hint = format!("this version has {}", list(KINDS.iter().map(|kind| kind.name)));
    faults.fault(at, format!("brokers of kind `{kind}` are not built yet")).hint(hint);
}

/// `a`, `b` and `c`, for a hint.
pub(super) fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
