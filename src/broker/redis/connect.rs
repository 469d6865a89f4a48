//! From settings to a connection: the one server, the first master of several, the master that the sentinels name. One try, bounded;
//! the caller owns the retry, and nothing here or below reconnects by itself.

use std::time::Duration;

use redis::Value;

use super::{
    answers::kind_of,
    servers::{Form, Place, Servers},
    settings::{Access, Login, Settings},
    wire::{Encryption, Greeting, Wire},
};
use crate::{
    broker::{House, OpenError, tls::Tls},
    outcome::Reason,
};

/// Bounds one opening, all its servers together.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Bounds one of several servers, so that a silent one does not use up the time of the next.
const ONE_WITHIN: Duration = Duration::from_secs(3);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Writes, so it must be a master: on a replica `PUBLISH` succeeds and reaches only that replica's own subscribers.
    Write,
    /// Listens; any server does.
    Listen,
}

/// The settings with their files read, for one opening.
#[derive(Debug)]
pub(super) struct Dialer {
    access: Access,
    encryption: Option<Encryption>,
    name: String,
}

impl Dialer {
    /// Reads the URL's, password's and certificates' files anew, for the broker called `broker`.
    pub(super) fn new(broker: &str, settings: &Settings, house: &House) -> Result<Self, OpenError> {
        let access = settings.access().map_err(|detail| OpenError { reason: Reason::Link, detail })?;
        let encryption = match (&settings.tls, access.servers.tls) {
            (_, false) => None,
            (Some(tls), true) => Some(Encryption::new(tls, &house.metrics.certificates(broker))?),
            (None, true) => Some(Encryption::new(&Tls::default(), &house.metrics.certificates(broker))?),
        };
        Ok(Self { access, encryption, name: house.instance.to_string() })
    }

    /// The servers as configured.
    pub(super) fn servers(&self) -> &Servers {
        &self.access.servers
    }

    /// One connection to one place, logged in.
    pub(super) async fn connect(&self, place: &Place) -> Result<(Wire, Greeting), OpenError> {
        self.login(place, &self.access.login, self.access.servers.db).await
    }

    async fn login(&self, place: &Place, login: &Login, db: u32) -> Result<(Wire, Greeting), OpenError> {
        let mut wire = Wire::dial(place, self.encryption.as_ref()).await?;
        let greeting = wire.greet(login, db, self.access.servers.resp3, &self.name).await?;
        Ok((wire, greeting))
    }

    /// One connection to the server that is in charge; on a cluster to any node that answers.
    pub(super) async fn open(&self, purpose: Purpose) -> Result<Wire, OpenError> {
        bounded(OPEN_WITHIN, &self.servers().to_string(), async {
            match &self.servers().form {
                Form::Direct => self.first(purpose).await,
                Form::Sentinel { master } => self.by_sentinels(master).await,
                Form::Cluster => self.first(Purpose::Listen).await,
            }
        })
        .await
    }

    async fn first(&self, purpose: Purpose) -> Result<Wire, OpenError> {
        let places = &self.servers().places;
        let within = if places.len() > 1 { ONE_WITHIN } else { OPEN_WITHIN };
        let mut worst = None;
        for place in places {
            match bounded(within, &place.to_string(), self.one(place, purpose)).await {
                Ok(wire) => return Ok(wire),
                Err(error) => worst = Some(telling(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(|| OpenError { reason: Reason::Link, detail: "no server is configured".into() }))
    }

    async fn one(&self, place: &Place, purpose: Purpose) -> Result<Wire, OpenError> {
        let (wire, greeting) = self.connect(place).await?;
        if purpose == Purpose::Write && greeting.replica == Some(true) {
            return Err(is_replica(place));
        }
        Ok(wire)
    }

    async fn by_sentinels(&self, master: &str) -> Result<Wire, OpenError> {
        let mut worst = None;
        for sentinel in &self.servers().places {
            match bounded(ONE_WITHIN, &sentinel.to_string(), self.ask_sentinel(sentinel, master)).await {
                Ok(wire) => return Ok(wire),
                Err(error) => worst = Some(telling(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(|| OpenError { reason: Reason::Link, detail: "no sentinel is configured".into() }))
    }

    /// <https://redis.io/docs/latest/develop/reference/sentinel-clients/>: ask for the address, connect, check the role.
    async fn ask_sentinel(&self, sentinel: &Place, master: &str) -> Result<Wire, OpenError> {
        let (mut asked, _) = self.login(sentinel, &self.access.sentinel_login, 0).await?;
        let question = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).take();
        let place = match asked.ask(question, "SENTINEL").await? {
            Value::Array(parts) => address(&parts),
            Value::Nil => None,
            other => return Err(odd(sentinel, &other)),
        };
        let Some(place) = place else {
            return Err(OpenError {
                reason: Reason::Unroutable,
                detail: format!("sentinel {sentinel} knows no master `{master}`"),
            });
        };
        self.one(&place, Purpose::Write).await
    }
}

/// Runs an opening within its time.
pub(super) async fn bounded<T>(
    within: Duration,
    whom: &str,
    opening: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    match tokio::time::timeout(within, opening).await {
        Ok(answer) => answer,
        Err(_) => Err(OpenError { reason: Reason::Timeout, detail: format!("{whom}: no answer within {} s", within.as_secs()) }),
    }
}

/// Host and port out of two strings of a reply.
pub(super) fn address(parts: &[Value]) -> Option<Place> {
    let [Value::BulkString(host), port, ..] = parts else { return None };
    let port = match port {
        Value::Int(port) => u16::try_from(*port).ok()?,
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        _ => return None,
    };
    Some(Place::Tcp(String::from_utf8(host.clone()).ok()?, port))
}

/// Of several failures the one that a person can mend: a wrong password rather than a server that is down.
fn telling(before: Option<OpenError>, now: OpenError) -> OpenError {
    let rank = |error: &OpenError| match error.reason {
        Reason::Unauthenticated | Reason::Forbidden | Reason::Tls => 2,
        Reason::Throttled | Reason::Unroutable => 1,
        _ => 0,
    };
    match before {
        Some(before) if rank(&before) > rank(&now) => before,
        _ => now,
    }
}

fn is_replica(place: &Place) -> OpenError {
    OpenError {
        reason: Reason::Throttled,
        detail: format!("{place} is a replica, and what is published there reaches nobody else"),
    }
}

/// A reply that is none.
pub(super) fn odd(place: &Place, value: &Value) -> OpenError {
    OpenError { reason: Reason::Link, detail: format!("{place} answered with {}", kind_of(value)) }
}
