//! The stand-in of `tests/service_bus`, by its control face: what is in it is put and looked at by somebody who is not Rialto.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// Told to whoever runs the tests without servers: nothing is ever skipped.
const HOW: &str = "start the servers with `eval \"$(tests/brokers/up)\"`, or run `tests/run`";

/// A running stand-in.
pub(crate) struct StandIn {
    control: String,
    client: reqwest::Client,
    /// `host:port` of its plain AMQP face.
    pub(crate) amqp: String,
    /// The URL of its plain HTTP face.
    pub(crate) http: String,
    policy: String,
    key: String,
}

/// A message as the stand-in shows it.
#[derive(Debug)]
pub(crate) struct Stored(pub(crate) Value);

impl Stored {
    pub(crate) fn body(&self) -> String {
        String::from_utf8(self.bytes()).expect("text")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        BASE64_STANDARD.decode(self.0["body_base64"].as_str().expect("a body of bytes")).expect("base64")
    }

    /// Its application properties.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0["application_properties"].as_object().into_iter().flatten()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }
}

/// A name that no other test uses.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl StandIn {
    /// The one that runs for all tests.
    pub(crate) async fn find() -> Self {
        let control =
            std::env::var("RIALTO_TEST_SERVICE_BUS").unwrap_or_else(|_| panic!("RIALTO_TEST_SERVICE_BUS is not set: {HOW}"));
        // The client of the broker under test takes the provider of the process, which nobody has set here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let about = client.get(&control).send().await.expect("the stand-in answers").bytes().await.expect("a body");
        let about: Value = serde_json::from_slice(&about).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let amqp = text(&about["amqp"]).trim_start_matches("amqp://").to_owned();
        let http = text(&about["http"]);
        let policy = &about["policies"][0];
        Self { control, client, amqp, http, policy: text(&policy["name"]), key: text(&policy["key"]) }
    }

    /// The broker's settings for an AMQP face at that address, in YAML.
    pub(crate) fn settings_at(&self, address: &str) -> String {
        Self::settings_as(address, &self.policy, &self.key)
    }

    /// The same as somebody else.
    pub(crate) fn settings_as(address: &str, policy: &str, key: &str) -> String {
        let text =
            format!("Endpoint=sb://{address};SharedAccessKeyName={policy};SharedAccessKey={key};UseDevelopmentEmulator=true");
        format!("{{ connection_string: {text:?} }}")
    }

    /// The broker's settings for it.
    pub(crate) fn settings(&self) -> String {
        self.settings_at(&self.amqp)
    }

    /// The same, publishing over HTTPS; reading stays with AMQP.
    pub(crate) fn settings_over_https(&self) -> String {
        let Self { amqp, http, policy, key, .. } = self;
        format!("{{ namespace: contoso, policy: {policy}, key: {key:?}, endpoint: '{http}', amqp_endpoint: 'amqp://{amqp}' }}")
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let answer =
            self.client.request(method, format!("{}/{path}", self.control)).body(body.to_string()).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("text"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Tells it something.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(reqwest::Method::POST, path, &body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask(reqwest::Method::GET, path, &json!({})).await
    }

    /// A fresh queue, or a topic where `settings` name subscriptions.
    pub(crate) async fn entity(&self, settings: Value) -> String {
        let name = unique("entity");
        self.ask(reqwest::Method::PUT, &format!("entities/{name}"), &settings).await;
        name
    }

    /// Puts messages in order.
    pub(crate) async fn put<B: AsRef<str>>(&self, name: &str, bodies: &[B]) {
        for chunk in bodies.chunks(1000) {
            let messages: Vec<_> = chunk.iter().map(|body| json!({ "Body": body.as_ref() })).collect();
            self.put_messages(name, Value::Array(messages)).await;
        }
    }

    /// The same in its own form.
    pub(crate) async fn put_messages(&self, name: &str, messages: Value) {
        self.post(&format!("entities/{}/messages", encoded(name)), messages).await;
    }

    /// What its queue, subscription or dead letters hold, taking nothing.
    pub(crate) async fn messages(&self, name: &str) -> Vec<Stored> {
        let Value::Array(found) = self.get(&format!("entities/{}/messages", encoded(name))).await else { panic!("no list") };
        found.into_iter().map(Stored).collect()
    }

    /// The same, taking all.
    pub(crate) async fn take(&self, name: &str) -> Vec<Stored> {
        let Value::Array(found) = self.post(&format!("entities/{}/take", encoded(name)), json!({})).await else {
            panic!("no list")
        };
        found.into_iter().map(Stored).collect()
    }

    /// One of its counts.
    pub(crate) async fn count(&self, name: &str, what: &str) -> u64 {
        let counts = self.get(&format!("entities/{}", encoded(name))).await;
        counts[what].as_u64().unwrap_or_else(|| panic!("no count `{what}` in {counts}"))
    }

    /// Messages that a reader would still get, those that are locked among them.
    pub(crate) async fn waiting(&self, name: &str) -> u64 {
        self.count(name, "active").await + self.count(name, "locked").await
    }

    /// All of a name's locks end now.
    pub(crate) async fn expire(&self, name: &str) {
        self.post(&format!("entities/{}/expire", encoded(name)), json!({})).await;
    }
}

fn encoded(name: &str) -> String {
    name.replace('/', "%2F").replace('$', "%24")
}
