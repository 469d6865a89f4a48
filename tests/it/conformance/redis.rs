//! Redis' stand: a stream for each place.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use redis::{FromRedisValue, IntoConnectionInfo, aio::MultiplexedConnection};
use rialto::broker::{Kind, redis::KIND};

use super::{Found, Picky, Place, Stand};

/// Told to whoever runs the tests without servers: nothing is ever skipped.
const HOW: &str = "start the servers with `eval \"$(tests/brokers/up)\"`, or run `tests/run`";

/// The group that a source has by default: the house's name.
const GROUP: &str = "rialto";

/// The server's URL, and a connection of the test's own.
pub(crate) struct Redis {
    url: String,
    connection: MultiplexedConnection,
}

impl Redis {
    async fn run<T: FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut self.connection.clone()).await
    }

    /// Entries after an id.
    async fn after(&self, key: &str, id: &str) -> Vec<(String, Vec<(String, Vec<u8>)>)> {
        self.run(&["XRANGE", key, id, "+"]).await.expect("entries")
    }
}

/// A key that no other test uses.
fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("rialto-test:{}:{what}:{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[async_trait]
impl Stand for Redis {
    async fn start() -> Self {
        let url = std::env::var("RIALTO_TEST_REDIS_URL").unwrap_or_else(|_| panic!("RIALTO_TEST_REDIS_URL is not set: {HOW}"));
        let client = redis::Client::open(&*url).expect("a URL");
        // Generous, because the largest message of the suites is.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(super::PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&patient).await.expect("Redis answers");
        Self { url, connection }
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        self.url.as_str().into_connection_info().expect("a URL").addr().to_string()
    }

    fn settings(&self, address: &str) -> String {
        self.url.replacen(&self.server(), address, 1)
    }

    async fn place(&self) -> Place {
        let key = unique("stream");
        Place { origin: format!("stream: {key:?}"), target: format!("stream: {key:?}"), address: key }
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        for chunk in bodies.chunks(500) {
            let mut pipeline = redis::pipe();
            for body in chunk {
                pipeline.cmd("XADD").arg(&place.address).arg("*").arg("body").arg(body).ignore();
            }
            pipeline.exec_async(&mut self.connection.clone()).await.expect("entries added");
        }
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let entries = self.after(&place.address, "-").await;
        let _: u64 = self.run(&["XTRIM", &place.address, "MAXLEN", "0"]).await.expect("trimmed");
        entries.into_iter().map(|(_, fields)| found(fields)).collect()
    }

    async fn waiting(&self, place: &Place) -> usize {
        let groups: Vec<BTreeMap<String, redis::Value>> = self.run(&["XINFO", "GROUPS", &place.address]).await.unwrap_or_default();
        let ours = groups.iter().find(|group| text(&group["name"]) == GROUP);
        let Some(ours) = ours else { return self.after(&place.address, "-").await.len() };
        let pending: usize = redis::from_redis_value(ours["pending"].clone()).expect("a number");
        pending + self.after(&place.address, &format!("({}", text(&ours["last-delivered-id"]))).await.len()
    }

    async fn picky(&self) -> Picky {
        let (good, bad) = (unique("stream"), unique("string"));
        let () = self.run(&["SET", &bad, "no stream"]).await.expect("a string");
        Picky { target: "stream: '{payload.event_id}'".into(), good, bad }
    }
}

fn text(value: &redis::Value) -> String {
    redis::from_redis_value(value.clone()).expect("text")
}

fn found(fields: Vec<(String, Vec<u8>)>) -> Found {
    let mut fields: BTreeMap<String, Vec<u8>> = fields.into_iter().collect();
    let mut take = |name: &str| fields.remove(name);
    let (body, id, name) = (take("body").unwrap_or_default(), take("message_id"), take("message_name"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let headers = fields.into_iter().map(|(name, value)| (name, text(value))).collect();
    Found { body, id: id.map(text), name: name.map(text), headers }
}
