//! One HTTP address, and the paths mounted on it.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::ServerTls;

/// What is answered: bytes, at once or as a stream.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// How one address is served.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where.
    pub address: SocketAddr,
    /// `None`: plain.
    pub tls: Option<ServerTls>,
    /// Connections at once; more wait in the listen queue.
    pub connections_max: usize,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
}

/// What is mounted on a path.
#[async_trait]
pub trait Page: Send + Sync {
    /// Answers one request. `rest` is what follows the mounted path and its `/`, percent-encoded as it came; empty for the path itself.
    async fn answer(&self, request: Request<Incoming>, rest: &str, peer: Peer) -> Response<Body>;
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// This path and nothing else.
    At(Box<str>),
    /// This path, and one segment below it.
    With(Box<str>),
}

/// The path has a page already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is mounted already")]
pub struct Taken(Box<str>);

/// One bound address.
pub struct HttpListener {
    address: SocketAddr,
    settings: HttpSettings,
    pages: RwLock<Vec<(Mount, Arc<dyn Page>)>>,
}

/// A page in its place; dropped, it is gone.
pub struct Mounted {
    listener: Arc<HttpListener>,
    page: Arc<dyn Page>,
}

/// From a connection's first byte to the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Between tries to accept when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl HttpListener {
    pub(super) fn new(address: SocketAddr, settings: HttpSettings) -> Self {
        Self { address, settings, pages: RwLock::default() }
    }

    /// Where it listens: the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a page in its place.
    pub fn mount(self: &Arc<Self>, place: Mount, page: Arc<dyn Page>) -> Result<Mounted, Taken> {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        if pages.iter().any(|(other, _)| other.path() == place.path()) {
            return Err(Taken(place.path().into()));
        }
        pages.push((place, Arc::clone(&page)));
        Ok(Mounted { listener: Arc::clone(self), page })
    }

    pub(super) async fn serve(self: Arc<Self>, socket: TcpListener) {
        let places = Arc::new(Semaphore::new(self.settings.connections_max));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, address)) => drop(tokio::spawn(Arc::clone(&self).converse(stream, Peer { address }, place))),
                Err(error) => {
                    tracing::warn!(listener = %self.address, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream, peer: Peer, place: OwnedSemaphorePermit) {
        let listener = self.address;
        let service = service_fn(move |request| {
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.answer(request, peer).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%listener, %error, "a connection broke");
        }
        drop(place);
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let found = {
            let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
            pages.iter().find_map(|(place, page)| Some((place.rest(&path)?, Arc::clone(page))))
        };
        if let Some((rest, page)) = found {
            page.answer(request, rest, peer).await
        } else {
            let mut response = Response::new(full("not found\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

impl Mount {
    fn path(&self) -> &str {
        let (Self::At(path) | Self::With(path)) = self;
        path
    }

    /// What follows this mount in `path`; `None` where it is elsewhere.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = path.strip_prefix(self.path())?;
        match self {
            _ if below.is_empty() => Some(""),
            Self::At(_) => None,
            Self::With(_) => below.strip_prefix('/').filter(|rest| !rest.contains('/')),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut pages = self.listener.pages.write().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|(_, page)| !Arc::ptr_eq(page, &self.page));
    }
}

impl fmt::Debug for HttpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpListener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("listener", &self.listener).finish_non_exhaustive()
    }
}
