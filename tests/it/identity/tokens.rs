//! RabbitMQ by token: renewed on the open connection, waited for when there is none, and read anew from its file.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Circle,
    authority::{Authority, put},
    login_server::LoginServer,
    rabbit::Rabbit,
};
use crate::{
    cli::{Place, metric},
    support::{broker, house, origin},
};

const TO: &str = "queue: q";
const BACK: &str = "queue: q, declare: true";

/// A RabbitMQ that trusts this server's tokens, and how it is reached.
fn rabbit(login: &LoginServer, place: &Place, who: &str) -> (Rabbit, String) {
    let ours = Authority::new("ours");
    let key = login.public_key(&place.path(""));
    let settings = format!(
        "auth_backends.1 = rabbit_auth_backend_oauth2\nauth_oauth2.resource_server_id = rabbitmq\n\
         auth_oauth2.default_key = tests\nauth_oauth2.signing_keys.tests = {}",
        key.display()
    );
    let rabbit = Rabbit::start(&ours, &settings, &["rabbitmq_auth_backend_oauth2"]);
    let trusted = ours.trust(&place.path(""), "ca");
    let far = format!("{{ amqp: {{ url: '{}', tls: {{ ca_file: '{}' }}, {who} }} }}", rabbit.url(), trusted.display());
    (rabbit, far)
}

fn client(login: &LoginServer) -> String {
    let url = format!("http://127.0.0.1:{}/token", login.port);
    format!("oauth: {{ token_url: '{url}', client_id: rialto, client_secret: 'cl13nt', scope: 'rabbitmq' }}")
}

#[test]
fn a_token_is_renewed_on_the_open_connection() {
    let login = LoginServer::start();
    let place = Place::empty();
    let (_rabbit, far) = rabbit(&login, &place, &client(&login));
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.flows();
    let lost = |circle: &Circle| metric(circle.telemetry, r#"rialto_broker_reconnects_total{broker="far"}"#).expect("a number");
    let before = lost(&circle);
    // Three lives of a token.
    let end = Instant::now() + Duration::from_secs(25);
    while Instant::now() < end {
        circle.flows();
        thread::sleep(Duration::from_millis(500));
    }
    assert!((lost(&circle) - before).abs() < 0.5, "no connection was lost: {}", circle.bridge.err());
    assert!(login.granted() >= 3, "{}", login.granted());
    assert!(circle.came().len() == circle.sent, "nothing came twice");
    circle.ends_well(&["cl13nt", "eyJ"]);
}

#[test]
fn without_a_token_that_holds_everything_waits() {
    let login = LoginServer::start();
    let place = Place::empty();
    login.denies(true);
    let (_rabbit, far) = rabbit(&login, &place, &client(&login));
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.waits("unauthenticated", "invalid_client: no such client");
    login.denies(false);
    circle.flows();

    // The open connection's token ends, and there is no other.
    login.is_down(true);
    thread::sleep(Duration::from_secs(9));
    circle.waits("throttled", "503 Service Unavailable");
    login.is_down(false);
    circle.flows();
    circle.ends_well(&["cl13nt", "eyJ"]);
}

#[test]
fn a_token_file_is_read_when_it_changes() {
    let login = LoginServer::start();
    let place = Place::empty();
    let folder = place.path("");
    let token = |life: u64| put(&folder, "token", &login.token(SystemTime::now() + Duration::from_secs(life)));
    let file = token(0);
    let (_rabbit, far) = rabbit(&login, &place, &format!("token_file: '{}'", file.display()));
    let mut circle = Circle::start(place, &far, TO, BACK);
    circle.waits("unauthenticated", "the token has expired");
    token(12);
    circle.flows();
    token(3600);
    thread::sleep(Duration::from_secs(13));
    circle.flows();
    assert!(!circle.bridge.err().contains("link lost"), "the new token was told in time: {}", circle.bridge.err());
    circle.ends_well(&["eyJ"]);
}

/// OpenSSL is the witness: it made the key, and it verifies what we sign.
#[tokio::test]
async fn entra_is_shown_a_certificate_s_signature() {
    let login = LoginServer::start();
    let folder = tempfile::tempdir().expect("a directory");
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().expect("openssl is in PATH");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    openssl(&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=app", "-keyout", "app.key", "-out", "app.pem"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let entra = format!(
        "tenant: contoso, client_id: app, authority: 'http://127.0.0.1:{}', scope: s, cert_file: '{}', key_file: '{}'",
        login.port,
        file("app.pem"),
        file("app.key")
    );
    let broker = broker(&rialto::broker::amqp::KIND, &format!("{{ url: 'amqp://127.0.0.1:1', entra: {{ {entra} }} }}"));
    // Nobody listens there: the token is asked for all the same.
    origin(&*broker, "q").open(&house()).await.err().expect("no RabbitMQ");
    let asked = login.asked().remove(0);
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(asked.rsplit("\r\n").next().expect("a body").as_bytes()).into_owned().collect();
    let word = &form["client_assertion"];
    let (signed, signature) = word.rsplit_once('.').expect("a signature");
    let decoded = |text: &str| base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text).expect("base64url");
    std::fs::write(file("signed"), signed).expect("a file");
    std::fs::write(file("signature"), decoded(signature)).expect("a file");
    let public = openssl(&["x509", "-in", "app.pem", "-noout", "-pubkey"]);
    std::fs::write(file("public.pem"), public).expect("a file");
    let how = ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-verify", "public.pem", "-signature", "signature", "signed"];
    openssl(&[&["dgst"], &how[..]].concat());

    let (head, claims) = signed.split_once('.').expect("two parts");
    let read = |part: &str| serde_json::from_slice::<serde_json::Value>(&decoded(part)).expect("JSON");
    let (head, claims) = (read(head), read(claims));
    // `sha256 Fingerprint=AB:CD:…`
    let print = String::from_utf8(openssl(&["x509", "-in", "app.pem", "-noout", "-fingerprint", "-sha256"])).expect("text");
    let print = print.trim().rsplit('=').next().expect("a print").split(':').map(|byte| u8::from_str_radix(byte, 16));
    let print: Vec<u8> = print.collect::<Result<_, _>>().expect("hexadecimal");
    let shown = decoded(head["x5t#S256"].as_str().expect("text"));
    assert_eq!((head["alg"].as_str(), shown), (Some("PS256"), print));
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("app"), Some("app")));
    let audience = format!("http://127.0.0.1:{}/contoso/oauth2/v2.0/token", login.port);
    assert_eq!(claims["aud"].as_str(), Some(audience.as_str()));
    assert_eq!(claims["exp"].as_u64().expect("seconds") - claims["nbf"].as_u64().expect("seconds"), 600);
}
