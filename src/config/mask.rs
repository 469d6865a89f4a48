//! Secrets hidden in the lines of a file that faults show. Every byte of one becomes a `*`, so that carets stay where they are.

use std::ops::Range;

use crate::written::{self, Node, Problems, Value, is_secret, url_secrets};

/// The text with its secrets hidden; as long as the text, byte for byte.
pub(super) fn mask(text: &str) -> String {
    let mut hidden = by_line(text);
    if let Some(tree) = written::parse("", text, &mut Problems::default()) {
        by_tree(&tree, &mut hidden);
    }
    let mut bytes = text.as_bytes().to_vec();
    for range in hidden {
        for byte in bytes.get_mut(range).into_iter().flatten().filter(|byte| !matches!(**byte, b'\n' | b'\r')) {
            *byte = b'*';
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| "*".repeat(text.len()))
}

/// Exactly, where the file parses: the values of keys that name secrets, however they are written.
fn by_tree(node: &Node, hidden: &mut Vec<Range<usize>>) {
    let secret = is_secret(node.path());
    match node.value() {
        Value::List(items) => items.iter().for_each(|item| by_tree(item, hidden)),
        Value::Map(_) => node.written().for_each(|(_, _, child)| by_tree(child, hidden)),
        _ if secret => hidden.push(node.at().bytes.clone()),
        _ => {}
    }
}

/// Line by line, for files that do not parse: what follows a secret's key, and the credentials of URLs.
fn by_line(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut start = 0;
    // A secret in a block (`|`, `>`) goes on while lines are indented deeper than its key.
    let mut block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if block.is_some_and(|key| indent > key || line.trim().is_empty()) {
            hidden.push(start + indent..start + line.trim_end().len().max(indent));
        } else {
            block = None;
            for value in values_of_secrets(line) {
                if line[value.clone()].trim_start().starts_with(['|', '>']) {
                    block = Some(indent);
                } else {
                    hidden.push(start + value.start..start + value.end);
                }
            }
            for (at, _) in line.match_indices("://") {
                let url = &line[at..];
                let url = &url[..url.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(url.len())];
                hidden.extend(url_secrets(url).into_iter().map(|range| start + at + range.start..start + at + range.end));
            }
        }
        start += line.len();
    }
    hidden
}

fn values_of_secrets(line: &str) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    for (colon, _) in line.match_indices(':') {
        let before = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap_or_default();
        if !is_secret(key) {
            continue;
        }
        let after = &line[colon + 1..];
        let blank = after.len() - after.trim_start().len();
        let value = after.trim();
        let flow = before.contains(['{', '[']);
        let length = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].rfind(quote).map_or(value.len(), |end| end + 2),
            Some(_) if flow => value[..value.find([',', '}', ']']).unwrap_or(value.len())].trim_end().len(),
            _ => value.len(),
        };
        values.push(colon + 1 + blank..colon + 1 + blank + length);
    }
    values
}
