//! Service Bus by tokens that end: Entra ID's and shared access signatures, sent with requests over HTTPS and put on `$cbs` over AMQP.
//! The stand-in checks each, also while a link is open: it detaches the links of one that is over.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Circle, authority::put, login_server::LoginServer};
use crate::{
    cli::Place,
    service_bus::stand_in::{StandIn, unique},
};

/// What Entra ID's tokens for Service Bus are for.
const AUDIENCE: &str = "https://servicebus.azure.net";

/// Longer than two lives of a token of either kind.
const WATCHED: Duration = Duration::from_secs(18);

/// How long a signature holds here; ours hold an hour.
const SIGNED: Duration = Duration::from_secs(6);

/// A queue of the stand-in, for a circle through it.
struct Bus {
    runtime: Runtime,
    stand_in: StandIn,
    queue: String,
}

impl Bus {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let stand_in = runtime.block_on(StandIn::find());
        let queue = runtime.block_on(stand_in.entity(json!({ "lock_seconds": 5, "max_delivery_count": 100 })));
        Self { runtime, stand_in, queue }
    }

    fn tell(&self, path: &str, what: Value) {
        self.runtime.block_on(self.stand_in.post(path, what));
    }

    /// From a stream to the queue and back; `who` is what the broker says of us.
    fn circle(&self, place: Place, transport: &str, who: &str) -> Circle {
        let StandIn { http, amqp, .. } = &self.stand_in;
        let far =
            format!("{{ service_bus: {{ {who}, transport: {transport}, endpoint: '{http}', amqp_endpoint: 'amqp://{amqp}' }} }}");
        let queue = format!("queue: {}", self.queue);
        Circle::start(place, &far, &queue, &queue)
    }

    fn ends_well(&self, circle: Circle, secrets: &[&str]) {
        circle.ends_well(secrets);
        let dead = self.runtime.block_on(self.stand_in.count(&format!("{}/$DeadLetterQueue", self.queue), "active"));
        assert_eq!(dead, 0, "nothing is dead-lettered by the queue either");
    }
}

/// Events flow for longer than any token lives, and no connection is lost over it.
fn flows_on(circle: &mut Circle) {
    circle.flows();
    let lost = |circle: &Circle| circle.metric(r#"rialto_broker_reconnects_total{broker="far"}"#).expect("a number");
    let (before, end) = (lost(circle), Instant::now() + WATCHED);
    while Instant::now() < end {
        circle.flows();
        thread::sleep(Duration::from_millis(500));
    }
    assert!((lost(circle) - before).abs() < 0.5, "nothing was lost over a token: {}", circle.bridge.err());
    assert_eq!(circle.came().len(), circle.sent, "nothing came twice");
}

/// Entra ID, as this server plays it.
fn entra(login: &LoginServer) -> String {
    let authority = format!("http://127.0.0.1:{}", login.port);
    format!(
        "namespace: contoso, entra: {{ tenant: contoso, client_id: rialto, client_secret: 'cl13nt', authority: '{authority}' }}"
    )
}

fn is_trusted(login: &LoginServer, bus: &Bus, place: &Place) {
    let key = std::fs::read_to_string(login.public_key(&place.path(""))).expect("a key");
    bus.tell("issuers", json!({ "key": key, "audience": AUDIENCE }));
}

fn a_token_of_entra_is_renewed_in_time(transport: &str) {
    let (login, bus, place) = (LoginServer::start(), Bus::new(), Place::empty());
    is_trusted(&login, &bus, &place);
    let mut circle = bus.circle(place, transport, &entra(&login));
    flows_on(&mut circle);
    assert!(login.granted() >= 3, "{}", login.granted());
    let asked = login.asked().remove(0);
    assert!(asked.starts_with("POST /contoso/oauth2/v2.0/token "), "{asked}");
    assert!(asked.contains("scope=https%3A%2F%2Fservicebus.azure.net%2F.default"), "{asked}");

    // There is no other token, and the one there is ends.
    login.is_down(true);
    thread::sleep(Duration::from_secs(9));
    circle.waits("throttled", "503 Service Unavailable");
    login.is_down(false);
    circle.flows();
    bus.ends_well(circle, &["cl13nt", "eyJ"]);
}

#[test]
fn a_token_of_entra_is_renewed_in_time_over_https() {
    a_token_of_entra_is_renewed_in_time("https");
}

#[test]
fn a_token_of_entra_is_renewed_in_time_over_amqp() {
    a_token_of_entra_is_renewed_in_time("amqp");
}

fn a_token_that_the_namespace_does_not_take_pauses(transport: &str) {
    let (login, bus, place) = (LoginServer::start(), Bus::new(), Place::empty());
    let folder = place.path("");
    let mut circle = bus.circle(place, transport, &entra(&login));
    circle.waits("unauthenticated", "InvalidToken");
    let key = std::fs::read_to_string(login.public_key(&folder)).expect("a key");
    bus.tell("issuers", json!({ "key": key, "audience": AUDIENCE }));
    circle.flows();
    // Who gives out tokens says no.
    login.denies(true);
    thread::sleep(Duration::from_secs(9));
    circle.waits("unauthenticated", "invalid_client: no such client");
    login.denies(false);
    circle.flows();
    bus.ends_well(circle, &["cl13nt", "eyJ"]);
}

#[test]
fn a_token_that_the_namespace_does_not_take_pauses_over_https() {
    a_token_that_the_namespace_does_not_take_pauses("https");
}

#[test]
fn a_token_that_the_namespace_does_not_take_pauses_over_amqp() {
    a_token_that_the_namespace_does_not_take_pauses("amqp");
}

/// Somebody who writes a fresh signature into a connection string every second, until told to pause.
struct Signer {
    file: PathBuf,
    pausing: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Signer {
    fn start(bus: &Bus, place: &Place) -> Self {
        let (policy, key) = (unique("signed"), "a2V5IG9mIHRoZSB0ZXN0cw==");
        bus.tell("policies", json!({ "name": policy, "key": key, "rights": ["Send", "Listen"] }));
        let folder = place.path("");
        let sign = move || put(&folder, "connection", &connection_string(&policy, key));
        let file = sign();
        let signer = Self { file, pausing: Arc::default(), over: Arc::default() };
        let (pausing, over) = (Arc::clone(&signer.pausing), Arc::clone(&signer.over));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_secs(1));
                if !pausing.load(Ordering::SeqCst) {
                    sign();
                }
            }
        });
        signer
    }

    fn pauses(&self, pausing: bool) {
        self.pausing.store(pausing, Ordering::SeqCst);
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// As Microsoft documents it, for the whole of a namespace.
fn connection_string(policy: &str, key: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let end = (SystemTime::now() + SIGNED).duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let resource = encoded("sb://contoso.servicebus.windows.net/");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = encoded(&BASE64_STANDARD.encode(hmac::sign(&key, format!("{resource}\n{end}").as_bytes())));
    let policy = encoded(policy);
    let signed = format!("SharedAccessSignature sr={resource}&sig={signature}&se={end}&skn={policy}");
    format!("Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessSignature={signed}")
}

fn a_signature_is_put_again_before_it_is_over(transport: &str) {
    let (bus, place) = (Bus::new(), Place::empty());
    let signer = Signer::start(&bus, &place);
    let mut circle = bus.circle(place, transport, &format!("connection_string_file: '{}'", signer.file.display()));
    flows_on(&mut circle);
    signer.pauses(true);
    thread::sleep(SIGNED + Duration::from_secs(1));
    circle.waits("unauthenticated", "`SharedAccessSignature` has expired");
    signer.pauses(false);
    circle.flows();
    bus.ends_well(circle, &["sig="]);
}

#[test]
fn a_signature_is_put_again_before_it_is_over_over_https() {
    a_signature_is_put_again_before_it_is_over("https");
}

#[test]
fn a_signature_is_put_again_before_it_is_over_over_amqp() {
    a_signature_is_put_again_before_it_is_over("amqp");
}
