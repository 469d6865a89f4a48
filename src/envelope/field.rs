//! One field of a JSON document, found by scanning: no tree is built, whatever else the document holds.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json;

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
        while let Some(key) = map.next_key::<&RawValue>()? {
            if json::string(key.get()).is_some_and(|key| key == self.0) {
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

/// Every member of the object `json`, in order: its key and its value as they stand.
pub(super) fn each_member<'a>(json: &'a str, each: impl FnMut(&'a str, &'a str)) {
    let mut input = serde_json::Deserializer::from_str(json);
    // As above: the document was checked, and the caller knows that it is an object.
    let _ = input.deserialize_map(Members(each));
}

struct Members<F>(F);

impl<'de, F: FnMut(&'de str, &'de str)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            (self.0)(key.get(), value.get());
        }
        Ok(())
    }
}
