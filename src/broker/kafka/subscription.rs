//! Which topics a source reads: named ones, or all whose names a pattern takes.

use std::{fmt, sync::Arc};

use regex_automata::meta::Regex;

use super::target::fault_of;
use crate::written::{Node, Problems};

/// What is subscribed to.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// By their names, in the order written.
    Named(Vec<Arc<str>>),
    /// By a pattern, whenever they are made.
    Pattern(Box<Pattern>),
}

/// A pattern of whole names, and those that it does not mean.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Whole,
    except: Vec<Whole>,
}

/// A regular expression that a whole name must match. Kafka's own subscriptions by a pattern match a name's beginning or all of it,
/// by protocol and client; anchored, they agree.
#[derive(Debug, Clone)]
struct Whole {
    anchored: String,
    compiled: Regex,
}

impl Whole {
    fn new(written: &str) -> Result<Self, String> {
        let anchored = format!("^({written})$");
        match Regex::new(&anchored) {
            Ok(compiled) => Ok(Self { anchored, compiled }),
            Err(error) => Err(error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string)),
        }
    }

    fn takes(&self, topic: &str) -> bool {
        self.compiled.is_match(topic)
    }
}

impl Topics {
    /// `topic`, `topics`, or `topics_regex` with `topics_exclude`.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        let topic: Option<String> = node.opt("topic", faults);
        let topics = node.child("topics").map(|list| names(list, faults));
        let pattern: Option<String> = node.opt("topics_regex", faults);
        let except = node.child("topics_exclude").map(|list| wholes(list, faults)).unwrap_or_default();
        if pattern.is_none() && !except.is_empty() {
            faults.fault(node.at(), "`topics_exclude` takes from what `topics_regex` means");
        }
        match (topic, topics, pattern) {
            (Some(topic), None, None) => {
                let at = node.child("topic").unwrap_or(node);
                name(&topic, at, faults).map(|topic| Self::Named(vec![topic]))
            }
            (None, Some(topics), None) => topics.filter(|topics| !topics.is_empty()).map(Self::Named),
            (None, None, Some(pattern)) => {
                let at = node.child("topics_regex").unwrap_or(node);
                let regex = whole(&pattern, at, faults)?;
                Some(Self::Pattern(Box::new(Pattern { regex, except })))
            }
            (None, None, None) if ["topic", "topics", "topics_regex"].iter().any(|key| node.peek(key).is_some()) => None,
            _ => {
                faults.fault(node.at(), "a Kafka source needs one of `topic`, `topics`, `topics_regex`");
                None
            }
        }
    }

    /// The short form: one topic.
    pub(super) fn one(node: &Node, text: &str, faults: &mut Problems) -> Option<Self> {
        Some(Self::Named(vec![name(text, node, faults)?]))
    }

    /// As a person would name them.
    pub(super) fn display(&self) -> String {
        match self {
            Self::Named(topics) => topics.join(","),
            Self::Pattern(pattern) => pattern.regex.anchored.clone(),
        }
    }

    /// The names that must be there.
    pub(super) fn names(&self) -> &[Arc<str>] {
        match self {
            Self::Named(topics) => topics,
            Self::Pattern(_) => &[],
        }
    }

    /// The only topic; `None` where there are several, or a pattern.
    pub(super) fn only(&self) -> Option<&Arc<str>> {
        match self {
            Self::Named(topics) if topics.len() == 1 => topics.first(),
            _ => None,
        }
    }

    pub(super) fn is_pattern(&self) -> bool {
        matches!(self, Self::Pattern(_))
    }

    /// Whether a topic is read.
    pub(super) fn takes(&self, topic: &str) -> bool {
        match self {
            Self::Named(topics) => topics.iter().any(|name| **name == *topic),
            Self::Pattern(pattern) => {
                pattern.regex.takes(topic) && !pattern.except.iter().any(|except| except.takes(topic)) && !topic.starts_with("__")
            }
        }
    }

    /// As librdkafka subscribes: a name that begins with `^` is a pattern.
    pub(super) fn subscription(&self) -> Vec<Arc<str>> {
        match self {
            Self::Named(topics) => topics.clone(),
            Self::Pattern(pattern) => vec![pattern.regex.anchored.as_str().into()],
        }
    }

    /// As librdkafka excludes: patterns with commas between. Kafka's own topics are never meant by a pattern.
    pub(super) fn excluded(&self) -> Option<String> {
        let Self::Pattern(pattern) = self else { return None };
        let except = pattern.except.iter().map(|except| except.anchored.as_str());
        Some(except.chain([INTERNAL]).collect::<Vec<_>>().join(","))
    }

    /// Whether it excludes more than Kafka's own topics.
    pub(super) fn excludes(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if !pattern.except.is_empty())
    }
}

/// `__consumer_offsets`, `__transaction_state`: topics that a cluster keeps for itself.
const INTERNAL: &str = "^__";

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

fn name(topic: &str, at: &Node, faults: &mut Problems) -> Option<Arc<str>> {
    match fault_of(topic) {
        None => Some(topic.into()),
        Some(why) => {
            let fault = faults.fault(at.at(), format!("`{topic}` cannot name a topic: {why}"));
            if topic.contains(['*', '[', '^', '$', '(', '|']) {
                fault.hint("a pattern of topics is written `topics_regex`");
            }
            None
        }
    }
}

fn names(list: &Node, faults: &mut Problems) -> Option<Vec<Arc<str>>> {
    let mut topics: Vec<Arc<str>> = Vec::new();
    for item in texts(list, "a list of topics", faults)? {
        let Some(topic) = item.text().and_then(|text| name(text, item, faults)) else { continue };
        if topics.contains(&topic) {
            faults.fault(item.at(), format!("`{topic}` is named twice"));
        }
        topics.push(topic);
    }
    if topics.is_empty() && list.items().is_empty() {
        faults.fault(list.at(), "`topics` names no topic");
    }
    Some(topics)
}

fn wholes(list: &Node, faults: &mut Problems) -> Vec<Whole> {
    let Some(items) = texts(list, "a list of regular expressions", faults) else { return Vec::new() };
    let mut found = Vec::new();
    for item in items {
        let Some(text) = item.text() else { continue };
        if text.contains(',') {
            faults.fault(item.at(), "librdkafka separates exclusions by commas: write two instead of one with a comma");
        }
        found.extend(whole(text, item, faults));
    }
    found
}

fn whole(text: &str, at: &Node, faults: &mut Problems) -> Option<Whole> {
    match Whole::new(text) {
        Ok(whole) => Some(whole),
        Err(why) => {
            faults.fault(at.at(), format!("`{text}` is no regular expression: {why}"));
            None
        }
    }
}

/// A list of texts, or one alone.
fn texts<'a>(list: &'a Node, what: &str, faults: &mut Problems) -> Option<Vec<&'a Node>> {
    if list.text().is_some() {
        return Some(vec![list]);
    }
    let items: Vec<&Node> = list.items().iter().collect();
    if items.is_empty() && !matches!(list.value(), crate::written::Value::List(_)) || items.iter().any(|item| item.text().is_none())
    {
        list.expected::<()>(what, None, faults);
        return None;
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::parse;

    fn read(yaml: &str) -> Result<Topics, Vec<String>> {
        let mut faults = Problems::default();
        let node = parse("test.yaml", yaml, &mut faults).expect("YAML");
        let topics = Topics::read(&node, &mut faults);
        if faults.is_ok() { Ok(topics.expect("topics")) } else { Err(faults.iter().map(|fault| fault.message.clone()).collect()) }
    }

    #[test]
    fn a_pattern_means_whole_names_without_its_exceptions_and_never_what_kafka_keeps_for_itself() {
        let topics = read("{ topics_regex: 'orders[.].*|__.*', topics_exclude: ['.*[.]dead', '.*tmp'] }").unwrap();
        for (topic, taken) in [
            ("orders.eu", true),
            ("old.orders.eu", false),
            ("orders.eu.dead", false),
            ("orders.eu.dead2", true),
            ("orders.tmp", false),
            ("__consumer_offsets", false),
        ] {
            assert_eq!(topics.takes(topic), taken, "{topic}");
        }
        assert_eq!(&*topics.subscription()[0], "^(orders[.].*|__.*)$");
        assert_eq!(topics.excluded().as_deref(), Some("^(.*[.]dead)$,^(.*tmp)$,^__"));
        assert!(topics.only().is_none());
    }

    #[test]
    fn topics_are_named_one_way() {
        assert_eq!(read("{ topic: orders }").unwrap().display(), "orders");
        assert_eq!(read("{ topics: [a, b] }").unwrap().names().len(), 2);
        for wrong in [
            "{ }",
            "{ topic: a, topics: [b] }",
            "{ topics: [] }",
            "{ topics: [a, a] }",
            "{ topic: 'a*' }",
            "{ topics_regex: '(' }",
            "{ topic: a, topics_exclude: [b] }",
            "{ topics_regex: a, topics_exclude: ['b,c'] }",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
