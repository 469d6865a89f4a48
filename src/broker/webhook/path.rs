//! The path of a request: the endpoint's, and behind it what a template made. A value fills a segment or a part of one, and nothing
//! else: it can neither begin another segment, nor climb out of it, nor begin a query.

use hyper::http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::endpoint::Endpoint;
use crate::broker::AddressRule;

/// A rendered path.
pub(super) static RULE: AddressRule = AddressRule { bytes_max: 4096, forbidden, name: "a path", encode: Some(encode) };

/// All but the unreserved characters of RFC 3986, 2.3.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stands in a configuration and cannot stand in a request line.
const WRITTEN: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// What no encoded value holds.
fn forbidden(character: char) -> bool {
    !(character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~' | '%'))
}

fn encode(value: &str, out: &mut String) -> Result<(), &'static str> {
    match value {
        "" => Err("is empty, which would be another path"),
        // Encoded or not, servers take them for steps (the URL standard of the WHATWG, "double-dot URL path segment").
        "." | ".." => Err("is a step in a path"),
        value => {
            out.extend(utf8_percent_encode(value, VALUE));
            Ok(())
        }
    }
}

/// What is asked of the server. The error is a sentence: a segment is empty, or a step, which several values side by side can still
/// make.
pub(super) fn request_target(endpoint: &Endpoint, address: &str) -> Result<PathAndQuery, String> {
    let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(format!("the path `{address}` has an empty segment"));
        }
        if is_step(segment) {
            return Err(format!("the path `{address}` climbs"));
        }
    }
    let mut target = String::with_capacity(endpoint.path.len() + address.len() + 2);
    target.push_str(&endpoint.path);
    if !path.is_empty() || target.is_empty() {
        target.push('/');
        target.extend(utf8_percent_encode(path, WRITTEN));
    }
    let mut separator = '?';
    for query in [endpoint.query.as_deref(), query].into_iter().flatten().filter(|query| !query.is_empty()) {
        target.push(separator);
        target.extend(utf8_percent_encode(query, WRITTEN));
        separator = '&';
    }
    PathAndQuery::try_from(target).map_err(|error| format!("the path `{address}`: {error}"))
}

/// `.`, `..` and every spelling of them.
pub(super) fn is_step(segment: &str) -> bool {
    // The longest is `%2e%2e`.
    segment.len() <= 6 && segment.contains(['.', '%']) && matches!(&*percent_decode_str(segment).collect::<Vec<u8>>(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(url: &str, address: &str) -> Result<String, String> {
        request_target(&Endpoint::parse(url)?, address).map(|target| target.to_string())
    }

    #[test]
    fn a_path_is_put_behind_the_urls() {
        for (url, address, due) in [
            ("http://h", "", "/"),
            ("http://h/", "a", "/a"),
            ("http://h/hooks", "", "/hooks"),
            ("http://h/hooks/", "a/b", "/hooks/a/b"),
            ("http://h/hooks", "/a/", "/hooks/a/"),
            ("http://h/hooks?code=s", "a", "/hooks/a?code=s"),
            ("http://h/hooks?code=s", "a?b=c", "/hooks/a?code=s&b=c"),
            ("http://h", "grüße {x}", "/gr%C3%BC%C3%9Fe%20%7Bx%7D"),
            ("http://h", "a%2Fb", "/a%2Fb"),
        ] {
            assert_eq!(at(url, address).as_deref(), Ok(due), "{url} {address}");
        }
    }

    #[test]
    fn no_path_climbs_or_names_another_host() {
        for address in ["..", "a/..", "../a", "a/../b", "a/./b", "%2e%2e/a", "a/%2E./b", ".%2e", "//evil", "a//b", "/../x"] {
            assert!(at("http://h/hooks", address).is_err(), "{address}");
        }
    }

    proptest! {
        /// Whatever the values are, the server sees as many segments as the template has, and they are the values.
        #[test]
        fn a_value_stays_in_its_segment(values in prop::collection::vec("\\PC{1,12}|[./?#%&=\\\\:@\r\n ]{1,6}", 1..4)) {
            let mut address = String::from("fixed");
            for value in &values {
                address.push('/');
                if encode(value, &mut address).is_err() {
                    prop_assert!(value == "." || value == "..");
                    return Ok(());
                }
            }
            prop_assert!(!address.replace('/', "").contains(forbidden));
            let target = at("http://h/base", &address);
            prop_assert!(target.is_ok(), "{target:?}");
            let target = target.unwrap_or_default();
            let seen: Vec<_> = target.split('/').skip(3).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
            prop_assert_eq!(seen, values);
        }
    }
}
