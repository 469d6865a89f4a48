//! The endpoint's settings, its requests, and where it connects.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::{connect::Dialer, request::Letter, settings::Settings, *};
use crate::{
    broker::{Outgoing, standard_webhooks::Keys},
    envelope::{Carrier, Decode, DecodeRules, HeaderValue, Message, Property, RawMessage, decode},
    outcome::Reason,
    written::parse,
};

fn read(yaml: &str) -> (Option<Settings>, Problems) {
    let mut faults = Problems::default();
    let node = parse("test.yaml", yaml, &mut faults).expect("YAML");
    let settings = Settings::read(&node, &mut faults);
    (settings, faults)
}

fn settings(yaml: &str) -> Arc<Settings> {
    let (settings, faults) = read(yaml);
    assert!(faults.is_ok(), "{faults:?}");
    Arc::new(settings.expect("settings"))
}

fn broker(yaml: &str) -> Webhook {
    Webhook { name: "app".into(), settings: settings(yaml) }
}

fn targeted(broker: &Webhook, yaml: &str) -> (Option<Target>, Problems) {
    let mut faults = Problems::default();
    let node = parse("test.yaml", yaml, &mut faults).expect("YAML");
    let target = broker.target(&node, &mut faults);
    (target, faults)
}

#[test]
fn what_makes_no_endpoint_is_said() {
    for (yaml, due) in [
        ("{ url: 'http://169.254.169.254/latest' }", "no webhook goes to 169.254.169.254"),
        ("{ url: 'ftp://host/' }", "begins with `http://` or `https://`"),
        ("{ handles: [A] }", "needs `url`"),
        ("{ url: [http://a.test, http://b.test] }", "one URL"),
        ("{ url: 'https://u:p@h.test', token: t }", "both in the URL and beside it"),
        ("{ url: 'https://h.test', token: t, username: u }", "exclude each other"),
        ("{ url: 'https://h.test', password: p }", "needs `username`"),
        ("{ url: 'https://h.test', concurrency: 0 }", "from 1 to 1024"),
        ("{ url: 'http://localhost', tls: {} }", "`https://`"),
        ("{ url: 'https://h.test', headers: { Host: other } }", "set by Rialto itself"),
        ("{ url: 'https://h.test', headers: { webhook-signature: x } }", "set by Rialto itself"),
        ("{ url: 'https://h.test', headers: { 'a b': x } }", "is no header"),
        ("{ url: 'https://h.test', headers: { a: \"x\\r\\nHost: y\" } }", "is no header"),
        ("{ url: 'https://h.test', sign: {} }", "needs `standard_webhooks`"),
        ("{ url: 'https://h.test', sign: { standard_webhooks: {} } }", "needs `secret_files`"),
        ("{ url: 'https://h.test', sign: { standard_webhooks: { secret: whsec_AAAA } } }", "too few"),
        (
            "{ url: 'https://h.test', sign: { standard_webhooks: { secret: whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4= } } }",
            "cannot sign",
        ),
        ("{ url: 'https://h.test', redirects: true }", "unknown key"),
    ] {
        let (_, faults) = read(yaml);
        let said = format!("{faults:?}");
        assert!(said.contains(due), "{yaml}: {said}");
    }
}

#[test]
fn no_secret_is_shown() {
    let yaml = "{ url: 'https://user:hush1@h.test/?key=hush2', headers: { X-Api-Key: hush3 }, \
                sign: { standard_webhooks: { secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw } } }";
    let broker = broker(yaml);
    let bearer = self::broker("{ url: 'https://h.test', token: hush4 }");
    let shown = format!("{broker:?} {} {bearer:?} {}", broker.display(), bearer.display());
    assert!(!shown.contains("hush") && !shown.contains("MfKQ"), "{shown}");
}

#[test]
fn a_destination_is_a_path_and_may_be_none() {
    let broker = broker("http://localhost:3000/hooks");
    for (yaml, text, templated) in [
        ("'in/{message_name}'", "in/{message_name}", true),
        ("{ path: in }", "in", false),
        ("{ path: 'in/{{x}}' }", "in/{{x}}", false),
        ("{ broker: app }", "", false),
    ] {
        let (target, faults) = targeted(&broker, yaml);
        let target = target.expect("a target");
        assert!(faults.is_ok(), "{yaml}: {faults:?}");
        assert_eq!(target.address.text, text);
        let options = target.options.downcast_ref::<target::Options>().expect("ours");
        assert_eq!(options.templated, templated, "{yaml}");
        assert_eq!(&*target.link.part, "localhost:3000");
    }
    for yaml in ["'../x'", "{ path: 'a/../b' }", "{ path: '//other' }", "{ path: 'a//b' }", "{ path: 'a#b' }"] {
        assert!(!targeted(&broker, yaml).1.is_ok(), "{yaml}");
    }
}

#[test]
fn what_it_handles_is_bound_to_it() {
    let bound = broker("{ url: 'http://localhost', handles: ['Order*', Paid] }").bound();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0].handles, ["Order*", "Paid"]);
    assert_eq!(bound[0].written.peek("broker").and_then(Node::text), Some("app"));
    assert!(broker("http://localhost").bound().is_empty());
}

/// Headers that came with a message.
#[derive(Debug, Default)]
struct With(Vec<(String, Vec<u8>)>);

impl Carrier for With {
    fn property(&self, property: Property) -> Option<std::borrow::Cow<'_, str>> {
        (property == Property::CorrelationId).then_some("c 1".into())
    }
    fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| HeaderValue::Bytes(value))
    }
    fn headers(&self, each: &mut dyn FnMut(&str, HeaderValue<'_>)) {
        self.0.iter().for_each(|(name, value)| each(name, HeaderValue::Bytes(value)));
    }
    fn word(&self, _: &str) -> Option<std::borrow::Cow<'_, str>> {
        None
    }
    fn time(&self) -> Option<i64> {
        None
    }
    fn position(&self) -> Option<String> {
        None
    }
}

fn message(body: &str, headers: &[(&str, &[u8])]) -> Message {
    let rules = DecodeRules { shape: Decode::Auto, any: false, message_max: 1 << 20, broker: Arc::from("test") };
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    decode(RawMessage { body: Bytes::copy_from_slice(body.as_bytes()), carrier: Arc::new(With(headers)) }, &rules, 0).expect("JSON")
}

/// What is sent for a message, as names and values.
fn written(settings: &Settings, message: &Message, headers: &[(&str, &str)]) -> BTreeMap<String, String> {
    let target = Target {
        link: LinkKey { broker: "app".into(), part: "".into() },
        address: crate::broker::TemplateText { text: String::new(), at: crate::written::Span::outside("test") },
        rule: path::RULE,
        fields: Vec::new(),
        options: Arc::new(()),
        in_flight: crate::broker::InFlight { batches: 1, messages: 1, batch_messages: 1 },
    };
    let out = Outgoing {
        target: &target,
        message,
        address: "in",
        key: "",
        body: message.payload(),
        content_type: "",
        headers,
        fields: &[],
        attempt: 1,
        timeout: Duration::from_secs(1),
    };
    let endpoint = settings.endpoint().expect("an endpoint");
    let body = Bytes::copy_from_slice(out.body);
    let mut letter = Letter::write(&out, body, &endpoint, &settings.headers).expect("a letter");
    letter.seal(None, None, 7);
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    letter.request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[test]
fn a_message_says_nothing_of_how_a_request_travels_or_who_sends_it() {
    let hostile: &[(&str, &[u8])] = &[
        ("Host", b"evil"),
        ("Content-Length", b"0"),
        ("Transfer-Encoding", b"chunked"),
        ("Connection", b"close"),
        ("Content-Type", b"text/html"),
        ("Content-Encoding", b"gzip"),
        ("Authorization", b"Bearer stolen"),
        ("Cookie", b"a=b"),
        ("Proxy-Authorization", b"x"),
        ("webhook-id", b"forged"),
        ("webhook-timestamp", b"0"),
        ("WEBHOOK-SIGNATURE", b"v1,forged"),
        ("X-Forwarded-For", b"127.0.0.1"),
        ("User-Agent", b"curl"),
        ("Expect", b"100-continue"),
        ("Upgrade", b"h2c"),
        ("x-split", b"a\r\nHost: evil"),
        ("x-nul", b"a\0b"),
        ("x bad", b"v"),
        ("x:bad", b"v"),
        ("", b"v"),
        ("x-tenant", "blau grün".as_bytes()),
        ("traceparent", b"00-1"),
    ];
    let message = message(r#"{"message_type":"t","message_name":"N\u00fc","message_id":"a.b c","payload":1}"#, hostile);
    let found = written(&settings("{ url: 'http://h.test:81', headers: { X-Api: '2' } }"), &message, &[("rialto-hops", "1")]);
    let due = [
        ("content-type", "application/json"),
        ("correlation-id", "c%201"),
        ("host", "h.test:81"),
        ("rialto-hops", "1"),
        ("rialto-message-name", "N%C3%BC"),
        ("rialto-message-type", "t"),
        ("traceparent", "00-1"),
        ("user-agent", concat!("rialto/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "a%2Eb%20c"),
        ("x-api", "2"),
        ("x-tenant", "blau grün"),
    ];
    let due: BTreeMap<_, _> = due.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(found, due);
}

#[test]
fn the_destinations_headers_win_but_for_what_the_request_is_made_of() {
    let message = message("{}", &[("x-a", b"message")]);
    let headers = [
        ("X-A", "destination"),
        ("Authorization", "Bearer own"),
        ("Host", "evil"),
        ("webhook-signature", "v1,x"),
        ("x-n", "a\r\nb"),
    ];
    let found = written(&settings("{ url: 'http://h.test', headers: { X-A: broker, X-B: broker } }"), &message, &headers);
    let of = |name: &str| found.get(name).map(String::as_str);
    assert_eq!((of("x-a"), of("x-b"), of("authorization")), (Some("destination"), Some("broker"), Some("Bearer own")));
    assert_eq!((of("host"), of("webhook-signature"), of("x-n")), (Some("h.test"), None, Some("a  b")));
}

#[test]
fn the_trace_of_an_extended_envelope_becomes_headers() {
    let body = r#"{"message_type":"t","message_name":"n","message_id":"i","payload":1,"metadata":{"traceparent":"00-2","tracestate":"x=y"}}"#;
    let found = written(&settings("http://h.test"), &message(body, &[]), &[]);
    assert_eq!((found["traceparent"].as_str(), found["tracestate"].as_str()), ("00-2", "x=y"));
}

#[test]
fn a_letter_is_signed_as_it_is_sent() {
    let keys = Keys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let (id, body) = ("a%2Eb", Bytes::from_static(b"{ \"n\": 1.0 }"));
    let request = hyper::Request::new(http_body_util::Full::new(body.clone()));
    let mut letter = Letter { request, id: id.into(), body: body.clone(), timeout: Duration::from_secs(1) };
    letter.seal(None, Some(&keys), 1_614_265_330);
    let header = |name: &str| letter.request.headers()[name].to_str().expect("text").to_owned();
    let (timestamp, signature) = (header("webhook-timestamp"), header("webhook-signature"));
    assert_eq!(keys.verify(id, &timestamp, &signature, &body, 1_614_265_330, Duration::ZERO), Ok(()));
}

proptest! {
    /// Whatever a message carries, the request has one head: no line break, no second `Host`, no framing of the message's.
    #[test]
    fn headers_never_break_out(names in prop::collection::vec("\\PC{0,20}|[ -~]{0,20}", 0..6), value in prop::collection::vec(any::<u8>(), 0..30)) {
        let headers: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
        let found = written(&settings("http://h.test"), &message("{}", &headers), &[]);
        prop_assert_eq!(found["host"].as_str(), "h.test");
        prop_assert!(!found.contains_key("content-length") && !found.contains_key("transfer-encoding"));
        prop_assert!(found.values().all(|value| !value.contains(['\r', '\n', '\0'])));
    }
}

/// A resolver that answers from a script, and counts.
fn resolver(answers: Vec<Vec<&'static str>>) -> (connect::Resolve, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let answers = Mutex::new(answers.into_iter());
    let resolve: connect::Resolve = Arc::new(move |_, port| {
        counted.fetch_add(1, Ordering::SeqCst);
        let answer = answers.lock().expect("no panic").next().unwrap_or_default();
        let answer = answer.into_iter().map(|text| SocketAddr::new(text.parse().expect("an address"), port)).collect();
        async move { Ok(answer) }.boxed()
    });
    (resolve, asked)
}

fn dialer(settings: &Settings, resolve: connect::Resolve) -> Result<Dialer, OpenError> {
    Dialer::with(settings, &crate::telemetry::Metrics::new().certificates("app"), resolve)
}

async fn dialled(yaml: &str, answers: Vec<Vec<&'static str>>) -> Result<(), OpenError> {
    dialer(&settings(yaml), resolver(answers).0)?.dial().await.map(drop)
}

fn why<T: Debug>(found: Result<T, OpenError>) -> (Reason, String) {
    let error = found.expect_err("refused");
    (error.reason, error.detail)
}

#[tokio::test]
async fn an_address_is_judged_at_each_connect_and_the_judged_one_is_connected_to() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = server.local_addr().expect("an address").port();
    let settings = settings(&format!("http://app:{port}"));
    let answers =
        vec![vec!["127.0.0.1"], vec!["169.254.169.254"], vec!["127.0.0.1", "169.254.169.254"], vec!["::ffff:169.254.169.254"]];
    let (resolve, asked) = resolver(answers);
    let dialer = self::dialer(&settings, resolve).expect("a dialer");
    drop(dialer.dial().await.expect("the first answer is this machine"));
    for _ in 0..3 {
        let (reason, detail) = why(dialer.dial().await.map(drop));
        assert_eq!(reason, Reason::Forbidden);
        assert!(detail.contains("no webhook goes to"), "{detail}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_public_name_that_resolves_to_this_machine_is_refused_unless_it_is_meant() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = server.local_addr().expect("an address").port();
    let public = format!("http://hooks.example.com:{port}");
    let refused = read(&public).0.map(Arc::new).expect("settings");
    for near in ["127.0.0.1", "::1", "10.0.0.1", "fd12::1"] {
        let (resolve, _) = resolver(vec![vec![near]]);
        let (reason, detail) = why(dialer(&refused, resolve).expect("a dialer").dial().await.map(drop));
        assert_eq!(reason, Reason::Forbidden, "{near}");
        assert!(detail.contains("private_addresses: true"), "{detail}");
    }
    let meant = read(&format!("{{ url: '{public}', private_addresses: true }}")).0.map(Arc::new).expect("settings");
    let (resolve, _) = resolver(vec![vec!["127.0.0.1"]]);
    dialer(&meant, resolve).expect("a dialer").dial().await.expect("it is meant");
    let (resolve, _) = resolver(vec![vec!["169.254.169.254"]]);
    let (reason, _) = why(dialer(&meant, resolve).expect("a dialer").dial().await.map(drop));
    assert_eq!(reason, Reason::Forbidden, "never, whatever is written");
}

#[tokio::test]
async fn the_next_address_is_tried_and_a_name_without_any_is_said() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = server.local_addr().expect("an address").port();
    dialled(&format!("http://app:{port}"), vec![vec!["127.0.0.2", "::1", "127.0.0.1"]]).await.expect("the last one listens");
    let (reason, _) = why(dialled("http://app", vec![vec![]]).await);
    assert_eq!(reason, Reason::Dns);
    let (reason, detail) = why(dialled("http://app:1", vec![vec!["127.0.0.1"]]).await);
    assert!(reason == Reason::Link && detail.contains("127.0.0.1:1"), "{detail}");
}
