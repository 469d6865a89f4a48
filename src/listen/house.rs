//! All listeners of the process, and the one thread that serves them.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::{oneshot, watch},
    time::timeout,
};

use super::{HttpListener, HttpSettings, accept, server_tls::Certificate};

/// What is being answered when the listeners close may take so long to leave. Nothing waits for a verdict any more by then.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The listeners of a process. Cheap to clone; the thread ends when the bridge closes them.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Mutex<House>>);

#[derive(Default)]
struct House {
    thread: Option<Thread>,
    http: BTreeMap<Arc<str>, Arc<HttpListener>>,
}

struct Thread {
    runtime: runtime::Handle,
    /// Every connection has a clone.
    closing: watch::Receiver<bool>,
    /// Dropped, it stops the thread.
    stop: oneshot::Sender<()>,
    handle: thread::JoinHandle<()>,
}

/// Where to serve a socket, what tells that the listeners close, and the socket.
type Bound = (runtime::Handle, watch::Receiver<bool>, tokio::net::TcpListener);

/// A listener could not be opened: exit 74.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}")]
pub struct ListenError {
    /// The key that says where to listen.
    pub key: String,
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl Listeners {
    /// Binds an address for the broker `name` and serves its paths, of which there are none yet. The thread is started with the first.
    pub fn http(&self, name: &Arc<str>, settings: HttpSettings) -> Result<Arc<HttpListener>, ListenError> {
        let key = format!("brokers.{name}.http_server.listen");
        let (runtime, closing, socket) = self.bind(&key, settings.address)?;
        let fail = |source| ListenError { key: key.clone(), address: settings.address, source };
        let address = socket.local_addr().map_err(fail)?;
        let certificate = settings.tls.clone().map(Certificate::load).transpose().map_err(fail)?.map(Arc::new);
        let listener = Arc::new(HttpListener::new(address, settings));
        runtime.spawn(accept::serve(Arc::clone(&listener), socket, certificate, closing));
        self.lock().http.insert(Arc::clone(name), Arc::clone(&listener));
        Ok(listener)
    }

    /// The listener of the broker `name`, where it has been bound.
    pub fn of(&self, name: &str) -> Option<Arc<HttpListener>> {
        self.lock().http.get(name).cloned()
    }

    /// Where the brokers' listeners are, by the names of the brokers.
    pub fn addresses(&self) -> BTreeMap<Arc<str>, SocketAddr> {
        self.lock().http.iter().map(|(name, listener)| (name.clone(), listener.address())).collect()
    }

    /// Binds a socket of another protocol; `serve` runs on the listeners' thread.
    pub fn tcp<F: Future<Output = ()> + Send + 'static>(
        &self,
        key: &str,
        address: SocketAddr,
        serve: impl FnOnce(tokio::net::TcpListener) -> F,
    ) -> Result<SocketAddr, ListenError> {
        let (runtime, _, socket) = self.bind(key, address)?;
        let bound = socket.local_addr().map_err(|source| ListenError { key: key.to_owned(), address, source })?;
        runtime.spawn(serve(socket));
        Ok(bound)
    }

    /// Closes all of them: nothing new is taken, what is being answered is sent, within [`CLOSE_WITHIN`], and every connection ends.
    pub fn close(&self) {
        let thread = {
            let mut house = self.lock();
            house.http.clear();
            house.thread.take()
        };
        let Some(Thread { runtime: _, closing, stop, handle }) = thread else { return };
        drop((closing, stop));
        if handle.join().is_err() {
            tracing::error!("the thread of the listeners panicked");
        }
    }

    fn bind(&self, key: &str, address: SocketAddr) -> Result<Bound, ListenError> {
        let fail = |source| ListenError { key: key.to_owned(), address, source };
        let socket = TcpListener::bind(address).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let (runtime, closing) = self.runtime().map_err(fail)?;
        let _inside = runtime.enter();
        let socket = tokio::net::TcpListener::from_std(socket).map_err(fail)?;
        Ok((runtime.clone(), closing, socket))
    }

    fn runtime(&self) -> io::Result<(runtime::Handle, watch::Receiver<bool>)> {
        let mut house = self.lock();
        if let Some(thread) = &house.thread {
            return Ok((thread.runtime.clone(), thread.closing.clone()));
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (close, closing) = watch::channel(false);
        let serve = move || {
            runtime.block_on(async {
                // An error says that the sender is gone, which stops too.
                let _ = stopped.await;
                close.send_replace(true);
                // The last connection drops the last receiver; those that are late end with the runtime.
                let _ = timeout(CLOSE_WITHIN, close.closed()).await;
            });
        };
        let thread = thread::Builder::new().name("rialto-doors".into()).spawn(serve)?;
        house.thread = Some(Thread { runtime: handle.clone(), closing: closing.clone(), stop, handle: thread });
        Ok((handle, closing))
    }

    fn lock(&self) -> MutexGuard<'_, House> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").field("http", &self.lock().http.keys()).finish_non_exhaustive()
    }
}
