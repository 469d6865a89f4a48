//! The doors that open.

use std::{collections::BTreeMap, fs};

use super::{Bridge, Kafka, Place, Server, Way, free_port, get, identified, login, password, trusting, until};

const EVENTS: usize = 20;

/// Every way to prove who one is, by a name.
fn ways(kafka: &Kafka) -> BTreeMap<&'static str, String> {
    let token = kafka.file("good.jwt");
    fs::write(&token, kafka.token("bearer", 3600)).expect("a file");
    let bearer = format!("sasl: {{ mechanism: OAUTHBEARER, token_file: '{}' }}", token.display());
    let by_login = |sasl: String| login(kafka, "LOGIN", &format!("{}, {sasl}", trusting(kafka)));
    BTreeMap::from([
        ("certificate", login(kafka, "TLS", &identified(kafka, "certificate", 2999))),
        ("plain", by_login(password("PLAIN", "plain"))),
        ("scram256", by_login(password("SCRAM-SHA-256", "scram"))),
        ("scram512", by_login(password("SCRAM-SHA-512", "scram"))),
        ("bearer", by_login(bearer)),
    ])
}

/// One bridge with a broker for each way, all of them the same Kafka, and what it says; ended in order once `done`.
fn through_all(kafka: &Kafka, redis: &Server, sources: &str, routes: &str, done: impl Fn(&str)) {
    let port = free_port();
    let brokers: Vec<String> = ways(kafka).iter().map(|(name, way)| format!("  {name}: {{ kafka: {way} }}\n")).collect();
    let brokers = brokers.concat();
    let place = Place::with(&format!(
        "name: secure\ntelemetry: {{ listen: '127.0.0.1:{port}' }}\nbrokers:\n  live: {}\n{brokers}sources:\n{sources}routes:\n{routes}",
        redis.url()
    ));
    let mut running = place.start(&["run"]);
    until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
    for name in ways(kafka).keys() {
        done(name);
    }
    assert_eq!(redis.run::<u64>(&["XLEN", "dead"]), 0);
    assert_eq!(running.stop(), 0, "{}", running.err());
    let token = fs::read_to_string(kafka.file("good.jwt")).expect("a token");
    for secret in ["plain-secret", "scram-secret", &token] {
        assert!(!running.err().contains(secret), "a secret is in the log");
    }
}

#[test]
fn every_way_to_prove_who_one_is_opens_for_writing() {
    let (kafka, redis) = (Kafka::shared(), Server::start(&[]));
    let names: Vec<&str> = ways(&kafka).into_keys().collect();
    for name in &names {
        kafka.topic(&format!("in.{name}"));
    }
    for n in 0..EVENTS {
        let _: String = redis.run(&["XADD", "in", "*", "body", &format!(r#"{{"n":{n}}}"#)]);
    }
    let source = "  in: { broker: live, stream: in, group: g, dead_letter: { broker: live, stream: dead } }\n";
    let to: Vec<String> = names.iter().map(|name| format!("{name}/in.{name}")).collect();
    let to = to.join(", ");
    through_all(&kafka, &redis, source, &format!("  - {{ name: out, from: in, to: [{to}] }}\n"), |name| {
        until(name, || (kafka.values(&format!("in.{name}")).len() == EVENTS).then_some(()));
    });
}

#[test]
fn every_way_to_prove_who_one_is_opens_for_reading() {
    let (kafka, redis) = (Kafka::shared(), Server::start(&[]));
    let events: Vec<String> = (0..EVENTS).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    let (mut sources, mut routes) = (Vec::new(), Vec::new());
    for name in ways(&kafka).keys() {
        kafka.topic(&format!("out.{name}"));
        kafka.write(&format!("out.{name}"), &events);
        let read = format!("{{ broker: {name}, topic: out.{name}, group: {name}, dead_letter: {{ broker: live, stream: dead }} }}");
        sources.push(format!("  {name}: {read}\n"));
        routes.push(format!("  - {{ name: {name}, from: {name}, to: {{ broker: live, stream: out.{name} }} }}\n"));
    }
    through_all(&kafka, &redis, &sources.concat(), &routes.concat(), |name| {
        until(name, || (redis.run::<usize>(&["XLEN", &format!("out.{name}")]) == EVENTS).then_some(()));
    });
}

/// A certificate names its holder, whom the broker may know by name.
#[test]
fn the_name_in_a_certificate_is_the_one_that_permissions_are_for() {
    let kafka = Kafka::shared();
    kafka.admin(&["acls", "--add", "--allow-principal", "User:holder", "--operation", "All", "--topic", "held"]);
    let mut bridge = Bridge::start(Way::Writing, kafka.clone(), "held", &login(&kafka, "TLS", &identified(&kafka, "holder", 2999)));
    bridge.give();
    bridge.has_delivered_all();
}
