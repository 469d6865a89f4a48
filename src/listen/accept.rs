//! The loop that takes connections, and what it does when there are too many.

use std::{fs::File, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{HttpListener, Peer, clocked::LIMITS, connection::converse, hang_up, server_tls::Certificate};

/// Told to connections beyond the cap: more would wait in the listen queue, where nobody can say anything to them.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Connections beyond the cap that are told so at once; others are closed without a word.
const REFUSALS: usize = 64;

/// A refused client may send its request so long.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Between tries to accept when the process has no descriptor left, or the system no memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the listener closes.
pub(super) async fn serve(
    listener: Arc<HttpListener>,
    socket: TcpListener,
    certificate: Option<Arc<Certificate>>,
    mut closing: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(listener.connections_max()));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut spare = Spare::new();
    loop {
        let closed = async {
            let _ = closing.wait_for(|closing| *closing).await;
        };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = closed => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                spare.shed(&listener, &socket, &error).await;
                continue;
            }
        };
        spare.told = false;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // TLS would cost a handshake to say it in.
            if let (None, Ok(place)) = (&certificate, Arc::clone(&refusals).try_acquire_owned()) {
                tokio::spawn(async move {
                    refuse(stream).await;
                    drop(place);
                });
            }
            continue;
        };
        let (listener, certificate, closing) = (Arc::clone(&listener), certificate.clone(), closing.clone());
        tokio::spawn(async move {
            begin(listener, stream, Peer { address }, certificate, closing).await;
            drop(place);
        });
    }
}

async fn begin(
    listener: Arc<HttpListener>,
    stream: TcpStream,
    peer: Peer,
    certificate: Option<Arc<Certificate>>,
    closing: watch::Receiver<bool>,
) {
    // An answer is one write: waiting for more of it would only delay it. Where it fails the connection is gone.
    let _ = stream.set_nodelay(true);
    let Some(certificate) = certificate else { return converse(listener, stream, peer, closing).await };
    match timeout(LIMITS.head, certificate.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => converse(listener, stream, peer, closing).await,
        Ok(Err(error)) => tracing::debug!(listener = %listener.address(), peer = %peer.address, %error, "no TLS"),
        Err(_) => tracing::debug!(listener = %listener.address(), peer = %peer.address, "no TLS in time"),
    }
}

/// Says that there are too many, and reads what the client sends meanwhile.
async fn refuse(mut stream: TcpStream) {
    let talk = async {
        let mut sent = [0; 1024];
        let _ = stream.read(&mut sent).await?;
        stream.write_all(FULL).await?;
        hang_up(&mut stream).await
    };
    // What becomes of it is the client's affair: it is refused.
    let _ = timeout(REFUSAL_TIMEOUT, talk).await;
}

/// A descriptor kept for the day when there are none: with it a waiting connection is taken and closed, so that its client hears of
/// it at once instead of waiting in the queue.
struct Spare {
    file: Option<File>,
    /// Nothing could be taken since the last connection: it is said once.
    told: bool,
}

impl Spare {
    fn new() -> Self {
        Self { file: File::open("/dev/null").ok(), told: false }
    }

    async fn shed(&mut self, listener: &HttpListener, socket: &TcpListener, error: &io::Error) {
        if is_clients(error) {
            return;
        }
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(listener = %listener.address(), %error, "cannot take connections; those that come are closed");
        }
        if self.file.take().is_some() {
            // One that is waiting is there at once.
            let _ = timeout(ACCEPT_PAUSE, socket.accept()).await;
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
        self.file = File::open("/dev/null").ok();
    }
}

/// The client was gone before it was taken.
fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
