//! One connection: dialled, encrypted, logged in.
//!
//! The crate's own dialling cannot name another TLS server name, keep a pub/sub buffer within a bound, or tell a name that does not
//! resolve from a port nobody listens on; so connections are made here, and the crate speaks RESP on them.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value, ValueCodec, aio::MultiplexedConnection};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tokio_util::{
    codec::{Decoder, Framed},
    task::AbortOnDropHandle,
};

use super::{answers, servers::Place, settings::Login};
use crate::{
    broker::{OpenError, tls::Tls},
    outcome::Reason,
    telemetry::CertificateMetrics,
};

/// A command that is not answered in this time may still have run: the link ends, and what was in flight is unknown. The crate's own
/// default is half a second, which a busy server's fork exceeds.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The crate's request queue (50 by default). What is on the wire stays below it (see `publisher`), so that a send never waits for a
/// place in it; it takes memory only as it fills.
pub(super) const PIPELINES_MAX: usize = 1024;

/// TCP, TLS or a socket file.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that speaks RESP, one value at a time: what is not read here is not read from the socket.
pub(super) struct Wire {
    framed: Framed<Box<dyn Socket>, ValueCodec>,
    /// For errors.
    place: Place,
}

/// What a TLS handshake needs.
#[derive(Debug)]
pub(super) struct Encryption {
    config: Arc<ClientConfig>,
    tls: Tls,
}

impl Encryption {
    /// Reads the certificates' files.
    pub(super) fn new(tls: &Tls, metrics: &CertificateMetrics) -> Result<Self, OpenError> {
        let config = tls.client_config(metrics).map_err(|detail| OpenError { reason: Reason::Tls, detail })?;
        Ok(Self { config, tls: tls.clone() })
    }
}

/// What the server said of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Greeting {
    /// It is a replica; unknown where it knows no `HELLO` (before 6.0, some proxies) or the user may not send it.
    pub(super) replica: Option<bool>,
    /// Its version, where it told.
    pub(super) version: Option<String>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects. The caller bounds the time.
    pub(super) async fn dial(place: &Place, encryption: Option<&Encryption>) -> Result<Self, OpenError> {
        let socket: Box<dyn Socket> = match place {
            Place::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|error| fault(Reason::Link, place, &error))?),
            Place::Tcp(host, port) => {
                let tcp = dial_tcp(place, host, *port).await?;
                match encryption {
                    // A handshake is large, and most connections have none.
                    Some(encryption) => Box::pin(encrypt(place, host, tcp, encryption)).await?,
                    None => Box::new(tcp),
                }
            }
        };
        Ok(Self { framed: ValueCodec::default().framed(socket), place: place.clone() })
    }

    /// Where it leads.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends commands in one write.
    pub(super) async fn send(&mut self, commands: &[Cmd]) -> Result<(), OpenError> {
        let mut packed = Vec::new();
        for command in commands {
            command.write_packed_command(&mut packed);
        }
        self.framed.send(packed).await.map_err(|error| fault(reason(&error), &self.place, &error))
    }

    /// The next value, an error answer included. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Value, OpenError> {
        match self.framed.next().await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(fault(reason(&error), &self.place, &error)),
            None => Err(fault(Reason::Link, &self.place, &"the connection was closed")),
        }
    }

    /// Sends one command and takes its answer; an error answer is an error.
    pub(super) async fn ask(&mut self, command: Cmd, what: &str) -> Result<Value, OpenError> {
        self.send(&[command]).await?;
        match self.next().await? {
            Value::ServerError(error) => Err(answers::open_error(&error, what, &self.place.to_string())),
            value => Ok(value),
        }
    }

    /// Logs in, chooses the database and asks the server what it is.
    pub(super) async fn greet(&mut self, login: &Login, db: u32, resp3: bool, name: &str) -> Result<Greeting, OpenError> {
        let mut commands = Vec::new();
        let mut required = Vec::new();
        let mut add = |command: Cmd, what: Option<&'static str>| {
            commands.push(command);
            required.push(what);
        };
        if let Some(password) = &login.password {
            let secret = password
                .reveal()
                .map_err(|error| fault(Reason::Unauthenticated, &self.place, &format_args!("the password's file: {error}")))?;
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &login.username {
                auth.arg(username);
            }
            auth.arg(secret);
            add(auth, Some("AUTH"));
        }
        if db > 0 {
            add(redis::cmd("SELECT").arg(db).take(), Some("SELECT"));
        }
        add(redis::cmd("CLIENT").arg("SETNAME").arg(client_name(name)).take(), None);
        let mut hello = redis::cmd("HELLO");
        if resp3 {
            hello.arg(3);
        }
        add(hello, resp3.then_some("HELLO 3"));

        self.send(&commands).await?;
        let mut greeting = Greeting::default();
        for what in required {
            match self.next().await? {
                Value::ServerError(error) => {
                    let refused = answers::open_error(&error, what.unwrap_or("HELLO"), &self.place.to_string());
                    // A name or a greeting may be refused; that nobody is logged in, or that the server is not ready, may not pass.
                    if what.is_some() || !matches!(refused.reason, Reason::Refused | Reason::Forbidden) {
                        return Err(refused);
                    }
                }
                value => greeting.read(&value),
            }
        }
        Ok(greeting)
    }

    /// Hands the connection to the crate's multiplexer.
    pub(super) async fn multiplex(self) -> Result<Connection, OpenError> {
        let parts = self.framed.into_parts();
        if !parts.read_buf.is_empty() {
            return Err(fault(Reason::Link, &self.place, &"the server sent more than it was asked"));
        }
        // The log-in is done, so the crate has nothing to say; its deadline is the caller's.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_pipeline_buffer_size(PIPELINES_MAX);
        let (requests, driver) = MultiplexedConnection::new_with_config(&info, parts.io, config)
            .await
            .map_err(|error| fault(Reason::Link, &self.place, &error))?;
        Ok(Connection { requests, place: self.place, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }
}

/// A connection that answers many requests at once. Dropped, it sends nothing more, whoever still holds a clone of `requests`.
#[derive(Debug)]
pub(super) struct Connection {
    /// For requests; they go onto the wire in the order in which they are first polled.
    pub(super) requests: MultiplexedConnection,
    /// Where it leads.
    pub(super) place: Place,
    _driver: AbortOnDropHandle<()>,
}

impl Greeting {
    /// Takes what it finds in the reply to `HELLO`: a map in RESP3, a flat list in RESP2.
    pub(super) fn read(&mut self, reply: &Value) {
        let mut take = |key: &Value, value: &Value| {
            let text = |value: &Value| match value {
                Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
                Value::SimpleString(text) => Some(text.clone()),
                _ => None,
            };
            match text(key).as_deref() {
                Some("role") => self.replica = text(value).map(|role| role != "master"),
                Some("version") => self.version = text(value),
                _ => {}
            }
        };
        match reply {
            Value::Map(entries) => entries.iter().for_each(|(key, value)| take(key, value)),
            Value::Array(flat) => flat.chunks_exact(2).for_each(|pair| take(&pair[0], &pair[1])),
            _ => {}
        }
    }
}

async fn dial_tcp(place: &Place, host: &str, port: u16) -> Result<TcpStream, OpenError> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| fault(Reason::Dns, place, &error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                // Off by default in the crate: a small pipeline would wait 40 ms for the peer's acknowledgement.
                socket.set_nodelay(true).map_err(|error| fault(Reason::Link, place, &error))?;
                return Ok(socket);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| fault(Reason::Dns, place, &"the name has no address"), |error| fault(Reason::Link, place, &error)))
}

async fn encrypt(place: &Place, host: &str, socket: TcpStream, encryption: &Encryption) -> Result<Box<dyn Socket>, OpenError> {
    let name = ServerName::try_from(encryption.tls.name_for(host).to_owned()).map_err(|error| fault(Reason::Tls, place, &error))?;
    let socket = TlsConnector::from(Arc::clone(&encryption.config)).connect(name, socket).await;
    Ok(Box::new(socket.map_err(|error| fault(Reason::Tls, place, &error))?))
}

/// In TLS 1.3 a server judges our certificate after the handshake: its alert comes with the first read.
fn reason(error: &RedisError) -> Reason {
    let io = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = io.and_then(|inner| inner.downcast_ref::<io::Error>());
    let tls = io.and_then(io::Error::get_ref).is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>);
    if tls { Reason::Tls } else { Reason::Link }
}

fn fault(reason: Reason, place: &Place, error: &dyn fmt::Display) -> OpenError {
    OpenError { reason, detail: format!("{place}: {error}") }
}

/// `CLIENT SETNAME` takes printable ASCII without spaces.
fn client_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_graphic() { letter } else { '-' }).collect()
}
