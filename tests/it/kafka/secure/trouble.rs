//! The doors that do not open, and what opens them.

use std::{fs, thread};

use super::{Bridge, JUDGED_AGAIN, Kafka, authority, identified, login, password, trusting};

/// How the log says that a handshake has failed.
const TLS: &str = r#""reason":"tls""#;

#[test]
fn an_authority_that_we_do_not_know_is_not_trusted() {
    let kafka = Kafka::shared();
    let ca = kafka.file("other-ca.pem");
    fs::write(&ca, authority().1).expect("a file");
    let tls = format!("security_protocol: SSL, tls: {{ ca_file: '{}' }}", ca.display());
    let mut bridge = Bridge::start(kafka.clone(), "wrong-authority", &login(&kafka, "EXPIRED", &tls));
    bridge.give();
    bridge.waits_saying(&[TLS, "certificate verify failed"]);
    assert_eq!(bridge.is_up(), Some(0.0));
}

#[test]
fn an_expired_certificate_of_the_broker_is_refused_until_it_has_a_new_one() {
    let kafka = Kafka::shared();
    let mut bridge = Bridge::start(kafka.clone(), "expired-broker", &login(&kafka, "EXPIRED", &trusting(&kafka)));
    bridge.give();
    bridge.waits_saying(&[TLS, "certificate verify failed"]);
    kafka.keystore("expired", "127.0.0.1", 2999);
    kafka.reload("expired");
    bridge.has_delivered_all();
}

#[test]
fn a_certificate_for_another_host_is_refused_until_it_names_the_right_one() {
    let kafka = Kafka::shared();
    let mut bridge = Bridge::start(kafka.clone(), "wrong-host", &login(&kafka, "ELSEWHERE", &trusting(&kafka)));
    bridge.give();
    bridge.waits_saying(&[TLS, "certificate verify failed"]);
    kafka.keystore("elsewhere", "127.0.0.1", 2999);
    kafka.reload("elsewhere");
    bridge.has_delivered_all();
}

#[test]
fn an_expired_certificate_of_ours_is_refused_until_its_files_are_renewed() {
    let kafka = Kafka::shared();
    let mut bridge = Bridge::start(kafka.clone(), "expired-client", &login(&kafka, "TLS", &identified(&kafka, "forgotten", 2002)));
    bridge.give();
    bridge.waits_saying(&[TLS, "alert certificate"]);
    assert_eq!(bridge.is_up(), Some(0.0));
    identified(&kafka, "forgotten", 2999);
    bridge.has_delivered_all();
}

#[test]
fn a_user_who_is_revoked_waits_and_goes_on_when_restored() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("SCRAM-SHA-512", "revoked"));
    let mut bridge = Bridge::start(kafka.clone(), "revoked-user", &login(&kafka, "LOGIN", &way));
    bridge.give();
    bridge.has_delivered_all();
    kafka.admin(&["configs", "--alter", "--entity-type", "users", "--entity-name", "revoked", "--delete-config", "SCRAM-SHA-512"]);
    thread::sleep(2 * JUDGED_AGAIN);
    bridge.give();
    bridge.waits_saying(&[r#""reason":"unauthenticated""#, "SCRAM-SHA-512"]);
    let restored = "SCRAM-SHA-512=[password=revoked-secret]";
    kafka.admin(&["configs", "--alter", "--entity-type", "users", "--entity-name", "revoked", "--add-config", restored]);
    bridge.has_delivered_all();
}

#[test]
fn a_token_that_has_expired_is_refused_until_its_file_has_another() {
    let kafka = Kafka::shared();
    let file = kafka.file("expired.jwt");
    fs::write(&file, kafka.token("bearer", -60)).expect("a file");
    let way = format!("{}, sasl: {{ mechanism: OAUTHBEARER, token_file: '{}' }}", trusting(&kafka), file.display());
    let mut bridge = Bridge::start(kafka.clone(), "expired-token", &login(&kafka, "LOGIN", &way));
    bridge.give();
    bridge.waits_saying(&[r#""reason":"unauthenticated""#]);
    fs::write(&file, kafka.token("bearer", 3600)).expect("a file");
    bridge.has_delivered_all();
}

#[test]
fn a_topic_that_is_denied_pauses_and_goes_on_when_allowed() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("PLAIN", "plain"));
    let mut bridge = Bridge::start(kafka.clone(), "denied-topic", &login(&kafka, "LOGIN", &way));
    bridge.give();
    bridge.has_delivered_all();
    let rule = ["--deny-principal", "User:plain", "--operation", "Write", "--topic", "denied-topic"];
    kafka.admin(&[&["acls", "--add"], &rule[..]].concat());
    bridge.give();
    bridge.waits_saying(&[r#""reason":"forbidden""#, "destination paused"]);
    kafka.admin(&[&["acls", "--remove", "--force"], &rule[..]].concat());
    bridge.has_delivered_all();
}

/// Whoever answers in plain text where TLS was asked for gets not one byte of a message, nor the password.
#[test]
fn there_is_no_way_back_to_plain_text() {
    let kafka = Kafka::shared();
    let way = format!("{}, {}", trusting(&kafka), password("PLAIN", "plain"));
    let mut bridge = Bridge::start(kafka.clone(), "no-way-back", &login(&kafka, "", &way));
    bridge.give();
    bridge.waits_saying(&[TLS]);
    assert_eq!(bridge.is_up(), Some(0.0));
    let mut open = Bridge::start(kafka.clone(), "nor-another", &login(&kafka, "TLS", "security_protocol: PLAINTEXT"));
    open.give();
    open.waits_saying(&["cannot connect"]);
    assert_eq!(open.is_up(), Some(0.0));
}
