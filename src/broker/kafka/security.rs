//! Who we are to Kafka and how it proves itself: settings, and the properties of librdkafka that they become.

use std::{io, sync::Arc};

use rdkafka::ClientConfig;

use crate::{
    broker::{OpenError, bearer::Bearer, tls::Tls},
    outcome::Reason,
    written::{Node, Problems, Secret, Value},
};

/// `security_protocol`, with what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Security {
    protocol: Protocol,
    login: Option<Login>,
    tls: Tls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

/// The names that every client of Kafka has for them.
const PROTOCOLS: [(&str, Protocol); 4] = [
    ("PLAINTEXT", Protocol::Plaintext),
    ("SSL", Protocol::Ssl),
    ("SASL_PLAINTEXT", Protocol::SaslPlaintext),
    ("SASL_SSL", Protocol::SaslSsl),
];

impl Protocol {
    fn name(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn logs_in(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// `sasl`.
#[derive(Debug, Clone)]
enum Login {
    /// PLAIN (RFC 4616) or SCRAM (RFC 5802).
    Password { mechanism: &'static str, username: String, password: Secret },
    /// OAUTHBEARER (RFC 7628).
    Token(Arc<Bearer>),
}

const MECHANISMS: [(&str, &str); 4] =
    [("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512"), (BEARER, BEARER)];

const BEARER: &str = "OAUTHBEARER";

impl Security {
    /// Plain text, nobody in particular.
    pub(super) fn none() -> Self {
        Self { protocol: Protocol::Plaintext, login: None, tls: Tls::default() }
    }

    /// Reads `security_protocol`, `sasl` and `tls`. What is not written follows from the others, and then on the safe side: a login
    /// travels encrypted unless `SASL_PLAINTEXT` is written.
    pub(super) fn read(broker: &str, node: &Node, faults: &mut Problems) -> Option<Self> {
        let written = node.choice("security_protocol", &PROTOCOLS, faults);
        let sasl = node.child("sasl").filter(|sasl| *sasl.value() != Value::Null);
        let tls = node.child("tls").filter(|tls| *tls.value() != Value::Null);
        let login = sasl.map(|sasl| Login::read(broker, sasl, faults));
        let protocol = match (written, sasl, tls) {
            (Some(protocol), ..) => protocol,
            (None, Some(_), _) => Protocol::SaslSsl,
            (None, None, Some(_)) => Protocol::Ssl,
            (None, None, None) if node.peek("security_protocol").is_some() => return None,
            (None, None, None) => Protocol::Plaintext,
        };
        let at = node.child("security_protocol").unwrap_or(node).at();
        if let Some(sasl) = sasl.filter(|_| !protocol.logs_in()) {
            faults
                .fault(sasl.at(), format!("`security_protocol: {}` has no login, and `sasl` is one", protocol.name()))
                .hint("`security_protocol: SASL_SSL`");
        }
        if sasl.is_none() && protocol.logs_in() {
            faults
                .fault(at, format!("`security_protocol: {}` needs `sasl`", protocol.name()))
                .hint("`sasl: { mechanism: SCRAM-SHA-512, username: rialto, password_file: /run/secrets/kafka }`");
        }
        if let Some(tls) = tls.filter(|_| !protocol.is_encrypted()) {
            faults
                .fault(tls.at(), format!("`security_protocol: {}` has no TLS, and `tls` is about it", protocol.name()))
                .hint(if protocol.logs_in() { "`security_protocol: SASL_SSL`" } else { "`security_protocol: SSL`" });
        }
        let tls = tls.map(|tls| read_tls(tls, faults)).unwrap_or_default();
        let login = match login {
            None => None,
            Some(login) => Some(login?),
        };
        Some(Self { protocol, login, tls })
    }

    /// True where nobody on the way can read or change what travels.
    pub(super) fn is_encrypted(&self) -> bool {
        self.protocol.is_encrypted()
    }

    /// What others could read where it is not encrypted.
    pub(super) fn what_travels(&self) -> &'static str {
        match &self.login {
            None => "messages",
            Some(Login::Password { .. }) => "messages and the password",
            Some(Login::Token(_)) => "messages and the token",
        }
    }

    /// What to write instead.
    pub(super) fn encrypted(&self) -> &'static str {
        if self.protocol.logs_in() { "write `security_protocol: SASL_SSL`" } else { "write `security_protocol: SSL`" }
    }

    /// What has our tokens, where we log in by one.
    pub(super) fn bearer(&self) -> Option<&Arc<Bearer>> {
        match &self.login {
            Some(Login::Token(bearer)) => Some(bearer),
            Some(Login::Password { .. }) | None => None,
        }
    }

    /// Writes the properties of librdkafka; secrets are read anew where they are in files.
    pub(super) fn apply(&self, config: &mut ClientConfig) -> Result<(), OpenError> {
        config.set("security.protocol", self.protocol.name());
        if self.is_encrypted() {
            self.apply_tls(config);
        }
        match &self.login {
            None => {}
            // The token itself is asked for by the client.
            Some(Login::Token(_)) => drop(config.set("sasl.mechanism", BEARER)),
            Some(Login::Password { mechanism, username, password }) => {
                let unreadable = |error: io::Error| OpenError { reason: Reason::Unauthenticated, detail: error.to_string() };
                config.set("sasl.mechanism", *mechanism);
                config.set("sasl.username", username);
                config.set("sasl.password", password.reveal().map_err(unreadable)?);
            }
        }
        Ok(())
    }

    fn apply_tls(&self, config: &mut ClientConfig) {
        let files = self.tls.files();
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        // The OpenSSL that is compiled in looks for certificates where it was built, not where this system has them.
        config.set("ssl.ca.location", files.ca.map_or_else(|| "probe".to_owned(), path));
        if let Some((certificate, key)) = files.identity {
            config.set("ssl.certificate.location", path(certificate));
            config.set("ssl.key.location", path(key));
        }
        if files.insecure {
            config.set("enable.ssl.certificate.verification", "false");
            config.set("ssl.endpoint.identification.algorithm", "none");
        } else {
            config.set("enable.ssl.certificate.verification", "true");
            config.set("ssl.endpoint.identification.algorithm", "https");
        }
    }
}

fn read_tls(node: &Node, faults: &mut Problems) -> Tls {
    if let Some(name) = node.peek("server_name") {
        faults
            .fault(
                name.at(),
                "each broker of a cluster is verified by the name that it advertises: `server_name` cannot replace it",
            )
            .hint("have the certificates name what `advertised.listeners` says");
        return Tls::default();
    }
    Tls::read_unnamed(node, faults)
}

impl Login {
    fn read(broker: &str, node: &Node, faults: &mut Problems) -> Option<Self> {
        let mechanism = node.choice("mechanism", &MECHANISMS, faults);
        if mechanism.is_none() && node.peek("mechanism").is_none() {
            let known: Vec<&str> = MECHANISMS.iter().map(|(name, _)| *name).collect();
            faults.fault(node.at(), "`sasl` needs `mechanism`").hint(format!("one of {}", known.join(", ")));
        }
        let is_written = Bearer::is_written(node);
        let bearer = Bearer::read(broker, node, None, faults);
        if mechanism == Some(BEARER) {
            for key in ["username", "password", "password_file"] {
                if let Some(other) = node.peek(key) {
                    faults.fault(other.at(), format!("`{key}` is not of `mechanism: {BEARER}`")).hint("leave it out");
                }
            }
            if !is_written {
                faults.fault(node.at(), format!("`mechanism: {BEARER}` needs a token")).hint("`token_file`, `oauth` or `entra`");
            }
        } else if mechanism.is_some() && is_written {
            faults.fault(node.at(), format!("a token is for `mechanism: {BEARER}`"));
        }
        let username: Option<String> = node.opt("username", faults);
        let password = node.secret("password", faults);
        for (key, is_there) in [
            ("username", node.peek("username").is_some()),
            ("password", node.peek("password").is_some() || node.peek("password_file").is_some()),
        ] {
            if mechanism.is_some_and(|mechanism| mechanism != BEARER) && !is_there {
                faults.fault(node.at(), format!("`sasl` with a password needs `{key}`"));
            }
        }
        node.finish(faults);
        match mechanism? {
            BEARER => bearer.map(|bearer| Self::Token(Arc::new(bearer))),
            mechanism => Some(Self::Password { mechanism, username: username?, password: password? }),
        }
    }
}
