//! The doors over real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use tokio_util::sync::CancellationToken;

use super::{door::Pace, mount_at};
use crate::{
    gateway::{House, Settings},
    listen::{HttpSettings, Listeners, Mounted, Tokens},
    live::hub::Hub,
    telemetry::Metrics,
};

mod events;
mod guests;
mod hostile;
mod sockets;

/// When a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

const EPOCH: u64 = 1_700_000_000_000;

/// Open doors on a port of their own.
struct Doors {
    hub: Hub,
    metrics: Metrics,
    address: SocketAddr,
    listeners: Listeners,
    closing: CancellationToken,
    _mounted: Vec<Mounted>,
}

/// How they are opened.
struct Opening {
    tokens: Option<Tokens>,
    buffer: usize,
    clients: usize,
    pace: Pace,
}

impl Default for Opening {
    fn default() -> Self {
        Self { tokens: None, buffer: 1 << 20, clients: 1000, pace: Pace::default() }
    }
}

impl Opening {
    fn open(self) -> Doors {
        let (hub, metrics, listeners) = (Hub::new(EPOCH), Metrics::new(), Listeners::default());
        let settings = HttpSettings { address: "127.0.0.1:0".parse().unwrap(), tls: None, connections_max: 10_000 };
        let listener = listeners.http(&"http".into(), settings).unwrap();
        let settings = Settings { resp: None, http: None, tokens: self.tokens, buffer: self.buffer, clients: self.clients };
        let house = House::new(&settings, &hub);
        let closing = house.closing.clone();
        let mounted = mount_at(self.pace, &listener, &house, &metrics, "127.0.0.1:6380".parse().ok());
        Doors { hub, metrics, address: listener.address(), listeners, closing, _mounted: mounted }
    }
}

impl Doors {
    fn publish(&self, channel: &str, body: &str) -> String {
        self.hub.publish(channel.to_owned().into(), body.to_owned().into(), "").seq.to_string()
    }

    /// Waits until the exposition holds this line.
    async fn counted(&self, line: &str) {
        let seen = timeout(PATIENCE, async {
            while !self.metrics.encode().unwrap().lines().any(|other| other == line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(seen.await.is_ok(), "no `{line}` in\n{}", self.metrics.encode().unwrap());
    }

    /// Sends a request without a body; answers the stream with the head read off it.
    async fn ask(&self, target: &str, headers: &[(&str, &str)]) -> (String, TcpStream) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut lines = vec![format!("GET {target} HTTP/1.1")];
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            lines.push(format!("Host: {}", self.address));
        }
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        stream.write_all((lines.join("\r\n") + "\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = timeout(PATIENCE, stream.read(&mut byte)).await.expect("a head in time").unwrap();
            assert_eq!(read, 1, "the connection closed in the head: {}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        (String::from_utf8(head).unwrap(), stream)
    }

    async fn status(&self, target: &str, headers: &[(&str, &str)]) -> u16 {
        let (head, _) = self.ask(target, headers).await;
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// A WebSocket, with further headers in its handshake.
    async fn shake(&self, headers: &[(&str, &str)]) -> (String, TcpStream) {
        let mut all = UPGRADE.to_vec();
        all.extend_from_slice(headers);
        self.ask("/ws", &all).await
    }

    async fn socket(&self) -> Client {
        let (head, stream) = self.shake(&[]).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Client(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.listeners.close();
    }
}

const UPGRADE: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn say(&mut self, text: &str) {
        use futures_util::SinkExt as _;
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message that is not a ping.
    async fn hear(&mut self) -> Message {
        use futures_util::StreamExt as _;
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("a message in time").expect("a message").unwrap();
            if !message.is_ping() {
                return message;
            }
        }
    }

    async fn hear_text(&mut self) -> String {
        self.hear().await.into_text().unwrap().as_str().to_owned()
    }

    /// Says something and answers what is said to it.
    async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        self.hear_text().await
    }
}
