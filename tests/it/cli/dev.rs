//! A bare `rialto` on a machine with nothing else: the embedded default, as a newcomer meets it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use super::{Place, Running, get, until};
use crate::redis::free_port;

/// The default with ports that no other test uses.
struct Default {
    place: Place,
    http: u16,
    resp: u16,
    sets: Vec<String>,
}

impl Default {
    fn new() -> Self {
        let (http, resp, telemetry) = (free_port(), free_port(), free_port());
        let listen = [("brokers.http.http_server.listen", http), ("gateway.resp", resp), ("telemetry.listen", telemetry)];
        let sets = listen.iter().flat_map(|(key, port)| ["--set".to_owned(), format!("{key}=127.0.0.1:{port}")]).collect();
        Self { place: Place::empty(), http, resp, sets }
    }

    fn arguments<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let sets = self.sets.iter().map(String::as_str);
        sets.chain(["--set", "sources.heartbeat.every=200ms"]).chain(command.iter().copied()).collect()
    }

    fn start(&self, command: &[&str]) -> Running {
        let running = self.place.start(&self.arguments(command));
        until("the welcome", || running.err().contains("Ctrl-C").then_some(()));
        running
    }

    /// POSTs as plain `curl -d` does; the status and the body.
    fn post(&self, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).expect("the door");
        let head = "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n";
        write!(stream, "POST {path} HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
    }
}

#[test]
fn an_event_goes_from_http_to_every_door() {
    let default = Default::new();
    let mut running = default.start(&[]);

    let mut redis =
        redis::Client::open(format!("redis://127.0.0.1:{}", default.resp)).expect("a URL").get_connection().expect("a door");
    redis.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut subscribed = redis.as_pubsub();
    subscribed.psubscribe("rialto:*").expect("subscribed");

    let events = TcpStream::connect(("127.0.0.1", default.http)).expect("a door");
    events.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    write!(&events, "GET /subscribe?pattern=rialto:* HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut events = BufReader::new(events).lines().map(|line| line.expect("a line in time"));
    assert_eq!(events.next().as_deref(), Some("HTTP/1.1 200 OK"));
    assert!(events.any(|line| line.starts_with("data: ") && line.contains("Heartbeat")), "something moves at once");

    let (status, answer) = default.post("/events/UserJoined", r#"{"user_id":123}"#);
    assert_eq!(status, 200, "{answer}");
    let id = serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")["message_id"].as_str().expect("an id").to_owned();
    let channel = format!("rialto:notification_event:{id}");
    let heard = std::iter::from_fn(|| subscribed.get_message().ok()).find(|message| message.get_channel_name() == channel);
    let body: String = heard.expect("heard").get_payload().expect("text");
    assert!(body.contains(r#""message_name":"UserJoined""#) && body.ends_with(r#""payload":{"user_id":123}}"#), "{body}");
    assert!(events.any(|line| line == format!("data: {body}")), "by Server-Sent Events too");
    until("it is printed", || running.out().contains(&format!("UserJoined {id} {{\"user_id\":123}}\n")).then_some(()));

    let (status, page) = get(default.http, "/").expect("a page");
    assert!(status == 200 && page.contains("<html"), "{page}");
    assert_eq!(running.stop(), 0, "{}", running.err());
}

#[test]
fn the_welcome_names_the_doors_and_the_lines_of_the_readme() {
    let default = Default::new();
    let mut running = default.start(&["dev"]);
    assert_eq!(running.stop(), 0);
    let said = running.err();
    for door in [format!("http://127.0.0.1:{}", default.http), format!("redis://127.0.0.1:{}", default.resp)] {
        assert!(said.contains(&door), "{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colour outside a terminal");
    let readme = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let lines: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("  $ ")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for line in lines {
        let usual = line.replace(&default.http.to_string(), "8080").replace(&default.resp.to_string(), "6380");
        assert!(readme.contains(&format!("$ {usual}")), "the README lacks `{usual}`");
    }
}

#[test]
fn a_configuration_that_is_found_is_what_a_bare_start_runs() {
    let place = Place::with("telemetry: off\nbrokers: { io: { stdio: {} } }\nroutes: [{ from: io/stdin, to: io/stdout }]\n");
    let answer = place.rialto_reading(&[], "{\"n\":1}\n");
    assert_eq!((answer.code, answer.lines()[0]["payload"]["n"].as_i64()), (0, Some(1)), "{}", answer.err);
    assert!(!answer.err.contains("built-in"), "{}", answer.err);
}

#[test]
fn a_port_in_use_is_named_with_its_key_and_a_mend() {
    for key in ["brokers.http.http_server.listen", "gateway.resp", "telemetry.listen"] {
        let default = Default::new();
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let set = format!("{key}={address}");
        let answer = default.place.rialto(&default.arguments(&["--set", &set]));
        assert_eq!(answer.code, 74, "{}", answer.err);
        assert!(answer.err.contains(&format!("{key}: cannot listen on {address}")), "{}", answer.err);
        assert!(answer.err.contains(&format!("`--set {key}=127.0.0.1:")), "{}", answer.err);
    }
}

#[test]
fn an_interrupt_in_the_terminal_ends_it_with_everything_answered() {
    let default = Default::new();
    let mut running = default.start(&[]);
    assert_eq!(default.post("/events/One", "{}").0, 200);
    running.signal("INT");
    assert_eq!(running.ended(), 0, "{}", running.err());
}
