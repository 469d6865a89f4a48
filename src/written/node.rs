//! A node of the written tree.

use std::{cell::RefCell, fmt, slice};

use indexmap::IndexMap;

use super::{FromNode, Problems, Span, keys::Asked, scalar, yaml::joined};

/// A value with the place where it stands and the keys that were asked of it.
#[derive(Clone)]
pub struct Node {
    path: String,
    at: Span,
    value: Value,
    /// A number or a bool exactly as it was written, for who wants text: `0123`, `1.10`.
    raw: Option<String>,
    pub(super) asked: RefCell<Asked>,
}

/// The YAML (JSON) value of a node.
#[derive(Clone)]
pub enum Value {
    /// `null`, `~`, or nothing after the colon.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text, after `${VAR}` was put in.
    Str(String),
    /// A list.
    List(Vec<Node>),
    /// A map: for each key where the key stands, and its value.
    Map(IndexMap<String, (Span, Node)>),
}

/// Two nodes are equal where their values are; where they stand and what was asked of them does not matter.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.raw == other.raw
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one.to_bits() == other.to_bits(),
            (Self::Str(one), Self::Str(other)) => one == other,
            (Self::List(one), Self::List(other)) => one == other,
            (Self::Map(one), Self::Map(other)) => {
                one.len() == other.len() && one.iter().all(|(key, (_, node))| other.get(key).is_some_and(|(_, same)| node == same))
            }
            _ => false,
        }
    }
}

/// The shape without the texts: any of them may be a password.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f.debug_map().entries(entries.iter().map(|(key, (_, node))| (key, node))).finish(),
            scalar => f.write_str(scalar.noun()),
        }
    }
}

impl Value {
    /// What it is, for faults: "a list".
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    /// A node at a place.
    pub fn new(path: impl Into<String>, at: Span, value: Value) -> Self {
        Self { path: path.into(), at, value, raw: None, asked: RefCell::default() }
    }

    /// A node from a scalar's text, typed by YAML's core schema (`true`, `17`, `1.5`), which keeps its spelling for those who read
    /// it as text. Never null: an empty text is text.
    pub fn scalar(path: impl Into<String>, at: Span, text: impl Into<String>) -> Self {
        let text = text.into();
        let (value, raw) = match scalar::typed(&text) {
            Value::Null | Value::Str(_) => (Value::Str(text), None),
            value => (value, Some(text)),
        };
        Self { raw, ..Self::new(path, at, value) }
    }

    /// The same value under another path, nothing asked of it yet.
    #[must_use]
    pub fn moved_to(&self, path: &str) -> Self {
        let value = match &self.value {
            Value::List(items) => {
                Value::List(items.iter().enumerate().map(|(index, item)| item.moved_to(&format!("{path}[{index}]"))).collect())
            }
            Value::Map(entries) => {
                let moved =
                    |(key, (at, node)): (&String, &(Span, Self))| (key.clone(), (at.clone(), node.moved_to(&joined(path, key))));
                Value::Map(entries.iter().map(moved).collect())
            }
            scalar => scalar.clone(),
        };
        Self { raw: self.raw.clone(), ..Self::new(path, self.at.clone(), value) }
    }

    /// The same value at another place.
    #[must_use]
    pub fn placed(self, at: Span) -> Self {
        Self { at, ..self }
    }

    /// How many collections stand in each other here; 0 for a scalar.
    pub(super) fn depth(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or_default(),
            Value::Map(entries) => 1 + entries.values().map(|(_, node)| node.depth()).max().unwrap_or_default(),
            _ => 0,
        }
    }

    /// Its path from the root: `brokers.mq.amqp.prefetch`; empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of its path, as faults call it: `prefetch`.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(&self.path, |(_, name)| name)
    }

    /// Where it stands.
    pub fn at(&self) -> &Span {
        &self.at
    }

    /// What it is.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What it is, to take apart.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Its text, where it is a scalar: a number or bool answers as it was written, null and collections not at all.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => self.raw.as_deref(),
            _ => None,
        }
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// The child under `key`, which counts as asked for.
    pub fn child(&self, key: &'static str) -> Option<&Node> {
        self.asked.borrow_mut().key(key);
        self.peek(key)
    }

    /// The child under `key`, which does not count as asked for.
    pub fn peek(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// Where `key` itself stands, if it is written.
    pub fn key_at(&self, key: &str) -> Option<&Span> {
        self.entry(key).map(|(at, _)| at)
    }

    fn entry(&self, key: &str) -> Option<&(Span, Node)> {
        match &self.value {
            Value::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The value under `key`; `None` where it is absent, or after a fault.
    pub fn opt<T: FromNode>(&self, key: &'static str, faults: &mut Problems) -> Option<T> {
        T::from_node(self.child(key)?, faults)
    }

    /// The value under `key`, or `default`.
    pub fn get<T: FromNode>(&self, key: &'static str, default: T, faults: &mut Problems) -> T {
        self.opt(key, faults).unwrap_or(default)
    }

    /// The value under `key`; its absence is a fault.
    pub fn need<T: FromNode>(&self, key: &'static str, faults: &mut Problems) -> Option<T> {
        if let Some(child) = self.child(key) {
            return T::from_node(child, faults);
        }
        if self.expect_map(faults) {
            let whole = if self.path.is_empty() { "the configuration" } else { &self.path };
            faults.fault(&self.at, format!("`{whole}` needs `{key}`"));
        }
        None
    }

    /// The value under `key` out of a closed set of names; another name is a fault that suggests the nearest.
    pub fn choice<T: Copy>(&self, key: &'static str, names: &[(&'static str, T)], faults: &mut Problems) -> Option<T> {
        self.child(key)?.one_of(names, faults)
    }

    /// Every key and value of a map, which all count as asked for by the caller (names of brokers, headers).
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Span, &Node)> {
        self.asked.borrow_mut().all();
        self.written()
    }

    /// Every key and value of a map, without a word on what was asked for.
    pub fn written(&self) -> impl Iterator<Item = (&str, &Span, &Node)> {
        let entries = match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        };
        entries.into_iter().flatten().map(|(key, (at, node))| (key.as_str(), at, node))
    }

    /// The items of a list; a single value that is no list counts as a list of one; null as none.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => slice::from_ref(self),
        }
    }
}
