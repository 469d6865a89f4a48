//! Kept connections to the HTTPS side of a namespace.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use reqwest::{
    Client, Response,
    header::{AUTHORIZATION, HOST, HeaderValue},
};
use url::Url;

use super::answer::Answer;
use crate::{
    broker::{
        OpenError,
        http_client::{self, Resolver, told},
        plain,
        retry_after::retry_after,
        tls::Tls,
    },
    outcome::{LinkDown, Reason},
    telemetry::CertificateMetrics,
};

/// Resolving, connecting and the handshake, together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From the first byte of a request to the last of its answer. The caller's own time is usually shorter.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Longer than this and something on the way may have forgotten the connection without a word.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What is read of an answer's body: errors are a few hundred bytes.
const SAID_BYTES_MAX: usize = 64 << 10;

/// Connections to one host. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    client: Client,
    /// What is asked: its host is the name in the certificate.
    base: Url,
    /// The header `Host`, where that is another name.
    host: Option<HeaderValue>,
}

impl Pool {
    /// Reads the certificates, and tells `metrics` when those end. Nothing is dialled.
    pub(super) fn new(base: &Url, tls: &Tls, metrics: &CertificateMetrics) -> Result<Self, OpenError> {
        // Between us and this machine stands no proxy.
        Self::with(base, tls, metrics, Resolver::system(), !plain::is_loopback(base.host_str().unwrap_or_default()))
    }

    /// The same with somebody else's answers to names; `by_proxy` says whether the proxies that the environment names are for it.
    pub(super) fn with(
        base: &Url,
        tls: &Tls,
        metrics: &CertificateMetrics,
        resolver: Resolver,
        by_proxy: bool,
    ) -> Result<Self, OpenError> {
        let failed = |reason: Reason, why: String| OpenError { reason, detail: format!("{}: {why}", shown(base)) };
        let host = base.host_str().unwrap_or_default().to_owned();
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let mut asked = base.clone();
        let config = if base.scheme() == "https" {
            let name = tls.name_for(plain);
            if name != plain {
                let named = asked.set_host(Some(name));
                named.map_err(|error| failed(Reason::Tls, format!("`server_name`: {error}")))?;
            }
            let mut config = Arc::unwrap_or_clone(tls.client_config(metrics).map_err(|why| failed(Reason::Tls, why))?);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Some(config)
        } else {
            None
        };
        let renamed = asked.host_str() != base.host_str();
        // A proxy would look the other name up by itself.
        let (by_proxy, resolver) = if renamed { (false, resolver.always(plain)) } else { (by_proxy, resolver) };
        let builder = http_client::builder(config, resolver).map_err(|error| failed(Reason::Tls, error.to_string()))?;
        let builder = builder
            .http1_only()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_nodelay(true);
        let builder = if by_proxy { builder } else { builder.no_proxy() };
        let client = builder.build().map_err(|error| failed(Reason::Tls, told(&error)))?;
        let authority = base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let named = HeaderValue::try_from(authority).map_err(|error| failed(Reason::Link, error.to_string()))?;
        Ok(Self { client, base: asked, host: renamed.then_some(named) })
    }

    /// Posts, and reads the answer whole, so that the connection can be used again.
    pub(super) async fn post<'h>(
        &self,
        path: &str,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        authorization: &str,
        body: Bytes,
    ) -> Result<Answer, LinkDown> {
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| LinkDown::new(Reason::Unauthenticated, "the token holds what no header may hold"))?;
        authorization.set_sensitive(true);
        let mut request = self.client.post(self.at(path)).header(AUTHORIZATION, authorization).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => Err(self.down(error)),
        }
    }

    /// Asks for the namespace's front page, which says nothing without a token: any answer is one.
    pub(super) async fn ask(&self) -> Result<(), LinkDown> {
        let mut request = self.client.get(self.at("/"));
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        match request.send().await {
            Ok(response) => self.read(response).await.map(drop),
            Err(error) => Err(self.down(error)),
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    async fn read(&self, mut response: Response) -> Result<Answer, LinkDown> {
        let status = response.status();
        let after = retry_after(response.headers(), SystemTime::now());
        let mut said = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.down(error))? {
            let room = SAID_BYTES_MAX - said.len();
            said.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if said.len() == SAID_BYTES_MAX {
                // The rest is not worth a connection: dropped, it is closed.
                break;
            }
        }
        Ok(Answer { status, after, said: String::from_utf8_lossy(&said).into_owned() })
    }

    fn down(&self, error: reqwest::Error) -> LinkDown {
        let error = error.without_url();
        LinkDown::new(http_client::reason(&error), format_args!("{}: {}", shown(&self.base), told(&error)))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("base", &shown(&self.base)).finish_non_exhaustive()
    }
}

/// Where it goes, for people.
fn shown(base: &Url) -> String {
    base.as_str().trim_end_matches('/').to_owned()
}
