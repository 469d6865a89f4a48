//! The doors that do not open, and what opens them: each for a bridge that writes and for one that reads.

use std::{fs, sync::Arc, thread};

use super::{Bridge, JUDGED_AGAIN, Kafka, Way, authority, identified, login, password, trusting};

/// How the log says that a handshake has failed.
const TLS: &str = r#""reason":"tls""#;

/// And what may be wrong with the broker's certificate.
const NOT_TRUSTED: &[&str] = &[TLS, "certificate verify failed", "out of its dates"];

const UNAUTHENTICATED: &str = r#""reason":"unauthenticated""#;

const FORBIDDEN: &str = r#""reason":"forbidden""#;

/// At the same door, both ways.
struct Both([Bridge; 2]);

impl Both {
    fn start(kafka: &Arc<Kafka>, topic: &str, login: &str) -> Self {
        Self(Bridge::both(kafka, topic, login))
    }

    fn give(&mut self) {
        self.0.iter_mut().for_each(Bridge::give);
    }

    fn wait_saying(&self, words: &[&str]) {
        for bridge in &self.0 {
            bridge.waits_saying(words);
        }
    }

    fn are_down(&self) {
        for bridge in &self.0 {
            assert_eq!(bridge.is_up(), Some(0.0), "{:?}", bridge.way);
        }
    }

    fn have_delivered_all(&self) {
        self.0.iter().for_each(Bridge::has_delivered_all);
    }
}

#[test]
fn an_authority_that_we_do_not_know_is_not_trusted_until_its_file_is_the_right_one() {
    let kafka = Kafka::shared();
    let ca = kafka.file("other-ca.pem");
    fs::write(&ca, authority().1).expect("a file");
    let tls = format!("security_protocol: SSL, tls: {{ ca_file: '{}' }}", ca.display());
    let mut bridges = Both::start(&kafka, "wrong-authority", &login(&kafka, "TRUSTED", &tls));
    bridges.give();
    bridges.wait_saying(NOT_TRUSTED);
    bridges.are_down();
    fs::copy(kafka.file("ca.pem"), ca).expect("a file");
    bridges.have_delivered_all();
}

#[test]
fn an_expired_certificate_of_the_broker_is_refused_until_it_has_a_new_one() {
    let kafka = Kafka::shared();
    let mut bridges = Both::start(&kafka, "expired-broker", &login(&kafka, "EXPIRED", &trusting(&kafka)));
    bridges.give();
    bridges.wait_saying(NOT_TRUSTED);
    kafka.keystore("expired", "127.0.0.1", 2999);
    kafka.reload("expired");
    bridges.have_delivered_all();
}

#[test]
fn a_certificate_for_another_host_is_refused_until_it_names_the_right_one() {
    let kafka = Kafka::shared();
    let mut bridges = Both::start(&kafka, "wrong-host", &login(&kafka, "ELSEWHERE", &trusting(&kafka)));
    bridges.give();
    bridges.wait_saying(NOT_TRUSTED);
    kafka.keystore("elsewhere", "127.0.0.1", 2999);
    kafka.reload("elsewhere");
    bridges.have_delivered_all();
}

#[test]
fn an_expired_certificate_of_ours_is_refused_until_its_files_are_renewed() {
    let kafka = Kafka::shared();
    let mut bridges = Both::start(&kafka, "expired-client", &login(&kafka, "TLS", &identified(&kafka, "forgotten", 2002)));
    bridges.give();
    bridges.wait_saying(&[TLS, "alert certificate"]);
    bridges.are_down();
    identified(&kafka, "forgotten", 2999);
    bridges.have_delivered_all();
}

#[test]
fn a_wrong_password_waits_until_its_file_has_the_right_one() {
    let kafka = Kafka::shared();
    let file = kafka.file("wrong-password");
    fs::write(&file, "not-the-secret").expect("a file");
    let sasl = format!("sasl: {{ mechanism: SCRAM-SHA-256, username: scram, password_file: '{}' }}", file.display());
    let way = format!("{}, {sasl}", trusting(&kafka));
    let mut bridges = Both::start(&kafka, "wrong-password", &login(&kafka, "LOGIN", &way));
    bridges.give();
    bridges.wait_saying(&[UNAUTHENTICATED, "SCRAM-SHA-256"]);
    bridges.are_down();
    for bridge in &bridges.0 {
        assert!(!bridge.running.err().contains("not-the-secret"), "a secret is in the log");
    }
    fs::write(&file, "scram-secret").expect("a file");
    bridges.have_delivered_all();
}

#[test]
fn a_user_who_is_revoked_waits_and_goes_on_when_restored() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("SCRAM-SHA-512", "revoked"));
    let mut bridges = Both::start(&kafka, "revoked-user", &login(&kafka, "LOGIN", &way));
    bridges.give();
    bridges.have_delivered_all();
    kafka.admin(&["configs", "--alter", "--entity-type", "users", "--entity-name", "revoked", "--delete-config", "SCRAM-SHA-512"]);
    thread::sleep(2 * JUDGED_AGAIN);
    bridges.give();
    bridges.wait_saying(&[UNAUTHENTICATED, "SCRAM-SHA-512"]);
    let restored = "SCRAM-SHA-512=[password=revoked-secret]";
    kafka.admin(&["configs", "--alter", "--entity-type", "users", "--entity-name", "revoked", "--add-config", restored]);
    bridges.have_delivered_all();
}

#[test]
fn a_token_that_has_expired_is_refused_until_its_file_has_another() {
    let kafka = Kafka::shared();
    let file = kafka.file("expired.jwt");
    fs::write(&file, kafka.token("bearer", -60)).expect("a file");
    let way = format!("{}, sasl: {{ mechanism: OAUTHBEARER, token_file: '{}' }}", trusting(&kafka), file.display());
    let mut bridges = Both::start(&kafka, "expired-token", &login(&kafka, "LOGIN", &way));
    bridges.give();
    bridges.wait_saying(&[UNAUTHENTICATED]);
    fs::write(&file, kafka.token("bearer", 3600)).expect("a file");
    bridges.have_delivered_all();
}

/// The user PLAIN, who is denied something.
struct Denied<'a> {
    kafka: &'a Kafka,
    rule: [&'a str; 6],
}

impl<'a> Denied<'a> {
    fn new(kafka: &'a Kafka, operation: &'a str, what: &'a str, name: &'a str) -> Self {
        let rule = ["--deny-principal", "User:plain", "--operation", operation, what, name];
        kafka.admin(&[&["acls", "--add"], &rule[..]].concat());
        Self { kafka, rule }
    }

    fn lift(self) {
        self.kafka.admin(&[&["acls", "--remove", "--force"], &self.rule[..]].concat());
    }
}

#[test]
fn a_topic_that_is_denied_pauses_and_goes_on_when_allowed() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("PLAIN", "plain"));
    let mut bridges = Both::start(&kafka, "denied-topic", &login(&kafka, "LOGIN", &way));
    bridges.give();
    bridges.have_delivered_all();
    let topics = bridges.0.each_ref().map(|bridge| (bridge.way.operation(), bridge.topic.clone()));
    let denied = topics.each_ref().map(|(operation, topic)| Denied::new(&kafka, operation, "--topic", topic));
    let [_, reading] = &bridges.0;
    // A fetch that was allowed, and waits for something to come, may still bring it.
    reading.says(&[FORBIDDEN]);
    bridges.give();
    for bridge in &bridges.0 {
        bridge.waits_saying(&[FORBIDDEN, bridge.way.words(true)]);
    }
    denied.into_iter().for_each(Denied::lift);
    bridges.have_delivered_all();
}

#[test]
fn a_group_that_is_denied_closes_the_source_until_it_is_allowed() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("PLAIN", "plain"));
    let mut bridge = Bridge::start(Way::Reading, kafka.clone(), "denied-group", &login(&kafka, "LOGIN", &way));
    bridge.give();
    bridge.has_delivered_all();
    let denied = Denied::new(&kafka, "Read", "--group", "denied-group");
    bridge.says(&[FORBIDDEN]);
    bridge.give();
    bridge.waits_saying(&[FORBIDDEN, bridge.way.words(true)]);
    let answer = bridge.place.rialto(&["check", "--connect"]);
    assert!(answer.code != 0 && answer.err.contains("forbidden"), "{answer:?}");
    denied.lift();
    bridge.has_delivered_all();
    let answer = bridge.place.rialto(&["check", "--connect"]);
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Whoever answers in plain text where TLS was asked for gets not one byte of a message, nor the password.
#[test]
fn there_is_no_way_back_to_plain_text() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("PLAIN", "plain"));
    let mut bridges = Both::start(&kafka, "no-way-back", &login(&kafka, "", &way));
    bridges.give();
    bridges.wait_saying(&[TLS]);
    bridges.are_down();
    let mut open = Both::start(&kafka, "nor-another", &login(&kafka, "TLS", "security_protocol: PLAINTEXT"));
    open.give();
    for bridge in &open.0 {
        bridge.waits_saying(&[bridge.way.words(false)]);
    }
    open.are_down();
}
