//! One field of a JSON document, found by scanning: no tree is built, whatever else the document holds.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A path into a document: `a.b.0`, each step a key of an object or an index of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Box<[Box<str>]>);

impl Path {
    /// The path written with dots between its steps; `None` where a step is empty.
    pub fn parse(dotted: &str) -> Option<Self> {
        let steps: Box<[Box<str>]> = dotted.split('.').map(Box::from).collect();
        steps.iter().all(|step| !step.is_empty()).then_some(Self(steps))
    }

    /// The value there, as it stands in `json`; `None` where there is none. Of a repeated key the last counts, as for jq, Python and
    /// JavaScript.
    pub(super) fn find<'a>(&self, json: &'a str) -> Option<&'a str> {
        self.0.iter().try_fold(json, |json, step| child(json, step))
    }
}

/// The child named or numbered `step`.
pub(super) fn child<'a>(json: &'a str, step: &str) -> Option<&'a str> {
    let mut input = serde_json::Deserializer::from_str(json);
    // The document was checked when it was decoded; what fails here is a step into a value that has no children.
    input.deserialize_any(Child(step)).ok().flatten().map(RawValue::get)
}

struct Child<'s>(&'s str);

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(matches) = map.next_key_seed(Is(self.0))? {
            if matches {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut index) = (None, 0_usize);
        let wanted = self.0.parse::<usize>().ok();
        while let Some(value) = seq.next_element()? {
            if Some(index) == wanted {
                found = Some(value);
            }
            index += 1;
        }
        Ok(found)
    }
}

/// Compares a key without keeping it.
struct Is<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<bool, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
