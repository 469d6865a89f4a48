//! Who we are and whom we trust, proven through the whole bridge against real servers: what may not be trusted or lets us in no
//! more is refused or waited for, in clear words; nothing is dead-lettered; and flow resumes by itself once it is mended.

use std::{collections::BTreeSet, fs, time::Duration};

use crate::{
    cli::{Place, Running, metric, until},
    redis::{Server, free_port},
};

mod authority;
mod listeners;
mod login_server;
mod plaintext;
mod rabbit;
mod rabbitmq;
mod redis;
mod service_bus;
mod tokens;
mod webhook;

/// A bridge that carries events from a stream of one Redis to the broker under test, and from there into another stream: a link
/// and a source stand on the same identity.
struct Circle {
    near: Server,
    bridge: Running,
    place: Place,
    telemetry: u16,
    sent: usize,
    /// What the bridge had said when the present part of the story began.
    heard: usize,
}

impl Circle {
    /// `far` is the tested broker's long form; `to` and `back` are the keys of a destination and of a source in it. Where it is no
    /// source, whoever plays the broker puts what comes into the stream `out`.
    fn start(place: Place, far: &str, to: &str, back: &str) -> Self {
        let (near, telemetry) = (Server::start(&[]), free_port());
        let dead = "dead_letter: { broker: near, stream: dead }";
        let (source, route) = match back {
            "" => (String::new(), ""),
            keys => (format!("  back: {{ broker: far, {keys}, {dead} }}"), "  - { from: back, to: { broker: near, stream: out } }"),
        };
        let yaml = format!(
            "
name: circle
telemetry: {{ listen: '127.0.0.1:{telemetry}' }}
brokers:
  near: {near}
  far: {far}
sources:
  there: {{ broker: near, stream: in, group: g, {dead} }}
{source}
routes:
  - {{ from: there, to: {{ broker: far, {to} }} }}
{route}
",
            near = near.url()
        );
        fs::write(place.path("rialto.yaml"), yaml).expect("a file");
        let bridge = place.start(&["run"]);
        Self { near, bridge, place, telemetry, sent: 0, heard: 0 }
    }

    /// Puts one event in, and answers its id.
    fn put(&mut self) -> String {
        let id = format!("m-{}", self.sent);
        self.sent += 1;
        let body = format!(r#"{{"message_type":"t","message_name":"n","message_id":"{id}","payload":0}}"#);
        let _: String = self.near.run(&["XADD", "in", "*", "body", &body]);
        id
    }

    /// What came round, in order.
    fn came(&self) -> Vec<String> {
        let found: Vec<(String, std::collections::HashMap<String, String>)> = self.near.run(&["XRANGE", "out", "-", "+"]);
        found.into_iter().map(|(_, fields)| fields["message_id"].clone()).collect()
    }

    /// An event comes round, and with it all that waited.
    fn flows(&mut self) {
        self.put();
        until(&format!("all {} come round", self.sent), || {
            let came: BTreeSet<_> = self.came().into_iter().collect();
            (came.len() == self.sent).then_some(())
        });
        self.heard = self.bridge.err().len();
    }

    /// An event waits, and the bridge says why in these words and for this reason.
    fn waits(&mut self, reason: &str, words: &str) {
        let id = self.put();
        until(&format!("`{reason}` and `{words}` are said"), || {
            let said = self.bridge.err();
            let said = said.get(self.heard..).unwrap_or_default();
            let told = |line: &&str| line.contains(&format!("\"reason\":\"{reason}\"")) && line.contains(words);
            said.lines().find(told).map(drop)
        });
        std::thread::sleep(Duration::from_millis(300));
        assert!(!self.came().contains(&id), "{id} went through: {}", self.bridge.err());
        self.heard = self.bridge.err().len();
    }

    fn metric(&self, series: &str) -> Option<f64> {
        metric(self.telemetry, series)
    }

    /// All that was put in came round, nothing was given up, no secret was said, and the bridge stops in order.
    fn ends_well(mut self, secrets: &[&str]) {
        self.flows();
        let dead: u64 = self.near.run(&["XLEN", "dead"]);
        assert_eq!(dead, 0, "nothing is dead-lettered: {}", self.bridge.err());
        assert_eq!(self.bridge.stop(), 0, "{}", self.bridge.err());
        for secret in secrets {
            assert!(!self.bridge.err().contains(secret), "a secret is said: {}", self.bridge.err());
        }
    }
}
