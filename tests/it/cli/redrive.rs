//! `redrive`: dead letters go where they were to go, and nowhere else; what cannot go stays.

use std::collections::HashMap;

use lapin::{
    BasicProperties, ExchangeKind,
    types::{AMQPValue, FieldTable, LongString},
};

use super::{Answer, Place, get, streams, until};
use crate::{
    amqp::server::Rabbit,
    redis::{Server, free_port},
};

/// Fields of the entries of a stream, in order.
fn entries(server: &Server, stream: &str) -> Vec<HashMap<String, String>> {
    let found: Vec<(String, HashMap<String, String>)> = server.run(&["XRANGE", stream, "-", "+"]);
    found.into_iter().map(|(_, fields)| fields).collect()
}

/// A dead letter as the bridge writes it, of the route `store`.
fn bury(server: &Server, id: &str, more: &[&str]) {
    let body = format!(
        r#"{{"message_type":"ecst_event","message_name":"Paid","message_id":"{id}","payload":{{"region":"eu","secret":1}}}}"#
    );
    let mut command = vec!["XADD", "dead", "*", "body", &body, "tenant", "acme"];
    command.extend(more);
    let _: String = server.run(&command);
}

const RECORD: [&str; 8] = [
    "rialto-dead-route",
    "store",
    "rialto-dead-destination",
    "live",
    "rialto-dead-original-address",
    "kept:eu",
    "rialto-dead-reason",
    "refused",
];

fn redrive(place: &Place, more: &[&str]) -> Answer {
    place.rialto(&[&["--json", "redrive", "--from", "live/dead", "--yes"][..], more].concat())
}

/// The counts at the end of the output: redriven, filtered, kept.
fn counts(answer: &Answer) -> [u64; 3] {
    let last = answer.lines().pop().unwrap_or_else(|| panic!("{answer:?}"));
    ["redriven", "filtered", "kept"].map(|name| last[name].as_u64().expect("a count"))
}

#[test]
fn a_letter_of_the_bridge_goes_where_it_was_to_go() {
    let (server, port) = (Server::start(&[]), free_port());
    let place = Place::with(&streams(&server.url(), port));
    let _: String = server.run(&["SET", "kept:eu", "no stream"]);
    let mut bridge = place.start(&["run"]);
    until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
    let event = ["publish", "orders", r#"{"region":"eu","secret":1}"#, "--type", "ecst_event", "--id", "m-1"];
    assert_eq!(place.rialto(&event).code, 0);
    let letter = until("dead", || entries(&server, "dead").pop());
    assert_eq!(bridge.stop(), 0);
    assert_eq!((letter["rialto-dead-route"].as_str(), letter["rialto-dead-reason"].as_str()), ("store", "refused"));
    assert!(letter["body"].contains("secret"), "the original body: {letter:?}");

    let answer = redrive(&place, &[]);
    assert_eq!((answer.code, counts(&answer)), (1, [0, 0, 1]), "its destination refuses it still: {answer:?}");
    let _: u64 = server.run(&["DEL", "kept:eu"]);
    let answer = redrive(&place, &[]);
    assert_eq!((answer.code, counts(&answer)), (0, [1, 0, 0]), "{answer:?}");
    let kept = entries(&server, "kept:eu");
    assert_eq!(kept[0]["message_id"], "m-1");
    assert!(kept[0]["body"].ends_with(r#""payload":{"region":"eu"}}"#), "transformed as its route does: {kept:?}");
    assert!(!kept[0].keys().any(|name| name.starts_with("rialto-dead-")), "{kept:?}");
    assert_eq!(counts(&redrive(&place, &[])), [0, 0, 0], "it was acknowledged");
}

#[test]
fn only_the_recorded_destination_gets_it() {
    let server = Server::start(&[]);
    let place = Place::with(
        &streams(&server.url(), free_port())
            .replace("- name: store", "- name: copy\n    from: orders\n    to: { broker: live, stream: copies }\n  - name: store"),
    );
    bury(&server, "m-1", &[&RECORD[..], &["x-death", "often"]].concat());
    assert_eq!(counts(&redrive(&place, &[])), [1, 0, 0]);
    assert_eq!(entries(&server, "copies").len(), 0);
    let kept = entries(&server, "kept:eu");
    assert_eq!((kept.len(), kept[0]["tenant"].as_str()), (1, "acme"));
    assert!(!kept[0].contains_key("x-death"), "{kept:?}");
}

#[test]
fn what_cannot_go_stays_and_is_told() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    let with = |name: &str, value: &'static str| {
        let mut record = RECORD;
        let at = record.iter().position(|known| *known == name).expect("a field") + 1;
        record[at] = value;
        record
    };
    bury(&server, "m-1", &[]);
    bury(&server, "m-2", &with("rialto-dead-route", "gone"));
    bury(&server, "m-3", &with("rialto-dead-destination", "gone"));
    bury(&server, "m-4", &with("rialto-dead-original-address", "elsewhere"));
    bury(&server, "m-5", &RECORD);
    let answer = redrive(&place, &[]);
    assert_eq!((answer.code, counts(&answer)), (1, [1, 0, 4]), "{answer:?}");
    for why in ["it does not say where it was to go", "in a route `gone`", "no destination `gone`", "recorded address `elsewhere`"]
    {
        assert!(answer.err.contains(why), "{why}: {}", answer.err);
    }
    assert_eq!(entries(&server, "kept:eu").len(), 1);
    assert!(entries(&server, "elsewhere").is_empty());
    let answer = redrive(&place, &[]);
    assert_eq!(counts(&answer), [0, 0, 4], "they are there still, and the one that went is not: {answer:?}");
}

#[test]
fn a_dry_run_sends_and_settles_nothing() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    bury(&server, "m-1", &RECORD);
    for _ in 0..2 {
        let answer = place.rialto(&["redrive", "--from", "live/dead", "--dry-run"]);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_eq!(answer.out, "m-1 store -> live kept:eu (refused)\n1 would be sent, 0 kept, 0 left by filters\n");
    }
    assert!(entries(&server, "kept:eu").is_empty());
}

#[test]
fn filters_and_a_limit_choose_letters() {
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), free_port()));
    for id in ["m-1", "m-2", "m-3"] {
        bury(&server, id, &RECORD);
    }
    assert_eq!(counts(&redrive(&place, &["--filter", "reason=timeout"])), [0, 3, 0]);
    let answer = redrive(&place, &["--filter", "reason=ref*", "--filter", "route=store", "--limit", "2"]);
    assert_eq!((answer.code, counts(&answer)), (0, [2, 0, 0]), "{answer:?}");
    let sent: Vec<_> = entries(&server, "kept:eu").into_iter().map(|fields| fields["message_id"].clone()).collect();
    assert_eq!(sent, ["m-1", "m-2"]);
    assert_eq!(counts(&redrive(&place, &["--rate", "50/s"])), [1, 0, 0]);
}

#[test]
fn letters_are_kept_when_their_destination_is_lost() {
    let (server, mut far) = (Server::start(&[]), Server::start(&[]));
    let yaml = streams(&server.url(), free_port())
        .replace("brokers:\n", &format!("brokers:\n  far: {}\n", far.url()))
        .replace("to: { broker: live, stream: \"kept", "to: { broker: far, name: live, stream: \"kept");
    let place = Place::with(&yaml);
    bury(&server, "m-1", &RECORD);
    far.kill();
    let answer = redrive(&place, &[]);
    assert_eq!((answer.code, counts(&answer)[0]), (69, 0), "{answer:?}");
    far.start_again();
    assert_eq!(counts(&redrive(&place, &[])), [1, 0, 0]);
    assert_eq!(entries(&far, "kept:eu").len(), 1);
}

#[tokio::test]
async fn on_amqp_letters_behind_one_that_stays_are_acknowledged() {
    let rabbit = Rabbit::connect().await;
    let (orders, dead, kept) = (rabbit.queue().await, rabbit.queue().await, rabbit.queue().await);
    let exchange = rabbit.exchange(ExchangeKind::Topic).await;
    rabbit.bind(&kept, &exchange, "k.#").await;
    let yaml = format!(
        "name: demo\nbrokers: {{ mq: {} }}\nroutes:\n  - {{ name: on, from: mq/{orders}, to: 'mq/{exchange}/k.{{message_name}}', dead_letter: mq/{dead} }}\n",
        rabbit.url
    );
    let place = Place::with(&yaml);
    for number in 0..60 {
        let mut headers = FieldTable::default();
        // Two of them do not say where they were to go: the first and one in the middle.
        if number != 0 && number != 30 {
            let address = format!("{exchange}/k.Paid");
            for (name, value) in [("route", "on"), ("destination", "mq"), ("original-address", &address), ("reason", "timeout")] {
                headers.insert(format!("rialto-dead-{name}").into(), AMQPValue::LongString(LongString::from(value)));
            }
        }
        let body = format!(r#"{{"message_type":"t","message_name":"Paid","message_id":"m-{number}","payload":{number}}}"#);
        rabbit.put(&dead, body.as_bytes(), BasicProperties::default().with_headers(headers)).await;
    }
    let from = format!("mq/{dead}");
    let answer = place.rialto(&["--json", "redrive", "--from", &from, "--yes"]);
    assert_eq!((answer.code, counts(&answer)), (1, [58, 0, 2]), "{answer:?}");
    let sent: Vec<_> =
        rabbit.drain(&kept).await.iter().map(|message| message.properties.message_id().clone().unwrap().to_string()).collect();
    let expected: Vec<_> = (0..60).filter(|number| *number != 0 && *number != 30).map(|number| format!("m-{number}")).collect();
    assert_eq!(sent, expected, "in order, each once");
    let left = rabbit.drain(&dead).await;
    assert!(left.len() == 2 && left[0].data.ends_with(b":0}") && left[1].data.ends_with(b":30}"), "{left:?}");
    for queue in [orders, dead, kept] {
        rabbit.delete(&queue).await;
    }
}
