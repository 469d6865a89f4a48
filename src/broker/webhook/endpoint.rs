//! Where a webhook goes: its URL taken apart. Nothing in a message has a say in it.

use std::net::IpAddr;

use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::address::{Reach, reach};

/// A server, and where on it.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// `https`.
    pub(super) tls: bool,
    /// A literal address, or a name.
    pub(super) host: Result<IpAddr, String>,
    pub(super) port: u16,
    /// The header `Host`: the port only where it is not the scheme's.
    pub(super) authority: HeaderValue,
    /// The URL's path without a `/` at its end.
    pub(super) path: String,
    /// The URL's query.
    pub(super) query: Option<String>,
    /// Credentials in the URL.
    pub(super) login: Option<(String, String)>,
}

/// Names without a dot, and these domains, are of this network: RFC 6761, RFC 6762, RFC 8375, and what clusters and offices use.
const INTERNAL: [&str; 9] = [".localhost", ".local", ".internal", ".home.arpa", ".svc", ".lan", ".intranet", ".corp", ".test"];

impl Endpoint {
    /// Takes a URL apart. The parser is that of the WHATWG, so that `http://2852039166/` and `http://0xa9.254.0251.254/` are seen for
    /// what they are. The error is a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("this is no URL: {error}"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("a webhook's URL begins with `http://` or `https://`, not `{other}://`")),
        };
        if url.fragment().is_some() {
            return Err("what follows `#` in a URL never reaches a server".into());
        }
        let host = match url.host() {
            Some(Host::Ipv4(address)) => Ok(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Ok(IpAddr::V6(address)),
            Some(Host::Domain(name)) => Err(name.to_owned()),
            None => return Err("this URL names no host".into()),
        };
        if let Ok(address) = host
            && let Err(why) = reach(address)
        {
            return Err(format!("no webhook goes to {address}: it is {why}"));
        }
        let port = url.port_or_known_default().ok_or("this URL names no port")?;
        let shown = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| shown.to_owned(), |port| format!("{shown}:{port}"));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let has_login = !url.username().is_empty() || url.password().is_some();
        Ok(Self {
            tls,
            host,
            port,
            authority: HeaderValue::from_str(&authority).map_err(|_| "this host cannot be named in a header")?,
            path: url.path().trim_end_matches('/').to_owned(),
            query: url.query().filter(|query| !query.is_empty()).map(str::to_owned),
            login: has_login.then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default()))),
        })
    }

    /// The host as people write it.
    pub(super) fn name(&self) -> String {
        match &self.host {
            Ok(address) => address.to_string(),
            Err(name) => name.clone(),
        }
    }

    /// Where it goes, for logs: without credentials and query, either of which may be a secret.
    pub(super) fn display(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority.to_str().unwrap_or_default(), self.path)
    }

    /// Whether the host says that addresses this near are meant: a literal one is; `localhost` means this machine; a name without a
    /// dot, or in a domain that the Internet does not have, may be anywhere near. Another name is the Internet's, and whoever owns it
    /// decides what it resolves to.
    pub(super) fn means(&self, reach: Reach) -> bool {
        match (&self.host, reach) {
            (Ok(_), _) | (_, Reach::Public) => true,
            (Err(name), Reach::Loopback | Reach::Private) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                !name.contains('.') || INTERNAL.iter().any(|domain| name.ends_with(domain))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_metadata_address_is_refused() {
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0xA9.0xFE.0xA9.0xFE",
            "0251.0376.0251.0376",
            "169.254.43518",
            "169.16689662",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "1%36%39.254.169.254",
            "１６９.254.169.254",
            "0",
            "0.0.0.0",
            "[::]",
        ] {
            let found = Endpoint::parse(&format!("http://{host}/latest/meta-data")).err();
            assert!(found.as_ref().is_some_and(|why| why.starts_with("no webhook goes to")), "{host}: {found:?}");
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        let endpoint =
            Endpoint::parse("https://us%40er:p%3Aw@Hooks.Example.com:8443/in/box/?code=1").unwrap_or_else(|why| panic!("{why}"));
        assert!(endpoint.tls && endpoint.port == 8443);
        assert_eq!(endpoint.authority, "hooks.example.com:8443");
        assert_eq!((endpoint.path.as_str(), endpoint.query.as_deref()), ("/in/box", Some("code=1")));
        assert_eq!(endpoint.login, Some(("us@er".into(), "p:w".into())));
        assert_eq!(endpoint.display(), "https://hooks.example.com:8443/in/box");
        let plain = Endpoint::parse("http://[::1]").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((plain.authority.to_str().ok(), plain.port, plain.path.as_str()), (Some("[::1]"), 80, ""));
        for wrong in ["ftp://x/", "http://x/#a", "http:///", "nonsense"] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_says_how_near_it_is_meant() {
        let means = |host: &str, reach| Endpoint::parse(&format!("http://{host}/")).map(|endpoint| endpoint.means(reach));
        for host in [
            "127.0.0.1",
            "10.1.2.3",
            "[::1]",
            "localhost",
            "app",
            "app.svc",
            "orders.default.svc.cluster.local",
            "host.docker.internal",
        ] {
            assert_eq!(means(host, Reach::Loopback), Ok(true), "{host}");
            assert_eq!(means(host, Reach::Private), Ok(true), "{host}");
        }
        for host in ["hooks.example.com", "localhost.example.com", "localtest.me", "internal.example"] {
            assert_eq!(means(host, Reach::Loopback), Ok(false), "{host}");
            assert_eq!(means(host, Reach::Private), Ok(false), "{host}");
            assert_eq!(means(host, Reach::Public), Ok(true), "{host}");
        }
    }
}
