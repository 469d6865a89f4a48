//! JSON Schema of what several kinds have alike, for editors.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Part;

impl Part {
    /// The schema of a kind all of whose parts are maps with keys of their own: what its [`Kind::schema`](super::Kind) is.
    pub(super) fn schema<Broker: JsonSchema, Origin: JsonSchema, Target: JsonSchema>(
        self,
        generator: &mut SchemaGenerator,
    ) -> Schema {
        match self {
            Self::Broker => generator.subschema_for::<Broker>(),
            Self::Origin => generator.subschema_for::<Origin>(),
            Self::Target => generator.subschema_for::<Target>(),
        }
    }
}

/// One value, or a list with at least one.
pub(crate) struct OneOrMany<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>().to_value();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}
