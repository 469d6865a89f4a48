//! One connection to the endpoint: resolved, judged, dialled, and where the URL says so encrypted.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    address::{Reach, reach},
    endpoint::Endpoint,
    settings::Settings,
};
use crate::{broker::OpenError, outcome::Reason, telemetry::CertificateMetrics};

/// Resolving, connecting and the handshake, together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One of several addresses: a dead one must not use up the time of the next.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than this and something on the way may have forgotten the connection without a word.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// An answer's head, and what is read of its body at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Finds a name's addresses.
pub(super) type Resolve = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Opens connections to one endpoint.
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    private_addresses: bool,
    resolve: Resolve,
}

/// An open connection with nothing on it. Dropped, it is closed.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends when the connection does. Nobody else polls it, so that nothing lives on behind a dropped connection.
    pub(super) driver: BoxFuture<'static, hyper::Result<()>>,
    /// Since the last answer; `None`: nothing was ever asked on it.
    pub(super) idle_since: Option<Instant>,
    opened: Instant,
}

impl Dialer {
    /// Reads the URL and the certificates, and tells `metrics` when those end.
    pub(super) fn new(settings: &Settings, metrics: &CertificateMetrics) -> Result<Self, OpenError> {
        let resolve: Resolve =
            Arc::new(|name, port| async move { Ok(lookup_host((name, port)).await?.collect::<Vec<_>>()) }.boxed());
        Self::with(settings, metrics, resolve)
    }

    /// The same with somebody else's answers to names.
    pub(super) fn with(settings: &Settings, metrics: &CertificateMetrics, resolve: Resolve) -> Result<Self, OpenError> {
        let failed = |reason, detail: String| OpenError { reason, detail };
        let endpoint = settings.endpoint().map_err(|why| failed(Reason::Link, why))?;
        let tls = if endpoint.tls {
            let mut config = settings.tls.client_config(metrics).map_err(|why| failed(Reason::Tls, why))?;
            Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
            let host = endpoint.name();
            let name = settings.tls.name_for(&host).to_owned();
            let name = ServerName::try_from(name).map_err(|error| failed(Reason::Tls, error.to_string()))?;
            Some((config, name))
        } else {
            None
        };
        Ok(Self { endpoint, tls, private_addresses: settings.private_addresses, resolve })
    }

    /// One try, bounded in time.
    pub(super) async fn dial(&self) -> Result<Connection, OpenError> {
        timeout(CONNECT_TIMEOUT, self.connect())
            .await
            .unwrap_or_else(|_| Err(self.failed(Reason::Timeout, "no connection in 10 s")))
    }

    async fn connect(&self) -> Result<Connection, OpenError> {
        let mut last = self.failed(Reason::Dns, "the name has no address");
        for address in self.addresses().await? {
            let connected = match timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            match connected {
                Ok(stream) => return self.greet(stream, address).await,
                Err(error) => last = self.failed(Reason::Link, format_args!("{address}: {error}")),
            }
        }
        Err(last)
    }

    /// Where to connect to; one that is never connected to condemns them all, for it is not there by accident.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, OpenError> {
        let port = self.endpoint.port;
        let found = match &self.endpoint.host {
            Ok(address) => vec![SocketAddr::new(*address, port)],
            Err(name) => {
                let found = (self.resolve)(name.clone(), port).await;
                found.map_err(|error| self.failed(Reason::Dns, error))?
            }
        };
        for address in &found {
            self.judge(address.ip())?;
        }
        Ok(found)
    }

    fn judge(&self, address: IpAddr) -> Result<(), OpenError> {
        let near = match reach(address) {
            Err(why) => return Err(self.failed(Reason::Forbidden, format_args!("no webhook goes to {address}: it is {why}"))),
            Ok(reach) if self.private_addresses || self.endpoint.means(reach) => return Ok(()),
            Ok(Reach::Loopback) => "this machine",
            Ok(_) => "this network",
        };
        let sentence = format_args!("{address} is in {near}; write `private_addresses: true` if that is meant");
        Err(self.failed(Reason::Forbidden, sentence))
    }

    async fn greet(&self, stream: TcpStream, address: SocketAddr) -> Result<Connection, OpenError> {
        let io = |error: io::Error| self.failed(Reason::Link, format_args!("{address}: {error}"));
        stream.set_nodelay(true).map_err(io)?;
        let Some((config, name)) = &self.tls else { return self.handshake(stream).await };
        let connector = TlsConnector::from(Arc::clone(config));
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => self.handshake(stream).await,
            Err(error) => {
                let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some();
                let reason = if of_tls { Reason::Tls } else { Reason::Link };
                Err(self.failed(reason, format_args!("{address}: {error}")))
            }
        }
    }

    async fn handshake<S>(&self, stream: S) -> Result<Connection, OpenError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (sender, driver) = opened.map_err(|error| self.failed(Reason::Link, error))?;
        Ok(Connection { sender, driver: driver.boxed(), idle_since: None, opened: Instant::now() })
    }

    fn failed(&self, reason: Reason, detail: impl fmt::Display) -> OpenError {
        OpenError { reason, detail: format!("{}: {detail}", self.endpoint.display()) }
    }
}

impl Connection {
    /// Whether it can take a request, as far as one can know: a server may close it at any time.
    pub(super) fn is_usable(&mut self, now: Instant) -> bool {
        // Looks whether the server has closed it meanwhile.
        let over = (&mut self.driver).now_or_never().is_some();
        !over && !self.sender.is_closed() && now.saturating_duration_since(self.idle_since.unwrap_or(self.opened)) < IDLE_MAX
    }

    /// Whether nothing was ever asked on it.
    pub(super) fn is_fresh(&self) -> bool {
        self.idle_since.is_none()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("endpoint", &self.endpoint.display()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("idle_since", &self.idle_since).finish_non_exhaustive()
    }
}
