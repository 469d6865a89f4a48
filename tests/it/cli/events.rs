//! `publish` and `tap`: an event goes in where a source reads, and is seen where it comes out.

use std::collections::HashMap;

use super::{Place, get, streams, until};
use crate::{
    amqp::server::Rabbit,
    redis::{Server, free_port},
};

/// Fields of the entries of a stream.
fn entries(server: &Server, stream: &str) -> Vec<HashMap<String, String>> {
    let found: Vec<(String, HashMap<String, String>)> = server.run(&["XRANGE", stream, "-", "+"]);
    found.into_iter().map(|(_, fields)| fields).collect()
}

#[test]
fn an_event_is_published_in_an_envelope() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    let command =
        ["publish", "orders", r#"{"n":1.00}"#, "--type", "ecst_event", "--name", "Paid", "--id", "m-1", "--header", "tenant=acme"];
    let answer = place.rialto(&command);
    assert_eq!((answer.code, answer.out.as_str()), (0, "m-1\n"), "{answer:?}");
    let found = entries(&server, "orders");
    assert_eq!(found[0]["body"], r#"{"message_type":"ecst_event","message_name":"Paid","message_id":"m-1","payload":{"n":1.00}}"#);
    assert_eq!((found[0]["message_id"].as_str(), found[0]["tenant"].as_str()), ("m-1", "acme"));
}

#[test]
fn a_payload_comes_from_a_file_or_from_standard_input() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    std::fs::write(place.path("event.json"), "{\"from\":\"file\"}").expect("a file");
    assert_eq!(place.rialto(&["publish", "live/orders", "@event.json"]).code, 0);
    let answer = place.rialto_reading(&["--json", "publish", "orders"], "{\"from\":\"input\"}");
    assert_eq!(answer.code, 0);
    let found = entries(&server, "orders");
    assert!(found[0]["body"].ends_with(r#""payload":{"from":"file"}}"#), "{found:?}");
    assert!(found[1]["body"].ends_with(r#""payload":{"from":"input"}}"#), "{found:?}");
    assert_eq!(answer.json()["id"], found[1]["message_id"].as_str());
}

#[test]
fn a_bare_payload_is_published_as_it_is() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    assert_eq!(place.rialto(&["publish", "orders", r#"{ "as" : "it is" }"#, "--bare", "--name", "Noted", "--id", "m-9"]).code, 0);
    let found = entries(&server, "orders");
    assert_eq!((found[0]["body"].as_str(), found[0]["message_id"].as_str()), (r#"{ "as" : "it is" }"#, "m-9"));
    assert_eq!(found[0]["message_name"], "Noted");
    assert_eq!(place.rialto(&["publish", "orders", "not json", "--bare"]).code, 0);
    assert_eq!(entries(&server, "orders")[1]["body"], "not json");
}

#[test]
fn a_tap_shows_what_a_route_publishes_and_takes_nothing() {
    let (server, port) = (Server::start(&[]), free_port());
    let place = Place::with(&streams(&server.url(), port));
    let mut bridge = place.start(&["run"]);
    until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
    let mut channel = place.start(&["tap", "notify", "--count", "2"]);
    until("listening", || channel.err().contains("listening to").then_some(()));
    for id in ["m-1", "m-2"] {
        assert_eq!(place.rialto(&["publish", "orders", "{}", "--id", id]).code, 0);
    }
    assert_eq!(channel.ended(), 0);
    let lines: Vec<_> = channel.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(r#"app:notification_event:m-1 {"message_type":"notification_event""#), "{lines:?}");
    assert!(lines[1].starts_with("app:notification_event:m-2 "), "{lines:?}");
    assert_eq!(bridge.stop(), 0);
}

#[test]
fn a_tap_on_a_stream_leaves_its_entries() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    let mut tap = place.start(&["tap", "live/dead", "--count", "1", "--json"]);
    until("listening", || tap.err().contains("listening to").then_some(()));
    let _: String = server.run(&["XADD", "dead", "*", "body", r#"{"n":1}"#, "why", "because"]);
    assert_eq!(tap.ended(), 0);
    let seen: serde_json::Value = serde_json::from_str(&tap.out()).expect("JSON");
    assert_eq!((&seen["body"]["n"], &seen["headers"]["why"]), (&1.into(), &"because".into()), "{seen}");
    assert_eq!(entries(&server, "dead").len(), 1);
    let groups: Vec<redis::Value> = server.run(&["XINFO", "GROUPS", "dead"]);
    assert!(groups.is_empty(), "a tap joins no group");
}

#[tokio::test]
async fn on_amqp_a_tap_reads_an_exchange_beside_its_queues() {
    let rabbit = Rabbit::connect().await;
    let (orders, kept) = (rabbit.queue().await, rabbit.queue().await);
    let exchange = rabbit.exchange(lapin::ExchangeKind::Topic).await;
    rabbit.bind(&kept, &exchange, "#").await;
    let port = free_port();
    let yaml = format!(
        "name: demo\ntelemetry: {{ listen: '127.0.0.1:{port}' }}\nbrokers: {{ mq: {} }}\nroutes:\n  - {{ name: on, from: mq/{orders}, to: 'mq/{exchange}/k.{{message_name}}', dead_letter: drop }}\n",
        rabbit.url
    );
    let place = Place::with(&yaml);
    let refused = place.rialto(&["tap", &format!("mq/{kept}")]);
    assert_eq!(refused.code, 2, "a queue would lose what is tapped: {refused:?}");
    assert!(refused.err.contains("cannot be tapped"), "{}", refused.err);
    let mut bridge = place.start(&["run"]);
    until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
    let mut tap = place.start(&["tap", "on", "--count", "1", "--json"]);
    until("listening", || tap.err().contains("listening to").then_some(()));
    let answer = place.rialto(&["publish", &format!("mq/{orders}"), "{}", "--name", "Paid", "--id", "m-1"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "m-1\n"), "{answer:?}");
    assert_eq!(tap.ended(), 0);
    let seen: serde_json::Value = serde_json::from_str(&tap.out()).expect("JSON");
    assert_eq!((&seen["address"], &seen["body"]["message_id"]), (&format!("{exchange}/k.Paid").into(), &"m-1".into()), "{seen}");
    assert_eq!(rabbit.ready(&kept).await, 1, "its queue has it too");
    assert_eq!(bridge.stop(), 0);
    for queue in [orders, kept] {
        rabbit.delete(&queue).await;
    }
}
