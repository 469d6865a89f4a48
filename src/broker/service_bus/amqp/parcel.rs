//! Several messages in one transfer: the batched message format of Service Bus, whose body is whole messages, one in each data section.

use fe2o3_amqp::Sendable;
use fe2o3_amqp_types::messaging::{Batch, Data, Message, Properties};

use super::message::{Kin, Prepared, encode};
use crate::outcome::Refusal;

/// `message-format` of a batch.
const BATCHED: u32 = 0x8001_3700;

/// Left for the envelope's own sections, and for each data section's head.
const ENVELOPE_BYTES: u64 = 1024;
const HEAD_BYTES: u64 = 8;

/// One transfer.
#[derive(Debug)]
pub(super) enum Parcel {
    /// One message as it is.
    One(Message<Data>),
    /// Several of one kin.
    Several(Message<Batch<Data>>),
}

/// A parcel and the places of its messages in the batch.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) parcel: Parcel,
    pub(super) places: Vec<usize>,
}

impl Packed {
    /// As it is sent.
    pub(super) fn sendable(message: Message<Batch<Data>>) -> Sendable<Batch<Data>> {
        Sendable { message, message_format: BATCHED, settled: None }
    }
}

/// Packs messages in their order: neighbours of one kin together, within `bytes_max`. `alone`: one by one. Also answers which messages
/// cannot be encoded.
pub(super) fn pack(messages: Vec<(usize, Prepared)>, bytes_max: u64, alone: bool) -> (Vec<Packed>, Vec<(usize, Refusal)>) {
    let (mut packed, mut refused) = (Vec::new(), Vec::new());
    let mut open: Option<Open> = None;
    let mut messages = messages.into_iter().peekable();
    while let Some((place, prepared)) = messages.next() {
        let fits_kin = open.as_ref().is_some_and(|open| open.kin == prepared.kin);
        if !fits_kin {
            packed.extend(open.take().map(Open::seal));
        }
        let next_is_kin = messages.peek().is_some_and(|(_, next)| next.kin == prepared.kin);
        if alone || (open.is_none() && !next_is_kin) {
            packed.push(Packed { parcel: Parcel::One(prepared.message), places: vec![place] });
            continue;
        }
        let bytes = match encode(&prepared.message) {
            Ok(bytes) => bytes,
            Err(refusal) => {
                refused.push((place, refusal));
                continue;
            }
        };
        let size = bytes.len() as u64 + HEAD_BYTES;
        if open.as_ref().is_some_and(|open| open.size + size > bytes_max) {
            packed.extend(open.take().map(Open::seal));
        }
        open.get_or_insert_with(|| Open::new(prepared.kin.clone())).add(place, prepared, bytes, size);
    }
    packed.extend(open.map(Open::seal));
    (packed, refused)
}

/// A parcel that takes more.
struct Open {
    kin: Kin,
    size: u64,
    first: Option<Prepared>,
    sections: Vec<Data>,
    places: Vec<usize>,
}

impl Open {
    fn new(kin: Kin) -> Self {
        Self { kin, size: ENVELOPE_BYTES, first: None, sections: Vec::new(), places: Vec::new() }
    }

    fn add(&mut self, place: usize, prepared: Prepared, bytes: Vec<u8>, size: u64) {
        self.size += size;
        self.places.push(place);
        self.sections.push(Data::from(bytes));
        self.first.get_or_insert(prepared);
    }

    fn seal(self) -> Packed {
        let Self { kin, first, sections, places, .. } = self;
        let parcel = match first {
            // Alone after all: what followed did not fit beside it.
            Some(prepared) if places.len() == 1 => Parcel::One(prepared.message),
            first => {
                // The envelope says where all of it goes, as Microsoft's clients write it.
                let id = first.and_then(|prepared| prepared.message.properties?.message_id);
                let properties = Properties { message_id: id, group_id: kin.session_id.clone(), ..Properties::default() };
                let envelope = Message::builder().message_annotations(kin.annotations(None)).properties(properties);
                Parcel::Several(envelope.body(sections.into_iter().collect()).build())
            }
        };
        Packed { parcel, places }
    }
}
