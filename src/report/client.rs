//! The HTTP client of reporters.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
};

/// One request, from the connection to the last byte of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// A reporter's client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client: {0}")]
pub struct ClientError(String);

/// The endpoint did not take a report. Never with its URL, which may hold a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    #[error("the endpoint answered {0}")]
    Status(u16),
    #[error("the endpoint cannot be reached: {0}")]
    Unreached(#[source] reqwest::Error),
}

/// A client that follows nobody elsewhere. TLS is checked against the system's certificates, whichever provider of cryptography the
/// process has.
pub(super) fn client() -> Result<Client, ClientError> {
    let failed = |error: &dyn std::fmt::Display| ClientError(error.to_string());
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let mut roots = RootCertStore::empty();
    // A system without certificates can still report over plain HTTP.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder().use_preconfigured_tls(tls).redirect(Policy::none()).timeout(ANSWER_WITHIN);
    client.user_agent(concat!("rialto/", env!("CARGO_PKG_VERSION"))).build().map_err(|error| failed(&error))
}

/// Sends a request; anything but 2xx is an error.
pub(super) async fn send(request: RequestBuilder) -> Result<(), Unsent> {
    let response = request.send().await.map_err(|error| Unsent::Unreached(error.without_url()))?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(Unsent::Status(status.as_u16())) }
}
