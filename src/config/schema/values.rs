//! Schemas of single values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! value {
    ($(#[$doc:meta])* $name:ident = $schema:tt) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

value! {
    /// `250ms 5s 10m 7d`
    Duration = { "type": "string", "pattern": "^[0-9.]+ ?(ms|s|sec|m|min|h|hr|d|w|day|days|hours|minutes|seconds)( ?[0-9.]+ ?[a-z]+)*$" }
}
value! {
    /// `64KiB 2GiB`, or bytes.
    Bytes = { "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9.]+ ?([KMGTkmgt]i?)?[Bb]?$" }] }
}
value! {
    /// `IP:PORT`
    Address = { "type": "string", "pattern": "^(\\[[0-9A-Fa-f:.]+\\]|[0-9.]+):[0-9]+$" }
}
value! {
    /// Text with `{…}` in it.
    Template = { "type": "string" }
}
value! {
    /// A jq filter.
    Filter = { "type": "string" }
}
value! {
    /// `500/s`
    Rate = { "type": "string", "pattern": "^[0-9.]+ ?/ ?[smh]$" }
}
value! {
    /// `off`, for what is not built yet.
    Off = { "enum": ["off", false] }
}
value! {
    /// A whole number of things, at least one.
    Count = { "type": "integer", "minimum": 1 }
}

/// `off`, or the settings.
pub(super) struct OffOr<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OffOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OffOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<T>().to_value();
        let off = generator.subschema_for::<Off>().to_value();
        json_schema!({ "anyOf": [off, settings] })
    }
}
