//! What stands under `brokers.NAME.amqp`, and the endpoints it names.

use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::percent_decode_str;

use super::login::Login;
use crate::{
    broker::{OpenError, plain, tls::Tls},
    outcome::Reason,
    written::{FromNode, Millis, Node, Problems, Secret, Span, Urls, Value, redact_url},
};

/// RabbitMQ's own recommendation is 5 to 20 seconds; a dead peer is noticed within two of these.
const HEARTBEAT: Millis = Millis::from_secs(10);

/// Checked settings of one RabbitMQ, or of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    urls: Urls,
    /// How we say who we are.
    pub(super) login: Login,
    /// Wins over the URLs' user.
    username: Option<String>,
    /// Wins over the URLs' password.
    password: Option<Secret>,
    /// Wins over the URLs' path.
    vhost: Option<String>,
    heartbeat: Option<Duration>,
    tls: Tls,
}

/// One node of the cluster, ready to dial.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) uri: AMQPUri,
}

impl Settings {
    /// A URL, a list of URLs, or the map of the long form.
    pub(super) fn read(broker: &str, node: &Node, faults: &mut Problems) -> Option<Self> {
        if !node.is_map() {
            let urls = checked(Urls::from_node(node, faults)?, &Login::Password, node.at(), faults)?;
            let (login, tls) = (Login::Password, Tls::default());
            return Some(Self { urls, login, username: None, password: None, vhost: None, heartbeat: None, tls });
        }
        let written = node.child("url").or_else(|| node.peek("url_file")).map_or(node.at(), Node::at).clone();
        let urls = node.urls("url", faults);
        if urls.is_none() && node.peek("url").is_none() && node.peek("url_file").is_none() {
            faults.fault(node.at(), format!("`{}` needs `url`", node.path())).hint("write `url: amqp://user@host:5672/vhost`");
        }
        let username = node.opt("username", faults);
        let password = node.secret("password", faults);
        let login = Login::read(broker, node, faults);
        let vhost = node.opt("vhost", faults);
        let heartbeat = node.opt::<Millis>("heartbeat", faults).map(|beat| beat.0);
        if heartbeat.is_some_and(|beat| !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&beat)) {
            faults.fault(node.at(), "`heartbeat` must be from 1s to 1h");
        }
        let tls = match node.child("tls") {
            Some(tls) if *tls.value() != Value::Null => Tls::read(tls, faults),
            _ => Tls::default(),
        };
        node.finish(faults);
        if matches!(login, Login::External) && !tls.has_identity() {
            faults.fault(node.at(), "`auth: external` needs `tls` with `cert_file` and `key_file`");
        }
        Some(Self { urls: checked(urls?, &login, &written, faults)?, login, username, password, vhost, heartbeat, tls })
    }

    /// URLs without credentials, for people.
    pub(super) fn display(&self) -> String {
        self.urls.to_string()
    }

    /// How the server proves itself.
    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The cluster's nodes with their credentials, read anew where they are in files; a token stands for the password.
    pub(super) fn endpoints(&self, token: Option<&str>) -> Result<Vec<Endpoint>, OpenError> {
        let unreadable = |error: std::io::Error| OpenError { reason: Reason::Unauthenticated, detail: error.to_string() };
        let password = match token {
            Some(token) => Some(token.to_owned()),
            None => self.password.as_ref().map(Secret::reveal).transpose().map_err(unreadable)?,
        };
        let urls = self.urls.reveal().map_err(unreadable)?;
        let endpoints: Result<Vec<_>, String> = urls.iter().map(|url| self.endpoint(url, password.as_deref())).collect();
        match endpoints {
            Ok(endpoints) if endpoints.is_empty() => {
                Err(OpenError { reason: Reason::Link, detail: format!("no URL in {}", self.urls) })
            }
            Ok(endpoints) => Ok(endpoints),
            Err(detail) => Err(OpenError { reason: Reason::Link, detail }),
        }
    }

    fn endpoint(&self, text: &str, password: Option<&str>) -> Result<Endpoint, String> {
        let url = Parsed::parse(text)?;
        let heartbeat = self.heartbeat.or(url.heartbeat).unwrap_or(HEARTBEAT.0);
        let uri = AMQPUri {
            scheme: if url.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.username.clone().or(url.username).unwrap_or_else(|| "guest".into()),
                    password: password.map(str::to_owned).or(url.password).unwrap_or_else(|| "guest".into()),
                },
                host: url.host.clone(),
                port: url.port,
            },
            vhost: self.vhost.clone().unwrap_or(url.vhost),
            query: AMQPQueryString {
                heartbeat: Some(heartbeat.as_secs().clamp(1, 3600) as u16),
                frame_max: url.frame_max,
                auth_mechanism: Some(self.login.mechanism()),
                ..AMQPQueryString::default()
            },
        };
        Ok(Endpoint { host: url.host, port: url.port, tls: url.tls, uri })
    }
}

impl Endpoint {
    /// For people: no credentials.
    pub(super) fn display(&self) -> String {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// A URL taken apart as RabbitMQ's URI specification says, but that an empty path is the default virtual host: the empty one that
/// the specification means by `amqp://host/` exists nowhere.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    tls: bool,
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<String>,
    vhost: String,
    heartbeat: Option<Duration>,
    frame_max: Option<u32>,
}

impl Parsed {
    /// The error never holds the password.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{}: {what}", redact_url(text));
        let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            other => return Err(wrong(&format!("`{other}` is no scheme of AMQP: amqp or amqps"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("a host is missing"))?;
        let decoded = |part: &str| {
            percent_decode_str(part).decode_utf8().map(String::from).map_err(|_| wrong("percent-encoding that is not UTF-8"))
        };
        let path = url.path().strip_prefix('/').unwrap_or(url.path());
        if path.contains('/') {
            return Err(wrong("a `/` in the virtual host is written `%2F`"));
        }
        let (mut heartbeat, mut frame_max) = (None, None);
        for (key, value) in url.query_pairs() {
            let number = || value.parse::<u32>().map_err(|_| wrong(&format!("`{key}` is a whole number")));
            match &*key {
                "heartbeat" => heartbeat = Some(Duration::from_secs(u64::from(number()?))),
                "frame_max" => frame_max = Some(number()?),
                other => return Err(wrong(&format!("unknown parameter `{other}`: heartbeat, frame_max"))),
            }
        }
        Ok(Self {
            tls,
            host: decoded(host.trim_start_matches('[').trim_end_matches(']'))?,
            port: url.port().unwrap_or(if tls { 5671 } else { 5672 }),
            username: Some(url.username()).filter(|name| !name.is_empty()).map(decoded).transpose()?,
            password: url.password().map(decoded).transpose()?,
            vhost: if path.is_empty() { "/".into() } else { decoded(path)? },
            heartbeat,
            frame_max,
        })
    }
}

/// What can be said of the URLs before anything is dialled. A file's may still be wrong: they may change until then.
fn checked(urls: Urls, login: &Login, at: &Span, faults: &mut Problems) -> Option<Urls> {
    let what = if matches!(login, Login::Token(_)) { "messages and the token" } else { "messages and the password" };
    let mut sound = true;
    for text in plain::known(&urls) {
        match Parsed::parse(&text) {
            Err(fault) if matches!(urls, Urls::Inline(_)) => {
                faults.fault(at, fault);
                sound = false;
            }
            Ok(url) if !url.tls => match login {
                Login::External => drop(faults.fault(at, "`auth: external` needs amqps://: the certificate is who we are")),
                _ => plain::warn(what, &url.host, "use amqps://", at, faults),
            },
            Ok(_) | Err(_) => {}
        }
    }
    sound.then_some(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parsed {
        Parsed::parse(text).unwrap()
    }

    #[test]
    fn a_url_is_taken_apart_as_rabbitmq_means_it() {
        let url = parsed("amqps://us%40er:p%2Fw@rabbit.example:5999/prod%2Fa?heartbeat=7&frame_max=4096");
        assert!(url.tls);
        assert_eq!((url.host.as_str(), url.port), ("rabbit.example", 5999));
        assert_eq!((url.username.as_deref(), url.password.as_deref()), (Some("us@er"), Some("p/w")));
        assert_eq!(url.vhost, "prod/a");
        assert_eq!((url.heartbeat, url.frame_max), (Some(Duration::from_secs(7)), Some(4096)));
        assert_eq!(parsed("amqp://h").port, 5672);
        assert_eq!(parsed("amqps://h").port, 5671);
        for default in ["amqp://h", "amqp://h/", "amqp://h/%2f"] {
            assert_eq!(parsed(default).vhost, "/", "{default}");
        }
        assert_eq!(parsed("amqp://[::1]:5673").host, "::1", "not the default host");
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for wrong in ["http://u:secret@h", "amqp://u:secret@h/a/b", "amqp://u:secret@h?hartbeat=1", "amqp://u:secret@h:99999"] {
            let fault = Parsed::parse(wrong).unwrap_err();
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
