//! The ways in: TLS with the authorities that are named, and socket files.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rialto::outcome::{Outcome, Proof, Reason};

use super::{Server, broker, house, message, outgoing, send, server::free_port, target};

/// An authority, and a certificate of it for `redis.test` and for a client, as files.
fn certificates(directory: &std::path::Path) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.distinguished_name.push(DnType::CommonName, "an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).expect("an authority");
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["redis.test".into()]).expect("parameters");
    leaf.not_after = date_time_ymd(2999, 12, 31);
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    for (name, content) in [("ca.pem", certificate.pem()), ("cert.pem", leaf.pem()), ("key.pem", key.serialize_pem())] {
        fs::write(directory.join(name), content).expect("a file");
    }
}

#[tokio::test]
async fn tls_trusts_whom_it_is_told_to_and_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
    let tls_port = free_port();
    let options =
        ["--tls-port", &tls_port.to_string(), "--tls-ca-cert-file", &file("ca.pem"), "--tls-cert-file", &file("cert.pem")];
    let _server = Server::start(&[&options[..], &["--tls-key-file", &file("key.pem")]].concat());

    let url = format!("rediss://127.0.0.1:{tls_port}");
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let identity = format!("cert_file: '{cert}', key_file: '{key}'");
    let long = |tls: &str| format!("{{ url: '{url}', tls: {{ {identity}, {tls} }} }}");
    let right = broker(&long(&format!("ca_file: '{ca}', server_name: redis.test")));
    let target = target(&*right, "c");
    let house_of_right = house();
    let mut publisher = right.link(&target.link, &house_of_right).await.expect("a link");
    let message = message("{}");
    let delivered = [Outcome::Delivered(Proof::Receivers(0))];
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "c", "{}")]).await, delivered);

    // 2999-12-31T00:00:00Z.
    let metrics = house_of_right.metrics.encode().expect("metrics");
    let expiry = "rialto_tls_certificate_expiry_timestamp_seconds{broker=\"there\"} 32503593600\n";
    assert!(metrics.contains(expiry), "{metrics}");

    let nobody = broker(&format!("{{ url: '{url}', tls: {{ ca_file: '{ca}', server_name: redis.test }} }}"));
    let error = nobody.link(&target.link, &house()).await.err().expect("a client without a certificate");
    assert_eq!(error.reason, Reason::Tls, "{error}");

    let trusting = broker(&long("insecure_skip_verify: true, i_accept_interception: true"));
    trusting.link(&target.link, &house()).await.expect("a link to anybody");
    for wrong in [
        long(&format!("ca_file: '{ca}'")),
        long("server_name: redis.test"),
        long(&format!("ca_file: '{cert}', server_name: redis.test")),
    ] {
        let error = broker(&wrong).link(&target.link, &house()).await.err().expect("not trusted");
        assert_eq!(error.reason, Reason::Tls, "{wrong}: {error}");
    }
}

#[tokio::test]
async fn a_socket_file_is_a_door_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("redis.sock");
    let path = path.to_str().expect("text");
    let server = Server::start(&["--unixsocket", path]);
    let broker = broker(&format!("'redis+unix://{path}?db=3'"));
    let target = target(&*broker, "{ stream: s }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "s", "{}")]).await, [Outcome::Delivered(Proof::Confirmed)]);
    assert_eq!(server.run::<u64>(&["XLEN", "s"]), 0, "it is in database 3");
}
