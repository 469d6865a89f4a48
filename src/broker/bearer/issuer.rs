//! Where a token comes from.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use reqwest::{RequestBuilder, header};
use url::form_urlencoded;

use super::{
    Token, assertion,
    endpoint::{self, Endpoint},
    jwt,
};
use crate::{broker::OpenError, outcome::Reason, telemetry::CertificateMetrics, written::Secret};

/// A file is looked at this often.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where a token comes from.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Issuer {
    /// Somebody else gets it, and writes it down.
    Given(Secret),
    /// RFC 6749, section 4.4: client credentials.
    Client(Registered),
    /// The machine's own identity, from Azure's instance metadata.
    Machine { endpoint: Endpoint, resource: String, client_id: Option<String> },
}

/// A client that an authorization server knows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) endpoint: Endpoint,
    pub(super) client_id: String,
    pub(super) proof: Proof,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
}

/// How a client proves itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// `client_secret_basic`: in the header `Authorization`.
    Header(Secret),
    /// `client_secret_post`: in the request's body.
    Body(Secret),
    /// Somebody else's word (workload identity): a JWT in a file, which is read anew each time.
    Federated(PathBuf),
    /// Our own word, signed with a certificate's key.
    Certificate { cert_file: PathBuf, key_file: PathBuf },
}

impl Issuer {
    /// One question, bounded in time by its parts and by the caller.
    pub(super) async fn ask(&self, metrics: &CertificateMetrics) -> Result<Token, OpenError> {
        match self {
            Self::Given(secret) => given(secret),
            Self::Client(client) => client.ask(metrics).await,
            Self::Machine { endpoint, resource, client_id } => {
                let mut url = endpoint.url.clone();
                url.query_pairs_mut().append_pair("api-version", "2018-02-01").append_pair("resource", resource);
                if let Some(client_id) = client_id {
                    url.query_pairs_mut().append_pair("client_id", client_id);
                }
                endpoint.ask(endpoint.client(metrics)?.get(url).header("metadata", "true"), &[]).await
            }
        }
    }

    /// Whether asking costs nothing.
    pub(super) fn is_near(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

fn given(secret: &Secret) -> Result<Token, OpenError> {
    let failed = |detail: String| OpenError { reason: Reason::Unauthenticated, detail };
    let text = secret.reveal().map_err(|error| failed(format!("the token's file: {error}")))?;
    let text = text.trim();
    endpoint::check(text).map_err(|why| match secret {
        Secret::File(path) => failed(format!("{}: {why}", path.display())),
        Secret::Inline(_) => failed(why.to_owned()),
    })?;
    let look_at = matches!(secret, Secret::File(_)).then(|| SystemTime::now() + LOOK_EVERY);
    Ok(Token::new(text, jwt::expiry(text), look_at))
}

impl Registered {
    async fn ask(&self, metrics: &CertificateMetrics) -> Result<Token, OpenError> {
        let revealed = match &self.proof {
            Proof::Header(secret) | Proof::Body(secret) => secret.reveal().map_err(|error| self.unproven(error))?,
            Proof::Federated(file) => Secret::File(file.clone()).reveal().map_err(|error| self.unproven(error))?,
            Proof::Certificate { cert_file, key_file } => self.word(cert_file, key_file)?,
        };
        let request = self.endpoint.client(metrics)?.post(self.endpoint.url.clone());
        self.endpoint.ask(self.written(request, &revealed), &[&revealed]).await
    }

    fn word(&self, cert_file: &Path, key_file: &Path) -> Result<String, OpenError> {
        let word = assertion::signed(cert_file, key_file, &self.client_id, self.endpoint.url.as_str());
        word.map_err(|why| self.unproven(why))
    }

    fn written(&self, request: RequestBuilder, proof: &str) -> RequestBuilder {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        let request = match &self.proof {
            Proof::Header(_) => {
                // Both are encoded before they are joined (RFC 6749, section 2.3.1): either may hold a colon.
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request.basic_auth(encoded(&self.client_id), Some(encoded(proof)))
            }
            Proof::Body(_) => {
                form.append_pair("client_id", &self.client_id).append_pair("client_secret", proof);
                request
            }
            Proof::Federated(_) | Proof::Certificate { .. } => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_assertion_type", JWT_BEARER).append_pair("client_assertion", proof);
                request
            }
        };
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form.finish())
    }

    fn unproven(&self, why: impl fmt::Display) -> OpenError {
        self.endpoint.failed(Reason::Unauthenticated, format_args!("we cannot say who we are: {why}"))
    }
}

/// For people: no secret, no query.
impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(Secret::File(path)) => write!(f, "{}", path.display()),
            Self::Given(Secret::Inline(_)) => f.write_str("the token in the configuration"),
            Self::Client(Registered { endpoint, .. }) | Self::Machine { endpoint, .. } => endpoint.fmt(f),
        }
    }
}
