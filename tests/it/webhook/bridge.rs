//! From a stream to an endpoint, through the program itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use rialto::broker::standard_webhooks::{Keys, TOLERANCE};

use super::server::{Answer, Endpoint, Post};
use crate::{
    cli::{Place, Running, metric, until},
    redis::{Server, free_port},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A stream, an endpoint, and the program between them.
struct Demo {
    server: Server,
    endpoint: Endpoint,
    place: Place,
    bridge: Running,
    port: u16,
}

impl Demo {
    /// `destinations` in YAML, one a line.
    fn start(endpoint: Endpoint, destinations: &[&str]) -> Self {
        let (server, port) = (Server::start(&[]), free_port());
        let routes: Vec<_> = destinations.iter().map(|one| format!("      - {{ broker: app, {one} }}")).collect();
        let routes = routes.join("\n");
        let place = Place::with(&format!(
            r#"
name: demo
telemetry: {{ listen: "127.0.0.1:{port}" }}
shutdown: {{ timeout: 5s }}
brokers:
  live: {}
  app: {{ webhook: {{ url: "{}/hooks", sign: {{ standard_webhooks: {{ secret: {SECRET} }} }} }} }}
sources:
  orders: {{ broker: live, stream: orders, dead_letter: {{ broker: live, stream: dead }} }}
routes:
  - name: post
    from: orders
    key: "{{payload.key|'none'}}"
    to:
{routes}"#,
            server.url(),
            endpoint.url()
        ));
        let bridge = place.start(&["run"]);
        Self { server, endpoint, place, bridge, port }
    }

    fn put(&self, count: usize) {
        for number in 0..count {
            let key = ["a", "b", "c"][number % 3];
            let body = format!(
                r#"{{"message_type":"domain_event","message_name":"Paid","message_id":"id-{number:04}","payload":{{"key":"{key}","n":1.00}}}}"#
            );
            let _: String = self.server.run(&["XADD", "orders", "*", "body", &body]);
        }
    }

    fn metric(&self, series: &str) -> Option<f64> {
        metric(self.port, series)
    }

    fn dead(&self) -> Vec<BTreeMap<String, String>> {
        let found: Vec<(String, BTreeMap<String, String>)> = self.server.run(&["XRANGE", "dead", "-", "+"]);
        found.into_iter().map(|(_, fields)| fields).collect()
    }

    fn until_posted(&self, about: &str, enough: impl Fn(&[Post]) -> bool) -> Vec<Post> {
        until(about, || Some(self.endpoint.posts()).filter(|posts| enough(posts)))
    }
}

fn ids(posts: &[Post]) -> BTreeSet<String> {
    posts.iter().filter_map(|post| post.header("webhook-id").map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_posted_in_every_form_and_signed() {
    let forms = [
        "name: s, path: 'standard/{message_name}'",
        "name: e, path: extended, envelope: extended",
        "name: p, path: payload, envelope: payload",
        "name: c, path: structured, envelope: cloudevents",
        "name: b, path: binary, envelope: { cloudevents: { mode: binary, type_prefix: com.example. } }",
        "name: w, path: webhook, envelope: standard_webhook",
    ];
    let mut demo = Demo::start(Endpoint::content().await, &forms);
    demo.put(1);
    let posts = demo.until_posted("six forms", |posts| posts.len() == 6);
    let of = |path: &str| posts.iter().find(|post| post.path == format!("/hooks/{path}")).unwrap_or_else(|| panic!("{path}"));
    let envelope = r#"{"message_type":"domain_event","message_name":"Paid","message_id":"id-0000","payload":{"key":"a","n":1.00}"#;
    assert_eq!(of("standard/Paid").text(), format!("{envelope}}}"));
    assert!(of("extended").text().starts_with(&format!("{envelope},\"metadata\":{{")));
    assert_eq!(of("payload").text(), r#"{"key":"a","n":1.00}"#);
    let structured = of("structured");
    assert_eq!(structured.header("content-type"), Some("application/cloudevents+json"));
    assert!(structured.text().contains(r#""data":{"key":"a","n":1.00}"#));
    let binary = of("binary");
    assert_eq!((binary.header("ce-id"), binary.header("ce-type")), (Some("id-0000"), Some("com.example.Paid")));
    assert_eq!(binary.text(), r#"{"key":"a","n":1.00}"#);
    let webhook: serde_json::Value = serde_json::from_str(&of("webhook").text()).expect("JSON");
    assert_eq!((webhook["type"].as_str(), webhook["data"]["key"].as_str()), (Some("Paid"), Some("a")));
    let keys = Keys::parse(SECRET).expect("a secret");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for post in &posts {
        let header = |name: &str| post.header(name).unwrap_or_else(|| panic!("{name}")).to_owned();
        let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        assert_eq!(keys.verify(&id, &at, &signature, &post.body, now, TOLERANCE), Ok(()), "{}", post.path);
        assert_eq!((header("rialto-hops").as_str(), header("rialto-message-name").as_str()), ("1", "Paid"));
    }
    assert_eq!(demo.bridge.stop(), 0);
    assert!(!demo.bridge.err().contains("MfKQ"), "a secret in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_endpoint_gets_everything_in_the_order_of_its_keys_and_its_patience() {
    let answer = |_: &Post, before: usize| match before {
        10 | 40 => Answer::Status(429, vec![("retry-after", "1".into())]),
        before if before % 9 == 5 => Answer::status(500),
        before if before % 13 == 4 => Answer::status(503),
        _ => Answer::status(200),
    };
    let rules = "path: in, max_errors: 100, backoff: { initial: 20ms, max: 50ms }";
    let mut demo = Demo::start(Endpoint::start(answer).await, &[rules]);
    demo.put(150);
    demo.until_posted("all", |posts| ids(posts).len() == 150);
    until("settled", || {
        demo.metric(r#"rialto_source_settled_total{source="orders",action="delivered"}"#).filter(|count| *count > 149.5)
    });
    assert!(demo.dead().is_empty());
    let posts = demo.endpoint.posts();
    for key in ["a", "b", "c"] {
        let mut seen: Vec<&str> = Vec::new();
        for id in posts
            .iter()
            .filter(|post| post.text().contains(&format!("\"key\":\"{key}\"")))
            .filter_map(|post| post.header("webhook-id"))
        {
            if seen.last() != Some(&id) {
                seen.push(id);
            }
        }
        assert!(seen.is_sorted() && seen.len() == 50, "{key}: {seen:?}");
    }
    for asked in [10, 40] {
        let from = posts[asked].at;
        let early = posts[asked + 1..].iter().filter(|post| {
            let since = post.at.duration_since(from);
            since > Duration::from_millis(100) && since < Duration::from_millis(950)
        });
        assert_eq!(early.count(), 0, "asked for patience");
    }
    assert_eq!(demo.bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_every_message_of_the_source_arrives() {
    let answer = |_: &Post, _| Answer::Late(Duration::from_millis(4));
    let mut demo = Demo::start(Endpoint::start(answer).await, &["path: in"]);
    demo.put(400);
    demo.until_posted("some", |posts| posts.len() > 100);
    demo.bridge.signal("KILL");
    let before = ids(&demo.endpoint.posts()).len();
    assert!(before < 400, "killed in the middle");
    // The old port may be another test's by now.
    demo.bridge = demo.place.start(&["run", "--set", &format!("telemetry.listen=127.0.0.1:{}", free_port())]);
    let posts = demo.until_posted("the rest", |posts| ids(posts).len() == 400);
    let repeated = posts.len() - 400;
    assert!(repeated <= 400 - 100, "{repeated} repeated");
    assert_eq!(demo.bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_is_asked_no_more_and_nothing_is_lost() {
    let mut demo = Demo::start(Endpoint::start(|_, _| Answer::status(410)).await, &["path: in"]);
    demo.put(30);
    until("paused", || demo.metric(r#"rialto_lane_paused{route="post",destination="app",reason="gone"}"#).filter(|it| *it > 0.5));
    thread::sleep(Duration::from_millis(500));
    let asked = demo.endpoint.posts().len();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(demo.endpoint.posts().len(), asked, "it said that it is gone");
    assert!(asked <= 16 && demo.dead().is_empty(), "{asked}");
    // What nobody takes stays in its source.
    assert_eq!(demo.bridge.stop(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_hangs_stops_no_other_of_its_host() {
    let answer = |post: &Post, _| if post.path.ends_with("/hangs") { Answer::Hang } else { Answer::status(200) };
    let lanes = ["name: hangs, path: hangs, timeout: 2s, required: false", "name: well, path: well"];
    let demo = Demo::start(Endpoint::start(answer).await, &lanes);
    demo.put(200);
    let well = |posts: &[Post]| posts.iter().filter(|post| post.path.ends_with("/well")).count();
    demo.until_posted("the well lane", |posts| well(posts) == 200);
    until("counted", || {
        demo.metric(r#"rialto_tries_total{route="post",destination="hangs",reason="timeout"}"#).filter(|it| *it > 0.5)
    });
    until("settled", || {
        demo.metric(r#"rialto_destination_settled_total{route="post",destination="well",outcome="delivered"}"#)
            .filter(|it| *it > 199.5)
    });
    demo.bridge.signal("KILL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_endpoint_refuses_is_a_dead_letter_with_its_words() {
    let answer = |post: &Post, _| match post.header("webhook-id") {
        Some("id-0001") => Answer::status(422),
        Some("id-0002") => Answer::status(500),
        _ => Answer::status(200),
    };
    let rules = "path: '{message_name}', max_errors: 2, backoff: { initial: 10ms, max: 20ms }";
    let mut demo = Demo::start(Endpoint::start(answer).await, &[rules]);
    demo.put(6);
    let dead = until("two letters", || Some(demo.dead()).filter(|dead| dead.len() == 2));
    let letter = |id: &str| dead.iter().find(|letter| letter["message_id"] == id).unwrap_or_else(|| panic!("{id}: {dead:?}"));
    let of = |id: &str, what: &str| letter(id)[&format!("rialto-dead-{what}")].clone();
    assert_eq!((of("id-0001", "reason").as_str(), of("id-0001", "attempts").as_str()), ("final", "1"));
    assert_eq!(of("id-0001", "error"), "answered 422 Unprocessable Entity: said");
    assert_eq!((of("id-0002", "reason").as_str(), of("id-0002", "attempts").as_str()), ("refused", "2"));
    demo.until_posted("the others", |posts| ids(posts).len() == 6);
    assert_eq!(demo.bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_proxy_of_the_environment_stands_between() {
    let endpoint = Endpoint::content().await;
    let place = Place::with(&format!(
        "brokers: {{ app: '{}', h: 'hub://' }}\nroutes: [{{ name: x, from: h/x, to: app/in }}]\n",
        endpoint.url()
    ));
    let mut check = place.command(&["check", "--connect"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY"] {
        check.env(name, "http://127.0.0.1:1");
    }
    let output = check.output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    assert!(endpoint.connections() > 0 && endpoint.posts().is_empty(), "connected to, and nothing sent");
}
