//! Entries that a kind of broker has a say in: brokers, sources, destinations, dead letters.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::keys::{DeadLetter, Destination, Source};
use crate::broker::{KINDS, Part};

/// A URL whose scheme is the kind, or the kind and its settings.
pub(super) struct BrokerEntry;

/// `broker/address`, or the long form.
pub(super) struct SourceEntry;

/// `broker/address`, or the long form.
pub(super) struct DestinationEntry;

/// `broker/address`, `native`, `drop`, or the long form.
pub(super) struct DeadLetterEntry;

/// The keys of a destination that hold for all of them.
pub(super) struct Defaults;

impl JsonSchema for Defaults {
    fn schema_name() -> Cow<'static, str> {
        "Defaults".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = <Destination>::json_schema(generator).to_value();
        Schema::try_from(with_kinds(common, Part::Target, generator)).unwrap_or_default()
    }
}

impl JsonSchema for BrokerEntry {
    fn schema_name() -> Cow<'static, str> {
        "Broker".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let schemes: Vec<_> = KINDS.iter().flat_map(|kind| kind.schemes).map(|scheme| scheme.replace('+', "\\+")).collect();
        let url = json!({ "type": "string", "pattern": format!("^({})://", schemes.join("|")) });
        let long = KINDS.iter().filter(|kind| kind.given.is_none()).map(|kind| {
            let settings = (kind.schema)(Part::Broker, generator).to_value();
            json!({ "type": "object", "properties": { kind.name: settings }, "required": [kind.name], "additionalProperties": false })
        });
        let choices: Vec<Value> = [url].into_iter().chain(long).collect();
        json_schema!({ "description": "A URL whose scheme is the kind, or the kind and its settings.", "anyOf": choices })
    }
}

macro_rules! entry {
    ($entry:ident, $name:literal, $common:ty, $part:expr, $short:literal) => {
        impl JsonSchema for $entry {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let long = with_kinds(<$common>::json_schema(generator).to_value(), $part, generator);
                json_schema!({ "anyOf": [{ "type": "string", "description": $short }, long] })
            }
        }
    };
}

entry!(SourceEntry, "Source", Source, Part::Origin, "`broker/address`");
entry!(DestinationEntry, "Destination", Destination, Part::Target, "`broker/address`; the address is a template");
entry!(DeadLetterEntry, "DeadLetter", DeadLetter, Part::Target, "`broker/address`, `native` or `drop`");

/// The common keys and those of every kind: which kind it is, the schema cannot know from a broker's name.
pub(super) fn with_kinds(mut common: Value, part: Part, generator: &mut SchemaGenerator) -> Value {
    for kind in KINDS {
        let own = (kind.schema)(part, generator).to_value();
        let own = properties(&own, generator);
        let Some(known) = common.get_mut("properties").and_then(Value::as_object_mut) else { return common };
        for (key, schema) in own {
            match known.get_mut(&key) {
                // Two kinds, or a kind and all of them, may mean different things by one word.
                Some(other) if *other != schema => *other = json!({ "anyOf": [other.take(), schema] }),
                Some(_) => {}
                None => _ = known.insert(key, schema),
            }
        }
    }
    common
}

/// The properties of an object's schema, be it written here or under `definitions`.
fn properties(schema: &Value, generator: &SchemaGenerator) -> Map<String, Value> {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let schema = name.and_then(|name| generator.definitions().get(name)).unwrap_or(schema);
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}
