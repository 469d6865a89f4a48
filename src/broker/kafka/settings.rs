//! What stands under `brokers.NAME.kafka`.

use super::security::Security;
use crate::{
    broker::{OpenError, plain},
    outcome::Reason,
    written::{Node, Problems, Span, Urls},
};

/// Kafka's own port.
const PORT: u16 = 9092;

/// Checked settings of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    servers: Urls,
    pub(super) security: Security,
}

impl Settings {
    /// `kafka://host:port,…`, or the map of the long form.
    pub(super) fn read(name: &str, node: &Node, faults: &mut Problems) -> Option<Self> {
        if !node.is_map() {
            let servers = by_url(node, faults)?;
            let security = Security::none();
            let settings = Self { servers: Urls::Inline(servers), security };
            settings.warn_of_plaintext(node.at(), faults);
            return Some(settings);
        }
        let servers = node.hosts("bootstrap_servers", faults);
        if servers.is_none() && node.peek("bootstrap_servers").is_none() && node.peek("bootstrap_servers_file").is_none() {
            faults
                .fault(node.at(), format!("`{}` needs `bootstrap_servers`", node.path()))
                .hint("write `bootstrap_servers: [\"kafka-1:9092\", \"kafka-2:9092\"]`");
        }
        let security = Security::read(name, node, faults);
        node.finish(faults);
        let at = node.child("bootstrap_servers").unwrap_or(node).at();
        let servers = match servers? {
            Urls::Inline(texts) => Urls::Inline(told(places(&texts), at, faults)?),
            file @ Urls::File(_) => file,
        };
        let settings = Self { servers, security: security? };
        settings.warn_of_plaintext(at, faults);
        Some(settings)
    }

    /// Where it is, for people.
    pub(super) fn display(&self) -> String {
        format!("kafka://{}", self.servers)
    }

    /// `bootstrap.servers`, read anew where it is in a file.
    pub(super) fn bootstrap_servers(&self) -> Result<String, OpenError> {
        let lost = |detail: String| OpenError { reason: Reason::Link, detail };
        let written = self.servers.reveal().map_err(|error| lost(error.to_string()))?;
        let places = places(&written).map_err(lost)?;
        if places.is_empty() {
            return Err(lost(format!("no server is named {}", self.servers)));
        }
        Ok(places.join(","))
    }

    fn warn_of_plaintext(&self, at: &Span, faults: &mut Problems) {
        if self.security.is_encrypted() {
            return;
        }
        // A file that names no place is a fault where it is opened.
        for place in places(&plain::known(&self.servers)).unwrap_or_default() {
            let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host);
            plain::warn(self.security.what_travels(), host, self.security.encrypted(), at, faults);
        }
    }
}

/// The short form. It has no place for a login: that needs a mechanism, which a URL would have to invent a spelling for.
fn by_url(node: &Node, faults: &mut Problems) -> Option<Vec<String>> {
    let text = node.text()?;
    let Some(rest) = text.strip_prefix("kafka://") else {
        // Only the scheme is shown: what follows may be a password.
        faults.fault(node.at(), "a Kafka broker's short form is `kafka://host:9092,host:9092`");
        return None;
    };
    if rest.contains('@') {
        faults
            .fault(node.at(), "a login has no place in `kafka://…`")
            .hint("write `{ kafka: { bootstrap_servers: …, security_protocol: SASL_SSL, sasl: { mechanism: …, username: …, password_file: … } } }`");
        return None;
    }
    told(places(&[rest.strip_suffix('/').unwrap_or(rest)]), node.at(), faults)
}

fn told(places: Result<Vec<String>, String>, at: &Span, faults: &mut Problems) -> Option<Vec<String>> {
    match places {
        Ok(places) if places.is_empty() => {
            faults.fault(at, "no server is named").hint("`host:9092`");
            None
        }
        Ok(places) => Some(places),
        Err(fault) => {
            faults.fault(at, fault);
            None
        }
    }
}

/// `host:port` of each; commas separate, as in every other client of Kafka.
fn places(written: &[impl AsRef<str>]) -> Result<Vec<String>, String> {
    let parts = written.iter().flat_map(|text| text.as_ref().split(',')).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(place).collect()
}

fn place(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("`{text}` is no `host:port`: {why}"));
    if text.contains("://") {
        return wrong("it has a scheme; `security_protocol` says how it is spoken to");
    }
    if text.contains(['/', '@', ' ', '\t', '?', '#']) {
        return wrong("a host is a name or an address");
    }
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own, and brackets where a port follows.
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (text, None),
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => return wrong("an IPv6 address stands in brackets"),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() || host == "[]" {
        return wrong("the host is missing");
    }
    match port.map(str::parse::<u16>) {
        None => Ok(format!("{host}:{PORT}")),
        Some(Ok(port)) if port > 0 => Ok(format!("{host}:{port}")),
        Some(_) => wrong("a port is a number up to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port_which_may_be_left_out() {
        let servers = places(&["kafka-1:9093, kafka-2", "[::1]:19092", "[fe80::1]", "10.0.0.1:1"]).unwrap();
        assert_eq!(servers, ["kafka-1:9093", "kafka-2:9092", "[::1]:19092", "[fe80::1]:9092", "10.0.0.1:1"]);
        for wrong in ["http://k:1", "k:port", "k:0", "k:70000", ":9092", "::1", "user@k:1", "k:9092/x", "[]:1"] {
            assert!(places(&[wrong]).is_err(), "{wrong}");
        }
    }
}
