//! The settings of a namespace: `brokers: { bus: servicebus://… }` and its long form.

use std::{fmt, sync::Arc};

use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    connection_string::ConnectionString,
    credential::{Credential, Keys},
};
use crate::{
    broker::{House, OpenError, bearer::Bearer, plain, tls::Tls},
    outcome::Reason,
    written::{Node, Problems, Secret, Size, Span, redact_url},
};

/// Azure's public cloud; a namespace with a dot in it is the whole name of a host in another.
const PUBLIC_CLOUD: &str = "servicebus.windows.net";
/// AMQP over TLS, and the emulator's plain AMQP.
const AMQPS_PORT: u16 = 5671;
const AMQP_PORT: u16 = 5672;
/// The Standard tier takes 256 KB in one request, with all properties.
const BATCH_BYTES: Size = Size(256_000);
const BATCH_BYTES_MAX: u64 = 100 << 20;
/// What Entra ID is asked for (<https://learn.microsoft.com/azure/service-bus-messaging/authenticate-application>).
const SCOPE: &str = "https://servicebus.azure.net/.default";

/// A broker's settings, checked.
#[derive(Debug)]
pub(super) struct Settings {
    place: Place,
    /// Another base URL for HTTPS.
    endpoint: Option<Url>,
    /// Another place for AMQP.
    amqp_endpoint: Option<AmqpPlace>,
    transport: Option<Transport>,
    /// Certificates, for both transports.
    pub(super) tls: Tls,
    /// A request with several messages is not larger.
    pub(super) batch_bytes: usize,
}

/// How messages are published. Consuming is always AMQP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Batches of JSON.
    Https,
    /// AMQP 1.0.
    Amqp,
}

/// Which namespace, and who we are there.
#[derive(Debug)]
enum Place {
    /// Its host.
    Namespace { host: String, keys: Keys },
    /// All in one text.
    ConnectionString(Secret),
}

/// Where AMQP is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AmqpPlace {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// What an opening needs, with files read.
#[derive(Debug)]
pub(super) struct Access {
    /// The namespace's whole name: what tokens are signed for, whatever is dialled.
    pub(super) host: String,
    /// Scheme, host and port of the HTTPS side; `None` at the emulator, which has none.
    pub(super) https: Option<Url>,
    /// Where AMQP is spoken.
    pub(super) amqp: AmqpPlace,
    /// Who we are.
    pub(super) credential: Credential,
    /// The one queue or topic that the credential is for.
    pub(super) entity: Option<String>,
}

impl Settings {
    /// Reads the short form (text) or the long form (a map).
    pub(super) fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Self> {
        if !node.is_map() {
            return Some(Self::plain(read_url(node, faults)?));
        }
        let place = read_place(name, node, faults);
        let endpoint = node.opt::<String>("endpoint", faults).and_then(|text| {
            let at = node.peek("endpoint").unwrap_or(node).at();
            base(&text).map_err(|why| faults.fault(at, format!("`endpoint` {why}"))).ok()
        });
        let amqp_endpoint = node.opt::<String>("amqp_endpoint", faults).and_then(|text| {
            let at = node.peek("amqp_endpoint").unwrap_or(node).at();
            AmqpPlace::parse(&text).map_err(|why| faults.fault(at, format!("`amqp_endpoint` {why}"))).ok()
        });
        let words = [("https", Transport::Https), ("amqp", Transport::Amqp)];
        let transport = node.choice("transport", &words, faults);
        let batch_bytes = node.get("batch_bytes", BATCH_BYTES, faults);
        if !(1024..=BATCH_BYTES_MAX).contains(&batch_bytes.0) {
            faults.fault(node.peek("batch_bytes").unwrap_or(node).at(), "`batch_bytes` must be from 1KiB to 100MiB");
        }
        let tls = node.child("tls").map(|tls| Tls::read(tls, faults)).unwrap_or_default();
        node.finish(faults);
        let batch_bytes = usize::try_from(batch_bytes.0).unwrap_or(usize::MAX);
        let settings = Self { endpoint, amqp_endpoint, transport, tls, batch_bytes, ..Self::plain(place?) };
        settings.check(node, faults);
        Some(settings)
    }

    fn plain(place: Place) -> Self {
        let batch_bytes = BATCH_BYTES.0 as usize;
        Self { place, endpoint: None, amqp_endpoint: None, transport: None, tls: Tls::default(), batch_bytes }
    }

    /// What can be said before anything is dialled. What a file holds may still be wrong: it may change until then.
    fn check(&self, node: &Node, faults: &mut Problems) {
        let at = |key: &str| node.peek(key).unwrap_or(node).at().clone();
        let emulated = match &self.place {
            Place::ConnectionString(text) => match (text.reveal().map(|text| ConnectionString::parse(&text)), text) {
                (Ok(Ok(parsed)), _) => parsed.emulator.then_some(parsed.host),
                (Ok(Err(why)), Secret::Inline(_)) => {
                    faults.fault(&at("connection_string"), why);
                    return;
                }
                _ => None,
            },
            Place::Namespace { .. } => None,
        };
        if emulated.is_some() && self.transport == Some(Transport::Https) && self.endpoint.is_none() {
            faults
                .fault(&at("transport"), "the emulator speaks AMQP only: it has no HTTPS side")
                .hint("leave `transport` out, or write the `endpoint` of something that has one");
        }
        let what = "messages and tokens";
        if let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| endpoint.scheme() == "http") {
            plain::warn(what, endpoint.host_str().unwrap_or_default(), "use https://", &at("endpoint"), faults);
        }
        if let Some(place) = self.amqp_endpoint.as_ref().filter(|place| !place.tls) {
            plain::warn(what, &place.host, "use amqps://", &at("amqp_endpoint"), faults);
        }
        if let Some(host) = emulated {
            let written =
                node.peek("connection_string").or_else(|| node.peek("connection_string_file")).unwrap_or(node).at().clone();
            plain::warn(what, &host, "the emulator is for this machine", &written, faults);
        }
    }

    /// How messages are published: as written, else HTTPS, but AMQP at the emulator.
    pub(super) fn transport(&self) -> Transport {
        self.transport.unwrap_or_else(|| match self.parsed() {
            Some(Ok(parsed)) if parsed.emulator && self.endpoint.is_none() => Transport::Amqp,
            _ => Transport::Https,
        })
    }

    /// The one queue or topic that an inline connection string is for.
    fn entity(&self) -> Option<String> {
        match (&self.place, self.parsed()) {
            (Place::ConnectionString(Secret::Inline(_)), Some(Ok(parsed))) => parsed.entity,
            _ => None,
        }
    }

    /// Whether the credential is for that queue or topic, as far as it can be said now; a fault where it is not.
    pub(super) fn covers(&self, name: &str, at: &Span, faults: &mut Problems) -> Option<()> {
        let Some(only) = self.entity().filter(|only| !only.eq_ignore_ascii_case(name)) else { return Some(()) };
        faults.fault(at, format!("the connection string is for `{only}` alone")).hint("use one without `EntityPath`");
        None
    }

    fn parsed(&self) -> Option<Result<ConnectionString, String>> {
        match &self.place {
            Place::ConnectionString(text) => {
                let text = text.reveal().map_err(|error| error.to_string());
                Some(text.and_then(|text| ConnectionString::parse(&text)))
            }
            Place::Namespace { .. } => None,
        }
    }

    /// The namespace, for people.
    pub(super) fn display(&self) -> String {
        let host = match (&self.place, self.parsed()) {
            (Place::Namespace { host, .. }, _) => host.clone(),
            (Place::ConnectionString(Secret::File(path)), _) => return format!("service_bus (in {})", path.display()),
            (_, Some(Ok(parsed))) => parsed.host,
            _ => return "service_bus".into(),
        };
        format!("servicebus://{host}")
    }

    /// Files are read now. The error names what is wrong and shows no secret.
    pub(super) fn access(&self) -> Result<Access, OpenError> {
        let (host, keys, parsed) = match &self.place {
            Place::Namespace { host, keys } => (host.clone(), keys.clone(), None),
            Place::ConnectionString(text) => {
                let parsed = self.parsed().unwrap_or_else(|| Err("there is no connection string".into()));
                let parsed = parsed.map_err(|detail| OpenError { reason: Reason::Unauthenticated, detail })?;
                (parsed.host.clone(), Keys::Within(text.clone()), Some(parsed))
            }
        };
        let emulated = parsed.as_ref().is_some_and(|parsed| parsed.emulator);
        let amqp = self.amqp_endpoint.clone().unwrap_or_else(|| {
            let port = parsed.as_ref().and_then(|parsed| parsed.port);
            AmqpPlace { host: host.clone(), port: port.unwrap_or(if emulated { AMQP_PORT } else { AMQPS_PORT }), tls: !emulated }
        });
        let https = match &self.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None if emulated => None,
            None => Some(own_base(&host)?),
        };
        let entity = parsed.and_then(|parsed| parsed.entity);
        Ok(Access { host, https, amqp, credential: Credential::new(keys), entity })
    }
}

impl Access {
    /// What a token for a queue, topic or subscription is signed for: `https://contoso.servicebus.windows.net/orders`.
    pub(super) fn resource(&self, scheme: &str, entity: &str) -> String {
        format!("{scheme}://{}/{entity}", self.host)
    }

    /// Makes a token for the namespace, so that a missing secret is known before the first message.
    pub(super) async fn identify(&self, scheme: &str, house: &House) -> Result<(), OpenError> {
        let entity = self.entity.as_deref().unwrap_or_default();
        self.credential.token(&self.resource(scheme, entity), house).await.map(drop)
    }
}

impl AmqpPlace {
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        let tls = match url.scheme() {
            "amqps" => true,
            "amqp" => false,
            other => return Err(format!("begins with `amqps://` or `amqp://`, not `{other}://`")),
        };
        let host = only_host(&url)?;
        let port = url.port().unwrap_or(if tls { AMQPS_PORT } else { AMQP_PORT });
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port, tls })
    }
}

impl fmt::Display for AmqpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "amqps" } else { "amqp" }, self.host, self.port)
    }
}

/// `namespace` with who we are there, or a connection string.
fn read_place(name: &str, node: &Node, faults: &mut Problems) -> Option<Place> {
    let text = node.secret("connection_string", faults);
    let namespace = node.opt::<String>("namespace", faults);
    let policy = node.opt::<String>("policy", faults);
    let key = node.secret("key", faults);
    let entra = Bearer::read_entra(name, node, SCOPE, faults);
    let written = |keys: &[&str]| keys.iter().any(|key| node.peek(key).is_some());
    if written(&["connection_string", "connection_string_file"]) {
        if written(&["namespace", "policy", "key", "key_file", "entra"]) {
            faults
                .fault(node.at(), "a connection string says all that `namespace`, `policy` and `key` say")
                .hint("keep one or the other");
        }
        return text.map(Place::ConnectionString);
    }
    if !written(&["namespace"]) {
        faults
            .fault(node.at(), format!("`{}` needs `namespace`, or `connection_string`", node.path()))
            .hint("`{ namespace: contoso, policy: send, key_file: … }`");
    }
    let keys = if written(&["entra"]) {
        if written(&["policy", "key", "key_file"]) {
            faults.fault(node.at(), "`entra` and the `key` of a `policy` exclude each other").hint("keep one of them");
        }
        entra.map(|entra| Keys::Entra(Arc::new(entra)))
    } else {
        for (keys, missing) in [(["policy", "policy"], "policy"), (["key", "key_file"], "key")] {
            if !written(&keys) {
                let fault = faults.fault(node.at(), format!("`{}` needs `{missing}`", node.path()));
                fault.hint("a shared access policy and its key, or `entra`");
            }
        }
        policy.zip(key).map(|(policy, key)| Keys::Policy { policy, key })
    };
    let host = host_of(&namespace?, node.peek("namespace").unwrap_or(node).at(), faults)?;
    Some(Place::Namespace { host, keys: keys? })
}

/// `contoso` is `contoso.servicebus.windows.net`; what has a dot is a whole name.
fn host_of(namespace: &str, at: &Span, faults: &mut Problems) -> Option<String> {
    let legal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !namespace.split('.').all(legal) {
        faults
            .fault(at, format!("`{namespace}` is no namespace"))
            .hint("`contoso`, or its whole name in another cloud: `contoso.servicebus.chinacloudapi.cn`");
        return None;
    }
    let namespace = namespace.to_ascii_lowercase();
    Some(if namespace.contains('.') { namespace } else { format!("{namespace}.{PUBLIC_CLOUD}") })
}

/// `servicebus://POLICY:KEY@NAMESPACE`.
fn read_url(node: &Node, faults: &mut Problems) -> Option<Place> {
    let Some(text) = node.text() else {
        return node.expected("a URL, or a map", Some("`servicebus://POLICY:KEY@NAMESPACE`"), faults);
    };
    let shown = redact_url(text);
    let parsed = Url::parse(text);
    let url = match &parsed {
        Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) => url,
        _ => {
            faults.fault(node.at(), format!("`{shown}` is no URL of a namespace")).hint("`servicebus://POLICY:KEY@NAMESPACE`");
            return None;
        }
    };
    if url.port().is_some() || !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        faults
            .fault(node.at(), format!("`{shown}`: the short form is a policy, its key and a namespace, and nothing else"))
            .hint("the long form has `endpoint`, `amqp_endpoint` and `connection_string`");
        return None;
    }
    let decoded = |part: &str| percent_decode_str(part).decode_utf8().map(String::from).ok().filter(|part| !part.is_empty());
    let (Some(policy), Some(key)) = (decoded(url.username()), url.password().and_then(decoded)) else {
        faults
            .fault(node.at(), format!("`{shown}` does not say who we are"))
            .hint("`servicebus://POLICY:KEY@NAMESPACE`, the key percent-encoded; or the long form, with `key_file` or `entra`");
        return None;
    };
    let host = host_of(url.host_str().unwrap_or_default(), node.at(), faults)?;
    Some(Place::Namespace { host, keys: Keys::Policy { policy, key: Secret::Inline(key) } })
}

/// A base URL: a scheme, a host, a port.
fn base(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(format!("begins with `https://` or `http://`, not `{}://`", url.scheme()));
    }
    only_host(&url)?;
    Ok(url)
}

fn only_host(url: &Url) -> Result<&str, String> {
    let alone = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !alone || !matches!(url.path(), "" | "/") {
        return Err("is a scheme, a host and a port, and nothing else".into());
    }
    url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| "names no host".into())
}

fn own_base(host: &str) -> Result<Url, OpenError> {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Url::parse(&format!("https://{bracketed}/"))
        .map_err(|error| OpenError { reason: Reason::Link, detail: format!("the namespace `{host}`: {error}") })
}
