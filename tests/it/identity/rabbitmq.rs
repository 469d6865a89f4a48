//! RabbitMQ over TLS: by password and by certificate.

use super::{
    Circle,
    authority::{Authority, GOOD, Says},
    rabbit::Rabbit,
};
use crate::cli::Place;

const TO: &str = "queue: q";
const BACK: &str = "queue: q, declare: true";

#[test]
fn a_server_is_trusted_only_while_its_certificate_is_right() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let rabbit = Rabbit::start(&ours, "", &[]);
    let place = Place::empty();
    let trusted = ours.trust(&place.path(""), "ca");
    let far = format!("{{ amqp: {{ url: '{}', tls: {{ ca_file: '{}' }} }} }}", rabbit.url(), trusted.display());
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.flows();
    // 2999-12-31T00:00:00Z.
    let expiry = r#"rialto_tls_certificate_expiry_timestamp_seconds{broker="far"}"#;
    assert_eq!(circle.metric(expiry), Some(32_503_593_600.0));

    for (authority, says, words) in [
        (&ours, Says { until: 2001, ..GOOD }, "certificate expired"),
        (&ours, Says { host: "elsewhere.test", ..GOOD }, "not valid for name"),
        (&theirs, GOOD, "UnknownIssuer"),
    ] {
        authority.issue(rabbit.folder(), "server", &says);
        rabbit.show_new_certificates();
        circle.waits("tls", words);
        ours.issue(rabbit.folder(), "server", &GOOD);
        rabbit.show_new_certificates();
        circle.flows();
    }

    // Both sides move to another authority, the bridge without a restart.
    theirs.issue(rabbit.folder(), "server", &GOOD);
    rabbit.show_new_certificates();
    circle.waits("tls", "UnknownIssuer");
    theirs.trust(&circle.place.path(""), "ca");
    circle.flows();
    circle.ends_well(&["guest:guest"]);
}

#[test]
fn a_certificate_says_who_we_are() {
    let ours = Authority::new("ours");
    let settings = "ssl_options.fail_if_no_peer_cert = true\nssl_cert_login_from = common_name\n\
                    auth_mechanisms.1 = EXTERNAL\nauth_mechanisms.2 = PLAIN";
    let rabbit = Rabbit::start(&ours, settings, &["rabbitmq_auth_mechanism_ssl"]);
    let allow = |user: &str| {
        rabbit.control(&["add_user", user, "a password that nobody uses"]);
        rabbit.control(&["set_permissions", user, ".*", ".*", ".*"]);
    };
    let place = Place::empty();
    let folder = place.path("");
    let trusted = ours.trust(&folder, "ca");
    let client = |name: &str, until| ours.issue(&folder, "client", &Says { host: "", name, until });
    let (cert, key) = client("rialto", 2999);
    let tls = format!("ca_file: '{}', cert_file: '{}', key_file: '{}'", trusted.display(), cert.display(), key.display());
    let far = format!("{{ amqp: {{ url: '{}', auth: external, tls: {{ {tls} }} }} }}", rabbit.url());
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.waits("unauthenticated", "ACCESS_REFUSED");
    allow("rialto");
    circle.flows();

    // Somebody takes the user away, and everybody's connections with it.
    rabbit.control(&["delete_user", "rialto"]);
    rabbit.control(&["close_all_connections", "revoked"]);
    circle.waits("unauthenticated", "ACCESS_REFUSED");
    // A new certificate, of another user: no restart.
    allow("rialto-2");
    client("rialto-2", 2999);
    circle.flows();

    client("rialto-2", 2001);
    rabbit.control(&["close_all_connections", "again"]);
    circle.waits("tls", "CertificateExpired");
    client("rialto-2", 2999);
    circle.flows();
    circle.ends_well(&[]);
}

#[test]
fn a_right_that_is_taken_away_is_waited_for() {
    let ours = Authority::new("ours");
    let rabbit = Rabbit::start(&ours, "", &[]);
    rabbit.control(&["add_user", "rialto", "s3cr3t"]);
    let may = |write: &str| rabbit.control(&["set_permissions", "rialto", ".*", write, ".*"]);
    may(".*");
    let place = Place::empty();
    let trusted = ours.trust(&place.path(""), "ca");
    let tls = format!("ca_file: '{}'", trusted.display());
    let far = format!("{{ amqp: {{ url: '{}', username: rialto, password: s3cr3t, tls: {{ {tls} }} }} }}", rabbit.url());
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.flows();
    may("nothing");
    // A channel that is in use goes on with the right that it has looked up.
    rabbit.control(&["close_all_connections", "again"]);
    circle.waits("forbidden", "ACCESS_REFUSED");
    // Long enough for the tries that a message has, were this one of them.
    std::thread::sleep(std::time::Duration::from_secs(45));
    let lost = circle.bridge.err().matches("link lost").count();
    assert!(lost < 4, "said once, not at each of many openings: {}", circle.bridge.err());
    may(".*");
    circle.flows();
    circle.ends_well(&["s3cr3t"]);
}

#[tokio::test]
async fn without_a_certificate_nobody_comes_in() {
    use crate::support::{broker, house, origin};
    use rialto::{broker::amqp::KIND, outcome::Reason};
    let ours = Authority::new("ours");
    let rabbit = Rabbit::start(&ours, "ssl_options.fail_if_no_peer_cert = true", &[]);
    let trusted = ours.trust(rabbit.folder(), "ca");
    let settings = format!("{{ url: '{}', tls: {{ ca_file: '{}' }} }}", rabbit.url(), trusted.display());
    let error = origin(&*broker(&KIND, &settings), "q").open(&house()).await.err().expect("not let in");
    // Its words are lost where it closes the connection on what we have sent meanwhile.
    let told = match error.reason {
        Reason::Tls => "CertificateRequired",
        Reason::Link => "the server may want another client certificate, or one at all",
        other => panic!("{other}: {error}"),
    };
    assert!(error.detail.contains(told), "{error}");
}
