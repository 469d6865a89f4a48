//! Reporters, against endpoints that the test plays; and what a reporter can never do to a bridge.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use rialto::{
    embed::{BoxError, Event, Handling},
    report::{ErrorReporter, Report, SentryReporter, WebhookReporter},
    testkit::{Memory, TestEvent},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
    time::{Instant, timeout},
};

use super::bridge;
use crate::support::PATIENCE;

/// A request as an endpoint sees it.
#[derive(Debug)]
struct Request {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

/// An endpoint that answers everything with `status`.
async fn endpoint(status: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(request) = read(&mut stream).await {
                    let _ = seen.send(request);
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nlocation: http://127.0.0.1:1/\r\n\r\n{{}}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, requests)
}

async fn read(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<_, _> = lines[1..].iter().filter_map(header).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { line: lines.remove(0), headers, body: String::from_utf8(body).unwrap() })
}

async fn next(requests: &mut mpsc::UnboundedReceiver<Request>) -> Request {
    timeout(PATIENCE, requests.recv()).await.expect("a request in time").unwrap()
}

async fn refuse(_: Event) -> Result<(), String> {
    Err("no mail today".to_owned())
}

fn refusing() -> Handling {
    Handling::by(refuse).named("mail").max_errors(1)
}

#[tokio::test]
async fn a_webhook_gets_each_dead_letter_as_json_without_its_payload() {
    let (address, mut requests) = endpoint("204 No Content").await;
    let memory = Memory::new();
    let reporter = WebhookReporter::new(format!("http://{address}/alarms?token=s3cret")).unwrap().bearer("t0ken");
    assert!(!format!("{reporter:?}").contains("s3cret") && !format!("{reporter:?}").contains("t0ken"));
    let running = bridge(&memory).set("name", "shop").on("*", refusing()).report_to(reporter).start().await.unwrap();
    memory.put("in", TestEvent::domain("UserJoined").id("u-1").payload(r#"{"card":"4111"}"#));
    let request = next(&mut requests).await;
    assert_eq!(request.line, "POST /alarms?token=s3cret HTTP/1.1");
    assert_eq!(
        (request.headers["content-type"].as_str(), request.headers["authorization"].as_str()),
        ("application/json", "Bearer t0ken")
    );
    assert!(!request.body.contains("4111"), "{}", request.body);
    let report: Value = serde_json::from_str(&request.body).unwrap();
    let said = |key: &str| report[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {report}")).to_owned();
    assert_eq!((said("what"), said("reason"), said("error")), ("dead_letter".into(), "refused".into(), "no mail today".into()));
    assert_eq!((said("source"), said("route"), said("destination")), ("mq/in".into(), "mq/in".into(), "mail".into()));
    assert_eq!((said("message_id"), said("message_name"), said("bridge")), ("u-1".into(), "UserJoined".into(), "shop".into()));
    assert_eq!(report["attempts"], 1);
    memory.put("in", TestEvent::body("no JSON at all"));
    let report: Value = serde_json::from_str(&next(&mut requests).await.body).unwrap();
    assert_eq!((report["reason"].as_str(), report["route"].as_str()), (Some("undecodable"), None), "{report}");
    assert_eq!(running.reports_lost(), 0);
    running.drain().await;
}

#[tokio::test]
async fn a_payload_is_told_to_who_asks_for_it() {
    let (address, mut requests) = endpoint("200 OK").await;
    let memory = Memory::new();
    let reporter = WebhookReporter::new(format!("http://{address}/")).unwrap().with_payloads();
    let running = bridge(&memory).on("*", refusing()).report_to(reporter).start().await.unwrap();
    memory.put("in", TestEvent::domain("UserJoined").payload(r#"{"card":"4111"}"#));
    let report: Value = serde_json::from_str(&next(&mut requests).await.body).unwrap();
    assert_eq!(report["payload"].as_str(), Some(r#"{"card":"4111"}"#));
    running.drain().await;
}

#[tokio::test]
async fn sentry_gets_an_envelope_with_one_event() {
    let (address, mut requests) = endpoint("200 OK").await;
    let memory = Memory::new();
    let reporter = SentryReporter::new(&format!("http://abc123@{address}/under/42")).unwrap();
    let reporter = reporter.environment("test").release("shop@1.2.3");
    assert!(!format!("{reporter:?}").contains("abc123"));
    let panics = |_: Event| async {
        assert!(std::hint::black_box(false), "no mail today");
        Ok::<_, String>(())
    };
    let running =
        bridge(&memory).on("*", Handling::by(panics).named("mail").max_errors(1)).report_to(reporter).start().await.unwrap();
    memory.put("in", TestEvent::domain("UserJoined").id("u-1").payload(r#"{"card":"4111"}"#));
    let request = next(&mut requests).await;
    assert_eq!(request.line, "POST /under/api/42/envelope/ HTTP/1.1");
    assert_eq!(request.headers["content-type"], "application/x-sentry-envelope");
    let auth = &request.headers["x-sentry-auth"];
    assert!(auth.starts_with("Sentry sentry_version=7, ") && auth.ends_with("sentry_key=abc123"), "{auth}");
    let lines: Vec<&str> = request.body.lines().collect();
    let [head, item, event] = [0, 1, 2].map(|line| serde_json::from_str::<Value>(lines[line]).unwrap());
    assert_eq!(lines.len(), 3);
    assert_eq!((item["type"].as_str(), item["length"].as_u64()), (Some("event"), Some(lines[2].len() as u64)));
    assert_eq!(head["event_id"], event["event_id"]);
    let id = event["event_id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    assert_eq!(event["exception"]["values"][0]["type"], "Panic");
    assert!(event["exception"]["values"][0]["value"].as_str().unwrap().contains("no mail today"), "{event}");
    assert_eq!((event["environment"].as_str(), event["release"].as_str()), (Some("test"), Some("shop@1.2.3")));
    assert_eq!(
        (event["tags"]["message_name"].as_str(), event["tags"]["destination"].as_str()),
        (Some("UserJoined"), Some("handler/mail"))
    );
    assert!(event["extra"]["stack"].as_str().is_some_and(|stack| stack.contains("reporters")), "{event}");
    assert!(!request.body.contains("4111"), "{}", request.body);
    let dead: Value = serde_json::from_str(next(&mut requests).await.body.lines().nth(2).unwrap()).unwrap();
    assert_eq!(dead["exception"]["values"][0]["type"], "DeadLetter");
    running.drain().await;
}

#[test]
fn a_dsn_that_names_no_project_is_an_error_without_its_key() {
    for dsn in
        ["", "sentry.io/1", "https://sentry.io/1", "https://k3y@sentry.io", "https://k3y@sentry.io/", "ftp://k3y@sentry.io/1"]
    {
        let error = SentryReporter::new(dsn).unwrap_err().to_string();
        assert!(error.contains("https://KEY@HOST/PROJECT") && !error.contains("k3y"), "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_or_redirects_loses_reports_and_they_are_counted() {
    for status in ["500 Internal Server Error", "302 Found"] {
        let (address, mut requests) = endpoint(status).await;
        let memory = Memory::new();
        let reporter = WebhookReporter::new(format!("http://{address}/")).unwrap();
        let running = bridge(&memory).on("*", refusing()).report_to(reporter).start().await.unwrap();
        memory.put("in", TestEvent::domain("E"));
        next(&mut requests).await;
        let start = Instant::now();
        while running.reports_lost() == 0 {
            assert!(start.elapsed() < PATIENCE, "{status}: a lost report is counted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.drain().await;
    }
}

/// Never answers.
struct Stuck;

#[async_trait]
impl ErrorReporter for Stuck {
    async fn report(&self, _: &Report) -> Result<(), BoxError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_reporter_that_hangs_holds_no_message_and_its_losses_are_counted() {
    const EVENTS: usize = 1000;
    let memory = Memory::new();
    let running =
        bridge(&memory).set("defaults.breaker.failures", 1_000_000).on("*", refusing()).report_to(Stuck).start().await.unwrap();
    let start = Instant::now();
    (0..EVENTS).for_each(|_| memory.put("in", TestEvent::domain("E")));
    memory.expect("dead", EVENTS).await;
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    // 256 wait, one is being told.
    assert_eq!(running.reports_lost(), EVENTS as u64 - 257);
    let start = Instant::now();
    running.drain().await;
    assert!(start.elapsed() < Duration::from_secs(8), "the end does not wait for it: {:?}", start.elapsed());
}
