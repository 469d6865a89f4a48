//! Exit codes, and what is said with them.

use std::{net::TcpListener, process::Stdio};

use super::{Place, streams, until};
use crate::redis::{Server, free_port};

/// Nobody listens there.
const NOWHERE: &str = "redis://127.0.0.1:1";

#[test]
fn a_good_file_is_fine() {
    let place = Place::with(&streams(NOWHERE, 4290));
    let answer = place.rialto(&["check"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "demo: 1 broker, 1 source, 2 routes: fine\n"), "{answer:?}");
    let answer = place.rialto(&["check", "--json"]);
    assert_eq!((answer.code, &answer.json()["ok"]), (0, &true.into()));
}

#[test]
fn all_faults_are_said_with_their_places() {
    let yaml = streams(NOWHERE, 4290).replace("group: g", "gruop: g").replace("max_errors: 1", "max_errors: many");
    let place = Place::with(&yaml);
    for command in [&["check"][..], &["run"], &["list"], &["publish", "orders", "{}"]] {
        let answer = place.rialto(command);
        assert_eq!(answer.code, 78, "{answer:?}");
        assert!(answer.err.contains("rialto.yaml:8:") && answer.err.contains("did you mean `group`?"), "{}", answer.err);
        assert!(answer.err.contains("rialto.yaml:18:") && answer.err.contains("max_errors"), "{}", answer.err);
        assert!(!answer.err.contains('\u{1b}'), "no colour outside a terminal: {:?}", answer.err);
        assert_eq!(answer.out, "");
    }
    let answer = place.rialto(&["check", "--json"]);
    let problems = answer.json()["problems"].as_array().expect("a list").clone();
    assert_eq!(answer.code, 78);
    assert!(problems.iter().any(|problem| problem["line"] == 8 && problem["severity"] == "error"), "{problems:?}");
    assert!(problems.iter().any(|problem| problem["line"] == 18), "{problems:?}");
}

#[test]
fn no_configuration_is_a_configuration_fault() {
    let answer = Place::empty().rialto(&["run"]);
    assert_eq!(answer.code, 78);
    assert!(answer.err.contains("no configuration found"), "{}", answer.err);
    assert_eq!(Place::empty().rialto(&["-c", "missing.yaml", "check"]).code, 78);
}

#[test]
fn a_wrong_command_line_is_usage() {
    let place = Place::with(&streams(NOWHERE, 4290));
    assert_eq!(place.rialto(&["frobnicate"]).code, 2);
    assert_eq!(place.rialto(&["check", "--frobnicate"]).code, 2);
    let answer = place.rialto(&["publish", "nothing", "{}"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("no route reads a source `nothing`; there are: orders"), "{}", answer.err);
    assert_eq!(place.rialto(&["tap", "nothing"]).code, 2);
    assert_eq!(place.rialto(&["explain", "nothing"]).code, 2);
    assert_eq!(place.rialto(&["redrive", "--from", "nothing", "--yes"]).code, 2);
    assert_eq!(place.rialto(&["redrive", "--from", "live/dead"]).code, 2, "nobody can be asked, and nothing is sent unasked");
}

#[test]
fn help_and_version_are_no_error() {
    let place = Place::empty();
    let answer = place.rialto(&["-V"]);
    assert_eq!((answer.code, answer.out.trim()), (0, concat!("rialto ", env!("CARGO_PKG_VERSION"))));
    let answer = place.rialto(&["--help"]);
    assert_eq!(answer.code, 0);
    for command in ["dev", "run", "init", "check", "config", "explain", "graph", "list", "publish", "tap", "redrive", "health"] {
        assert!(answer.out.contains(&format!("\n  {command} ")), "{command}: {}", answer.out);
    }
}

#[test]
fn a_broker_that_is_not_there_is_unavailable() {
    let place = Place::with(&streams(NOWHERE, free_port()));
    let answer = place.rialto(&["check", "--connect"]);
    assert_eq!((answer.code, answer.out.as_str()), (69, ""), "{answer:?}");
    assert!(answer.err.contains("error: live: "), "{}", answer.err);
    let answer = place.rialto(&["check", "--connect", "--json"]);
    assert_eq!((answer.code, &answer.json()["brokers"][0]["broker"]), (69, &"live".into()));
    assert_eq!(place.rialto(&["publish", "orders", "{}"]).code, 69);
    assert_eq!(place.rialto(&["tap", "notify"]).code, 69);
    assert_eq!(place.rialto(&["redrive", "--from", "live/dead", "--yes"]).code, 69);
    let answer = place.rialto(&["run", "--require-connected"]);
    assert_eq!(answer.code, 69);
    assert!(answer.err.contains("live"), "{}", answer.err);
}

#[test]
fn a_broker_that_refuses_the_password_is_a_matter_of_permission() {
    let server = Server::start(&["--requirepass", "right"]);
    let url = server.url().replace("redis://", "redis://:wrong@");
    let place = Place::with(&streams(&url, free_port()));
    let answer = place.rialto(&["publish", "orders", "{}"]);
    assert_eq!(answer.code, 77, "{answer:?}");
    assert!(!answer.err.contains("wrong@") && !answer.err.contains(":wrong"), "the password is not shown: {}", answer.err);
}

#[test]
fn data_that_is_no_event_is_bad_data() {
    let place = Place::with(&streams(NOWHERE, free_port()));
    let answer = place.rialto(&["publish", "orders", "{not json"]);
    assert_eq!(answer.code, 65, "{answer:?}");
    assert!(answer.err.contains("not JSON"), "{}", answer.err);
    assert_eq!(place.rialto(&["publish", "orders", "@missing.json"]).code, 74);
}

#[test]
fn a_port_in_use_names_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = taken.local_addr().expect("an address").port();
    let answer = Place::with(&streams(NOWHERE, port)).rialto(&["run"]);
    assert_eq!(answer.code, 74);
    assert!(answer.err.contains(&format!("telemetry.listen: cannot listen on 127.0.0.1:{port}")), "{}", answer.err);
}

#[test]
fn secrets_are_not_shown() {
    let place = Place::with(&streams("redis://user:hunter2@127.0.0.1:1", 4290));
    for command in [&["config", "show"][..], &["config", "show", "--json"], &["list"], &["explain"], &["check", "--connect"]] {
        let answer = place.rialto(command);
        assert!(!answer.out.contains("hunter2") && !answer.err.contains("hunter2"), "{command:?}: {answer:?}");
    }
    assert!(place.rialto(&["config", "show"]).out.contains("***"));
}

#[test]
fn data_is_printed_as_json() {
    let place = Place::with(&streams(NOWHERE, 4290));
    let list = place.rialto(&["list", "--json"]).json();
    assert_eq!(list["sources"][0]["routes"][0]["name"], "notify");
    assert_eq!(place.rialto(&["--json", "explain", "store"]).json()[0]["route"], "store");
    assert!(place.rialto(&["config", "show", "--json"]).json()["config"]["brokers"]["live"].is_string());
    assert!(place.rialto(&["graph"]).out.starts_with("flowchart"));
    assert!(place.rialto(&["graph", "--format", "dot"]).out.starts_with("digraph"));
}

#[test]
fn settings_win_over_files() {
    let place = Place::with(&streams(NOWHERE, 4290));
    let answer = place.rialto(&["--set", "name=other", "check"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "other: 1 broker, 1 source, 2 routes: fine\n"));
}

#[test]
fn completions_and_manual_pages_are_there() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish"] {
        let answer = place.rialto(&["completions", shell]);
        assert!(answer.code == 0 && answer.out.contains("redrive"), "{shell}");
    }
    assert!(place.rialto(&["man"]).out.contains(".TH rialto 1"));
    assert_eq!(place.rialto(&["man", "--dir", "pages"]).code, 0);
    assert!(place.path("pages/rialto-redrive.1").exists());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::empty();
    let mut child = place.command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn a_bridge_that_cannot_drain_in_time_says_so() {
    let (source, mut destination) = (Server::start(&[]), Server::start(&[]));
    let yaml = two_servers(&source, &destination, "500ms", free_port());
    let place = Place::with(&yaml);
    let mut running = stuck(&place, &source, &mut destination);
    assert_eq!(running.stop(), 1);
    assert!(running.err().contains("not drained in time"), "{}", running.err());
}

#[test]
fn a_second_signal_ends_at_once() {
    for (name, expected) in [("TERM", 143), ("INT", 130)] {
        let (source, mut destination) = (Server::start(&[]), Server::start(&[]));
        let yaml = two_servers(&source, &destination, "50s", free_port());
        let place = Place::with(&yaml);
        let mut running = stuck(&place, &source, &mut destination);
        running.signal(name);
        until("draining", || running.err().contains("stopping").then_some(()));
        running.signal(name);
        assert_eq!(running.ended(), expected);
    }
}

/// From a stream of one server to channels of another.
fn two_servers(source: &Server, destination: &Server, timeout: &str, telemetry: u16) -> String {
    streams(&source.url(), telemetry)
        .replace("timeout: 5s", &format!("timeout: {timeout}"))
        .replace("brokers:\n", &format!("brokers:\n  far: {}\n", destination.url()))
        .replace("\"live/app:", "\"far/app:")
}

/// A bridge that holds a message for a destination that is gone.
fn stuck(place: &Place, source: &Server, destination: &mut Server) -> super::Running {
    destination.kill();
    let running = place.start(&["run"]);
    assert_eq!(place.rialto(&["publish", "orders", "{}"]).code, 0);
    // Taken by the group's consumer, and not acknowledged.
    until("the message is taken", || {
        let mut asked = redis::cmd("XPENDING");
        // Before the bridge has made its group this is an error.
        let group: redis::RedisResult<Vec<redis::Value>> = asked.arg("orders").arg("g").query(&mut source.control());
        matches!(group.ok()?.first(), Some(redis::Value::Int(1))).then_some(())
    });
    running
}
