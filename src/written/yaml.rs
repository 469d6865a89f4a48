//! From a file's text to its tree: YAML 1.2, of which JSON is a part.
//!
//! The parser's events carry exact places; the tree is built from them without recursion. What could make a small file large or a
//! reader wrong is refused: size, depth, number of values, growth by aliases, keys written twice, tags.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, StructureStyle, Tag};
use indexmap::IndexMap;

use super::{Node, Problems, Span, Value};

/// The longest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting.
const DEPTH_MAX: usize = 64;
/// Values in one file, those that aliases bring included.
const VALUES_MAX: usize = 200_000;
/// How many times as large as written aliases may make a file; small files may use as many as they like.
const ALIAS_FACTOR: usize = 10;
const ALIAS_FREE: usize = 1_000;

/// Parses one file. `None` after a fault that left no tree; the faults learn the text, so that they can show its lines.
pub fn parse(source: &str, text: &str, faults: &mut Problems) -> Option<Node> {
    let source: Arc<str> = source.into();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > FILE_BYTES_MAX {
        faults.fault(&Span::outside(source), "the file is larger than 1 MiB");
        return None;
    }
    faults.learn(Arc::clone(&source), text.into());
    let mut builder = Builder { source, faults, stack: Vec::new(), root: None, anchors: HashMap::new(), written: 0, expanded: 0 };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(text, options()) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = builder.place(*error.marker(), *error.marker());
                let problem = builder.faults.fault(&at, error.info());
                if let Some(hint) = syntax_hint(text, &at) {
                    problem.hint(hint);
                }
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                let at = builder.place(span.start, span.end);
                builder.faults.fault(&at, "a second document starts here; write it to a file of its own");
                return None;
            }
        }
        builder.take(event, span.start, span.end)?;
    }
    let start = builder.place(Marker::new(0, 1, 0), Marker::new(0, 1, 0));
    Some(builder.root.unwrap_or_else(|| Node::new("", start, Value::Null)))
}

/// What usually lies behind a syntax error at this place.
fn syntax_hint(text: &str, at: &Span) -> Option<String> {
    let line = text.lines().nth(at.line.saturating_sub(1))?;
    let indent = line.len() - line.trim_start().len();
    if line[..indent].contains('\t') {
        return Some("indent with spaces: YAML forbids tabs there".to_owned());
    }
    match text.get(at.bytes.start..)?.chars().next() {
        Some('*') => return Some("quote it: a bare `*` starts an alias".to_owned()),
        Some(reserved @ ('@' | '`' | '%')) => return Some(format!("quote it: YAML reserves `{reserved}`")),
        _ => {}
    }
    // In a flow collection the comment swallows its end, and the parser stumbles over the next line.
    let before = text.lines().take(at.line.saturating_sub(1)).filter(|line| !line.trim().is_empty()).last();
    if [before, Some(line)].into_iter().flatten().any(|line| line.contains(['{', '[']) && line.contains(": #")) {
        return Some("quote it: a bare `#` starts a comment".to_owned());
    }
    let braced = |rest: &str| {
        rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.split_once('}').is_some_and(|(name, _)| !name.contains(": "))
    };
    let template = line.split('{').skip(1).any(braced);
    template.then(|| "quote it: YAML gives braces a meaning of its own".to_owned())
}

fn options() -> Options {
    granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    }
}

/// A collection that is not closed yet.
struct Frame {
    path: String,
    at: Span,
    flow: bool,
    anchor: usize,
    values_before: usize,
    kind: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: IndexMap<String, (Span, Node)>, merged: Vec<Node>, key: Option<Key> },
}

/// A key that waits for its value.
enum Key {
    Named(String, Span),
    Merge,
    /// A fault was said; its value is read and left.
    Refused,
}

struct Anchored {
    node: Node,
    values: usize,
}

struct Builder<'a> {
    source: Arc<str>,
    faults: &'a mut Problems,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchored>,
    written: usize,
    expanded: usize,
}

impl Builder<'_> {
    /// Takes one event; `None` where going on would cost too much.
    fn take(&mut self, event: Event<'_>, start: Marker, end: Marker) -> Option<()> {
        let at = self.place(start, end);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(&at)?;
                let node = self.scalar(&text, style, tag.as_deref(), at);
                self.remember(anchor, &node, 1);
                self.attach(node);
            }
            Event::SequenceStart(style, anchor, tag) => self.open(Open::List(Vec::new()), style, anchor, tag.as_deref(), at)?,
            Event::MappingStart(style, anchor, tag) => {
                let map = Open::Map { entries: IndexMap::new(), merged: Vec::new(), key: None };
                self.open(map, style, anchor, tag.as_deref(), at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&at),
            Event::Alias(id) => self.alias(id, at)?,
            _ => {}
        }
        Some(())
    }

    fn place(&self, start: Marker, end: Marker) -> Span {
        let first = start.byte_offset().unwrap_or_default();
        let bytes = first..end.byte_offset().unwrap_or(first).max(first);
        Span { source: Arc::clone(&self.source), bytes, line: start.line(), column: start.col() + 1 }
    }

    fn count(&mut self, at: &Span) -> Option<()> {
        self.written += 1;
        if self.written + self.expanded <= VALUES_MAX {
            return Some(());
        }
        self.faults.fault(at, format!("more than {VALUES_MAX} values in one file"));
        None
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Span) -> Node {
        let path = self.child_path();
        // Nothing was written: the key is the place to point at.
        let at = if style == ScalarStyle::Plain && at.bytes.is_empty() { self.key_place().unwrap_or(at) } else { at };
        let as_text = match tag {
            None => style != ScalarStyle::Plain,
            Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.original() == "!" => true,
            Some(tag) => {
                self.refuse_tag(tag, &at);
                style != ScalarStyle::Plain
            }
        };
        match super::scalar::typed(text) {
            _ if as_text => Node::new(path, at, Value::Str(text.to_owned())),
            Value::Null => Node::new(path, at, Value::Null),
            _ => Node::scalar(path, at, text),
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, at: &Span) {
        if !tag.is_yaml_core_schema() {
            self.faults.fault(at, format!("tag `{}` means nothing here", tag.original()));
        }
    }

    fn open(&mut self, kind: Open, style: StructureStyle, anchor: usize, tag: Option<&Tag>, at: Span) -> Option<()> {
        self.count(&at)?;
        if let Some(tag) = tag {
            self.refuse_tag(tag, &at);
        }
        if self.stack.len() == DEPTH_MAX {
            self.faults.fault(&at, format!("nested deeper than {DEPTH_MAX}"));
            return None;
        }
        let flow = style == StructureStyle::Flow;
        // A block spans many lines: its key is the place to point at.
        let at = if flow { at } else { self.key_place().unwrap_or(at) };
        self.stack.push(Frame { path: self.child_path(), at, flow, anchor, values_before: self.written + self.expanded, kind });
        Some(())
    }

    fn close(&mut self, end: &Span) {
        let Some(frame) = self.stack.pop() else { return };
        let mut at = frame.at;
        if frame.flow {
            at.bytes.end = end.bytes.end.max(at.bytes.end);
        }
        let value = match frame.kind {
            Open::List(items) => Value::List(items),
            Open::Map { mut entries, merged, .. } => {
                self.merge(&mut entries, merged, &frame.path);
                if let (true, Some((_, (first, _)))) = (at.bytes.is_empty(), entries.first()) {
                    at = first.clone();
                }
                Value::Map(entries)
            }
        };
        let node = Node::new(frame.path, at, value);
        let values = 1 + self.written + self.expanded - frame.values_before;
        self.remember(frame.anchor, &node, values);
        self.attach(node);
    }

    /// `<<: *base`: what is written wins over what is merged, the earlier merged over the later.
    fn merge(&mut self, entries: &mut IndexMap<String, (Span, Node)>, merged: Vec<Node>, path: &str) {
        for node in merged {
            let at = node.at().clone();
            let Value::Map(base) = node.into_value() else {
                self.faults.fault(&at, "`<<` merges maps: write `<<: *anchor` or `<<: [*one, *other]`");
                continue;
            };
            for (key, (at, node)) in base {
                let path = joined(path, &key);
                entries.entry(key).or_insert_with(|| (at, node.moved_to(&path)));
            }
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node, values: usize) {
        if anchor > 0 {
            self.expanded += values;
            self.anchors.insert(anchor, Anchored { node: node.clone(), values });
        }
    }

    fn alias(&mut self, id: usize, at: Span) -> Option<()> {
        self.count(&at)?;
        let Some(anchored) = self.anchors.get(&id) else {
            self.faults.fault(&at, "an alias inside its own anchor has no end");
            return None;
        };
        self.expanded += anchored.values;
        if self.expanded > ALIAS_FACTOR * self.written + ALIAS_FREE || self.written + self.expanded > VALUES_MAX {
            self.faults.fault(&at, format!("aliases make this file more than {ALIAS_FACTOR} times as large"));
            return None;
        }
        let node = anchored.node.moved_to(&self.child_path());
        if self.stack.len() + node.depth() > DEPTH_MAX {
            self.faults.fault(&at, format!("nested deeper than {DEPTH_MAX}"));
            return None;
        }
        self.attach(node.placed(at));
        Some(())
    }

    /// The path of the value that comes next.
    fn child_path(&self) -> String {
        match self.stack.last() {
            None => String::new(),
            Some(Frame { path, kind: Open::List(items), .. }) => format!("{path}[{}]", items.len()),
            Some(Frame { path, kind: Open::Map { key: Some(Key::Named(key, _)), .. }, .. }) => joined(path, key),
            Some(Frame { path, .. }) => path.clone(),
        }
    }

    /// Where the key of the value that comes next stands.
    fn key_place(&self) -> Option<Span> {
        match self.stack.last() {
            Some(Frame { kind: Open::Map { key: Some(Key::Named(_, at)), .. }, .. }) => Some(at.clone()),
            _ => None,
        }
    }

    /// Puts a finished value where it belongs: a list, under its key, or as the next key.
    fn attach(&mut self, node: Node) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        let (entries, merged, key) = match &mut frame.kind {
            Open::List(items) => {
                items.push(node);
                return;
            }
            Open::Map { entries, merged, key } => (entries, merged, key),
        };
        match key.take() {
            None => *key = Some(as_key(&node, entries, self.faults)),
            Some(Key::Refused) => {}
            Some(Key::Merge) if matches!(node.value(), Value::List(_)) => merged.extend_from_slice(node.items()),
            Some(Key::Merge) => merged.push(node),
            Some(Key::Named(name, at)) => {
                entries.insert(name, (at, node));
            }
        }
    }
}

fn as_key(node: &Node, entries: &IndexMap<String, (Span, Node)>, faults: &mut Problems) -> Key {
    let Some(name) = node.text() else {
        let problem = faults.fault(node.at(), format!("a key is text, and this is {}", node.value().noun()));
        if node.is_map() {
            problem.hint("quote a template that starts with a brace");
        }
        return Key::Refused;
    };
    // In quotes it is a key like any other.
    if name == "<<" && node.at().bytes.len() == name.len() {
        return Key::Merge;
    }
    if let Some((first, _)) = entries.get(name) {
        faults.fault(node.at(), format!("`{name}` is written twice")).also(first, "first here");
        return Key::Refused;
    }
    Key::Named(name.to_owned(), node.at().clone())
}

/// The path of a key below a path.
pub(super) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
