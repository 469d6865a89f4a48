//! Every secure door of Kafka, in and out, and what happens at a door that does not open: the bridge pauses and says why, nothing is
//! lost, sent twice or dead-lettered, and it goes on by itself when somebody has mended it.

use std::{fs, thread, time::Duration};

use crate::{
    cli::{Place, Running, get, metric, until},
    redis::{Server, free_port},
};

mod doors;
mod own;
mod trouble;

use own::{JUDGED_AGAIN, Kafka, authority};

/// How long a bridge is watched doing nothing.
const WATCHED: Duration = Duration::from_secs(3);

/// A bridge from a stream of a Redis of its own to a topic, with its dead letters in another stream.
struct Bridge {
    kafka: std::sync::Arc<Kafka>,
    redis: Server,
    running: Running,
    topic: String,
    port: u16,
    given: usize,
    _place: Place,
}

impl Bridge {
    /// `login` is what stands under `kafka`.
    fn start(kafka: std::sync::Arc<Kafka>, topic: &str, login: &str) -> Self {
        kafka.topic(topic);
        let (redis, port) = (Server::start(&[]), free_port());
        let place = Place::with(&format!(
            r#"
name: secure
telemetry: {{ listen: "127.0.0.1:{port}" }}
shutdown: {{ timeout: 5s }}
brokers:
  log: {{ kafka: {login} }}
  live: {}
sources:
  in: {{ broker: live, stream: in, group: g, dead_letter: {{ broker: live, stream: dead }} }}
routes:
  - {{ name: out, from: in, to: log/{topic} }}
"#,
            redis.url()
        ));
        let running = place.start(&["run"]);
        until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
        Self { kafka, redis, running, topic: topic.to_owned(), port, given: 0, _place: place }
    }

    /// Ten more events for it.
    fn give(&mut self) {
        for _ in 0..10 {
            let body = format!(r#"{{"n":{}}}"#, self.given);
            let _: String = self.redis.run(&["XADD", "in", "*", "body", &body]);
            self.given += 1;
        }
    }

    /// All that was given is in the topic, once and in order; nothing is dead.
    fn has_delivered_all(&self) {
        let expected: Vec<String> = (0..self.given).map(|n| format!(r#""payload":{{"n":{n}}}}}"#)).collect();
        let topic = until(&format!("all in {}: {}", self.topic, self.running.err()), || {
            Some(self.kafka.values(&self.topic)).filter(|values| values.len() >= expected.len())
        });
        assert!(topic.len() == expected.len() && topic.iter().zip(&expected).all(|(value, end)| value.ends_with(end)), "{topic:?}");
        self.has_no_dead();
    }

    /// It says why it does nothing, in these words, and does nothing: what it was given last it holds.
    fn waits_saying(&self, words: &[&str]) {
        until(&format!("{words:?} in: {}", self.running.err()), || {
            let said = self.running.err();
            words.iter().all(|words| said.contains(words)).then_some(())
        });
        thread::sleep(WATCHED);
        assert_eq!(self.kafka.values(&self.topic).len(), self.given - 10);
        let (held, ..): (usize, String, String, Vec<(String, String)>) = self.redis.run(&["XPENDING", "in", "g"]);
        assert_eq!(held, 10, "{}", self.running.err());
        self.has_no_dead();
        // Said, not shouted: a try that fails for the same reason again is told at most every few seconds.
        let lines = self.running.err().lines().filter(|line| words.iter().all(|words| line.contains(words))).count();
        assert!(lines <= 10, "{}", self.running.err());
    }

    fn has_no_dead(&self) {
        assert_eq!(self.redis.run::<u64>(&["XLEN", "dead"]), 0);
    }

    fn is_up(&self) -> Option<f64> {
        metric(self.port, r#"rialto_broker_up{broker="log"}"#)
    }
}

/// `bootstrap_servers` of a listener, and more.
fn login(kafka: &Kafka, listener: &str, more: &str) -> String {
    format!("{{ bootstrap_servers: ['{}'], {more} }}", kafka.address(listener))
}

/// A client that trusts the tests' authority.
fn trusting(kafka: &Kafka) -> String {
    format!("tls: {{ ca_file: '{}' }}", kafka.file("ca.pem").display())
}

/// The same with a certificate of its own, in files of this name.
fn identified(kafka: &Kafka, name: &str, not_after: i32) -> String {
    let (certificate, key) = kafka.certificate(name, "client.test", not_after);
    let [cert_file, key_file] = ["cert", "key"].map(|what| kafka.file(&format!("{name}.{what}.pem")));
    fs::write(&cert_file, certificate).expect("a file");
    fs::write(&key_file, key).expect("a file");
    let ca_file = kafka.file("ca.pem");
    let [ca_file, cert_file, key_file] = [ca_file, cert_file, key_file].map(|file| file.display().to_string());
    format!("tls: {{ ca_file: '{ca_file}', cert_file: '{cert_file}', key_file: '{key_file}' }}")
}

/// A login by name and password.
fn password(mechanism: &str, user: &str) -> String {
    format!("sasl: {{ mechanism: {mechanism}, username: {user}, password: {user}-secret }}")
}
