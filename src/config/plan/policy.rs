//! What may stand on a source or, where all its routes agree, on a route: `event`, `decode`, `unrouted`, `dead_letter`.

use super::placed::Placed;
use crate::{
    envelope::Decode,
    route::Unrouted,
    written::{Node, Problems},
};

/// The four keys, as far as they were written in one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy<'a> {
    pub(super) event: Option<Placed<&'a Node>>,
    pub(super) decode: Option<Placed<Decoding>>,
    pub(super) unrouted: Option<Placed<Unrouted>>,
    pub(super) dead_letter: Option<Placed<DeadLetter<'a>>>,
}

/// `decode`: the shape that is pinned, and whether what is not JSON is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoding {
    pub(super) shape: Decode,
    pub(super) any: bool,
}

/// `dead_letter` as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DeadLetter<'a> {
    /// The source's broker keeps its own.
    Native,
    /// Loss by choice.
    Drop,
    /// A place: `broker/address`, or the long form.
    To(&'a Node),
}

/// What a source without `decode` does.
pub(super) const AUTO: Decoding = Decoding { shape: Decode::Auto, any: false };

const SHAPES: &[(&str, Decoding)] = &[
    ("auto", AUTO),
    ("envelope", Decoding { shape: Decode::Envelope, any: false }),
    ("cloudevents", Decoding { shape: Decode::CloudEvents, any: false }),
    ("standard_webhook", Decoding { shape: Decode::StandardWebhook, any: false }),
    ("bare", Decoding { shape: Decode::Bare, any: false }),
    ("any", Decoding { shape: Decode::Auto, any: true }),
];

const UNROUTED: &[(&str, Unrouted)] =
    &[("ack", Unrouted::Ack), ("dead_letter", Unrouted::DeadLetter), ("reject", Unrouted::Reject)];

impl Decoding {
    /// The word of the configuration.
    pub(super) fn as_str(self) -> &'static str {
        SHAPES.iter().find(|(_, decoding)| *decoding == self).map_or("auto", |(word, _)| word)
    }
}

/// The word of the configuration.
pub(super) fn unrouted_as_str(unrouted: Unrouted) -> &'static str {
    UNROUTED.iter().find(|(_, known)| *known == unrouted).map_or("ack", |(word, _)| word)
}

impl<'a> Policy<'a> {
    /// Reads the four keys of a source or route.
    pub(super) fn read(node: &'a Node, faults: &mut Problems) -> Self {
        let at = |key| node.child(key).unwrap_or(node).at().clone();
        Self {
            event: node.child("event").map(|event| Placed { value: event, at: event.at().clone() }),
            decode: node.choice("decode", SHAPES, faults).map(|value| Placed { value, at: at("decode") }),
            unrouted: node.choice("unrouted", UNROUTED, faults).map(|value| Placed { value, at: at("unrouted") }),
            dead_letter: node.child("dead_letter").map(DeadLetter::read),
        }
    }

    /// One policy for a source: its own, and what its routes say where it says nothing. Two values are a fault that names both
    /// places; only `dead_letter` may differ on a route once the source has one, for that is then the route's own.
    pub(super) fn agreed<'p>(
        source: &str,
        own: &'p Self,
        routes: impl Iterator<Item = &'p Self> + Clone,
        faults: &mut Problems,
    ) -> Self
    where
        'a: 'p,
    {
        let all = || std::iter::once(own).chain(routes.clone());
        Self {
            event: one("event", source, all().filter_map(|policy| policy.event.as_ref()), faults),
            decode: one("decode", source, all().filter_map(|policy| policy.decode.as_ref()), faults),
            unrouted: one("unrouted", source, all().filter_map(|policy| policy.unrouted.as_ref()), faults),
            dead_letter: match &own.dead_letter {
                Some(written) => Some(written.clone()),
                None => one("dead_letter", source, routes.filter_map(|policy| policy.dead_letter.as_ref()), faults),
            },
        }
    }
}

fn one<'a, T: PartialEq + Clone + 'a>(
    key: &str,
    source: &str,
    mut values: impl Iterator<Item = &'a Placed<T>>,
    faults: &mut Problems,
) -> Option<Placed<T>> {
    let first = values.next()?;
    for other in values.filter(|other| other.value != first.value) {
        faults
            .fault(&other.at, format!("`{key}` of the source `{source}` has two values"))
            .also(&first.at, "the other one stands here")
            .hint(format!("name the source under `sources` and write `{key}` there"));
    }
    Some(first.clone())
}

impl<'a> DeadLetter<'a> {
    fn read(node: &'a Node) -> Placed<Self> {
        let value = match node.text() {
            Some("native") => Self::Native,
            Some("drop") => Self::Drop,
            _ => Self::To(node),
        };
        Placed { value, at: node.at().clone() }
    }
}
