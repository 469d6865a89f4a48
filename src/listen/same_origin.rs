//! Whether it is a page of somebody else that asks.
//!
//! A browser lets any page send a plain `POST` or open a WebSocket to any address, this machine's loopback included, and says in
//! `Origin` on whose behalf (RFC 6454, 7). Programs send no `Origin`.

use hyper::{
    HeaderMap,
    header::{HOST, HeaderName, ORIGIN},
};

use super::Peer;

/// What a browser says of the page that asks (Fetch Metadata), also where it sends no `Origin`.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True where a browser asks on behalf of a page that is not this server's own: its `Origin` is `null`, unreadable, or another host or
/// port than `Host`.
///
/// `guarded` says that the request also shows a token. Where it does not, a page over loopback must have been loaded from loopback by
/// name or address: otherwise any name that its owner points at 127.0.0.1 (DNS rebinding) would make his page this server's own.
pub fn is_foreign(headers: &HeaderMap, peer: Peer, guarded: bool) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let (origin, site) = (text(ORIGIN), text(FETCH_SITE));
    if origin.is_none() && site.is_none() {
        return false;
    }
    if matches!(site, Some("cross-site" | "same-site")) {
        return true;
    }
    let host = text(HOST).unwrap_or_default();
    if let Some(origin) = origin
        && !is_same(origin, host)
    {
        return true;
    }
    !guarded && peer.address.ip().to_canonical().is_loopback() && !is_loopback(name_of(host))
}

/// Whether `Host` is an address, or a name that nobody else can point elsewhere (`localhost`; RFC 6761, 6.3).
pub fn is_asked_by_address(headers: &HeaderMap) -> bool {
    is_loopback(name_of(headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()))
}

/// The scheme is not compared: whoever ends TLS in front of this server talks plain to it.
fn is_same(origin: &str, host: &str) -> bool {
    let (authority, port) = match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
        (Some(authority), _) => (authority, ":80"),
        (_, Some(authority)) => (authority, ":443"),
        _ => return false,
    };
    let plain = |text| str::strip_suffix(text, port).unwrap_or(text);
    !host.is_empty() && plain(authority).eq_ignore_ascii_case(plain(host))
}

/// A host without its port: `[::1]:80` is `[::1]`.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.to_ascii_lowercase();
    address.parse::<std::net::IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(headers: &[(&'static str, &str)], from: &str, guarded: bool) -> bool {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        is_foreign(&headers, Peer { address: from.parse().unwrap() }, guarded)
    }

    #[test]
    fn programs_are_nobodys_page() {
        assert!(!foreign(&[], "127.0.0.1:9", false));
        assert!(!foreign(&[("host", "anything")], "127.0.0.1:9", false));
    }

    #[test]
    fn a_page_of_this_server_may_ask() {
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://LocalHost", "localhost"),
            ("https://localhost", "localhost:443"),
            ("http://app.localhost:80", "app.localhost"),
        ] {
            assert!(!foreign(&[("origin", origin), ("host", host)], "127.0.0.1:9", false), "{origin} at {host}");
        }
        let behind_a_proxy = [("origin", "https://app.example"), ("host", "app.example")];
        assert!(!foreign(&behind_a_proxy, "192.0.2.7:9", false));
        assert!(!foreign(&behind_a_proxy, "127.0.0.1:9", true));
        assert!(!foreign(&[("sec-fetch-site", "same-origin"), ("host", "localhost")], "127.0.0.1:9", false));
        assert!(!foreign(&[("sec-fetch-site", "none"), ("host", "localhost")], "127.0.0.1:9", false));
    }

    #[test]
    fn other_pages_may_not() {
        for origin in [
            "null",
            "",
            "file://",
            "http://evil.example",
            "http://localhost:8081",
            "http://localhost:8080.evil.example",
            "http://localhost:8080@evil.example",
            "localhost:8080",
            "chrome-extension://localhost:8080",
        ] {
            assert!(foreign(&[("origin", origin), ("host", "localhost:8080")], "127.0.0.1:9", true), "{origin:?}");
        }
        assert!(foreign(&[("origin", "http://")], "127.0.0.1:9", true), "no host at all");
        assert!(foreign(&[("sec-fetch-site", "cross-site"), ("host", "localhost")], "127.0.0.1:9", true));
        assert!(foreign(&[("sec-fetch-site", "same-site"), ("host", "localhost")], "127.0.0.1:9", true));
    }

    #[test]
    fn a_name_pointed_at_loopback_makes_nobody_our_page() {
        for from in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(foreign(&[("origin", "http://evil.example:8080"), ("host", "evil.example:8080")], from, false), "{from}");
            assert!(foreign(&[("sec-fetch-site", "same-origin"), ("host", "evil.example:8080")], from, false), "{from}");
        }
    }
}
