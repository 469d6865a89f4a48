//! A webhook over TLS: an endpoint whose certificate changes, and which wants to see ours.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{
    Circle,
    authority::{Authority, GOOD, Says},
};
use crate::cli::Place;

/// An endpoint that writes what it takes into a stream of a Redis.
struct Endpoint {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tls: Option<Arc<ServerConfig>>,
    /// Where what comes is written down.
    kept_at: Option<String>,
    /// Open connections, to be closed when the certificate changes.
    open: Vec<TcpStream>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.expect("a connection"), Arc::clone(&shared));
                // Clients that are refused, or refuse us, are what the tests want.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self { port, state }
    }

    /// Shows what `server.pem` of a folder holds now, and trusts the clients of `clients.pem`; closes what is open.
    fn show(&self, folder: &Path) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("clients.pem")).expect("a certificate")).expect("an authority");
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().expect("a verifier");
        let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS");
        let config = builder.with_client_cert_verifier(clients).with_single_cert(chain, key).expect("a server");
        let mut state = self.state.lock().expect("no panic");
        state.tls = Some(Arc::new(config));
        for stream in state.open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(stream: TcpStream, shared: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let (config, kept_at) = {
        let mut state = shared.lock().expect("no panic");
        state.open.push(stream.try_clone()?);
        (state.tls.clone().expect("a certificate"), state.kept_at.clone())
    };
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(session, stream);
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let event: serde_json::Value = serde_json::from_str(body).map_err(std::io::Error::other)?;
                let client = redis::Client::open(kept_at.clone().expect("a Redis")).expect("a URL");
                let mut near = client.get_connection().map_err(std::io::Error::other)?;
                let mut kept = redis::cmd("XADD");
                kept.arg("out").arg("*").arg("message_id").arg(event["message_id"].as_str());
                kept.query::<String>(&mut near).map_err(std::io::Error::other)?;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                bytes.clear();
                continue;
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

#[test]
fn certificates_are_judged_and_rotated_on_both_sides() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (place, endpoint) = (Place::empty(), Endpoint::start());
    let folder = place.path("");
    ours.trust(&folder, "clients");
    let trusted = ours.trust(&folder, "ca");
    let client = |until| ours.issue(&folder, "client", &Says { host: "", name: "rialto", until });
    let (cert, key) = client(2999);
    ours.issue(&folder, "server", &GOOD);
    endpoint.show(&folder);
    let tls = format!("ca_file: '{}', cert_file: '{}', key_file: '{}'", trusted.display(), cert.display(), key.display());
    let far = format!("{{ webhook: {{ url: 'https://localhost:{}/', tls: {{ {tls} }} }} }}", endpoint.port);
    let mut circle = Circle::start(place, &far, "path: /events", "");
    endpoint.state.lock().expect("no panic").kept_at = Some(circle.near.url());
    circle.flows();

    for (authority, says, words) in [
        (&ours, Says { until: 2001, ..GOOD }, "certificate expired"),
        (&ours, Says { host: "elsewhere.test", ..GOOD }, "not valid for name"),
        (&theirs, GOOD, "UnknownIssuer"),
    ] {
        authority.issue(&folder, "server", &says);
        endpoint.show(&folder);
        circle.waits("tls", words);
        ours.issue(&folder, "server", &GOOD);
        endpoint.show(&folder);
        circle.flows();
    }
    theirs.issue(&folder, "server", &GOOD);
    endpoint.show(&folder);
    circle.waits("tls", "UnknownIssuer");
    theirs.trust(&folder, "ca");
    circle.flows();

    // The endpoint changes whose clients it trusts, and so do we.
    theirs.trust(&folder, "clients");
    endpoint.show(&folder);
    circle.waits("tls", "UnknownCA");
    // Long enough for the tries that a message has, were this one of them.
    thread::sleep(Duration::from_secs(20));
    theirs.issue(&folder, "client", &Says { host: "", name: "rialto", until: 2999 });
    circle.flows();
    circle.ends_well(&[]);
}
