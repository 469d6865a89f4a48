//! Content types, and bodies taken apart.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::HeaderName};

use super::{
    carrier::Part,
    media::{self, Media},
    split::{MESSAGES_MAX, parts},
};

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
