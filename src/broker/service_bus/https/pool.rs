//! Kept connections to the HTTPS side of a namespace.

use std::{
    error::Error,
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{
    Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{AUTHORIZATION, HOST, HeaderValue},
    redirect::Policy,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
};
use url::Url;

use super::answer::Answer;
use crate::{
    broker::{OpenError, plain, retry_after::retry_after, tls::Tls},
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

/// Finds a name's addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<std::net::SocketAddr>>> + Send + Sync>;

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
        let lookup: Lookup = Arc::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed());
        // Between us and this machine stands no proxy.
        Self::with(base, tls, metrics, lookup, !plain::is_loopback(base.host_str().unwrap_or_default()))
    }

    /// The same with somebody else's answers to names; `by_proxy` says whether the proxies that the environment names are for it.
    pub(super) fn with(
        base: &Url,
        tls: &Tls,
        metrics: &CertificateMetrics,
        lookup: Lookup,
        by_proxy: bool,
    ) -> Result<Self, OpenError> {
        let failed = |reason: Reason, why: String| OpenError { reason, detail: format!("{}: {why}", shown(base)) };
        let host = base.host_str().unwrap_or_default().to_owned();
        let mut asked = base.clone();
        let config = if base.scheme() == "https" {
            let plain = host.trim_start_matches('[').trim_end_matches(']');
            let name = tls.name_for(plain);
            if name != plain {
                let named = asked.set_host(Some(name));
                named.map_err(|error| failed(Reason::Tls, format!("`server_name`: {error}")))?;
            }
            let mut config = Arc::unwrap_or_clone(tls.client_config(metrics).map_err(|why| failed(Reason::Tls, why))?);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            config
        } else {
            trusting_nobody().map_err(|error| failed(Reason::Tls, error.to_string()))?
        };
        let renamed = asked.host_str() != base.host_str();
        let builder = Client::builder()
            .use_preconfigured_tls(config)
            .http1_only()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_nodelay(true)
            .user_agent(concat!("rialto/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Resolver { host: host.clone(), lookup }));
        // A proxy would look the other name up by itself.
        let builder = if by_proxy && !renamed { builder } else { builder.no_proxy() };
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
        LinkDown::new(reason(&error), format_args!("{}: {}", shown(&self.base), told(&error)))
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

/// What a client that never speaks TLS is given, so that it does not look for the system's certificates, which may not be there.
fn trusting_nobody() -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Finds the host, whatever name the certificate has.
struct Resolver {
    host: String,
    lookup: Lookup,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAddress(io::Error);

impl Resolve for Resolver {
    fn resolve(&self, _: Name) -> Resolving {
        let found = (self.lookup)(self.host.clone());
        async move { Ok(Box::new(found.await.map_err(NoAddress)?.into_iter()) as Addrs) }.boxed()
    }
}

fn reason(error: &reqwest::Error) -> Reason {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return Reason::Tls;
        }
        if error.is::<NoAddress>() {
            return Reason::Dns;
        }
        // An I/O error names the cause of what it wraps, and not what it wraps; here it wraps another one.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    if error.is_timeout() { Reason::Timeout } else { Reason::Link }
}

/// The error with its causes: the first alone says only that a request failed.
fn told(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        // Some repeat their cause.
        if !words.contains(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
        next = error.source();
    }
    words
}
