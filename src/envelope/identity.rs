//! `message_id`, when the event brings none of its own (docs/wire.md, "Identity").

use uuid::{NoContext, Timestamp, Uuid};

use super::{Property, RawMessage, text::Text};

/// The namespace of identities made from a position: the UUIDv5 of `urn:rialto:position` in the URL namespace of RFC 9562.
const POSITIONS: Uuid = Uuid::from_u128(0xd7b9_7943_b1db_5623_85ac_7ef0_3d6c_e597);

/// The header in which a transport without a message id of its own may carry one.
const HEADER: &str = "message_id";

/// An identity, and whether it survives a redelivery.
pub(super) struct Identity {
    pub(super) id: Text,
    pub(super) unstable: bool,
}

/// The first that exists: the event's own, the transport's, the payload's `event_id`, one made from the position in the source,
/// which a redelivery has again, and at last a new one, which it has not.
pub(super) fn identify(raw: &RawMessage, own: Option<Text>, event_id: Option<Text>, broker: &str, now_ms: i64) -> Identity {
    let stable = |id| Identity { id, unstable: false };
    if let Some(id) = own.or_else(|| transport(raw)).or(event_id) {
        return stable(id);
    }
    if let Some(position) = raw.carrier.position() {
        let seed = format!("{broker}/{position}");
        return stable(uuid_text(Uuid::new_v5(&POSITIONS, seed.as_bytes())));
    }
    let seconds = u64::try_from(now_ms.div_euclid(1000)).unwrap_or(0);
    let nanos = now_ms.rem_euclid(1000) as u32 * 1_000_000;
    Identity { id: uuid_text(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos))), unstable: true }
}

fn transport(raw: &RawMessage) -> Option<Text> {
    let known = raw.carrier.property(Property::Id);
    let id = known.or_else(|| raw.carrier.header(HEADER).and_then(super::HeaderValue::to_text))?;
    (!id.is_empty()).then(|| Text::owned(&id))
}

/// Lower case with hyphens, as diator writes it.
fn uuid_text(uuid: Uuid) -> Text {
    Text::owned(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}
