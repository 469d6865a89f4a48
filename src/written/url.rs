//! URLs, which may hold credentials.

use std::{fmt, io, ops::Range, path::PathBuf};

use super::{
    FromNode, Node, Problems,
    secret::{Written, read_secret_file},
};

/// The URLs of a broker (a cluster has several), or the file that holds them, one a line. They print without credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Urls {
    /// Written in the configuration.
    Inline(Vec<String>),
    /// In a file, read anew at each opening of a link.
    File(PathBuf),
}

impl Urls {
    /// The URLs with their credentials; the error names the file.
    pub fn reveal(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Inline(urls) => Ok(urls.clone()),
            Self::File(path) => {
                let text = read_secret_file(path)?;
                Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
            }
        }
    }
}

impl fmt::Display for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(urls) => f.write_str(&urls.iter().map(|url| redact_url(url)).collect::<Vec<_>>().join(",")),
            Self::File(path) => write!(f, "(in {})", path.display()),
        }
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The short form of a broker, one URL, or a list of them. The scheme is judged by the kind.
impl FromNode for Urls {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        let mut urls = Vec::new();
        for item in node.items() {
            let text = String::from_node(item, faults)?;
            if !is_url(&text) {
                faults.fault(item.at(), format!("`{}` is no URL", item.name())).hint("write scheme://host:port/…");
                return None;
            }
            urls.push(text);
        }
        if urls.is_empty() {
            return node.expected("a URL", None, faults);
        }
        Some(Self::Inline(urls))
    }
}

impl Node {
    /// The URLs under `key` (one or a list) or in the file under `{key}_file`. Both written is a fault, and so is a file that is
    /// not there.
    pub fn urls(&self, key: &'static str, faults: &mut Problems) -> Option<Urls> {
        match self.or_file(key, faults)? {
            Written::Here(node) => Urls::from_node(node, faults),
            Written::File(path) => Some(Urls::File(path)),
        }
    }
}

/// Whether it starts with a scheme (RFC 3986 section 3.1) and an authority, and holds no blank.
fn is_url(text: &str) -> bool {
    scheme_of(text).is_some() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The scheme in front of `://`, if there is one.
pub fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let legal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    legal.then_some(scheme)
}

/// A URL without its credentials: `amqp://rialto:***@rabbit:5672`, and `***` for what a query calls a password, token, secret, key
/// or signature. Where the text is malformed it hides too much rather than too little.
pub fn redact_url(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for hidden in url_secrets(text) {
        shown.push_str(&text[from..hidden.start]);
        shown.push_str("***");
        from = hidden.end;
    }
    shown + &text[from..]
}

/// Where in a URL's text its secrets stand, in order.
pub fn url_secrets(text: &str) -> Vec<Range<usize>> {
    let Some(start) = text.find("://").map(|at| at + 3) else { return Vec::new() };
    let rest = &text[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // A password with an unescaped `/` or `#` ends the authority early; then `host:port` is no port.
    let broken = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_err());
    let at = authority.rfind('@').or_else(|| if broken { rest.rfind('@') } else { None });
    let mut secrets = Vec::new();
    if let Some(at) = at {
        let user = rest[..at].find(':').map_or(0, |colon| colon + 1);
        secrets.push(start + user..start + at);
    }
    let after = start + at.unwrap_or_default();
    secrets.extend(query_secrets(&text[after..]).into_iter().map(|range| after + range.start..after + range.end));
    secrets
}

fn query_secrets(rest: &str) -> Vec<Range<usize>> {
    const NAMES: [&str; 8] = ["password", "passwd", "pwd", "token", "secret", "key", "sig", "signature"];
    let Some(query) = rest.find('?').map(|at| at + 1) else { return Vec::new() };
    let mut secrets = Vec::new();
    let mut from = query;
    for pair in rest[query..].split('&') {
        if let Some((name, value)) =
            pair.split_once('=').filter(|(name, _)| NAMES.iter().any(|end| name.to_lowercase().ends_with(end)))
        {
            let start = from + name.len() + 1;
            secrets.push(start..start + value.len());
        }
        from += pair.len() + 1;
    }
    secrets
}
