//! Reading a stream by a group: nothing is lost when we, our peers, the server or the group go away.

use std::{sync::Arc, time::Duration};

use rialto::{
    broker::{Ended, House},
    envelope::{HeaderValue, Property},
    outcome::Reason,
};

use crate::support::rejected;

use super::{Server, broker, house, origin, pipeline::Pipeline, until};

fn add(server: &Server, body: &str) -> String {
    server.run(&["XADD", "s", "*", "body", body])
}

fn pending(server: &Server) -> u64 {
    server.run::<(u64, redis::Value, redis::Value, redis::Value)>(&["XPENDING", "s", "rialto"]).0
}

#[tokio::test]
async fn what_is_settled_is_acknowledged_and_what_is_not_comes_again_first() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s }");
    for body in ["1", "2", "3"] {
        add(&server, body);
    }
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    pipeline.next().await.accept();
    let held = pipeline.next().await;
    pipeline.next().await.accept();
    // The hole at 2 is passed by after 250 ms: 3 is told alone.
    until(|| pending(&server) == 1).await;
    assert_eq!(held.body(), "2");
    pipeline.crash().await;
    add(&server, "4");

    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    for expected in ["2", "4"] {
        let taken = pipeline.next().await;
        assert_eq!(taken.body(), expected);
        taken.accept();
    }
    until(|| pending(&server) == 0).await;
    assert_eq!(pipeline.close().await.expect("an orderly end"), Ended::Drained);
}

#[tokio::test]
async fn both_protocols_read_the_same() {
    let server = Server::start(&[]);
    let broker = broker(&format!("'{}?protocol=3'", server.url()));
    let origin = origin(&*broker, "{ stream: s, start: latest, idle_claim: 1s }");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    let mut tap = Pipeline::open(&*broker.tap(&super::target(&*broker, "{ stream: s }")).expect("a tap"), &house(), 10).await;
    add(&server, "1");
    let taken = pipeline.next().await;
    assert_eq!((taken.body(), tap.next().await.body()), ("1", "1"));
    let _: u64 = server.run(&["XGROUP", "DESTROY", "s", "rialto"]);
    pipeline.ended().await.expect_err("the group is gone");
    // Another consumer was faster, and began further on.
    add(&server, "2");
    let _: () = server.run(&["XGROUP", "CREATE", "s", "rialto", "$"]);
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    for expected in ["1", "2"] {
        let taken = pipeline.next().await;
        assert_eq!(taken.body(), expected);
        taken.accept();
    }
    until(|| pending(&server) == 0).await;
}

#[tokio::test]
async fn an_entry_arrives_with_its_fields() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s }");
    let fields = [
        "message_id",
        "7",
        "body",
        "{}",
        "message_name",
        "Paid",
        "message_type",
        "t",
        "key",
        "k",
        "content_type",
        "c",
        "x-more",
        "m",
    ];
    let command: Vec<&str> = ["XADD", "s", "1700000000000-5"].into_iter().chain(fields).collect();
    let _: String = server.run(&command);
    let _: String = server.run(&["XADD", "s", "*", "name", "Ann \"A\"", "age", "7"]);
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;

    let taken = pipeline.next().await;
    assert_eq!(taken.body(), "{}");
    let carrier = &taken.raw.carrier;
    let properties = [Property::Id, Property::Name, Property::Type, Property::Key, Property::ContentType, Property::CorrelationId];
    let found = properties.map(|property| carrier.property(property).map(std::borrow::Cow::into_owned));
    assert_eq!(found.map(Option::unwrap_or_default), ["7", "Paid", "t", "k", "c", ""]);
    assert_eq!(carrier.header("x-more"), Some(HeaderValue::Str("m")));
    let mut headers = Vec::new();
    carrier.headers(&mut |name, _| headers.push(name.to_owned()));
    assert_eq!(headers, ["x-more"]);
    assert_eq!(carrier.word("stream").as_deref(), Some("s"));
    assert_eq!(carrier.time(), Some(1_700_000_000_000));
    assert_eq!(carrier.position().as_deref(), Some("s/1700000000000-5"));

    assert_eq!(pipeline.next().await.body(), r#"{"name":"Ann \"A\"","age":"7"}"#);
}

#[tokio::test]
async fn a_dead_peers_entries_are_taken_over_and_our_own_are_not() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s, idle_claim: 2s }");
    let peer = House { instance: Arc::from("peer"), ..house() };
    add(&server, "peer's");
    let mut dying = Pipeline::open(&*origin, &peer, 10).await;
    assert_eq!(dying.next().await.body(), "peer's");
    dying.crash().await;

    add(&server, "ours");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    let ours = pipeline.next().await;
    assert_eq!(ours.body(), "ours");
    let taken = pipeline.next().await;
    assert_eq!(taken.body(), "peer's");
    taken.accept();
    // Three more rounds of claiming find nothing but what we hold.
    assert!(pipeline.next_within(Duration::from_secs(4)).await.is_none());
    assert_eq!(pending(&server), 1);
    ours.accept();
    until(|| pending(&server) == 0).await;
}

/// `XAUTOCLAIM` has no filter: after a pause in which nobody could renew anything, it gives us our own.
#[tokio::test]
async fn what_we_hold_is_not_taken_twice_however_idle_it_looks() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s, idle_claim: 1s }");
    let id = add(&server, "held");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    let held = pipeline.next().await;
    let mut control = server.control();
    for _ in 0..400 {
        let idle = ["XCLAIM", "s", "rialto", "rialto-test", "0", &id, "IDLE", "100000", "JUSTID"];
        let _: Vec<String> = super::server::run(&mut control, &idle);
        assert!(pipeline.next_within(Duration::from_millis(5)).await.is_none(), "our own entry came again");
    }
    held.accept();
    until(|| pending(&server) == 0).await;
}

/// The naive way, holding without a word, would lose what waits long for its destination to a peer.
#[tokio::test]
async fn a_live_peers_parked_entries_are_left_to_it() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s, idle_claim: 2s }");
    add(&server, "parked");
    let mut holder = Pipeline::open(&*origin, &house(), 10).await;
    let parked = holder.next().await;
    let peer = House { instance: Arc::from("peer"), ..house() };
    let mut other = Pipeline::open(&*origin, &peer, 10).await;
    assert!(other.next_within(Duration::from_secs(5)).await.is_none(), "a live peer's entry was taken");
    parked.accept();
    until(|| pending(&server) == 0).await;
}

#[tokio::test]
async fn a_lost_group_is_created_anew_where_we_were() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s, start: latest }");
    add(&server, "before the group");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    add(&server, "settled");
    add(&server, "unsettled");
    let settled = pipeline.next().await;
    assert_eq!(settled.body(), "settled");
    settled.accept();
    let _unsettled = pipeline.next().await;
    until(|| pending(&server) == 1).await;
    let _: u64 = server.run(&["XGROUP", "DESTROY", "s", "rialto"]);
    add(&server, "while it was lost");
    let error = pipeline.ended().await.expect_err("the group is gone");
    assert_eq!(error.reason, Reason::Unroutable, "{error}");

    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    for expected in ["unsettled", "while it was lost"] {
        assert_eq!(pipeline.next().await.body(), expected);
    }
}

/// A group that others created and that is lost before we read anything: where it stood nobody knows, so it begins at the beginning.
#[tokio::test]
async fn a_foreign_group_that_is_lost_begins_at_the_beginning() {
    let server = Server::start(&[]);
    let _: () = server.run(&["XGROUP", "CREATE", "s", "rialto", "0", "MKSTREAM"]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s, start: latest }");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    let _: u64 = server.run(&["XGROUP", "DESTROY", "s", "rialto"]);
    pipeline.ended().await.expect_err("the group is gone");
    add(&server, "1");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    assert_eq!(pipeline.next().await.body(), "1");
}

/// `$` would skip what was added while nobody was there.
#[tokio::test]
async fn a_server_that_forgot_everything_is_read_from_its_start() {
    let mut server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s, start: latest }");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    add(&server, "1");
    pipeline.next().await.accept();
    until(|| pending(&server) == 0).await;
    server.kill();
    pipeline.ended().await.expect_err("the server is gone");
    server.start_again();
    let _: String = server.run(&["XADD", "s", "1-1", "body", "2"]);
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    assert_eq!(pipeline.next().await.body(), "2");
}

#[tokio::test]
async fn entries_trimmed_while_they_were_pending_are_let_go() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s }");
    add(&server, "1");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    drop(pipeline.next().await);
    pipeline.crash().await;
    let _: u64 = server.run(&["XTRIM", "s", "MAXLEN", "0"]);
    add(&server, "2");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    let taken = pipeline.next().await;
    assert_eq!(taken.body(), "2");
    taken.settle(rejected());
    until(|| pending(&server) == 0).await;
}

#[tokio::test]
async fn a_full_window_is_not_read_past() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s }");
    for number in 0..50 {
        add(&server, &number.to_string());
    }
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(pipeline.next().await);
    }
    assert!(pipeline.next_within(Duration::from_millis(500)).await.is_none());
    assert_eq!(pending(&server), 10);
    for taken in held {
        taken.accept();
    }
    for number in 10..50 {
        let taken = pipeline.next().await;
        assert_eq!(taken.body(), number.to_string());
        taken.accept();
    }
    until(|| pending(&server) == 0).await;
}

#[tokio::test]
async fn an_abandoned_message_ends_the_incarnation() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s }");
    add(&server, "1");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    drop(pipeline.next().await);
    assert_eq!(pipeline.ended().await.expect("no error"), Ended::Abandoned);
    assert_eq!(pending(&server), 1);
}

/// Closing ends the blocking read at the server: nothing is given to a reader that has gone.
#[tokio::test]
async fn closing_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "{ stream: s }");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    add(&server, "1");
    pipeline.next().await.accept();
    let before = std::time::Instant::now();
    assert_eq!(pipeline.close().await.expect("an orderly end"), Ended::Drained);
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    add(&server, "2");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(pending(&server), 0);
}
