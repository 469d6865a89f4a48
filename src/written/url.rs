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

    /// As [`Node::urls`], of servers that are written without a scheme (`host:port`): the kind says what is one.
    pub fn hosts(&self, key: &'static str, faults: &mut Problems) -> Option<Urls> {
        match self.or_file(key, faults)? {
            Written::Here(node) => {
                let texts: Option<Vec<String>> = node.items().iter().map(|item| String::from_node(item, faults)).collect();
                texts.map(Urls::Inline)
            }
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

/// A URL, or a text with URLs in it, without credentials: `amqp://rialto:***@rabbit:5672`, and `***` for what a query calls a password, token, secret, key
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

/// Where the secrets of all URLs in a text stand, in order.
pub fn url_secrets(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let start = from + found + 3;
        let rest = &text[start..];
        let rest = &rest[..rest.find("://").unwrap_or(rest.len())];
        secrets.extend(credentials(rest).map(|range| start + range.start..start + range.end));
        let after = secrets.last().map_or(start, |range: &Range<usize>| range.end.max(start));
        let query = query_secrets(&text[after..start + rest.len()]);
        secrets.extend(query.into_iter().map(|range| after + range.start..after + range.end));
        from = start + rest.len();
    }
    secrets
}

/// The password in what follows `://`; what stands before an `@` without a `:` may be a token, and counts as one.
fn credentials(rest: &str) -> Option<Range<usize>> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '`' | '"' | '\'');
    let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.is_empty() && !port.ends_with(']'));
    // A password with an unescaped `/` or `#` ends the authority early; then `host:port` is no port.
    let broken = || port.is_some_and(|port| port.parse::<u16>().is_err()).then(|| rest.rfind('@').unwrap_or(authority.len()));
    let end = authority.rfind('@').or_else(broken)?;
    Some(rest[..end].find(':').map_or(0, |colon| colon + 1)..end)
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
