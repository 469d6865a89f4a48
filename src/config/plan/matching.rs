//! `match`, `when`, `transform` and `event`, compiled.

use std::sync::Arc;

use crate::{
    broker::Kind,
    route::{EventRules, Jq, Matcher, Pattern, Template},
    written::{Node, Problems, Span, TemplateText},
};

/// The types that a route without a `to` sends to `default_to` (diator's emitter).
const EMITTED: [&str; 2] = ["notification_event", "ecst_event"];
/// The type that it sends to the webhooks and handlers that are bound to its name.
pub(super) const HANDLED: &str = "domain_event";

/// Reads `match` of a route or destination.
pub(super) fn matcher(owner: &Node, faults: &mut Problems) -> Option<Matcher> {
    let node = owner.child("match")?;
    let matcher = Matcher {
        message_type: pattern(node.child("message_type"), faults),
        message_name: pattern(node.child("message_name"), faults),
        source: pattern(node.child("source"), faults),
        headers: headers(node, faults),
    };
    node.finish(faults);
    Some(matcher)
}

fn headers(node: &Node, faults: &mut Problems) -> Vec<(Arc<str>, Pattern)> {
    let Some(headers) = node.child("headers") else { return Vec::new() };
    if !headers.is_map() {
        return headers.expected("a map of header names and globs", None, faults).unwrap_or_default();
    }
    headers.entries().filter_map(|(name, _, globs)| Some((name.into(), pattern(Some(globs), faults)?))).collect()
}

/// One glob or a list; an empty list would match nothing, which nobody means.
fn pattern(node: Option<&Node>, faults: &mut Problems) -> Option<Pattern> {
    let node = node?;
    if node.items().is_empty() {
        return node.expected("a glob or a list of globs", Some("leave the key out to match everything"), faults);
    }
    let globs: Option<Vec<(&str, &Span)>> = node
        .items()
        .iter()
        .map(|item| match item.text() {
            Some(text) => Some((text, item.at())),
            None => item.expected("a glob", Some("quote it: `\"User*\"`"), faults),
        })
        .collect();
    Pattern::compile(globs?, faults)
}

/// Whether a route takes events of the types that go to `default_to`, and of the one that goes to whom is bound, as far as its
/// `match` says; faults of the globs are told where they are compiled.
pub(super) fn kinds(route: &Node) -> (bool, bool) {
    let globs = route.peek("match").and_then(|node| pattern(node.peek("message_type"), &mut Problems::default()));
    let takes = |message_type: &str| globs.as_ref().is_none_or(|globs| globs.is_match(message_type));
    (EMITTED.into_iter().any(takes), takes(HANDLED))
}

/// What a destination of `default_to` takes under a route without a `to`: of the types that are emitted to brokers those that it
/// matches itself. Answers the clause for people too.
pub(super) fn emitted(own: Option<Matcher>, at: &Span, faults: &mut Problems) -> (Matcher, String) {
    let mut matcher = own.unwrap_or_default();
    let mut types = EMITTED.to_vec();
    types.retain(|emitted| matcher.message_type.as_ref().is_none_or(|own| own.is_match(emitted)));
    if types.is_empty() {
        faults
            .fault(at, "this destination of `default_to` takes none of the types that go there")
            .hint("`notification_event` and `ecst_event` do; `domain_event` is for webhooks and handlers");
    }
    matcher.message_type = Pattern::compile(types.iter().map(|emitted| (*emitted, at)), faults);
    (matcher, format!("message_type is {}", types.join(" or ")))
}

/// Compiles the jq filter under `key`.
pub(super) fn jq(owner: &Node, key: &'static str, faults: &mut Problems) -> Option<Jq> {
    let written = text(owner, key, faults)?;
    Jq::compile(&written.text, &written.at, faults)
}

/// Compiles the template under `key`.
pub(super) fn template(owner: &Node, key: &'static str, faults: &mut Problems) -> Option<Template> {
    Template::compile(&text(owner, key, faults)?, faults)
}

fn text(owner: &Node, key: &'static str, faults: &mut Problems) -> Option<TemplateText> {
    let text = owner.opt::<String>(key, faults)?;
    let at = owner.child(key)?.at().clone();
    Some(TemplateText { text, at })
}

/// Reads the `event:` block.
pub(super) fn event(node: &Node, faults: &mut Problems) -> EventRules {
    let rules = EventRules {
        message_type: template(node, "message_type", faults),
        message_name: template(node, "message_name", faults),
        message_id: template(node, "message_id", faults),
    };
    node.finish(faults);
    rules
}

/// Reads `headers:` of a destination, under either of its names: a template for each name.
pub(super) fn header_templates(owner: &Node, kind: &Kind, faults: &mut Problems) -> Vec<(Arc<str>, Template)> {
    let mut headers = templates_by_name(owner, "headers", faults);
    if let Some(key) = kind.headers_key {
        let others = templates_by_name(owner, key, faults);
        if let Some((name, _)) = others.iter().find(|(name, _)| headers.iter().any(|(other, _)| other == name)) {
            let at = owner.peek(key).unwrap_or(owner).at();
            faults.fault(at, format!("`{name}` stands in `headers` and in `{key}`, which are the same here"));
        }
        headers.extend(others);
    }
    headers
}

fn templates_by_name(owner: &Node, key: &'static str, faults: &mut Problems) -> Vec<(Arc<str>, Template)> {
    let Some(node) = owner.child(key) else { return Vec::new() };
    if !node.is_map() {
        return node.expected("a map of header names and templates", None, faults).unwrap_or_default();
    }
    let mut headers = Vec::new();
    for (name, at, value) in node.entries() {
        if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            faults.fault(at, format!("`{name}` cannot name a header"));
        }
        if name.starts_with("rialto-") {
            faults
                .fault(at, format!("the header `{name}` is Rialto's own"))
                .hint("headers that begin with `rialto-` are kept for dead letters and hops");
        }
        let Some(text) = value.text() else {
            let _: Option<()> = value.expected("text", None, faults);
            continue;
        };
        let written = TemplateText { text: text.to_owned(), at: value.at().clone() };
        headers.extend(Template::compile(&written, faults).map(|template| (name.into(), template)));
    }
    headers
}

/// What `match` of a route or destination takes, in words, for people.
pub(super) fn clauses(owner: &Node) -> Vec<String> {
    let Some(node) = owner.peek("match") else { return Vec::new() };
    let globs = |node: &Node| node.items().iter().filter_map(Node::text).collect::<Vec<_>>().join(" or ");
    let mut clauses: Vec<String> = ["message_type", "message_name", "source"]
        .into_iter()
        .filter_map(|key| Some(format!("{key} is {}", globs(node.peek(key)?))))
        .collect();
    if let Some(headers) = node.peek("headers") {
        clauses.extend(headers.written().map(|(name, _, value)| format!("header {name} is {}", globs(value))));
    }
    clauses
}
