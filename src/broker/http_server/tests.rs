//! Content types, and bodies taken apart.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::HeaderName};

use super::{
    budget::Budget,
    carrier::{HttpCarrier, Part, Request},
    media::{self, Media},
    split::{MESSAGES_MAX, parts},
};
use crate::envelope::{Carrier, Property};

fn media_of(headers: &[(&'static str, &str)], any: bool) -> Result<Media, StatusCode> {
    let headers: HeaderMap = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    media::of(&headers, any).map_err(|problem| problem.status())
}

#[test]
fn a_content_type_says_how_a_body_holds_its_messages() {
    let (typed, tried) = (Media::One { typed: true }, Media::One { typed: false });
    for (written, media) in [
        ("application/json", typed),
        ("Application/JSON; charset=UTF-8", typed),
        ("application/vnd.acme+json", typed),
        ("application/cloudevents+json; charset=utf-8", typed),
        ("application/cloudevents-batch+json", Media::Events),
        ("application/x-ndjson", Media::Lines),
        ("application/jsonl", Media::Lines),
        ("application/x-www-form-urlencoded", tried),
        ("text/plain;charset=utf-8", tried),
    ] {
        assert_eq!(media_of(&[("content-type", written)], false), Ok(media), "{written}");
    }
    assert_eq!(media_of(&[], false), Ok(tried));
    for written in ["application/xml", "application/cloudevents+avro", "application/json; charset=utf-16", "multipart/form-data"] {
        assert_eq!(media_of(&[("content-type", written)], false), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{written}");
    }
    assert_eq!(media_of(&[("content-type", "application/xml")], true), Ok(typed));
    let event = [("content-type", "application/xml"), ("ce-specversion", "1.0")];
    assert_eq!(media_of(&event, false), Ok(typed), "the decoder says what it cannot read");
    assert_eq!(media_of(&[("content-encoding", "gzip")], true), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
}

fn texts(media: Media, body: &str) -> Result<Vec<String>, StatusCode> {
    let body = Bytes::from(body.to_owned());
    let found = parts(media, &body).map_err(|problem| problem.status())?;
    Ok(found.into_iter().map(|(_, part)| String::from_utf8_lossy(&part).into_owned()).collect())
}

#[test]
fn lines_and_elements_are_slices_as_they_stand() {
    assert_eq!(texts(Media::Lines, "{\"a\":1.0}\r\n\n  [2]\n"), Ok(vec!["{\"a\":1.0}".into(), "[2]".into()]));
    assert_eq!(texts(Media::Events, " [ {\"a\":-0.0} , 7 ] "), Ok(vec!["{\"a\":-0.0}".into(), "7".into()]));
    assert_eq!(texts(Media::Events, "[]"), Ok(vec![]));
    assert_eq!(parts(Media::Events, &Bytes::from_static(b"[1]")).unwrap()[0].0, Part::Event);
}

#[test]
fn a_batch_that_is_none_is_refused_whole() {
    for body in ["", "{}", "[1", "[1] 2", "[1,]"] {
        assert_eq!(texts(Media::Events, body), Err(StatusCode::BAD_REQUEST), "{body}");
    }
}

#[test]
fn a_request_holds_so_many_messages() {
    let lines = "1\n".repeat(MESSAGES_MAX + 1);
    assert_eq!(texts(Media::Lines, &lines), Err(StatusCode::PAYLOAD_TOO_LARGE));
    assert_eq!(texts(Media::Lines, &lines[2..]).map(|all| all.len()), Ok(MESSAGES_MAX));
    let events = format!("[{}1]", "1,".repeat(MESSAGES_MAX));
    assert_eq!(texts(Media::Events, &events), Err(StatusCode::PAYLOAD_TOO_LARGE));
}

fn carrier(name: Option<&str>, headers: &[(&'static str, &str)]) -> HttpCarrier {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let charge = Budget::new(1).charge();
    let request = Request { headers, path: "/events".into(), name: name.map(Into::into), key: None, charge };
    HttpCarrier { request: Arc::new(request), part: Part::Whole { typed: true }, identity: OnceLock::new() }
}

#[test]
fn the_webhooks_of_a_bridge_name_their_message() {
    let bridged = [("rialto-message-name", "N%C3%BC%25 %"), ("rialto-message-type", "domain%20event"), ("message_name", "other")];
    let carrier_of = |name| carrier(name, &bridged);
    let of = |carrier: &HttpCarrier, property| carrier.property(property).map(Cow::into_owned);
    assert_eq!(of(&carrier_of(None), Property::Name).as_deref(), Some("N\u{fc}% %"));
    assert_eq!(of(&carrier_of(None), Property::Type).as_deref(), Some("domain event"));
    assert_eq!(of(&carrier_of(Some("Path")), Property::Name).as_deref(), Some("Path"), "who posts says it nearest");
    let no_text = carrier(None, &[("rialto-message-name", "%FF"), ("rialto-message-type", ""), ("message_type", "t%20")]);
    assert_eq!(of(&no_text, Property::Name).as_deref(), Some("%FF"));
    assert_eq!(of(&no_text, Property::Type).as_deref(), Some("t%20"), "a producer's own header is no bridge's");
    // They are said of this message already: as headers they would be said of the next.
    let mut travelled = Vec::new();
    carrier_of(None).headers(&mut |name, _| travelled.push(name.to_owned()));
    assert_eq!(travelled, Vec::<String>::new());
}

#[test]
fn what_a_bridge_encoded_is_decoded_and_nothing_else() {
    let told = [("webhook-id", "a%2Eb"), ("correlation-id", "100%25")];
    let both = |headers: &[(&'static str, &str)]| {
        let mut carrier = carrier(None, headers);
        Arc::get_mut(&mut carrier.request).unwrap().key = Some("a%2Eb".into());
        [Property::Id, Property::CorrelationId].map(|property| carrier.property(property).map(Cow::into_owned).unwrap_or_default())
    };
    assert_eq!(both(&[told[0], told[1], ("rialto-message-type", "t")]), ["a.b", "100%"]);
    assert_eq!(both(&told), ["a%2Eb", "100%25"], "another sender's id is what it says");
}
