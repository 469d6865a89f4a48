//! A relay before a Kafka that says of it what an advertised listener would say: whoever asks where the brokers are is told the address
//! that the test chose. So a test's cable carries all of a client's connections, though Kafka itself knows nothing of it. It can hold
//! back what a group is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

const OFFSET_COMMIT: i16 = 8;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;

/// What was asked under a correlation id: the request's key and version.
type Asked = Arc<Mutex<HashMap<i32, (i16, i16)>>>;

/// Listens on loopback before one broker.
pub(crate) struct Relay {
    address: SocketAddr,
    advertised: Arc<Mutex<Option<SocketAddr>>>,
    /// Commits wait here, and what comes behind them on their connection.
    holds: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(kafka: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("an address");
        let advertised: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let (kafka, told) = (kafka.to_owned(), Arc::clone(&advertised));
        let (holds, held) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, kafka.clone(), told.lock().unwrap().unwrap_or(address), held.clone()));
            }
        });
        Self { address, advertised, holds, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients are told from now on.
    pub(crate) fn advertise(&self, address: SocketAddr) {
        *self.advertised.lock().unwrap() = Some(address);
    }

    /// Whether commits are held back from now on.
    pub(crate) fn hold_commits(&self, hold: bool) {
        self.holds.send_replace(hold);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, kafka: String, advertised: SocketAddr, held: watch::Receiver<bool>) {
    let Ok(kafka) = TcpStream::connect(kafka).await else { return };
    for stream in [&client, &kafka] {
        stream.set_nodelay(true).expect("a live socket");
    }
    let (from_client, to_client) = client.into_split();
    let (from_kafka, to_kafka) = kafka.into_split();
    let asked = Asked::default();
    // What is lost here is lost for both.
    tokio::select! {
        _ = requests(from_client, to_kafka, Arc::clone(&asked), held) => {}
        _ = answers(from_kafka, to_client, asked, advertised) => {}
    }
}

async fn frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; from.read_u32().await? as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn send(to: &mut OwnedWriteHalf, frame: &[u8]) -> std::io::Result<()> {
    to.write_u32(frame.len() as u32).await?;
    to.write_all(frame).await
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    asked: Asked,
    mut held: watch::Receiver<bool>,
) -> std::io::Result<()> {
    loop {
        let frame = frame(&mut from).await?;
        let i16_at = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        if i16_at(0) == OFFSET_COMMIT && held.wait_for(|held| !*held).await.is_err() {
            return Ok(());
        }
        if [METADATA, FIND_COORDINATOR].contains(&i16_at(0)) {
            let id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            asked.lock().unwrap().insert(id, (i16_at(0), i16_at(2)));
        }
        send(&mut to, &frame).await?;
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Asked, advertised: SocketAddr) -> std::io::Result<()> {
    loop {
        let mut frame = frame(&mut from).await?;
        let id = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let was = asked.lock().unwrap().remove(&id);
        if let Some((key, version)) = was {
            frame = Rewriting { rest: &frame, out: Vec::new(), flexible: false, advertised }.rewritten(key, version);
        }
        send(&mut to, &frame).await?;
    }
}

/// An answer on its way, with the places of brokers replaced.
struct Rewriting<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    /// Lengths as varints, and tagged fields.
    flexible: bool,
    advertised: SocketAddr,
}

impl Rewriting<'_> {
    fn rewritten(mut self, key: i16, version: i16) -> Vec<u8> {
        self.keep(4);
        if key == METADATA {
            self.flexible = version >= 9;
            self.tags();
            self.keep(if version >= 3 { 4 } else { 0 });
            for _ in 0..self.length() {
                self.keep(4);
                self.place();
                if version >= 1 {
                    self.text();
                }
                self.tags();
            }
        } else {
            self.flexible = version >= 3;
            self.tags();
            self.keep(if version >= 1 { 4 } else { 0 });
            if version >= 4 {
                for _ in 0..self.length() {
                    self.text();
                    self.keep(4);
                    self.place();
                    self.keep(2);
                    self.text();
                    self.tags();
                }
            } else {
                self.keep(2);
                if version >= 1 {
                    self.text();
                }
                self.keep(4);
                self.place();
            }
        }
        self.out.extend_from_slice(self.rest);
        self.out
    }

    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.out.extend_from_slice(kept);
        self.rest = rest;
    }

    /// An unsigned varint, kept.
    fn varint(&mut self) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.rest[0];
            self.keep(1);
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// Of an array, kept.
    fn length(&mut self) -> usize {
        if self.flexible {
            return self.varint().saturating_sub(1);
        }
        let length = i32::from_be_bytes(self.rest[..4].try_into().unwrap());
        self.keep(4);
        length.max(0) as usize
    }

    /// The length of a text, which is taken away.
    fn text_length(&mut self) -> usize {
        let out = self.out.len();
        let length = if self.flexible {
            self.varint().saturating_sub(1)
        } else {
            let length = i16::from_be_bytes(self.rest[..2].try_into().unwrap());
            self.keep(2);
            length.max(0) as usize
        };
        self.out.truncate(out);
        length
    }

    fn text(&mut self) {
        let (out, rest) = (self.out.len(), self.rest);
        let length = self.text_length();
        self.out.truncate(out);
        let head = rest.len() - self.rest.len();
        self.rest = rest;
        self.keep(head + length);
    }

    /// Host and port, replaced where there are any: a coordinator that is not known yet has none.
    fn place(&mut self) {
        let length = self.text_length();
        let port = i32::from_be_bytes(self.rest[length..length + 4].try_into().unwrap());
        let (host, port) =
            if port > 0 { (self.advertised.ip().to_string(), i32::from(self.advertised.port())) } else { (String::new(), port) };
        if self.flexible {
            self.out.push(host.len() as u8 + 1);
        } else {
            self.out.extend((host.len() as u16).to_be_bytes());
        }
        self.out.extend(host.as_bytes());
        self.out.extend(port.to_be_bytes());
        self.rest = &self.rest[length + 4..];
    }

    fn tags(&mut self) {
        if !self.flexible {
            return;
        }
        for _ in 0..self.varint() {
            self.varint();
            let length = self.varint();
            self.keep(length);
        }
    }
}
