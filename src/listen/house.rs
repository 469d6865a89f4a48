//! All listeners of the process, and the one thread that serves them.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::{runtime, sync::oneshot};

use super::{HttpListener, HttpSettings};

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
    stop: Option<oneshot::Sender<()>>,
    handle: Option<thread::JoinHandle<()>>,
}

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
        let (runtime, socket) = self.bind(&key, settings.address)?;
        let fail = |source| ListenError { key: key.clone(), address: settings.address, source };
        let address = socket.local_addr().map_err(fail)?;
        let listener = Arc::new(HttpListener::new(address, settings));
        let serving = Arc::clone(&listener);
        runtime.spawn(async move { serving.serve(socket).await });
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
        let (runtime, socket) = self.bind(key, address)?;
        let bound = socket.local_addr().map_err(|source| ListenError { key: key.to_owned(), address, source })?;
        runtime.spawn(serve(socket));
        Ok(bound)
    }

    /// Closes all of them, and every connection.
    pub fn close(&self) {
        let thread = {
            let mut house = self.lock();
            house.http.clear();
            house.thread.take()
        };
        let Some(mut thread) = thread else { return };
        drop(thread.stop.take());
        if thread.handle.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the listeners panicked");
        }
    }

    fn bind(&self, key: &str, address: SocketAddr) -> Result<(runtime::Handle, tokio::net::TcpListener), ListenError> {
        let fail = |source| ListenError { key: key.to_owned(), address, source };
        let socket = TcpListener::bind(address).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let runtime = self.runtime().map_err(fail)?;
        let _inside = runtime.enter();
        let socket = tokio::net::TcpListener::from_std(socket).map_err(fail)?;
        Ok((runtime.clone(), socket))
    }

    fn runtime(&self) -> io::Result<runtime::Handle> {
        let mut house = self.lock();
        if let Some(thread) = &house.thread {
            return Ok(thread.runtime.clone());
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            // Connections that are being served end with the runtime. An error says that the sender is gone, which stops too.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name("rialto-doors".into()).spawn(serve)?;
        house.thread = Some(Thread { runtime: handle.clone(), stop: Some(stop), handle: Some(thread) });
        Ok(handle)
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
