//! A CloudEvent as a message.

use std::{borrow::Cow, sync::Arc};

use super::{Attributes, PREFIXES};
use crate::envelope::{
    HeaderValue, Property, RawMessage, Rejection, Shape,
    draft::{DEFAULT_TYPE, Draft, string, undecodable, wrap},
    field::each_member,
    json,
    message::Payload,
    text::{Text, span},
};

/// What the content type says of a body.
pub(in crate::envelope) enum Media {
    /// One event, in JSON.
    Structured,
    /// Several events; or a format that is not JSON.
    Foreign(String),
    /// Nothing.
    Other,
}

/// Looks at the content type; a batch is tested first, for it begins like an event.
pub(in crate::envelope) fn media(raw: &RawMessage) -> Media {
    let Some(written) = raw.carrier.property(Property::ContentType) else { return Media::Other };
    let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.starts_with("application/cloudevents-batch") {
        return Media::Foreign("a batch of CloudEvents is no single message".to_owned());
    }
    match essence.strip_prefix("application/cloudevents") {
        Some("" | "+json") => Media::Structured,
        Some(_) => Media::Foreign(format!("`{essence}` is no JSON")),
        None => Media::Other,
    }
}

/// The four required attributes, where all of them stand among the headers, and the prefix that they have there.
pub(in crate::envelope) struct Required<'a> {
    prefix: &'static str,
    id: Cow<'a, str>,
    source: Cow<'a, str>,
    name: Cow<'a, str>,
}

/// Tells whether the headers hold an event's attributes. The error is a version that is not known here.
pub(in crate::envelope) fn binary(raw: &RawMessage) -> Result<Option<Required<'_>>, Rejection> {
    for (prefix, version) in PREFIXES {
        let Some(version) = attribute(raw, prefix, version) else { continue };
        let (id, source, name) = (header(raw, prefix, "id"), header(raw, prefix, "source"), header(raw, prefix, "type"));
        if let (Some(id), Some(source), Some(name)) = (id, source, name) {
            known(&version)?;
            return Ok(Some(Required { prefix, id, source, name }));
        }
    }
    Ok(None)
}

fn header<'a>(raw: &'a RawMessage, prefix: &str, name: &str) -> Option<Cow<'a, str>> {
    attribute(raw, prefix, &[prefix, name].concat())
}

/// The attribute in a header of this name in full.
fn attribute<'a>(raw: &'a RawMessage, prefix: &str, header: &str) -> Option<Cow<'a, str>> {
    let text = raw.carrier.header(header).and_then(HeaderValue::to_text)?;
    Some(decoded(prefix, text))
}

/// The HTTP binding percent-encodes its headers; a value that decodes to no UTF-8 is taken as it stands.
fn decoded<'a>(prefix: &str, text: Cow<'a, str>) -> Cow<'a, str> {
    if prefix != "ce-" || !text.contains('%') {
        return text;
    }
    match percent_encoding::percent_decode_str(&text).decode_utf8() {
        Ok(decoded) => Cow::Owned(decoded.into_owned()),
        Err(_) => text,
    }
}

fn known(version: &str) -> Result<(), Rejection> {
    if version == "1.0" {
        Ok(())
    } else {
        Err(undecodable(format!("CloudEvents of version `{}` are not known here", version.escape_debug())))
    }
}

impl Required<'_> {
    /// The event, with its body as `payload`.
    pub(in crate::envelope) fn draft(&self, raw: &RawMessage, payload: Payload, wrapped: Option<Text>) -> Draft {
        let mut attributes = Attributes { binary: Some(self.prefix), ..Attributes::default() };
        attributes.set("source", Text::owned(&self.source), false);
        let mut kind = None;
        let mut add = |name: &str, value: Cow<'_, str>| match name {
            "specversion" | "id" | "type" | "source" => {}
            "messagetype" => kind = Some(Text::owned(&value)),
            _ => attributes.set(name, Text::owned(&value), false),
        };
        if self.prefix.is_empty() {
            for name in PLAIN {
                if let Some(value) = header(raw, "", name) {
                    add(name, value);
                }
            }
        } else {
            raw.carrier.headers(&mut |name, value| {
                if let (Some(name), Some(value)) = (name.strip_prefix(self.prefix), value.to_text()) {
                    add(name, decoded(self.prefix, value));
                }
            });
        }
        if let Some(media) = raw.carrier.property(Property::ContentType) {
            attributes.set("datacontenttype", Text::owned(&media), false);
        }
        Draft {
            shape: Shape::CloudEvent,
            message_type: kind.unwrap_or(Text::Fixed(DEFAULT_TYPE)),
            name: Text::owned(&self.name),
            id: Some(Text::owned(&self.id)).filter(|_| !self.id.is_empty()),
            event_id: None,
            payload,
            metadata: None,
            attributes: Some(Arc::new(attributes)),
            wrapped,
        }
    }
}

/// The attributes that are looked for among fields without a prefix, where any name could be anybody's.
const PLAIN: [&str; 14] = [
    "messagetype",
    "time",
    "subject",
    "datacontenttype",
    "dataschema",
    "dataref",
    "partitionkey",
    "sequence",
    "expirytime",
    "correlationid",
    "causationid",
    "traceparent",
    "tracestate",
    "actorid",
];

/// A structured event: `text` is its JSON object. `any` lets data through that are not JSON.
pub(in crate::envelope) fn structured(raw: &RawMessage, text: &str, any: bool) -> Result<Draft, Rejection> {
    let body = &raw.body;
    let mut seen = Seen::default();
    let mut attributes = Attributes::default();
    let mut wrong = None;
    each_member(text, |key, value| match json::string(key).as_deref() {
        None => wrong = Some("an attribute's name is no text".to_owned()),
        Some(name) => seen.member(body, name, value, &mut attributes, &mut wrong),
    });
    if let Some(wrong) = wrong {
        return Err(undecodable(format!("not a CloudEvent: {wrong}")));
    }
    let missing = |name: &str| undecodable(format!("not a CloudEvent: `{name}` is missing or no text"));
    known(&seen.version.ok_or_else(|| missing("specversion"))?)?;
    let id = seen.id.ok_or_else(|| missing("id"))?;
    let name = seen.name.ok_or_else(|| missing("type"))?;
    if attributes.get(body, "source").is_none() {
        return Err(missing("source"));
    }
    let (payload, wrapped) = match (seen.data, seen.base64) {
        (Some(data), None) => (Payload::Body(span(body, data)), None),
        (None, None) => (Payload::Owned("null".into()), None),
        (Some(_), Some(_)) => return Err(undecodable("not a CloudEvent: both `data` and `data_base64`")),
        (None, Some(base64)) => binary_data(&base64, attributes.get(body, "datacontenttype"), any)?,
    };
    Ok(Draft {
        shape: Shape::CloudEvent,
        message_type: seen.kind.unwrap_or(Text::Fixed(DEFAULT_TYPE)),
        name,
        id: Some(id).filter(|id| !id.within(body).is_empty()),
        event_id: None,
        payload,
        metadata: None,
        attributes: Some(Arc::new(attributes)),
        wrapped,
    })
}

/// The members of a structured event that are no mere attributes.
#[derive(Default)]
struct Seen<'a> {
    version: Option<Cow<'a, str>>,
    id: Option<Text>,
    name: Option<Text>,
    kind: Option<Text>,
    data: Option<&'a str>,
    base64: Option<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    fn member(&mut self, body: &[u8], name: &str, value: &'a str, attributes: &mut Attributes, wrong: &mut Option<String>) {
        match name {
            "specversion" => self.version = json::string(value),
            "id" => self.id = string(body, value),
            "type" => self.name = string(body, value),
            "messagetype" => self.kind = string(body, value),
            "data" => self.data = Some(value),
            "data_base64" => self.base64 = json::string(value),
            _ => match (value.as_bytes().first(), string(body, value)) {
                (Some(b'n'), _) => {}
                (_, Some(text)) => attributes.set(name, text, false),
                (Some(b'{' | b'[' | b'"') | None, _) => {
                    *wrong = Some(format!("attribute `{}` is neither text, number nor boolean", name.escape_debug()));
                }
                (Some(_), _) => attributes.set(name, Text::Body(span(body, value)), true),
            },
        }
    }
}

/// Data in base64: JSON is taken for what it is, the rest is wrapped where that is allowed.
fn binary_data(base64: &str, media: Option<&str>, any: bool) -> Result<(Payload, Option<Text>), Rejection> {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let bytes = BASE64_STANDARD.decode(base64).map_err(|error| undecodable(format!("`data_base64` is not base64: {error}")))?;
    let media = media.unwrap_or("application/octet-stream");
    if is_json(media) && json::is_valid(&bytes) {
        return Ok((Payload::Owned(bytes.into()), None));
    }
    if !any {
        return Err(undecodable(format!("data of type `{}` are not JSON", media.escape_debug())));
    }
    Ok((Payload::Owned(wrap(media, base64).into()), Some(Text::owned(media))))
}

fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
