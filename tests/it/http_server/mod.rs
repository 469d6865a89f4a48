//! The HTTP front door over raw sockets: what is answered, and what hostile clients get.

use std::{net::SocketAddr, time::Duration};

use rialto::{
    broker::{Broker, House, http_server::KIND},
    intake::{Arrival, Door},
    outcome::Verdict,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{self, PATIENCE, rejected};

mod answers;
mod ends;
mod hostile;
mod relay;

/// A source behind a listener, and the pipeline's end of its front door.
struct Inn {
    house: House,
    broker: std::sync::Arc<dyn Broker>,
    address: SocketAddr,
    running: support::Running,
}

impl Inn {
    /// With further keys of the source.
    async fn open(keys: &str) -> Self {
        Self::open_with("listen: 127.0.0.1:0", keys).await
    }

    async fn open_with(settings: &str, keys: &str) -> Self {
        let broker = support::broker(&KIND, settings);
        let origin = support::origin(&*broker, &format!("path: /events\n{keys}"));
        let house = support::house();
        let listener = house.listeners.http(&"there".into(), broker.listens().expect("it listens")).expect("a free port");
        listener.expect(broker.paths());
        let source = origin.open(&house).await.expect("an open source");
        let (door, arrivals) = Door::new(100, 64 << 20, origin.holds(), house.metrics.source("test"));
        let (intake, closer) = door.intake();
        let ended = tokio::spawn(source.run(intake));
        let metrics = house.metrics.clone();
        let running = support::Running { arrivals, closer, metrics, ended, door };
        Self { house, broker, address: listener.address(), running }
    }

    /// Sends bytes, and reads until the server closes or is silent for a moment.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a listener");
        // A server that has refused already may have closed.
        let _ = stream.write_all(bytes).await;
        heard(&mut stream).await
    }

    /// Posts to the source, taking what arrives with `verdict`.
    async fn post(&mut self, rest: &str, headers: &str, body: &str, verdict: fn() -> Verdict) -> String {
        let length = body.len();
        let request = format!("POST /events{rest} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        let mut stream = TcpStream::connect(self.address).await.expect("a listener");
        stream.write_all(request.as_bytes()).await.expect("written");
        let answering = heard(&mut stream);
        tokio::pin!(answering);
        loop {
            tokio::select! {
                answer = &mut answering => return answer,
                Some(arrival) = self.running.arrivals.recv() => settle(&arrival, verdict),
            }
        }
    }
}

fn settle(arrival: &Arrival, verdict: fn() -> Verdict) {
    for index in 0..arrival.batch.len() {
        arrival.batch[index].carrier.identified("the-id");
        arrival.ticket.settle(index as u32, verdict());
    }
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(bytes @ 1..)) = timeout(Duration::from_millis(500), stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..bytes]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}
