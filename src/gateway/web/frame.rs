//! What a WebSocket client is told: one JSON object a message (docs/wire.md, "The gateway's frames").

use std::{borrow::Cow, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::live::hub::{Delivery, Gap, Published, Seq, Topic};

/// What the keys of a `message` frame take, without their values.
const KEYS: usize = 96;

/// `ok` to a subscribe or unsubscribe: where the stream stands now, to come back to.
pub(super) fn ok(id: Option<&RawValue>, seq: Seq) -> String {
    answer("ok", id, |text| {
        let _ = write!(text, ",\"seq\":\"{seq}\"");
    })
}

/// `ok` to a ping.
pub(super) fn pong(id: Option<&RawValue>) -> String {
    answer("ok", id, |_| {})
}

/// `ok` to a publish: how many subscriptions, and sources of the bridge, it went to.
pub(super) fn published(id: Option<&RawValue>, receivers: u64) -> String {
    answer("ok", id, |text| {
        let _ = write!(text, ",\"receivers\":{receivers}");
    })
}

/// `error`: a code for programs and a sentence for people.
pub(super) fn error(id: Option<&RawValue>, code: &str, message: &str) -> String {
    answer("error", id, |text| {
        let _ = write!(text, ",\"code\":\"{code}\",\"message\":");
        push_string(text, message);
    })
}

/// `gap`: these numbers may be missing.
pub(super) fn gap(gap: Gap) -> String {
    format!("{{\"op\":\"gap\",\"from\":\"{}\",\"to\":\"{}\"}}", gap.from, gap.to)
}

/// `message`: the published JSON as it is; text that is no JSON as a string; bytes that are no text in Base64, which `encoding` says.
pub(super) fn message(delivery: &Delivery) -> String {
    let Published { seq, channel, body, .. } = &*delivery.message;
    let mut text = String::with_capacity(KEYS + body.len() + 2 * channel.len());
    let _ = write!(text, "{{\"op\":\"message\",\"seq\":\"{seq}\"");
    if let Topic::Pattern(glob) = &delivery.topic {
        text.push_str(",\"pattern\":");
        push_string(&mut text, &String::from_utf8_lossy(glob));
    }
    text.push_str(",\"channel\":");
    push_string(&mut text, &String::from_utf8_lossy(channel));
    match body_as_text(body) {
        Some((json, true)) => {
            text.push_str(",\"message\":");
            text.push_str(json);
        }
        Some((other, false)) => {
            text.push_str(",\"message\":");
            push_string(&mut text, other);
        }
        None => {
            text.push_str(",\"encoding\":\"base64\",\"message\":\"");
            STANDARD.encode_string(body, &mut text);
            text.push('"');
        }
    }
    text.push('}');
    text
}

/// The body as text, and whether it is JSON.
fn body_as_text(body: &[u8]) -> Option<(&str, bool)> {
    let text = std::str::from_utf8(body).ok()?;
    Some((text, serde_json::from_str::<&RawValue>(text).is_ok()))
}

fn answer(op: &str, id: Option<&RawValue>, rest: impl FnOnce(&mut String)) -> String {
    let mut text = format!("{{\"op\":\"{op}\"");
    if let Some(id) = id {
        text.push_str(",\"id\":");
        text.push_str(id.get());
    }
    rest(&mut text);
    text.push('}');
    text
}

/// A JSON string.
fn push_string(text: &mut String, value: &str) {
    // Text always has a JSON form; the error is of writers, and a `String` has none.
    let quoted = serde_json::to_string(value).map_or(Cow::Borrowed("\"\""), Cow::Owned);
    text.push_str(&quoted);
}
