//! What a pipeline was built from, in a form that can be compared: a reload touches only pipelines whose fingerprint changed.

use std::fmt::Write;

use uuid::Uuid;

use crate::written::{Node, Value};

/// The tree as text: keys sorted, places left out, so that moving a line changes nothing. It may hold secrets: never shown, only
/// hashed and compared.
pub(super) fn canonical(node: &Node) -> String {
    let mut text = String::new();
    write_node(node, &mut text);
    text
}

/// One text for many, of fixed length, from which nothing can be read back.
pub(super) fn of(parts: &[&str]) -> String {
    let mut all = String::new();
    for part in parts {
        let _ = write!(all, "{}:{part};", part.len());
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, all.as_bytes()).to_string()
}

fn write_node(node: &Node, out: &mut String) {
    match node.value() {
        Value::Null => out.push('~'),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => _ = write!(out, "{value}"),
        Value::Float(value) => _ = write!(out, "{value:?}"),
        Value::Str(value) => _ = write!(out, "{value:?}"),
        Value::List(items) => {
            out.push('[');
            for item in items {
                write_node(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let mut keys: Vec<_> = entries.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, (_, value)) in keys {
                let _ = write!(out, "{key:?}:");
                write_node(value, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}
