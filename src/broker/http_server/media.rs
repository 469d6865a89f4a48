//! What a request says that its body is.

use hyper::{
    HeaderMap, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue},
};

use crate::listen::Problem;

/// How a body holds its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// The body is one message. `typed`: its content type says what it is, and goes on with it.
    One {
        /// False where the type is missing, or is what a client sends that was told none (plain `curl -d`).
        typed: bool,
    },
    /// A JSON array of CloudEvents.
    Events,
    /// A message on each line.
    Lines,
}

/// What is taken, for those who sent something else (`Accept-Post`, LDP 1.0, 7.1.2).
const ACCEPT_POST: &str =
    "application/json, application/cloudevents+json, application/cloudevents-batch+json, application/x-ndjson, application/jsonl";

/// Reads the headers; `any` says that a body need not be JSON. The problem is a 415.
pub(super) fn of(headers: &HeaderMap, any: bool) -> Result<Media, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let detail = format!("`Content-Encoding: {}` is not read here: send the body as it is", encoding.as_bytes().escape_ascii());
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        return Err(problem.header(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    let is_event = headers.contains_key("ce-specversion");
    let Some(written) = headers.get(CONTENT_TYPE) else { return Ok(Media::One { typed: false }) };
    if written.as_bytes() == b"application/json" {
        return Ok(Media::One { typed: true });
    }
    let text = written.to_str().unwrap_or_default().to_ascii_lowercase();
    let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
    let essence = essence.trim_end();
    let media = match essence {
        "application/cloudevents-batch+json" => Media::Events,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Media::Lines,
        "application/cloudevents" | "application/cloudevents+json" => Media::One { typed: true },
        _ if essence.starts_with("application/cloudevents") => return Err(unsupported(essence)),
        "application/json" | "text/json" => Media::One { typed: true },
        _ if essence.ends_with("+json") || is_event => Media::One { typed: true },
        "" | "application/x-www-form-urlencoded" | "text/plain" => Media::One { typed: false },
        _ if any => Media::One { typed: true },
        _ => return Err(unsupported(essence)),
    };
    match charset(parameters) {
        Some(charset) if !any && !matches!(charset, "utf-8" | "utf8" | "us-ascii") => {
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("JSON is UTF-8 (RFC 8259, 8.1), not `{charset}`")))
        }
        _ => Ok(media),
    }
}

fn charset(parameters: &str) -> Option<&str> {
    let found = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="))?;
    Some(found.trim_matches('"'))
}

fn unsupported(essence: &str) -> Problem {
    let detail = format!("`{}` is not read here: {ACCEPT_POST}", essence.escape_debug());
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        .header(HeaderName::from_static("accept-post"), HeaderValue::from_static(ACCEPT_POST))
}
