//! Our own listener over TLS: events by https, live clients by wss and by streams over https; a rotated certificate is shown to those
//! who come, and those who are in stay in.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::authority::{Authority, GOOD, put};
use crate::{
    cli::{Place, Running},
    redis::free_port,
    support::PATIENCE,
};

struct House {
    place: Place,
    bridge: Running,
    port: u16,
}

/// A bridge that takes events by https and shows them to live clients.
fn house(authority: &Authority) -> House {
    let (place, port) = (Place::empty(), free_port());
    let (cert, key) = authority.issue(&place.path(""), "server", &GOOD);
    let yaml = format!(
        "
telemetry: off
brokers:
  in: {{ http_server: {{ listen: '127.0.0.1:{port}', tls: {{ cert_file: '{}', key_file: '{}' }} }} }}
  hub: hub://
gateway: {{ http: in }}
routes:
  - {{ from: in/events, to: 'hub/app:{{message_id}}' }}
",
        cert.display(),
        key.display()
    );
    put(&place.path(""), "rialto.yaml", &yaml);
    let bridge = place.start(&["run"]);
    House { place, bridge, port }
}

impl House {
    /// A connection that trusts this authority alone.
    async fn try_connect(&self, authority: &Path) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("TLS");
        let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
    }

    /// The same, as soon as there is one.
    async fn connect(&self, authority: &Path) -> TlsStream<TcpStream> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.try_connect(authority).await {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < end, "{error}: {}", self.bridge.err()),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Posts an event until it is taken, over this connection.
    async fn post(&self, stream: &mut TlsStream<TcpStream>, id: &str) {
        let body = format!(r#"{{"message_type":"t","message_name":"n","message_id":"{id}","payload":0}}"#);
        let length = body.len();
        let request = format!(
            "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("written");
        hears(stream, "HTTP/1.1 2").await;
        // The rest of the answer, which is short.
        let mut rest = [0; 4096];
        assert!(timeout(PATIENCE, stream.read(&mut rest)).await.expect("in time").expect("an answer") > 0);
    }
}

/// Reads until it has heard this.
async fn hears(stream: &mut TlsStream<TcpStream>, words: &str) {
    let mut heard = String::new();
    while !heard.contains(words) {
        let mut byte = [0];
        let count = timeout(PATIENCE, stream.read(&mut byte)).await.unwrap_or_else(|_| panic!("`{words}` is not in {heard:?}"));
        assert_eq!(count.expect("a connection"), 1, "closed after {heard:?}");
        heard.push(char::from(byte[0]));
    }
}

#[tokio::test]
async fn a_rotated_certificate_is_shown_and_nobody_is_sent_away() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let mut house = house(&ours);
    let folder = house.place.path("");
    let (trust_ours, trust_theirs) = (ours.trust(&folder, "ours"), theirs.trust(&folder, "theirs"));
    let mut poster = house.connect(&trust_ours).await;

    let mut events = house.connect(&trust_ours).await;
    events.write_all(b"GET /subscribe?pattern=app:* HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
    hears(&mut events, "text/event-stream").await;
    let socket = house.connect(&trust_ours).await;
    let (mut socket, _) = client_async("wss://localhost/ws", socket).await.expect("a WebSocket");
    socket.send(Message::text(r#"{"op":"subscribe","id":1,"patterns":["app:*"]}"#)).await.expect("sent");
    let answer = timeout(PATIENCE, socket.next()).await.expect("in time").expect("open").expect("a frame");
    assert!(answer.to_text().expect("text").contains(r#""op":"ok""#), "{answer}");

    // What no certificate is leaves the old one in place.
    put(&folder, "server.pem", "nonsense");
    sleep(Duration::from_millis(1500)).await;
    house.connect(&trust_ours).await;
    theirs.issue(&folder, "server", &GOOD);
    let mut newcomer = house.connect(&trust_theirs).await;
    house.try_connect(&trust_ours).await.expect_err("the old certificate is not shown any more");
    assert!(house.bridge.err().contains("the changed certificate cannot be used; the old one stays"), "{}", house.bridge.err());

    // Over the connections of before and of after.
    for (connection, id) in [(&mut poster, "m-old"), (&mut newcomer, "m-new")] {
        house.post(connection, id).await;
        hears(&mut events, id).await;
        let message = timeout(PATIENCE, socket.next()).await.expect("in time").expect("open").expect("a frame");
        assert!(message.to_text().expect("text").contains(id), "{message}");
    }

    // Who speaks no TLS hears nothing, and above all no HTTP.
    let mut plain = TcpStream::connect(("127.0.0.1", house.port)).await.expect("a listener");
    plain.write_all(b"GET /subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
    let mut heard = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, plain.read_to_end(&mut heard)).await.expect("it is closed");
    assert!(!String::from_utf8_lossy(&heard).contains("HTTP"), "{heard:?}");
    assert_eq!(house.bridge.stop(), 0);
}
