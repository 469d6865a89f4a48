//! Writing what leaves.

use super::{HeaderArena, Message, json::push_string, message::HOPS_HEADER};

/// `envelope:`, the form in which a destination gets its messages.
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// The four keys of diator's `Message`, in its order, compact, around the payload's own bytes.
    #[default]
    Standard,
    /// The payload alone.
    Payload,
}

impl Format {
    /// Appends the body of `message` and adds the headers that belong to this form; answers its content type, empty for JSON.
    /// Allocates nothing but what the two buffers grow by.
    pub fn encode<'m>(&self, message: &'m Message, body: &mut Vec<u8>, headers: &mut HeaderArena) -> &'m str {
        headers.push_number(HOPS_HEADER, message.hops().saturating_add(1));
        match self {
            Self::Standard => {
                push_head(body, message);
                body.push(b'}');
            }
            Self::Payload => body.extend_from_slice(message.payload()),
        }
        ""
    }
}

/// The four keys, without the closing brace.
fn push_head(body: &mut Vec<u8>, message: &Message) {
    let payload = message.payload();
    body.reserve(payload.len() + 192);
    body.extend_from_slice(br#"{"message_type":"#);
    push_string(body, message.message_type());
    body.extend_from_slice(br#","message_name":"#);
    push_string(body, message.name());
    body.extend_from_slice(br#","message_id":"#);
    push_string(body, message.id());
    body.extend_from_slice(br#","payload":"#);
    body.extend_from_slice(payload);
}
