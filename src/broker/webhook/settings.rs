//! The settings of an endpoint: `brokers: { app: http://… }` and its long form.

use std::{collections::BTreeMap, fmt, io};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::{HeaderName, HeaderValue};
use indexmap::IndexMap;
use schemars::JsonSchema;

use super::{endpoint::Endpoint, request};
use crate::{
    broker::{
        plain,
        standard_webhooks::{Keyring, Purpose},
        tls::{self, Tls},
    },
    written::{FromNode, Node, Problems, Secret, Span, Urls},
};

/// Requests on the wire at once: enough to keep an application busy, few enough not to be its peak load.
const CONCURRENCY: usize = 16;
const CONCURRENCY_MAX: usize = 1024;

/// A broker's settings, checked.
#[derive(Debug)]
pub(super) struct Settings {
    url: Urls,
    /// Globs of the domain events that go here by themselves.
    pub(super) handles: Vec<String>,
    /// Set on every request.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    login: Option<Login>,
    pub(super) tls: Tls,
    /// Signs what is sent.
    pub(super) sign: Option<Keyring>,
    /// Requests on the wire at once.
    pub(super) concurrency: usize,
    /// A name may resolve to an address of this machine or network, whatever it looks like.
    pub(super) private_addresses: bool,
}

/// Who we are.
enum Login {
    Bearer(Secret),
    Basic { username: String, password: Option<Secret> },
}

impl Settings {
    /// Reads the short form (text) or the long form (a map).
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        let (url, settings) = if node.is_map() {
            (node.urls("url", faults), read_map(node, faults))
        } else {
            (Urls::from_node(node, faults), Self::plain())
        };
        if node.is_map() && node.peek("url").is_none() && node.peek("url_file").is_none() {
            faults.fault(node.at(), format!("`{}` needs `url`", node.path()));
        }
        let settings = Self { url: url?, ..settings };
        let at = node.peek("url").or_else(|| node.peek("url_file")).unwrap_or(node).at();
        match (settings.endpoint(), &settings.url) {
            (Ok(endpoint), _) => settings.check(&endpoint, node, at, faults),
            (Err(sentence), Urls::Inline(_)) => drop(faults.fault(at, sentence)),
            // A file's content may be mended until it is read to dial.
            (Err(_), Urls::File(_)) => {}
        }
        Some(settings)
    }

    fn plain() -> Self {
        Self {
            url: Urls::Inline(Vec::new()),
            handles: Vec::new(),
            headers: Vec::new(),
            login: None,
            tls: Tls::default(),
            sign: None,
            concurrency: CONCURRENCY,
            private_addresses: false,
        }
    }

    fn check(&self, endpoint: &Endpoint, node: &Node, at: &Span, faults: &mut Problems) {
        if endpoint.login.is_some() && self.login.is_some() {
            faults.fault(node.at(), "credentials stand both in the URL and beside it");
        }
        if !endpoint.tls {
            plain::warn("events", &endpoint.name(), "use https://", at, faults);
        }
        if !endpoint.tls && node.peek("tls").is_some() {
            faults.fault(node.peek("tls").unwrap_or(node).at(), "`tls` needs a URL that begins with `https://`");
        }
    }

    /// Where it goes; a file with the URL is read now. The error is a sentence.
    pub(super) fn endpoint(&self) -> Result<Endpoint, String> {
        let urls = self.url.reveal().map_err(|error| error.to_string())?;
        match urls.as_slice() {
            [url] => Endpoint::parse(url),
            [] => Err("there is no URL in it".into()),
            _ => Err("a webhook has one URL: write a broker for each".into()),
        }
    }

    /// The URL without credentials.
    pub(super) fn display(&self) -> String {
        match &self.url {
            Urls::Inline(_) => self.endpoint().map(|endpoint| endpoint.display()).unwrap_or_default(),
            file @ Urls::File(_) => format!("webhook {file}"),
        }
    }

    /// The value of `Authorization`; its files are read now.
    pub(super) fn authorization(&self, endpoint: &Endpoint) -> io::Result<Option<HeaderValue>> {
        let basic = |username: &str, password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")));
        let text = match (&self.login, &endpoint.login) {
            (Some(Login::Bearer(token)), _) => format!("Bearer {}", token.reveal()?.trim()),
            (Some(Login::Basic { username, password }), _) => {
                let password = password.as_ref().map(Secret::reveal).transpose()?.unwrap_or_default();
                basic(username, &password)
            }
            (None, Some((username, password))) => basic(username, password),
            (None, None) => return Ok(None),
        };
        let value = HeaderValue::try_from(text);
        let mut value = value.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the token holds what no header may hold"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn read_map(node: &Node, faults: &mut Problems) -> Settings {
    let concurrency = node.get("concurrency", CONCURRENCY, faults);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        let at = node.peek("concurrency").unwrap_or(node).at();
        faults.fault(at, format!("`concurrency` must be from 1 to {CONCURRENCY_MAX}"));
    }
    let settings = Settings {
        handles: node.get("handles", Vec::new(), faults),
        headers: read_headers(node, faults),
        login: read_login(node, faults),
        tls: node.child("tls").map(|tls| Tls::read(tls, faults)).unwrap_or_default(),
        sign: read_sign(node, faults),
        concurrency: concurrency.clamp(1, CONCURRENCY_MAX),
        private_addresses: node.get("private_addresses", false, faults),
        ..Settings::plain()
    };
    node.finish(faults);
    settings
}

fn read_headers(node: &Node, faults: &mut Problems) -> Vec<(HeaderName, HeaderValue)> {
    let Some(written) = node.child("headers") else { return Vec::new() };
    let texts = IndexMap::<String, String>::from_node(written, faults).unwrap_or_default();
    let mut headers = Vec::with_capacity(texts.len());
    for (name, text) in texts {
        let at = written.key_at(&name).unwrap_or_else(|| written.at());
        let (Ok(known), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(text)) else {
            faults.fault(at, format!("`{name}` with this value is no header"));
            continue;
        };
        if request::is_ours(&known) {
            faults.fault(at, format!("`{name}` is set by Rialto itself"));
            continue;
        }
        // Some of them are keys to somebody's API.
        value.set_sensitive(true);
        headers.push((known, value));
    }
    headers
}

fn read_login(node: &Node, faults: &mut Problems) -> Option<Login> {
    let token = node.secret("token", faults);
    let username: Option<String> = node.opt("username", faults);
    let password = node.secret("password", faults);
    match (token, username, password) {
        (Some(token), None, None) => Some(Login::Bearer(token)),
        (None, Some(username), password) => Some(Login::Basic { username, password }),
        (None, None, None) => None,
        (None, None, Some(_)) => {
            faults.fault(node.at(), "`password` needs `username`");
            None
        }
        (Some(_), ..) => {
            faults.fault(node.at(), "`token` and `username` exclude each other");
            None
        }
    }
}

fn read_sign(node: &Node, faults: &mut Problems) -> Option<Keyring> {
    let sign = node.child("sign")?;
    let block = sign.child("standard_webhooks");
    sign.finish(faults);
    let Some(block) = block else {
        faults.fault(sign.at(), "`sign` needs `standard_webhooks` with its `secret_files`");
        return None;
    };
    let keyring = Keyring::read(block, Purpose::Sign, faults);
    block.finish(faults);
    keyring
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer ***",
            Self::Basic { .. } => "Basic ***",
        })
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// `http://host[:port]/path` or `https://…`; a destination's `path` is put behind it.
    url: Option<String>,
    /// A file that holds the URL; read anew at each opening.
    url_file: Option<String>,
    /// Globs of the names of domain events that go here where their route has no `to`.
    handles: Option<Globs>,
    /// Set on every request.
    headers: Option<BTreeMap<String, String>>,
    /// Sent as `Authorization: Bearer …`.
    token: Option<String>,
    /// A file that holds the token; read anew at each opening and after a 401.
    token_file: Option<String>,
    /// For `Authorization: Basic …`.
    username: Option<String>,
    /// Its password.
    password: Option<String>,
    /// A file that holds the password; read anew at each opening and after a 401.
    password_file: Option<String>,
    /// Certificates; on by the scheme `https`.
    tls: Option<tls::Written>,
    /// How requests are signed.
    sign: Option<WrittenSign>,
    /// Requests on the wire at once; default 16.
    concurrency: Option<u32>,
    /// A name of the Internet may resolve to an address of this machine or network.
    private_addresses: Option<bool>,
}

/// One glob or several.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is read")]
enum Globs {
    One(String),
    Many(Vec<String>),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
struct WrittenSign {
    /// Standard Webhooks 1.0.
    standard_webhooks: WrittenSecrets,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
struct WrittenSecrets {
    /// `whsec_…` or `whsk_…`; several with blanks between them while they are rotated.
    secret: Option<String>,
    /// A file that holds it.
    secret_file: Option<String>,
    /// Files that hold them; each signs.
    secret_files: Option<Vec<String>>,
}
