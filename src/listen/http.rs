//! One HTTP address, and the paths mounted on it.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming};

use super::{Problem, ServerTls};

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
    /// Connections at once; more are told to come again (503) and closed.
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
    places: RwLock<Places>,
}

#[derive(Default)]
struct Places {
    pages: Vec<(Mount, Arc<dyn Page>)>,
    /// Where there should be a page, although there may be none now; `None` while the bridge has not come to say it.
    expected: Option<Vec<Mount>>,
}

/// What a path leads to.
enum Found<'a> {
    Page(Arc<dyn Page>, &'a str),
    /// Its source is not open.
    Away,
    Nothing,
}

/// A page in its place; dropped, it is gone.
pub struct Mounted {
    listener: Arc<HttpListener>,
    page: Arc<dyn Page>,
}

/// A source that is not open tries again within this, in seconds.
const AWAY_RETRY: u32 = 1;

impl HttpListener {
    pub(super) fn new(address: SocketAddr, settings: HttpSettings) -> Self {
        Self { address, settings, places: RwLock::default() }
    }

    /// Where it listens: the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn connections_max(&self) -> usize {
        self.settings.connections_max
    }

    /// Puts a page in its place.
    pub fn mount(self: &Arc<Self>, place: Mount, page: Arc<dyn Page>) -> Result<Mounted, Taken> {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if places.pages.iter().any(|(other, _)| other.path() == place.path()) {
            return Err(Taken(place.path().into()));
        }
        places.pages.push((place, Arc::clone(&page)));
        Ok(Mounted { listener: Arc::clone(self), page })
    }

    /// Says where pages are to be expected: while there is none, who asks is told to come again (503), and not that there is nothing (404),
    /// which a producer takes for the last word on its event. Until this is said, one may be expected anywhere.
    pub fn expect(&self, places: Vec<Mount>) {
        self.places.write().unwrap_or_else(PoisonError::into_inner).expected = Some(places);
    }

    pub(super) async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        // A clone of the URI is a reference count: the request is moved to its page, which gets a part of the path beside it.
        let uri = request.uri().clone();
        match self.find(uri.path()) {
            Found::Page(page, rest) => page.answer(request, rest, peer).await,
            Found::Away => {
                let detail = "the source of this path is not open; it may be soon";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(AWAY_RETRY).response()
            }
            Found::Nothing => Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path").response(),
        }
    }

    fn find<'a>(&self, path: &'a str) -> Found<'a> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        // A path of its own wins over a name below another's.
        if let Some((_, page)) = places.pages.iter().find(|(place, _)| place.path() == path) {
            return Found::Page(Arc::clone(page), "");
        }
        if let Some((rest, page)) = places.pages.iter().find_map(|(place, page)| Some((place.rest(path)?, page))) {
            return Found::Page(Arc::clone(page), rest);
        }
        let expected = places.expected.as_ref().is_none_or(|expected| expected.iter().any(|place| place.rest(path).is_some()));
        if expected { Found::Away } else { Found::Nothing }
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
        let mut places = self.listener.places.write().unwrap_or_else(PoisonError::into_inner);
        places.pages.retain(|(_, page)| !Arc::ptr_eq(page, &self.page));
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
