//! What the door tells about itself: `HELLO`, `INFO`, `COMMAND`, `CLIENT INFO`.

use super::{
    encode::{Version, Writer},
    session::Session,
};
use crate::VERSION;

/// The Redis whose commands these are. Clients look at it to know what they may send.
const REDIS_VERSION: &str = "7.0.15";

fn number(version: Version) -> i64 {
    match version {
        Version::Two => 2,
        Version::Three => 3,
    }
}

/// The answer to `HELLO`, in the protocol that it chose.
pub(super) fn hello(session: &Session, writer: &mut Writer<'_>) {
    writer.map(7);
    for (key, value) in [("server", "rialto"), ("version", REDIS_VERSION)] {
        writer.bulk(key.as_bytes());
        writer.bulk(value.as_bytes());
    }
    writer.bulk(b"proto");
    writer.integer(number(session.version));
    writer.bulk(b"id");
    writer.integer(i64::try_from(session.id).unwrap_or(i64::MAX));
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        writer.bulk(key.as_bytes());
        writer.bulk(value.as_bytes());
    }
    writer.bulk(b"modules");
    writer.array(0);
}

/// The answer to `INFO`, whatever sections are asked for: it is short, and clients look for single lines.
pub(super) fn info(session: &Session) -> String {
    let hub = &session.house.hub;
    format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nrialto_version:{VERSION}\r\n\r\n\
         # Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\n\r\n\
         # Persistence\r\nloading:0\r\n\r\n\
         # Stats\r\npubsub_patterns:{}\r\nrialto_subscriptions:{}\r\n\r\n\
         # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n\
         # Cluster\r\ncluster_enabled:0\r\n",
        session.house.clients - session.house.places.available_permits(),
        session.house.clients,
        hub.patterns(),
        hub.subscriptions(),
    )
}

/// The answer to `CLIENT INFO`.
pub(super) fn client(session: &Session) -> String {
    let (channels, patterns) = session.counts();
    let name = String::from_utf8_lossy(&session.name);
    format!("id={} name={name} db=0 sub={channels} psub={patterns} resp={}\n", session.id, number(session.version))
}

/// One entry of `COMMAND`: name, arity, and no flags, keys or categories.
pub(super) fn command(name: &str, arity: i8, writer: &mut Writer<'_>) {
    writer.array(10);
    writer.bulk(name.as_bytes());
    writer.integer(arity.into());
    writer.array(0);
    (0..3).for_each(|_| writer.integer(0));
    (0..4).for_each(|_| writer.array(0));
}
