//! A cable between Rialto and a server, which the tests cut and freeze: no server needs to be told to misbehave.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// What the cable does with bytes, and how often it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    cuts: u32,
    frozen: bool,
    plugged: bool,
}

/// Listens on loopback and carries each connection to the server.
#[derive(Debug)]
pub(crate) struct Cable {
    address: SocketAddr,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    opened: AtomicU64,
}

impl Cable {
    /// A cable to `server`, as `host:port`.
    pub(crate) async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("an address");
        let (state, seen) = watch::channel(State { cuts: 0, frozen: false, plugged: true });
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(accept(listener, server.to_owned(), seen, Arc::clone(&counts)));
        Self { address, state, counts, task }
    }

    /// Where Rialto connects.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection at once; new ones are carried.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Closes every connection, and new ones too until [`Cable::plug`].
    pub(crate) fn unplug(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.plugged = false;
        });
    }

    /// Carries again.
    pub(crate) fn plug(&self) {
        self.state.send_modify(|state| state.plugged = true);
    }

    /// Connections stay open and carry nothing: a half-open network, or a server that hangs.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = true);
    }

    /// Carries what was held up.
    pub(crate) fn thaw(&self) {
        self.state.send_modify(|state| state.frozen = false);
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.counts.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: String, seen: watch::Receiver<State>, counts: Arc<Counts>) {
    while let Ok((client, _)) = listener.accept().await {
        if seen.borrow().plugged {
            tokio::spawn(carry(client, server.clone(), seen.clone(), Arc::clone(&counts)));
        }
    }
}

async fn carry(client: TcpStream, server: String, mut seen: watch::Receiver<State>, counts: Arc<Counts>) {
    let cuts = seen.borrow().cuts;
    let Ok(server) = TcpStream::connect(&server).await else { return };
    // A proxy that waits for full packets would add 40 ms to every round trip.
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a live socket");
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    counts.opened.fetch_add(1, Ordering::Relaxed);
    counts.open.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        () = copy(from_client, to_server, seen.clone()) => {}
        () = copy(from_server, to_client, seen.clone()) => {}
        // The cable itself being gone cuts as well.
        _ = seen.wait_for(|state| state.cuts != cuts) => {}
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}

/// What a frozen cable holds back of one direction, at most, in bytes.
const HELD_MAX: usize = 64 << 10;

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut seen: watch::Receiver<State>) {
    let (mut buffer, mut held) = (vec![0; HELD_MAX], Vec::new());
    loop {
        tokio::select! {
            biased;
            thawed = async { seen.wait_for(|state| !state.frozen).await.is_ok() }, if !held.is_empty() => {
                if !thawed || to.write_all(&held).await.is_err() {
                    return;
                }
                held.clear();
            }
            // Also while frozen: whoever hangs up is gone, though it had something on its way.
            read = from.read(&mut buffer), if held.len() < HELD_MAX => match read {
                Ok(bytes @ 1..) => held.extend_from_slice(&buffer[..bytes]),
                _ => return,
            },
        }
    }
}
