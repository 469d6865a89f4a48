//! What our HTTP clients are made of, where somebody else's client crate (reqwest) does the talking: the token endpoints' and the one
//! for the HTTPS side of Service Bus.

use std::{error::Error, io, net::SocketAddr, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{
    Client, ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
};

use crate::outcome::Reason;

/// Finds a name's addresses. The port of an address counts where the URL names none, and 0 is the scheme's.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A client that sends nothing on to where an answer points, for a secret is in what it sends. `tls` is `None` for one that never
/// speaks it; times and the rest are the caller's.
pub(super) fn builder(tls: Option<ClientConfig>, resolver: Resolver) -> Result<ClientBuilder, rustls::Error> {
    let tls = tls.map_or_else(trusting_nobody, Ok)?;
    Ok(Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(Policy::none())
        .user_agent(concat!("rialto/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(resolver)))
}

/// What a client that never speaks TLS is given, so that it does not look for the system's certificates, which may not be there.
fn trusting_nobody() -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Looks names up so that a failure of it can be told from others.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    /// What is looked up instead of whatever the client asks for.
    instead: Option<String>,
}

impl Resolver {
    /// The system's.
    pub(super) fn system() -> Self {
        Self::by(Arc::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed()))
    }

    /// Somebody else's answers.
    pub(super) fn by(lookup: Lookup) -> Self {
        Self { lookup, instead: None }
    }

    /// The addresses of `host`, whatever name the client asks for: that of the certificate may be another. Not for a client that goes
    /// through a proxy, whose name is asked for, too.
    pub(super) fn always(self, host: &str) -> Self {
        Self { instead: Some(host.to_owned()), ..self }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(self.instead.clone().unwrap_or_else(|| name.as_str().to_owned()));
        async move { Ok(Box::new(found.await.map_err(NoAddress)?.into_iter()) as Addrs) }.boxed()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAddress(io::Error);

/// Why a request failed.
pub(super) fn reason(error: &reqwest::Error) -> Reason {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return Reason::Tls;
        }
        if error.is::<NoAddress>() {
            return Reason::Dns;
        }
        // An I/O error names the cause of what it wraps, and not what it wraps.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    if error.is_timeout() { Reason::Timeout } else { Reason::Link }
}

/// The error with its causes: the first alone says only that a request failed.
pub(super) fn told(error: &dyn Error) -> String {
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
