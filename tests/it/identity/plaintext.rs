//! No fallback: a broker that is written with TLS is never spoken to without it, whatever the other side says.

use std::sync::{Arc, Mutex};

use rialto::broker::{Kind, amqp, kafka, redis, webhook};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{broker, house, target};

/// The first byte of a TLS record that holds a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A server that keeps what it hears and answers in plain text, as if it had been spoken to so.
async fn plain(greeting: &'static [u8]) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                kept.lock().expect("no panic").push(bytes[..count].to_vec());
                // It hangs up on what it cannot read, or is hung up on.
                let _ = stream.write_all(greeting).await;
                if let Ok(count) = stream.read(&mut bytes).await {
                    kept.lock().expect("no panic").push(bytes[..count].to_vec());
                }
            });
        }
    });
    (port, heard)
}

#[tokio::test]
async fn nothing_is_said_in_the_clear() {
    let password = "password: s3cr3t";
    let cases: [(&Kind, &str, &str, &'static [u8]); 4] = [
        (&amqp::KIND, "{ url: 'amqps://127.0.0.1:PORT', username: u, PASSWORD }", "queue: q", b"AMQP\0\0\x09\x01"),
        (&redis::KIND, "{ url: 'rediss://127.0.0.1:PORT', PASSWORD }", "channel: c", b"-NOAUTH Authentication required.\r\n"),
        (&webhook::KIND, "{ url: 'https://127.0.0.1:PORT/', username: u, PASSWORD }", "path: /a", b"HTTP/1.1 200 OK\r\n\r\n"),
        (
            &kafka::KIND,
            "{ bootstrap_servers: '127.0.0.1:PORT', security_protocol: SASL_SSL, sasl: { mechanism: PLAIN, username: u, PASSWORD } }",
            "topic: t",
            b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0",
        ),
    ];
    for (kind, settings, to, greeting) in cases {
        let (port, heard) = plain(greeting).await;
        let broker = broker(kind, &settings.replace("PORT", &port.to_string()).replace("PASSWORD", password));
        let target = target(&*broker, to);
        let error = broker.link(&target.link, &house()).await.err().unwrap_or_else(|| panic!("{} is opened", kind.name));
        assert!(!error.detail.contains("s3cr3t"), "{error}");
        let heard = heard.lock().expect("no panic");
        assert!(!heard.is_empty(), "{}: nobody came", kind.name);
        for bytes in heard.iter().filter(|bytes| !bytes.is_empty()) {
            // An alert may follow.
            assert!([HANDSHAKE, HANDSHAKE - 1].contains(&bytes[0]), "{}: {bytes:?}", kind.name);
            assert!(!bytes.windows(6).any(|part| part == b"s3cr3t"), "{}: the password is said", kind.name);
        }
    }
}
