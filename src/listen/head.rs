//! What every request must be before anybody looks at its path.

use hyper::{
    HeaderMap, Request, StatusCode, Version,
    header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING},
};

use super::{Problem, clocked::Progress};

/// Bytes of a request line and all headers.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes of a path and its query.
const URI_BYTES_MAX: usize = 8 << 10;

/// What is wrong with a head, if anything is. The connection of a request that could be read in two ways ends with its answer.
pub(super) fn fault<B>(request: &Request<B>, progress: &Progress) -> Option<Problem> {
    let headers = request.headers();
    if progress.begin(headers.contains_key(TRANSFER_ENCODING)) {
        let detail = "the end of this request is not clear: `Content-Length` beside `Transfer-Encoding` or twice, a line that does \
                      not end in CR LF, or something behind a chunked body";
        return Some(last(Problem::new(StatusCode::BAD_REQUEST, detail)));
    }
    if request.version() != Version::HTTP_11 {
        return Some(last(Problem::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1")));
    }
    // The library joins a name of several lines to as many entries.
    if headers.len() > HEADERS_MAX {
        let detail = format!("{} headers, more than {HEADERS_MAX}", headers.len());
        return Some(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    let uri = request.uri();
    if uri.path_and_query().map_or(0, |text| text.as_str().len()) > URI_BYTES_MAX {
        return Some(Problem::new(StatusCode::URI_TOO_LONG, format!("a path of more than {URI_BYTES_MAX} bytes")));
    }
    if hosts(headers) != 1 {
        return Some(last(Problem::new(StatusCode::BAD_REQUEST, "a request has exactly one `Host` (RFC 9112, 3.2)")));
    }
    None
}

fn hosts(headers: &HeaderMap) -> usize {
    headers.get_all(HOST).iter().count()
}

fn last(problem: Problem) -> Problem {
    problem.header(CONNECTION, HeaderValue::from_static("close"))
}
