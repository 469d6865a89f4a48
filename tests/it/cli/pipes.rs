//! `cat events | rialto run`: lines in, lines out, and an end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Stdio},
    time::Duration,
};

use super::{Answer, Place, code, metric, until};
use crate::redis::free_port;

const PIPE: &str = r#"
telemetry: off
brokers: { io: { stdio: {} } }
sources: { typed: { broker: io, lines: stdin, message_max: 64KiB, event: { message_id: "{payload.n}" } } }
routes:
  - { from: typed, to: io/stdout, dead_letter: io/stderr }
"#;

fn numbered(count: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":\"{n:06}\"}}\n")).collect::<Vec<_>>().concat()
}

/// The bridge with pipes at all ends.
fn piped(place: &Place) -> Child {
    let mut command = place.command(&["run"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

#[test]
fn a_pipe_ends_when_all_is_delivered() {
    let place = Place::with(PIPE);
    // The last line needs no end of its own.
    let input = numbered(5000);
    let answer = place.rialto_reading(&["run"], input.trim_end());
    assert_eq!(answer.code, 0, "{}", answer.err);
    let ids: Vec<_> = answer.lines().iter().map(|line| line["message_id"].as_str().expect("an id").to_owned()).collect();
    let due: Vec<_> = (0..5000).map(|n| format!("{n:06}")).collect();
    assert_eq!(ids, due);
}

#[test]
fn an_empty_input_is_an_end_at_once() {
    let answer = Place::with(PIPE).rialto(&["run"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, ""), "{}", answer.err);
}

#[test]
fn what_is_no_event_is_a_dead_letter_and_the_rest_goes_on() {
    let place = Place::with(PIPE);
    let long = format!("{{\"n\":\"1\",\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let answer = place.rialto_reading(&["run"], &format!("not json\n{long}\n{{\"n\":\"2\"}}\n"));
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(answer.lines().len(), 1, "{}", answer.out);
    assert!(answer.err.lines().any(|line| line.contains("not json")), "{}", answer.err);
    assert!(
        answer.err.lines().any(|line| line.starts_with("{\"n\":\"1\",\"x\":\"xxx") && line.len() < 70_000),
        "kept to its limit"
    );
}

#[test]
fn lines_can_be_labelled_and_bodies_are_one_line_each() {
    let yaml = PIPE.replace("to: io/stdout", "to: { broker: io, lines: stdout, label: \"{message_name} \", envelope: payload }");
    let yaml = yaml.replace("event: {", "event: { message_name: \"{payload.name}\",");
    let answer = Place::with(&yaml).rialto_reading(&["run"], "{\"n\":\"1\",\"name\":\"a\\nb\"}\n");
    assert_eq!(answer.out, "a\u{FFFD}b {\"n\":\"1\",\"name\":\"a\\nb\"}\n");
}

/// Faults row 64: a reader that sleeps holds its lane back and nothing is lost.
#[test]
fn a_full_pipe_waits_and_loses_nothing() {
    let port = free_port();
    let yaml =
        PIPE.replace("telemetry: off", &format!("telemetry: {{ listen: \"127.0.0.1:{port}\" }}\ndefaults: {{ timeout: 1s }}"));
    let place = Place::with(&yaml);
    let mut child = piped(&place);
    let mut input = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || input.write_all(numbered(20_000).as_bytes()));
    // Much more than a pipe holds, and longer than a try may take: the link is held back, not given up.
    until("the pipe is full", || metric(port, "rialto_source_received_total{source=\"typed\"}").filter(|count| *count >= 1000.0));
    std::thread::sleep(Duration::from_secs(3));
    assert!(metric(port, "rialto_broker_reconnects_total{broker=\"io\"}").unwrap_or(0.0) < 1.0);
    let mut out = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
    writer.join().expect("no panic").expect("all read");
    assert_eq!(code(child.wait().expect("an end")), 0);
    let due: Vec<_> = (0..20_000).map(|n| format!("\"message_id\":\"{n:06}\"")).collect();
    assert_eq!(out.lines().count(), due.len());
    assert!(out.lines().zip(due).all(|(line, id)| line.contains(&id)), "out of order");
}

/// Faults row 64: no SIGPIPE, and nothing counts as delivered that was not written.
#[test]
fn a_closed_pipe_neither_ends_the_process_nor_loses_what_is_unwritten() {
    let port = free_port();
    let place = Place::with(
        &PIPE.replace("telemetry: off", &format!("telemetry: {{ listen: \"127.0.0.1:{port}\" }}\nshutdown: {{ timeout: 1s }}")),
    );
    let mut child = piped(&place);
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(numbered(1).as_bytes()).expect("read");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.contains("000000"), "{first}");
    // The reader is dropped: the pipe is closed.
    input.write_all(numbered(1).as_bytes()).expect("read");
    let delivered = || metric(port, "rialto_destination_settled_total{route=\"typed\",destination=\"io\",outcome=\"delivered\"}");
    until("the link is found down", || {
        // Not `rialto_broker_up`: it is down until the link is open for the first time, too.
        metric(port, "rialto_broker_reconnects_total{broker=\"io\"}").filter(|count| *count > 0.0)
    });
    assert_eq!(delivered(), Some(1.0));
    assert!(child.try_wait().expect("a child").is_none(), "it lives on");
    super::signal(child.id(), "TERM");
    let answer = Answer::of(child);
    assert_eq!(answer.code, 1, "not drained, and said so: {}", answer.err);
}
