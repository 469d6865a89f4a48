//! The tree that a jq program sees, and what is read back from its answer.

use std::{cell::OnceCell, sync::Arc};

use jaq_json::{Map, Rc, Val, read, write};
use serde::de::IgnoredAny;

use super::jq::rejection;
use crate::envelope::{DEPTH_MAX, HeaderValue, Message, Rejection, is_too_deep, string_end};

/// The tree of one message, built when the first program asks for it and then shared by all.
#[derive(Debug)]
pub(super) struct Tree<'m> {
    pub(super) message: &'m Message,
    value: OnceCell<Val>,
}

impl<'m> Tree<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        Self { message, value: OnceCell::new() }
    }

    pub(super) fn value(&self) -> Result<&Val, Rejection> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let value = envelope(self.message)?;
        Ok(self.value.get_or_init(|| value))
    }
}

/// The extended envelope with its headers.
fn envelope(message: &Message) -> Result<Val, Rejection> {
    let headers = {
        let mut headers = Map::default();
        message.raw().carrier.headers(&mut |name, value| {
            headers.insert(text(name), header(value));
        });
        Val::obj(headers)
    };
    let mut metadata = Vec::new();
    message.write_metadata(&mut metadata, None, message.hops(), &[]);
    let members = [
        ("message_type", text(message.message_type())),
        ("message_name", text(message.name())),
        ("message_id", text(message.id())),
        ("payload", parse(message.payload())?),
        ("metadata", parse(&metadata)?),
        ("headers", headers),
    ];
    Ok(Val::obj(members.into_iter().map(|(key, value)| (text(key), value)).collect()))
}

fn text(text: &str) -> Val {
    Val::utf8_str(text.to_owned())
}

/// Digits of one number that jaq may read: its reader needs their square.
const DIGITS_MAX: usize = 16 * 1024;

/// Refuses a text, JSON or not, that would overwhelm jaq's reader, which recurses into what nests.
pub(super) fn readable(text: &[u8]) -> Result<(), String> {
    // Brackets are counted first, which tells of nearly every text that it is flat enough; the walk wants valid JSON.
    let few = memchr::memchr2_iter(b'{', b'[', text).nth(DEPTH_MAX).is_none();
    if !few && (serde_json::from_slice::<IgnoredAny>(text).is_err() || is_too_deep(text)) {
        return Err(format!("a text is no JSON, or nests deeper than {DEPTH_MAX} levels"));
    }
    countable(text)
}

fn countable(text: &[u8]) -> Result<(), String> {
    let long = |digits: &[u8]| digits.len() > DIGITS_MAX;
    if long(text) && text.split(|byte| !byte.is_ascii_digit()).any(long) {
        return Err(format!("a number has more than {DIGITS_MAX} digits"));
    }
    Ok(())
}

/// Reads what was decoded, and so is JSON and does not nest too deep.
fn parse(json: &[u8]) -> Result<Val, Rejection> {
    let mut at = 0;
    while json.len() - at > DIGITS_MAX {
        let text = memchr::memchr(b'"', &json[at..]).map_or(json.len(), |ahead| at + ahead);
        countable(&json[at..text]).map_err(rejection)?;
        at = json.len().min(string_end(json, text) + 1);
    }
    read::parse_single(json).map_err(|error| rejection(format!("jq cannot read the message: {error}")))
}

fn header(value: HeaderValue<'_>) -> Val {
    match value {
        HeaderValue::Bool(truth) => Val::from(truth),
        HeaderValue::Int(number) | HeaderValue::Time(number) => isize::try_from(number).map_or(Val::Null, Val::from),
        HeaderValue::Float(number) => Val::from(number),
        HeaderValue::Str(_) | HeaderValue::Bytes(_) | HeaderValue::Null => value.to_text().map_or(Val::Null, |value| text(&value)),
    }
}

/// What the answer has under `key`; it must be an envelope, that is an object.
fn member<'v>(answer: &'v Val, key: &str) -> Result<Option<&'v Val>, Rejection> {
    match answer {
        Val::Obj(members) => Ok(members.get(&text(key))),
        _ => Err(rejection("`transform` must answer the envelope, an object: change `.payload`, do not answer it")),
    }
}

/// The text under `key`, where the answer has another one than the input.
pub(super) fn changed_text(input: &Val, answer: &Val, key: &str) -> Result<Option<Arc<str>>, Rejection> {
    let Some(value) = member(answer, key)? else { return Ok(None) };
    if member(input, key)? == Some(value) {
        return Ok(None);
    }
    match value {
        Val::TStr(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.into())),
            Err(_) => Err(rejection(format!("`transform` made a `{key}` that is not UTF-8"))),
        },
        _ => Err(rejection(format!("`transform` made a `{key}` that is no text"))),
    }
}

/// The payload as JSON, where the answer has another one than the input; `written` hears of it before it is written.
pub(super) fn changed_payload(input: &Val, answer: &Val, written: impl FnOnce(&Val)) -> Result<Option<Vec<u8>>, Rejection> {
    let Some(value) = member(answer, "payload")? else { return Ok(None) };
    let before = member(input, "payload")?;
    if before == Some(value) {
        return Ok(None);
    }
    written(value);
    let mut value = value.clone();
    if let Some(before) = before {
        restore_order(before, &mut value);
    }
    let mut json = Vec::new();
    write::write(&mut json, &write::Pp::default(), 0, &value).map_err(|error| rejection(error.to_string()))?;
    // jq's values are more than JSON has: NaN, byte strings, keys that are no text.
    match std::str::from_utf8(&json).map(serde_json::from_str::<IgnoredAny>) {
        Ok(Ok(_)) => Ok(Some(json)),
        _ => Err(rejection("`transform` made a payload that is not JSON (NaN, bytes, or a key that is no text)")),
    }
}

/// Puts the keys of objects that lost one back into the order they had. jaq deletes a key by putting the last one into its place;
/// whoever deletes a card number does not expect to shuffle the order it belongs to.
fn restore_order(before: &Val, after: &mut Val) {
    match (before, after) {
        (Val::Obj(before), Val::Obj(after)) => {
            let after = Rc::make_mut(after);
            if before.keys().any(|key| !after.contains_key(key)) {
                after.sort_by_key(|key, _| before.get_index_of(key).unwrap_or(usize::MAX));
            }
            for (key, value) in after.iter_mut() {
                if let Some(before) = before.get(key) {
                    restore_order(before, value);
                }
            }
        }
        (Val::Arr(before), Val::Arr(after)) if before.len() == after.len() => {
            for (before, after) in before.iter().zip(Rc::make_mut(after)) {
                restore_order(before, after);
            }
        }
        _ => {}
    }
}
