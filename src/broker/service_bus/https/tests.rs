//! The literal address of a namespace, over real TLS: only the name's answer and the authority are the test's.

use std::{convert::Infallible, path::Path};

use futures_util::FutureExt;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{super::settings::Settings, errand, pool::Pool};
use crate::{
    broker::http_client::{Lookup, Resolver},
    outcome::{LinkDown, Reason},
    telemetry::Metrics,
    written::{Problems, parse},
};

const HOST: &str = "contoso.servicebus.windows.net";

/// Where the server is, and the requests' lines that it got: `POST /orders/messages`, `host`.
struct Server {
    port: u16,
    asked: tokio::sync::mpsc::UnboundedReceiver<(String, String)>,
}

impl Server {
    /// Shows a certificate for a host, signed by an authority whose own it writes to `ca.pem`, and answers 201.
    async fn start(folder: &Path, host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, asked) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                tokio::spawn(async move {
                    // A client that does not trust us goes away.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let host = request.headers()["host"].to_str().unwrap().to_owned();
                        let _ = tell.send((format!("{} {}", request.method(), request.uri().path()), host));
                        async {
                            Ok::<_, Infallible>(Response::builder().status(201).body(Full::<bytes::Bytes>::default()).unwrap())
                        }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, asked }
    }

    /// Posts a message as a link would, where the namespace's name leads here.
    async fn post(&self, settings: &str) -> Result<u16, LinkDown> {
        let mut faults = Problems::default();
        let node = parse("test", settings, &mut faults).unwrap().moved_to("brokers.bus.service_bus");
        let settings = Settings::read("bus", &node, &mut faults).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        let here = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        let base = settings.access().unwrap().https.unwrap();
        let written = base.host_str().unwrap().trim_matches(['[', ']']).to_owned();
        let lookup: Lookup = std::sync::Arc::new(move |name| {
            assert_eq!(name, written, "whatever the certificate says");
            async move { Ok(vec![here]) }.boxed()
        });
        let metrics = Metrics::new().certificates(&std::sync::Arc::from("bus"));
        let pool = Pool::with(&base, &settings.tls, &metrics, Resolver::by(lookup), false).unwrap();
        errand::run(&pool, "SharedAccessSignature sr=x".into(), "orders", "[]").await.map(|answer| answer.status.as_u16())
    }
}

fn settings(folder: &Path, ca: &str, further: &str) -> String {
    let ca = folder.join(ca);
    format!("{{ namespace: contoso, policy: p, key: k, tls: {{ ca_file: '{}', {further} }} }}", ca.display())
}

#[tokio::test]
async fn the_namespaces_own_address_is_asked_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), HOST).await;
    assert_eq!(server.post(&settings(folder.path(), "ca.pem", "")).await.unwrap(), 201);
    assert_eq!(server.asked.recv().await, Some(("POST /orders/messages".into(), HOST.into())));
}

#[tokio::test]
async fn an_authority_that_nobody_trusts_or_another_name_is_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(folder.path(), HOST).await;
    let stranger = Server::start(other.path(), "elsewhere.example").await;
    let untrusted = server.post(&settings(other.path(), "ca.pem", "")).await.unwrap_err();
    assert_eq!(untrusted.reason, Reason::Tls, "{untrusted}");
    let misnamed = stranger.post(&settings(other.path(), "ca.pem", "")).await.unwrap_err();
    assert_eq!(misnamed.reason, Reason::Tls, "{misnamed}");
}

#[tokio::test]
async fn another_name_in_the_certificate_can_be_said_and_the_host_stays_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "bus.internal").await;
    assert_eq!(server.post(&settings(folder.path(), "ca.pem", "server_name: bus.internal")).await.unwrap(), 201);
    assert_eq!(server.asked.recv().await, Some(("POST /orders/messages".into(), HOST.into())));
}

#[tokio::test]
async fn an_address_whose_certificate_has_a_name_is_dialled_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "bus.internal").await;
    let named = settings(folder.path(), "ca.pem", "server_name: bus.internal");
    let placed = named.replace("namespace: contoso,", "namespace: contoso, endpoint: 'https://[::1]',");
    assert_eq!(server.post(&placed).await.unwrap(), 201);
    assert_eq!(server.asked.recv().await, Some(("POST /orders/messages".into(), "[::1]".into())));
}
