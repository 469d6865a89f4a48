//! A batch on its way to a link: its items, and their bodies rendered into one buffer.

use std::{ops::Range, sync::Arc};

use super::{item::Item, lane::LaneSpec};
use crate::{
    broker::{Confirms, Outgoing, Publisher},
    envelope::{Format, HeaderArena, Property},
    outcome::LinkDown,
    route::Death,
};

/// Items sent together, in order, with the specification of each one's lane.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) items: Vec<Item>,
    pub(super) specs: Vec<Arc<LaneSpec>>,
}

/// Bodies and headers of a parcel. The buffers are used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    bytes: Vec<u8>,
    headers: HeaderArena,
    content_types: String,
    letters: Vec<Letter>,
}

#[derive(Debug)]
struct Letter {
    body: Range<usize>,
    headers: Range<usize>,
    /// In `content_types`; empty for JSON.
    content_type: Range<usize>,
}

/// A link after a parcel was handed to it.
pub(super) struct Sent {
    pub(super) publisher: Box<dyn Publisher>,
    pub(super) rendered: Rendered,
    pub(super) result: Result<Confirms, LinkDown>,
}

/// Buffers larger than this are not kept for the next parcel: one large message must not cost its size for ever.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Rendered {
    /// Renders every item of a parcel.
    pub(super) fn fill(&mut self, parcel: &Parcel) {
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.headers.clear();
        self.content_types.clear();
        self.letters.clear();
        for (item, spec) in parcel.items.iter().zip(&parcel.specs) {
            let (body, headers, types) = (self.bytes.len(), self.headers.len(), self.content_types.len());
            self.letter(item, spec);
            let letter = Letter {
                body: body..self.bytes.len(),
                headers: headers..self.headers.len(),
                content_type: types..self.content_types.len(),
            };
            self.letters.push(letter);
        }
    }

    fn letter(&mut self, item: &Item, spec: &LaneSpec) {
        let entry = &item.entry;
        if let Some(death) = entry.death() {
            if let Format::Extended { source } = &spec.format
                && death.wrap(entry.original(), source, &mut self.bytes)
            {
                // A transport without headers: the envelope says why.
                return;
            }
            // A dead letter is the message as it came: it must be possible to send it again.
            let raw = entry.original().raw();
            self.bytes.extend_from_slice(&raw.body);
            self.content_types.push_str(&raw.carrier.property(Property::ContentType).unwrap_or_default());
            for (name, value) in death.headers().iter().filter(|(_, value)| !value.is_empty()) {
                self.headers.push_parts(&[Death::PREFIX, name], value);
            }
            return;
        }
        for (name, value) in &entry.copy().headers {
            self.headers.push(name, entry.text(value));
        }
        let content_type = spec.format.encode(entry.message(), &mut self.bytes, &mut self.headers);
        self.content_types.push_str(content_type);
    }
}

/// Hands a parcel to its link.
pub(super) async fn send(mut publisher: Box<dyn Publisher>, parcel: Arc<Parcel>, rendered: Rendered) -> Sent {
    let result = {
        let headers: Vec<(&str, &str)> = rendered.headers.iter(0..rendered.headers.len()).collect();
        let fields: Vec<Vec<Option<&str>>> = parcel.items.iter().map(|item| item.entry.fields().collect()).collect();
        let parts = parcel.items.iter().zip(&parcel.specs).zip(rendered.letters.iter().zip(&fields));
        let batch: Vec<Outgoing<'_>> = parts
            .map(|((item, spec), (letter, fields))| Outgoing {
                target: &spec.target,
                message: item.entry.message(),
                address: item.entry.address(),
                key: item.entry.key(),
                body: &rendered.bytes[letter.body.clone()],
                content_type: &rendered.content_types[letter.content_type.clone()],
                headers: &headers[letter.headers.clone()],
                fields,
                attempt: item.attempt(),
                timeout: spec.rules.timeout,
            })
            .collect();
        publisher.send(&batch).await
    };
    Sent { publisher, rendered, result }
}
