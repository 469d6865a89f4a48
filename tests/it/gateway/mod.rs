//! The doors to the hub, over real sockets.

mod clients;
mod globs;
mod hostile;
mod publishing;
mod resp;

use std::{net::SocketAddr, time::Duration};

use rialto::{
    broker::{House, hub::KIND},
    gateway::{Gateway, Settings},
    intake::{Arrival, Closer, Door},
    listen::Tokens,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use crate::support::{self, PATIENCE};

/// Open doors to a hub of the test's own.
pub(crate) struct Doors {
    pub(crate) house: House,
    pub(crate) gateway: Gateway,
}

impl Doors {
    pub(crate) fn open() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than the defaults.
    pub(crate) fn with(change: impl Fn(&mut Settings)) -> Self {
        let house = support::house();
        let mut settings =
            Settings { resp: Some("127.0.0.1:0".parse().unwrap()), http: None, tokens: None, buffer: 1 << 20, clients: 100 };
        change(&mut settings);
        let gateway = Gateway::open(&settings, &house.hub, &house.listeners, &house.metrics).expect("an open door");
        Self { house, gateway }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.resp().expect("a port")
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address()).await.expect("an open door"))
    }

    /// How often clients were sent away for this reason.
    pub(crate) fn dropped(&self, reason: &str) -> u64 {
        let line = format!("rialto_gateway_dropped_clients_total{{protocol=\"resp\",reason=\"{reason}\"}} ");
        let page = self.house.metrics.encode().expect("a page");
        page.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().expect("a number"))
    }

    /// A source of the hub, and what its pipeline would hold.
    pub(crate) async fn source(&self, pattern: &str) -> Reading {
        let broker = support::broker(&KIND, "hub://");
        let source = support::origin(&*broker, &format!("pattern: '{pattern}'")).open(&self.house).await.expect("a source");
        let (door, arrivals) = Door::new(10_000, 64 << 20, false, self.house.metrics.source("test"));
        let (intake, closer) = door.intake();
        tokio::spawn(source.run(intake));
        Reading { arrivals, closer: Some(closer), _door: door }
    }
}

/// A source that reads.
pub(crate) struct Reading {
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) closer: Option<Closer>,
    _door: Door,
}

impl Reading {
    pub(crate) async fn next(&mut self) -> Arrival {
        timeout(PATIENCE, self.arrivals.recv()).await.expect("in time").expect("a batch")
    }
}

/// A client that knows nothing but bytes.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("sent");
    }

    /// Reads exactly what is expected.
    pub(crate) async fn hears(&mut self, expected: &str) {
        let mut heard = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut heard)).await;
        assert!(matches!(read, Ok(Ok(_))), "instead of {expected:?}: {:?}", String::from_utf8_lossy(&heard));
        assert_eq!(String::from_utf8_lossy(&heard), expected);
    }

    pub(crate) async fn ask(&mut self, line: &str, expected: &str) {
        self.say(format!("{line}\r\n")).await;
        self.hears(expected).await;
    }

    /// Everything to the end of the connection, which must come.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the connection ends");
        String::from_utf8_lossy(&rest).into_owned()
    }

    pub(crate) async fn hears_nothing(&mut self) {
        let mut byte = [0];
        let read = timeout(Duration::from_millis(50), self.0.read(&mut byte)).await;
        assert!(read.is_err(), "{read:?} {byte:?}");
    }
}

/// The answer to `HELLO 3` of the client with this id.
pub(crate) fn hello(id: u64) -> String {
    let head = "%7\r\n$6\r\nserver\r\n$6\r\nrialto\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n";
    let tail = "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    format!("{head}:{id}\r\n{tail}")
}

/// Tokens in a file of the test's own.
pub(crate) fn tokens(lines: &str) -> (tempfile::TempDir, Tokens) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tokens");
    std::fs::write(&file, lines).expect("written");
    (directory, Tokens::new(vec![file]))
}

#[tokio::test]
async fn closing_the_doors_writes_what_waits_and_ends_every_connection() {
    let doors = Doors::open();
    let mut one = doors.client().await;
    one.ask("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").await;
    let mut other = doors.client().await;
    other.ask("PING", "+PONG\r\n").await;
    doors.house.hub.publish("c".into(), "last".into(), "");
    let address = doors.address();
    timeout(PATIENCE, doors.gateway.close()).await.expect("in time");
    assert_eq!(one.rest().await, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nlast\r\n");
    assert_eq!(other.rest().await, "");
    doors.house.listeners.close();
    assert!(TcpStream::connect(address).await.is_err());
}
