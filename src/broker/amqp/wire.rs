//! One connection: dialled by us, spoken by lapin, unplugged when dropped.
//!
//! lapin would dial by itself. We do it, because then a failure is named by the step that failed (name, port, TLS, login), an
//! IPv6 host is dialled at all, and we keep a handle of the socket: a dropped incarnation must not send another byte, and lapin's
//! own way to close a dropped connection first writes all that is queued.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    Channel, Connection, ConnectionProperties,
    tcp::{AsyncTcpStream, RustlsConnector},
};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{
    fault::Fault,
    settings::{Endpoint, Settings},
};
use crate::{
    broker::{House, OpenError, bearer::Token},
    outcome::Reason,
};

/// All of an opening, over all nodes of a cluster.
pub(super) const OPEN_TIME: Duration = Duration::from_secs(10);

/// An orderly close, which waits for the broker's answer.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(3);

/// One connection and its socket. Dropped, it sends nothing more: nothing that is queued, and no farewell.
#[derive(Debug)]
pub(super) struct Wire {
    _renewal: Option<AbortOnDropHandle<()>>,
    // In front of the connection: fields are dropped in order, and the socket must be shut before lapin tries to say goodbye.
    plug: Plug,
    connection: Arc<Connection>,
}

/// A second handle of the connection's socket.
#[derive(Debug)]
struct Plug(TcpStream);

impl Drop for Plug {
    fn drop(&mut self) {
        // An error means that the socket is closed already, which is all we want.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Wire {
    /// Dials the nodes of the cluster in a random order and answers with the first that lets us in. One try each.
    pub(super) async fn dial(broker: &str, settings: &Settings, house: &House) -> Result<Self, OpenError> {
        let token = settings.login.token(house).await?;
        let mut endpoints = settings.endpoints(token.as_ref().map(Token::reveal))?;
        fastrand::shuffle(&mut endpoints);
        let time = OPEN_TIME / u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        let mut failed: Option<OpenError> = None;
        for endpoint in &endpoints {
            let attempt = timeout(time, Self::dial_one(broker, endpoint, settings, house)).await;
            let fault = match attempt {
                Ok(Ok(wire)) => {
                    let renewal = settings.login.keep(token, &wire.connection, house);
                    return Ok(Self { _renewal: renewal, ..wire });
                }
                Ok(Err(fault)) => {
                    if fault.reason == Reason::Unauthenticated {
                        settings.login.refused(token.as_ref());
                    }
                    fault
                }
                Err(_) => Fault::new(Reason::Link, format!("no answer within {time:?}")),
            };
            let fault = fault.while_doing(endpoint.display());
            failed = Some(match failed {
                None => fault.into(),
                // A node that refuses us says more than one that is down.
                Some(first) if first.reason == Reason::Link && fault.reason != Reason::Link => {
                    OpenError { reason: fault.reason, detail: format!("{}; {}", first.detail, fault.detail) }
                }
                Some(first) => OpenError { reason: first.reason, detail: format!("{}; {}", first.detail, fault.detail) },
            });
        }
        Err(failed.unwrap_or_else(|| OpenError { reason: Reason::Link, detail: "no URL".into() }))
    }

    async fn dial_one(broker: &str, endpoint: &Endpoint, settings: &Settings, house: &House) -> Result<Self, Fault> {
        let host = (endpoint.host.as_str(), endpoint.port);
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host(host).await.map_err(|error| Fault::new(Reason::Dns, error.to_string()))?.collect();
        let runtime = lapin::runtime::default_runtime().map_err(|error| Fault::of(&error))?;
        // Inferred: the plain stream's type has no public name.
        let stream =
            AsyncTcpStream::connect(&runtime, addresses).await.map_err(|error| Fault::new(Reason::Link, error.to_string()))?;
        let AsyncTcpStream::Plain(socket) = &stream else {
            return Err(Fault::new(Reason::Link, "a fresh socket is no plain one"));
        };
        let handle = socket.get_ref().as_fd().try_clone_to_owned();
        let plug = Plug(handle.map_err(|error| Fault::new(Reason::Link, error.to_string()))?.into());
        let stream = if endpoint.tls {
            let refused = |detail: String| Fault::new(Reason::Tls, detail);
            let connector =
                RustlsConnector::from(settings.tls().client_config(&house.metrics.certificates(broker)).map_err(refused)?);
            let name = settings.tls().name_for(&endpoint.host);
            stream.into_rustls(&connector, name).await.map_err(|error| refused(error.to_string()))?
        } else {
            stream
        };
        // lapin asks for its transport once: it never dials again, as its own recovery is off.
        let ready = Mutex::new(Some(stream));
        let hand_over = async move |_, _| {
            let stream = ready.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.ok_or_else(|| lapin::Error::from(std::io::Error::from(std::io::ErrorKind::NotConnected)))
        };
        let properties = ConnectionProperties::default()
            .with_connection_name((&*house.instance).into())
            .with_client_property("product".into(), "Rialto".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let connection = Connection::connector(endpoint.uri.clone(), runtime, hand_over, properties)
            .await
            .map_err(|error| if endpoint.tls { Fault::of_login_over_tls(&error) } else { Fault::of_login(&error) })?;
        Ok(Self { _renewal: None, plug, connection: Arc::new(connection) })
    }

    /// A channel of its own.
    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        self.connection.create_channel().await.map_err(|error| Fault::of(&error))
    }

    /// True while the broker reads nothing from us (a memory or disk alarm).
    pub(super) fn blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// True until the connection is closed or lost.
    pub(super) fn connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Closes in an orderly way: all that is queued is sent, and the broker answers, within [`CLOSE_TIME`].
    pub(super) async fn close(self) {
        // Whatever the broker answers, or does not, the socket is shut next.
        let _ = timeout(CLOSE_TIME, self.connection.close(200, "OK".into())).await;
        drop(self.plug);
    }
}
