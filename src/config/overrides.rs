//! What lies over the files: `RIALTO__SECTION__KEY` and `--set path=value`.

use std::fmt::Write;

use serde::de::IgnoredAny;

use super::environment::Environment;
use crate::written::{self, Node, Problems, Span, Value};

/// The prefix of the layer's variables, and what parts the keys in their names.
const PREFIX: &str = "RIALTO__";
const PART: &str = "__";
/// Steps in a path; no tree is deeper.
const STEPS_MAX: usize = 64;

/// One value to put over the tree of the files.
#[derive(Debug, Clone)]
pub(super) struct Override {
    /// Where it goes, as a path of the `config` crate: `routes[0].to`.
    pub(super) path: String,
    pub(super) value: Node,
}

enum Step {
    Key(String),
    Index(usize),
}

/// All of them, the later over the earlier. What names no place is a fault.
pub(super) fn read(files: &Node, environment: &Environment, sets: &[String], faults: &mut Problems) -> Vec<Override> {
    let mut overrides = Vec::new();
    for (name, value) in environment.beginning(PREFIX) {
        let at = Span::outside(format!("environment {name}"));
        let Some(value) = value else {
            faults.fault(&at, "its value is not Unicode");
            continue;
        };
        let steps = name[PREFIX.len()..].split(PART).map(str::to_lowercase);
        overrides.extend(place(files, steps.collect(), value, &at, faults));
    }
    for set in sets {
        let Some((path, value)) = set.split_once('=') else {
            faults
                .fault(&Span::outside(format!("--set {set}")), "a path and a value are expected")
                .hint("write `--set path=value`");
            continue;
        };
        let at = Span::outside(format!("--set {path}"));
        let steps = path.replace('[', ".").replace(']', "");
        overrides.extend(place(files, steps.split('.').map(str::to_owned).collect(), value, &at, faults));
    }
    overrides
}

fn place(files: &Node, parts: Vec<String>, value: &str, at: &Span, faults: &mut Problems) -> Option<Override> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if parts.len() > STEPS_MAX || parts.iter().any(|part| part.is_empty() || !part.chars().all(legal)) {
        faults.fault(at, "this is no path to a key").hint("as `log.level`, `brokers.mq.amqp.prefetch`, `routes[0].to`");
        return None;
    }
    let mut steps = Vec::with_capacity(parts.len());
    let mut here = Some(files);
    for part in parts {
        let step = step(here, part, at, faults)?;
        here = match &step {
            Step::Key(key) => here.and_then(|node| node.peek(key)),
            Step::Index(index) => here.and_then(|node| node.items().get(*index)),
        };
        steps.push(step);
    }
    let mut path = String::new();
    for step in &steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.extend([".", key]),
            Step::Index(index) => _ = write!(path, "[{index}]"),
        }
    }
    Some(Override { value: value_of(&path, value, at, faults)?, path })
}

/// One step into the tree. A variable's name knows neither case nor `-`, so a key of the files is found by either spelling.
fn step(here: Option<&Node>, part: String, at: &Span, faults: &mut Problems) -> Option<Step> {
    let Some(here) = here else { return Some(Step::Key(part)) };
    if let Value::List(items) = here.value() {
        if let Some(index) = part.parse().ok().filter(|index| *index < items.len()) {
            return Some(Step::Index(index));
        }
        let message = format!("`{}` has {} items, and `{part}` is none of them", here.path(), items.len());
        faults.fault(at, message).hint("items are counted from 0");
        return None;
    }
    let same = |key: &str| key.replace('-', "_").eq_ignore_ascii_case(&part.replace('-', "_"));
    let found = here.peek(&part).map(|_| part.clone());
    let found = found.or_else(|| here.written().map(|(key, ..)| key).find(|key| same(key)).map(str::to_owned));
    Some(Step::Key(found.unwrap_or(part)))
}

/// A scalar as in YAML; a list or map where the text is one in JSON.
fn value_of(path: &str, text: &str, at: &Span, faults: &mut Problems) -> Option<Node> {
    let collection = text.trim_start().starts_with(['[', '{']) && serde_json::from_str::<IgnoredAny>(text).is_ok();
    if !collection {
        return Some(Node::scalar(path, at.clone(), text));
    }
    let mut found = Problems::default();
    let node = written::parse(&at.source, text, &mut found);
    for problem in found.iter() {
        faults.fault(at, problem.message.clone());
    }
    node.filter(|_| found.is_empty()).map(|node| everywhere(node, at).moved_to(path))
}

/// Every value of it was written at the one place.
fn everywhere(node: Node, at: &Span) -> Node {
    let path = node.path().to_owned();
    match node.value() {
        Value::List(_) | Value::Map(_) => match node.into_value() {
            Value::List(items) => {
                Node::new(path, at.clone(), Value::List(items.into_iter().map(|item| everywhere(item, at)).collect()))
            }
            Value::Map(entries) => {
                let placed = entries.into_iter().map(|(key, (_, node))| (key, (at.clone(), everywhere(node, at))));
                Node::new(path, at.clone(), Value::Map(placed.collect()))
            }
            scalar => Node::new(path, at.clone(), scalar),
        },
        _ => node.placed(at.clone()),
    }
}
