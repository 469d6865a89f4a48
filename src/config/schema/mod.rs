//! JSON Schema (draft-07) of the configuration, for editors: `rialto schema`.
//!
//! The types of [`keys`] say what may be written; nothing is read into them (settings are read field by field, so that every fault is
//! found). A test holds their keys against the keys that the plan asks for. What belongs to a kind of broker comes from
//! [`KINDS`](crate::broker::KINDS).

mod entries;
mod keys;
mod values;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Where an editor finds the schema's own rules.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The whole schema.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<keys::Configuration>().to_value();
    without_null(&mut schema);
    with_variables(&mut schema, true);
    if let Value::Object(root) = &mut schema {
        root.insert("$schema".to_owned(), DRAFT.into());
        root.insert("title".to_owned(), "Rialto configuration".into());
        // Anchors live under `x-…`.
        root.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    }
    schema
}

/// An optional key may be left out; `null` is no value for it.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice != &json!({ "type": "null" }));
                if choices.len() == 1 {
                    let only = choices.remove(0);
                    object.remove("anyOf");
                    // Draft-07 ignores what stands beside a `$ref`.
                    object.insert("allOf".to_owned(), json!([only]));
                }
            }
            object.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// Wherever a number, a bool or a certain text is expected, `${VAR}` may stand.
fn with_variables(schema: &mut Value, is_schema: bool) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| with_variables(item, true)),
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                // Below these stand schemas by name, and below the others none.
                let names = matches!(key.as_str(), "properties" | "definitions" | "patternProperties");
                let schemas = matches!(key.as_str(), "anyOf" | "allOf" | "oneOf" | "items" | "additionalProperties");
                if names && is_schema {
                    value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(|schema| with_variables(schema, true));
                } else if schemas && is_schema {
                    with_variables(value, true);
                }
            }
            let typed = matches!(object.get("type").and_then(Value::as_str), Some("integer" | "number" | "boolean"));
            if typed || object.contains_key("enum") || object.contains_key("pattern") || object.contains_key("const") {
                let texts: Map<String, Value> =
                    ["description", "default"].into_iter().filter_map(|key| object.remove_entry(key)).collect();
                let exact = Value::Object(std::mem::take(object));
                *object = texts;
                object.insert("anyOf".to_owned(), json!([exact, { "type": "string", "pattern": "\\$\\{" }]));
            }
        }
        _ => {}
    }
}
