//! The merged configuration for people: secrets hidden, each value with the place that it came from.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::Loaded;
use crate::written::{Node, Span, Value, is_secret, redact_url};

const HIDDEN: &str = "***";

/// As YAML, with the places as comments. It can be read back, but for the secrets.
pub fn show(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    match loaded.root.value() {
        Value::Map(entries) if !entries.is_empty() => map_lines(&loaded.root, 0, "", &mut lines),
        _ => lines.push(("{}".to_owned(), None)),
    }
    let column = lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= 80).max().unwrap_or_default() + 2;
    let mut text = String::new();
    for (line, at) in lines {
        _ = match at {
            Some(at) => writeln!(text, "{line:column$}# {}", place(&at)),
            None => writeln!(text, "{line}"),
        };
    }
    text
}

/// As JSON: the values under `config`, and under `origins` the place of each by its path.
pub fn show_json(loaded: &Loaded) -> Json {
    let mut origins = Map::new();
    let config = json_of(&loaded.root, &mut origins);
    json!({ "config": config, "origins": origins })
}

/// `rialto.yaml:14:9`, or the layer's name.
fn place(at: &Span) -> String {
    if at.is_file() { format!("{}:{}:{}", at.source, at.line, at.column) } else { at.source.to_string() }
}

fn redacted(node: &Node, text: &str) -> String {
    if is_secret(node.path()) { HIDDEN.to_owned() } else { redact_url(text) }
}

type Line = (String, Option<Span>);

fn map_lines(node: &Node, indent: usize, lead: &str, lines: &mut Vec<Line>) {
    for (index, (key, _, child)) in node.written().enumerate() {
        // The first key of a list's item stands behind its dash.
        let start = if index == 0 && !lead.is_empty() { lead.to_owned() } else { " ".repeat(indent) };
        value_lines(child, &format!("{start}{}:", scalar_text(key)), indent + 2, lines);
    }
}

fn value_lines(node: &Node, head: &str, indent: usize, lines: &mut Vec<Line>) {
    match node.value() {
        Value::Map(entries) if entries.is_empty() => lines.push((format!("{head} {{}}"), Some(node.at().clone()))),
        Value::List(items) if items.is_empty() => lines.push((format!("{head} []"), Some(node.at().clone()))),
        Value::Map(_) => {
            lines.push((head.to_owned(), None));
            map_lines(node, indent, "", lines);
        }
        Value::List(items) => {
            lines.push((head.to_owned(), None));
            for item in items {
                let dash = format!("{}- ", " ".repeat(indent));
                match item.value() {
                    Value::Map(entries) if !entries.is_empty() => map_lines(item, indent + 2, &dash, lines),
                    _ => value_lines(item, dash.trim_end(), indent + 2, lines),
                }
            }
        }
        scalar => {
            let text = match scalar {
                Value::Str(text) => scalar_text(&redacted(node, text)),
                Value::Null => "null".to_owned(),
                _ if is_secret(node.path()) => scalar_text(HIDDEN),
                _ => node.text().unwrap_or_default().to_owned(),
            };
            lines.push((format!("{head} {text}"), Some(node.at().clone())));
        }
    }
}

/// Plain where YAML reads it back as the same text, else in double quotes.
fn scalar_text(text: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    // YAML 1.1, which other tools still read, has more words for true, false and null than 1.2.
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let number = text.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with(|c: char| c.is_ascii_lowercase());
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner)
        && !number
        && matches!(Node::scalar("", Span::outside(""), text).value(), Value::Str(_))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Json::from(text).to_string() }
}

fn json_of(node: &Node, origins: &mut Map<String, Json>) -> Json {
    match node.value() {
        Value::List(items) => items.iter().map(|item| json_of(item, origins)).collect(),
        Value::Map(_) => Json::Object(node.written().map(|(key, _, child)| (key.to_owned(), json_of(child, origins))).collect()),
        scalar => {
            origins.insert(node.path().to_owned(), place(node.at()).into());
            match scalar {
                Value::Null => Json::Null,
                _ if is_secret(node.path()) => HIDDEN.into(),
                Value::Bool(value) => (*value).into(),
                Value::Int(value) => (*value).into(),
                Value::Float(value) => (*value).into(),
                _ => redacted(node, node.text().unwrap_or_default()).into(),
            }
        }
    }
}
