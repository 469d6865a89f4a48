//! Every secure door of Kafka, in and out, and what happens at a door that does not open, whichever end of the bridge stands there: it
//! pauses and says why, nothing is lost, sent twice or dead-lettered, and it goes on by itself when somebody has mended it.

use std::{
    collections::HashMap,
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    cli::{Place, Running, get, metric, until},
    redis::{Server, free_port},
    support::PATIENCE,
};

mod doors;
mod own;
mod trouble;

use own::{JUDGED_AGAIN, Kafka, authority};

/// How long a bridge is watched doing nothing.
const WATCHED: Duration = Duration::from_secs(3);

/// Which end of a bridge is at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Kafka is where it publishes.
    Writing,
    /// Kafka is what it reads.
    Reading,
}

impl Way {
    /// In words: one that is said of a topic that may not be used, and of a cluster that is not to be had.
    fn words(self, denied: bool) -> &'static str {
        match (self, denied) {
            (Self::Writing, true) => "destination paused",
            (Self::Writing, false) => "cannot connect",
            (Self::Reading, _) => "source lost or not to be had",
        }
    }

    /// The operation that it needs.
    fn operation(self) -> &'static str {
        match self {
            Self::Writing => "Write",
            Self::Reading => "Read",
        }
    }
}

/// A bridge between a stream of a Redis of its own and a topic, with its dead letters in another stream.
struct Bridge {
    way: Way,
    kafka: std::sync::Arc<Kafka>,
    redis: Server,
    running: Running,
    topic: String,
    port: u16,
    given: usize,
    place: Place,
}

impl Bridge {
    /// Two at one door, one for each way, each with a topic of its own. `login` is what stands under `kafka`.
    fn both(kafka: &std::sync::Arc<Kafka>, topic: &str, login: &str) -> [Self; 2] {
        [(Way::Writing, topic.to_owned()), (Way::Reading, format!("{topic}.read"))]
            .map(|(way, topic)| Self::start(way, kafka.clone(), &topic, login))
    }

    fn start(way: Way, kafka: std::sync::Arc<Kafka>, topic: &str, login: &str) -> Self {
        kafka.topic(topic);
        let (redis, port) = (Server::start(&[]), free_port());
        let dead = "dead_letter: { broker: live, stream: dead }";
        let (source, to) = match way {
            Way::Writing => (format!("{{ broker: live, stream: in, group: g, {dead} }}"), format!("log/{topic}")),
            Way::Reading => {
                (format!("{{ broker: log, topic: {topic}, group: {topic}, {dead} }}"), "{ broker: live, stream: out }".to_owned())
            }
        };
        let place = Place::with(&format!(
            r#"
name: secure
telemetry: {{ listen: "127.0.0.1:{port}" }}
shutdown: {{ timeout: 5s }}
brokers:
  log: {{ kafka: {login} }}
  live: {}
sources:
  in: {source}
routes:
  - {{ name: out, from: in, to: {to} }}
"#,
            redis.url()
        ));
        let running = place.start(&["run"]);
        until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
        Self { way, kafka, redis, running, topic: topic.to_owned(), port, given: 0, place }
    }

    /// Ten more events for it.
    fn give(&mut self) {
        let bodies: Vec<String> = (self.given..self.given + 10).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        match self.way {
            Way::Writing => {
                for body in &bodies {
                    let _: String = self.redis.run(&["XADD", "in", "*", "body", body]);
                }
            }
            Way::Reading => self.kafka.write(&self.topic, &bodies),
        }
        self.given += bodies.len();
    }

    /// What it has delivered.
    fn delivered(&self) -> Vec<String> {
        match self.way {
            Way::Writing => self.kafka.values(&self.topic),
            Way::Reading => {
                let entries: Vec<(String, HashMap<String, String>)> = self.redis.run(&["XRANGE", "out", "-", "+"]);
                entries.into_iter().map(|(_, mut fields)| fields.remove("body").expect("a body")).collect()
            }
        }
    }

    /// All that was given is there, once and in order; nothing is dead.
    fn has_delivered_all(&self) {
        let expected: Vec<String> = (0..self.given).map(|n| format!(r#""payload":{{"n":{n}}}}}"#)).collect();
        let found = until(&format!("all of {}: {}", self.topic, self.running.err()), || {
            Some(self.delivered()).filter(|values| values.len() >= expected.len())
        });
        assert!(found.len() == expected.len() && found.iter().zip(&expected).all(|(value, end)| value.ends_with(end)), "{found:?}");
        self.has_no_dead();
    }

    /// It says why it does nothing, in these words, and does nothing: what it was given last it holds, or leaves where it is.
    fn waits_saying(&self, words: &[&str]) {
        self.says(words);
        thread::sleep(WATCHED);
        assert_eq!(self.delivered().len(), self.given - 10, "{:?}", self.way);
        if self.way == Way::Writing {
            let (held, ..): (usize, String, String, Vec<(String, String)>) = self.redis.run(&["XPENDING", "in", "g"]);
            assert_eq!(held, 10, "{}", self.running.err());
        }
        self.has_no_dead();
        // Said, not shouted: a try that fails for the same reason again is told at most every few seconds.
        let lines = self.running.err().lines().filter(|line| words.iter().all(|words| line.contains(words))).count();
        assert!((1..=10).contains(&lines), "all of it in one line, and not in many: {}", self.running.err());
    }

    fn says(&self, words: &[&str]) {
        let start = Instant::now();
        while !words.iter().all(|words| self.running.err().contains(words)) {
            assert!(start.elapsed() < PATIENCE, "{:?} never says {words:?}: {}", self.way, self.running.err());
            thread::sleep(Duration::from_millis(20));
        }
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
