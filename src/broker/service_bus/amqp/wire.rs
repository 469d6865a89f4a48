//! One connection: dialled by us, spoken by the client library, unplugged when dropped.
//!
//! We dial, because then a failure is named by the step that failed (name, port, TLS, login), one TLS stack serves all kinds, and we
//! keep a handle of the socket: a dropped incarnation must not send another byte, and the library's own way to close a dropped
//! connection first writes all that is queued.

use std::{
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use fe2o3_amqp::{Connection, Session, connection::ConnectionHandle, sasl_profile::SaslProfile, session::SessionHandle};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{super::settings::Access, fault::Fault};
use crate::{
    broker::{House, tls::Tls},
    outcome::Reason,
};

/// All of an opening: connection, token and links.
pub(super) const OPEN_TIME: Duration = Duration::from_secs(10);

/// An orderly close, which waits for the peer's answer.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(3);

/// A peer that says nothing for so long is gone. Both sides send empty frames meanwhile (AMQP 1.0, part 2, section 2.4.5).
const IDLE_TIME: Duration = Duration::from_secs(60);

/// AMQP sessions of one connection: one for tokens, one for each link that reads.
const SESSIONS_MAX: u16 = 255;

/// One connection and its socket. Dropped, it sends nothing more: nothing that is queued, and no farewell.
#[derive(Debug)]
pub(super) struct Wire {
    // In front of the connection: fields are dropped in order, and the socket must be shut before the library says goodbye.
    plug: Plug,
    connection: ConnectionHandle<()>,
}

/// A further handle of the connection's socket, which shuts it when dropped.
#[derive(Debug)]
pub(super) struct Plug(TcpStream);

impl Drop for Plug {
    fn drop(&mut self) {
        // An error means that the socket is closed already, which is all we want.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Wire {
    /// One try; the caller bounds its time.
    pub(super) async fn dial(broker: &str, tls: &Tls, access: &Access, house: &House) -> Result<Self, Fault> {
        Self::try_dial(broker, tls, access, house).await.map_err(|fault| fault.while_doing(&access.amqp))
    }

    async fn try_dial(broker: &str, tls: &Tls, access: &Access, house: &House) -> Result<Self, Fault> {
        let place = &access.amqp;
        let name = (place.host.as_str(), place.port);
        let addresses: Vec<_> = tokio::net::lookup_host(name).await.map_err(|error| Fault::new(Reason::Dns, error))?.collect();
        let stream = tokio::net::TcpStream::connect(&*addresses).await.map_err(Fault::link)?;
        stream.set_nodelay(true).map_err(Fault::link)?;
        let plug = Plug(stream.as_fd().try_clone_to_owned().map_err(Fault::link)?.into());
        let connection = if place.tls {
            let refused = |detail: String| Fault::new(Reason::Tls, detail);
            let config = tls.client_config(&house.metrics.certificates(broker)).map_err(refused)?;
            let name = ServerName::try_from(tls.name_for(&place.host).to_owned()).map_err(|error| refused(error.to_string()))?;
            let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| refused(error.to_string()))?;
            open(stream, &access.host, house).await?
        } else {
            open(stream, &access.host, house).await?
        };
        Ok(Self { plug, connection })
    }

    /// An AMQP session of its own: links on it have their own window of frames.
    pub(super) async fn session(&mut self) -> Result<SessionHandle<()>, Fault> {
        Ok(Session::begin(&mut self.connection).await?)
    }

    /// For who owns the connection's work and not the connection.
    pub(super) fn plug(&self) -> Result<Plug, Fault> {
        self.plug.0.try_clone().map(Plug).map_err(Fault::link)
    }

    /// Completes when the connection is closed or lost, and says why. Cancel-safe.
    pub(super) async fn lost(&mut self) -> Fault {
        match self.connection.on_close().await {
            Ok(()) => Fault::link("the service closed the connection"),
            Err(error) => error.into(),
        }
    }

    /// Closes in an orderly way: all that is queued is sent, and the peer answers, within [`CLOSE_TIME`].
    pub(super) async fn close(mut self) {
        // Whatever the peer answers, or does not, the socket is shut next.
        let _ = timeout(CLOSE_TIME, self.connection.close()).await;
        drop(self.plug);
    }
}

/// Speaks AMQP on a stream that is encrypted already, or need not be.
async fn open<Io>(stream: Io, host: &str, house: &House) -> Result<ConnectionHandle<()>, Fault>
where
    Io: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
{
    let idle = u32::try_from(IDLE_TIME.as_millis()).unwrap_or(u32::MAX);
    let connection = Connection::builder()
        .container_id(format!("{}-{}", house.instance, uuid::Uuid::new_v4().simple()))
        // The namespace, by which the service finds the tenant.
        .hostname(host)
        .idle_time_out(idle)
        .channel_max(SESSIONS_MAX)
        // Who we are is said by a token on `$cbs`.
        .sasl_profile(SaslProfile::Anonymous)
        .open_with_stream(stream)
        .await?;
    Ok(connection)
}
