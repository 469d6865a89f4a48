//! Opening: what fails is named by the step that failed, and who may not be trusted is not.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rialto::{
    broker::{OpenError, amqp::KIND},
    outcome::Reason,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Rabbit, unique};
use crate::support::{broker, house, origin};

async fn fault(settings: &str) -> OpenError {
    let broker = broker(&KIND, settings);
    let opened = timeout(Duration::from_secs(12), origin(&*broker, "any").open(&house())).await;
    opened.expect("an answer in time").err().expect("a fault")
}

#[tokio::test]
async fn each_step_has_its_reason() {
    let rabbit = Rabbit::connect().await;
    let there = rabbit.authority();
    let user = unique("user");
    super::server::rabbitmqctl(&["add_user", &user, "secret"]).await;
    for (settings, reason) in [
        (format!("amqp://guest:wrong@{there}"), Reason::Unauthenticated),
        (format!("{{ url: 'amqp://{there}', username: nobody, password: none }}"), Reason::Unauthenticated),
        (format!("{{ url: 'amqp://{there}', vhost: missing }}"), Reason::Unroutable),
        (format!("amqp://{user}:secret@{there}"), Reason::Forbidden),
        ("amqp://localhost:1".into(), Reason::Link),
        ("amqp://no-such-host.invalid".into(), Reason::Dns),
        (format!("amqps://{there}"), Reason::Tls),
    ] {
        let fault = fault(&settings).await;
        assert_eq!(fault.reason, reason, "{settings}: {fault}");
        assert!(!fault.detail.contains("wrong") && !fault.detail.contains("secret"), "{fault}");
    }
    super::server::rabbitmqctl(&["delete_user", &user]).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let start = Instant::now();
    let fault = fault(&format!("amqp://{address}")).await;
    assert_eq!(fault.reason, Reason::Link, "{fault}");
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test]
async fn one_living_node_of_a_cluster_is_enough() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let there = rabbit.url.clone();
    for nodes in [format!("['amqp://localhost:1', '{there}']"), format!("['{there}', 'amqp://no-such-host.invalid']")] {
        for settings in [nodes.clone(), format!("{{ url: {nodes} }}")] {
            let broker = broker(&KIND, &settings);
            // The order is random: each must do.
            for _ in 0..4 {
                origin(&*broker, &queue).open(&house()).await.expect("a living node");
            }
        }
    }
    let fault = fault("['amqp://localhost:1', 'amqp://localhost:2']").await;
    assert!(fault.detail.contains(":1") && fault.detail.contains(":2"), "both are named: {fault}");
}

#[tokio::test]
async fn secrets_in_files_are_read_anew() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    fs::write(&file, "wrong\n").expect("a file");
    let settings = format!("{{ url: 'amqp://{}', username: guest, password_file: {} }}", rabbit.authority(), file.display());
    let broker = broker(&KIND, &settings);
    let origin = origin(&*broker, &queue);
    assert_eq!(origin.open(&house()).await.err().expect("wrong").reason, Reason::Unauthenticated);
    fs::write(&file, "guest\n").expect("a file");
    origin.open(&house()).await.expect("the new password");
}

#[tokio::test]
async fn tls_trusts_whom_it_is_told_to_and_nobody_else() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let directory = tempfile::tempdir().expect("a directory");
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let plain = terminate(&rabbit, directory.path(), false).await;
    let mutual = terminate(&rabbit, directory.path(), true).await;
    let settings =
        |port: u16, tls: &str| format!("{{ url: 'amqps://localhost:{port}', username: guest, password: guest, tls: {{ {tls} }} }}");
    let named = format!("ca_file: '{ca}', server_name: rabbit.test");
    for right in [
        settings(plain, &named),
        settings(plain, "insecure_skip_verify: true, i_accept_interception: true"),
        settings(mutual, &format!("{named}, cert_file: '{cert}', key_file: '{key}'")),
    ] {
        let mut faults = rialto::written::Problems::default();
        let broker = (KIND.read)("mq", &crate::support::node(&right), &mut faults).expect("settings");
        let house = house();
        origin(&*broker, &queue).open(&house).await.unwrap_or_else(|fault| panic!("{right}: {fault}"));
        // 2999-12-31T00:00:00Z.
        let metrics = house.metrics.encode().expect("metrics");
        let expiry = "rialto_tls_certificate_expiry_timestamp_seconds{broker=\"mq\"} 32503593600\n";
        assert!(metrics.contains(expiry), "{right}: {metrics}");
    }
    for wrong in [
        settings(plain, "server_name: rabbit.test"),
        settings(plain, &format!("ca_file: '{ca}'")),
        settings(plain, &format!("ca_file: '{cert}', server_name: rabbit.test")),
        settings(mutual, &named),
    ] {
        let fault = fault(&wrong).await;
        assert_eq!(fault.reason, Reason::Tls, "{wrong}: {fault}");
    }
}

/// A port that speaks TLS in front of the server.
async fn terminate(rabbit: &Rabbit, directory: &Path, mutual: bool) -> u16 {
    let read = |name: &str| CertificateDer::from_pem_file(directory.join(name)).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("TLS");
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(read("ca.pem")).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![read("cert.pem")], key).expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = rabbit.authority();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                // A refused handshake is what some of the tests want.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(server).await.expect("the server");
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

/// An authority, and its certificate for `rabbit.test`.
fn certificates(directory: &Path) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).expect("an authority");
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["rabbit.test".into()]).expect("parameters");
    leaf.not_after = date_time_ymd(2999, 12, 31);
    let leaf = leaf.signed_by(&key, &issuer).expect("signed");
    for (name, content) in [("ca.pem", certificate.pem()), ("cert.pem", leaf.pem()), ("key.pem", key.serialize_pem())] {
        fs::write(directory.join(name), content).expect("a file");
    }
}
