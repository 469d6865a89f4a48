//! The layers become one tree: maps merge, `routes` append, the later value wins.
//!
//! The `config` crate merges. It keeps one short text of origin with each value; here that is a number in a ledger, in which the
//! place of every value and key stands apart.

use std::collections::HashMap;

use config::{Config, ConfigError, Map, Source, Value as Merged, ValueKind};
use indexmap::IndexMap;

use super::{
    environment::Environment,
    overrides::{self, Override},
};
use crate::written::{Node, Problems, Span, Value};

/// One key above the tree's own, since the `config` crate reads the outermost keys of a layer as paths.
const ROOT: &str = "root";

/// Merges the files' trees, then the environment's and the command line's values over them.
pub(super) fn merge(files: &[Node], environment: &Environment, sets: &[String], faults: &mut Problems) -> Node {
    let start = files.first().map_or_else(|| Span::outside("nothing"), |first| first.at().clone());
    let mut ledger = Ledger::default();
    let mut layers = Vec::new();
    refuse_repeated(files, faults);
    let mut routes = Vec::new();
    for file in files {
        if !matches!(file.value(), Value::Map(_) | Value::Null) {
            faults.fault(file.at(), format!("a configuration is a map, and this is {}", file.value().noun()));
        }
        if let Some((key_at, node)) = file.key_at("routes").zip(file.peek("routes")) {
            routes.extend(node.items().iter().map(|route| ledger.enter(key_at, route)));
        }
        layers.push(Layer { path: ROOT.to_owned(), value: ledger.enter(file.at(), file) });
    }
    if let Some((key_at, node)) = files.iter().find_map(|file| file.key_at("routes").zip(file.peek("routes"))) {
        let list = ledger.number(key_at, node);
        layers.push(Layer { path: format!("{ROOT}.routes"), value: Merged::new(Some(&list), ValueKind::Array(routes)) });
    }
    let merged = |layers: &[Layer], ledger: &Ledger, faults: &mut Problems| match built(layers) {
        Ok(root) => ledger.tree(String::new(), &root, &start).1,
        Err(error) => {
            faults.fault(&start, format!("the layers do not merge: {error}"));
            Node::new("", start.clone(), Value::Null)
        }
    };
    let of_files = merged(&layers, &ledger, faults);
    let overrides = overrides::read(&of_files, environment, sets, faults);
    if overrides.is_empty() {
        return of_files;
    }
    for Override { path, value } in overrides {
        layers.push(Layer { path: format!("{ROOT}.{path}"), value: ledger.enter(value.at(), &value) });
    }
    merged(&layers, &ledger, faults)
}

fn built(layers: &[Layer]) -> Result<Merged, ConfigError> {
    let builder = layers.iter().fold(Config::builder(), |builder, layer| builder.add_source(layer.clone()));
    // `Config::get` would deserialize, and lose the origins.
    Ok(builder.build()?.collect()?.remove(ROOT).unwrap_or_default())
}

/// A broker or source that two files name would be half of each.
fn refuse_repeated(files: &[Node], faults: &mut Problems) {
    for section in ["brokers", "sources"] {
        let mut seen: HashMap<&str, &Span> = HashMap::new();
        for (name, at, _) in files.iter().filter_map(|file| file.peek(section)).flat_map(Node::written) {
            if let Some(first) = seen.insert(name, at) {
                faults.fault(at, format!("`{section}.{name}` is written in two files")).also(first, "first here");
            }
        }
    }
}

/// One layer for the `config` crate: a value, and the path that it goes to.
#[derive(Debug, Clone)]
struct Layer {
    path: String,
    value: Merged,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Merged>, ConfigError> {
        Ok([(self.path.clone(), self.value.clone())].into_iter().collect())
    }
}

/// Where each value and its key stand. A value's number grows with its layer and its place in the file.
#[derive(Debug, Default)]
struct Ledger {
    entries: Vec<(Span, Node)>,
    /// The number of each map by its path, from the first layer that has it: the `config` crate forgets the origin of maps that it
    /// merges.
    maps: HashMap<String, usize>,
}

impl Ledger {
    /// Notes where a value stands; scalars are kept as they were written, of collections only the place.
    fn number(&mut self, key_at: &Span, node: &Node) -> String {
        let kept = match node.value() {
            Value::List(_) | Value::Map(_) => Node::new("", node.at().clone(), Value::Null),
            _ => node.clone(),
        };
        let number = self.entries.len();
        if node.is_map() {
            self.maps.entry(node.path().to_owned()).or_insert(number);
        }
        self.entries.push((key_at.clone(), kept));
        number.to_string()
    }

    /// A tree as the `config` crate's values.
    fn enter(&mut self, key_at: &Span, node: &Node) -> Merged {
        let number = self.number(key_at, node);
        let kind = match node.value() {
            Value::Null => ValueKind::Nil,
            Value::Bool(value) => ValueKind::Boolean(*value),
            Value::Int(value) => ValueKind::I64(*value),
            Value::Float(value) => ValueKind::Float(*value),
            Value::Str(text) => ValueKind::String(text.clone()),
            Value::List(items) => ValueKind::Array(items.iter().map(|item| self.enter(item.at(), item)).collect()),
            Value::Map(_) => {
                ValueKind::Table(node.written().map(|(key, at, child)| (key.to_owned(), self.enter(at, child))).collect())
            }
        };
        Merged::new(Some(&number), kind)
    }

    /// Back to a tree, in the order of the layers; the place of the value's key comes first.
    fn tree(&self, path: String, merged: &Merged, above: &Span) -> (Span, Node) {
        let noted = self.number_of(&path, merged).and_then(|number| self.entries.get(number));
        let value = match &merged.kind {
            ValueKind::Array(items) => {
                let item = |(index, item)| self.tree(format!("{path}[{index}]"), item, above).1;
                Value::List(items.iter().enumerate().map(item).collect())
            }
            ValueKind::Table(table) => Value::Map(self.entries_of(&path, table, above)),
            _ => {
                let (key_at, node) = noted.cloned().unwrap_or_else(|| (above.clone(), Node::new("", above.clone(), Value::Null)));
                return (key_at, node.moved_to(&path));
            }
        };
        let first = || match &value {
            Value::Map(entries) => entries.first().map(|(_, (at, _))| (at.clone(), at.clone())),
            _ => None,
        };
        // A map that layers made together has no place of its own: that of its first key stands in.
        let (key_at, at) = match noted {
            Some((key_at, node)) => (key_at.clone(), node.at().clone()),
            None => first().unwrap_or_else(|| (above.clone(), above.clone())),
        };
        (key_at, Node::new(path, at, value))
    }

    fn number_of(&self, path: &str, merged: &Merged) -> Option<usize> {
        merged.origin().and_then(|number| number.parse().ok()).or_else(|| self.maps.get(path).copied())
    }

    fn entries_of(&self, path: &str, table: &Map<String, Merged>, above: &Span) -> IndexMap<String, (Span, Node)> {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let mut children: Vec<_> = table.iter().map(|(key, child)| (key, below(key), child)).collect();
        children.sort_by_key(|(key, path, child)| (self.number_of(path, child).unwrap_or(usize::MAX), *key));
        children.into_iter().map(|(key, path, child)| (key.clone(), self.tree(path, child, above))).collect()
    }
}
