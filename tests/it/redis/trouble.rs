//! What a server or its operator may do to a connection, and that it is named, survived and never taken for success.

use std::{
    fs,
    time::{Duration, Instant},
};

use rialto::{
    broker::{OpenError, Probe},
    outcome::{Outcome, Proof, Reason, Refusal},
};

use super::{Server, broker, house, message, origin, outgoing, pipeline::Pipeline, send, server, target};

async fn refused(yaml: &str) -> OpenError {
    let broker = broker(yaml);
    let target = target(&*broker, "c");
    broker.link(&target.link, &house()).await.err().expect("no link")
}

/// The crate's connection manager keeps the error of the failed log-in for ever.
#[tokio::test]
async fn a_changed_password_is_read_anew_from_its_file() {
    let server = Server::start(&["--requirepass", "old"]);
    let file = server.directory().join("password");
    fs::write(&file, "old\n").expect("a file");
    let yaml = format!("{{ url: '{}', password_file: '{}' }}", server.url(), file.display());
    let broker = broker(&yaml);
    let target = target(&*broker, "c");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let delivered = [Outcome::Delivered(Proof::Receivers(0))];
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "c", "{}")]).await, delivered);

    let mut control = server.control_as(":old@");
    let _: () = server::run(&mut control, &["CONFIG", "SET", "requirepass", "new"]);
    for _ in 0..2 {
        let error = refused(&yaml).await;
        assert_eq!(error.reason, Reason::Unauthenticated, "{error}");
        assert!(error.detail.contains("WRONGPASS") && !error.detail.contains("old"), "{error}");
    }
    fs::write(&file, "new\n").expect("a file");
    let mut publisher = broker.link(&target.link, &house()).await.expect("the same broker, a new password");
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "c", "{}")]).await, delivered);
}

#[tokio::test]
async fn each_failed_opening_says_why() {
    let server = Server::start(&["--requirepass", "secret", "--maxclients", "2"]);
    let port = server.port();
    let reason = |yaml: String| async move { refused(&yaml).await.reason };
    assert_eq!(reason(server.url()).await, Reason::Unauthenticated, "NOAUTH");
    assert_eq!(reason(format!("redis://nobody:secret@127.0.0.1:{port}")).await, Reason::Unauthenticated, "WRONGPASS");
    assert_eq!(reason(format!("redis://no-such-host.invalid:{port}")).await, Reason::Dns);
    assert_eq!(reason(format!("redis://127.0.0.1:{}", server::free_port())).await, Reason::Link);
    let _both = (server.control_as(":secret@"), server.control_as(":secret@"));
    assert_eq!(reason(format!("redis://:secret@127.0.0.1:{port}")).await, Reason::Throttled, "max number of clients reached");
    server.freeze();
    let before = Instant::now();
    assert_eq!(reason(format!("redis://:secret@127.0.0.1:{port}")).await, Reason::Timeout);
    assert!(before.elapsed() < Duration::from_secs(11));
    server.thaw();
}

#[tokio::test]
async fn a_user_without_a_permission_is_refused_message_by_message() {
    let server = Server::start(&[]);
    let _: () = server.run(&["ACL", "SETUSER", "rialto", "on", ">pw", "~ours:*", "&ours:*", "+@all", "-@admin"]);
    let broker = broker(&format!("redis://rialto:pw@127.0.0.1:{}", server.port()));
    let stream = target(&*broker, "{ stream: '{payload.x}' }");
    let channel = target(&*broker, "{ channel: '{payload.x}' }");
    let mut publisher = broker.link(&stream.link, &house()).await.expect("a link");
    let message = message("{}");
    let batch = [
        outgoing(&stream, &message, "ours:s", "{}"),
        outgoing(&stream, &message, "theirs:s", "{}"),
        outgoing(&channel, &message, "theirs:c", "{}"),
        outgoing(&channel, &message, "ours:c", "{}"),
    ];
    let outcomes = send(&mut *publisher, &batch).await;
    let forbidden = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal { reason: Reason::Forbidden, .. }));
    assert_eq!(outcomes[0], Outcome::Delivered(Proof::Confirmed));
    assert!(forbidden(&outcomes[1]) && forbidden(&outcomes[2]), "{outcomes:?}");
    assert_eq!(outcomes[3], Outcome::Delivered(Proof::Receivers(0)));

    let fixed = target(&*broker, "{ stream: 'theirs:s' }");
    let error = origin(&*broker, "{ stream: 'theirs:s' }").open(&house()).await.err().expect("no source");
    assert_eq!(error.reason, Reason::Forbidden, "{error}");
    assert!(broker.probe(&Probe::Broker, &house()).await.is_empty());
    let allowed = target(&*broker, "ours:c");
    assert!(broker.probe(&Probe::Target(&allowed), &house()).await.is_empty());
    // The user may not ask `ACL DRYRUN`; one that may is told.
    let _: () = server.run(&["ACL", "SETUSER", "rialto", "+acl"]);
    assert!(!broker.probe(&Probe::Target(&fixed), &house()).await.is_empty());
}

/// The commands that `broker::redis` names for an ACL user are enough.
#[tokio::test]
async fn the_least_privileged_user_can_do_it_all() {
    let server = Server::start(&[]);
    let user = |name: &str, commands: &[&str]| {
        let who = ["ACL", "SETUSER", name, "on", ">pw", "~ours:*", "&ours:*", "-@all"];
        let _: () = server.run(&[&who[..], commands].concat());
        broker(&format!("redis://{name}:pw@127.0.0.1:{}", server.port()))
    };
    let writer = user("writer", &["+publish", "+spublish", "+xadd", "+wait", "+ping"]);
    let reader =
        user("reader", &["+xreadgroup", "+xack", "+xclaim", "+xautoclaim", "+xgroup", "+xinfo", "+client|unblock", "+ping"]);
    let listener = user("listener", &["+subscribe", "+ping"]);
    let (stream, channel) = (target(&*writer, "{ stream: 'ours:s' }"), target(&*writer, "ours:c"));
    let mut publisher = writer.link(&stream.link, &house()).await.expect("a link");
    publisher.ping().await.expect("alive");
    let mut listening = Pipeline::open(&*origin(&*listener, "ours:c"), &house(), 10).await;
    let mut reading = Pipeline::open(&*origin(&*reader, "{ stream: 'ours:s', idle_claim: 1s }"), &house(), 10).await;
    let message = message("{}");
    let batch = [outgoing(&stream, &message, "ours:s", "{}"), outgoing(&channel, &message, "ours:c", "{}")];
    let outcomes = send(&mut *publisher, &batch).await;
    assert_eq!(outcomes, [Outcome::Delivered(Proof::Confirmed), Outcome::Delivered(Proof::Receivers(1))]);
    assert_eq!(listening.next().await.body(), "{}");
    // Held through a few renewals and rounds of claiming, then acknowledged.
    let held = reading.next().await;
    assert!(reading.next_within(Duration::from_millis(1500)).await.is_none());
    held.accept();
    assert_eq!(reading.close().await.expect("an orderly end"), rialto::broker::Ended::Drained);
}

/// Half a second, the crate's own limit, would call this unknown.
#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "c");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let mut control = server.control();
    let sleeping = std::thread::spawn(move || server::run::<()>(&mut control, &["DEBUG", "SLEEP", "1.5"]));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let message = message("{}");
    let before = Instant::now();
    let outcomes = send(&mut *publisher, &[outgoing(&target, &message, "c", "{}")]).await;
    assert_eq!(outcomes, [Outcome::Delivered(Proof::Receivers(0))]);
    assert!(before.elapsed() > Duration::from_secs(1));
    sleeping.join().expect("it slept");
}

/// A command that timed out runs all the same: calling it failed would be as wrong as calling it done.
#[tokio::test]
async fn a_command_without_an_answer_is_unknown_and_ends_the_link() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: s }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    server.freeze();
    let waiting = publisher.send(&[outgoing(&target, &message, "s", "{}")]).await.expect("a live link");
    let down = waiting.await.expect_err("nobody can say");
    assert_eq!(down.reason, Reason::Timeout, "{down}");
    assert!(publisher.ping().await.is_err());
    drop(publisher);
    server.thaw();
    assert_eq!(server.run::<u64>(&["XLEN", "s"]), 1);
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    let mut server = Server::start(&[]);
    let _: () = server.run(&["DEBUG", "POPULATE", "20000"]);
    let _: () = server.run(&["SAVE"]);
    server.kill();
    // About four seconds of loading, in which it answers.
    server.options(&["--save", "3600 1", "--key-load-delay", "200", "--loading-process-events-interval-bytes", "1024"]);
    server.start_again();
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: s }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let outcomes = send(&mut *publisher, &[outgoing(&target, &message, "s", "{}")]).await;
    assert!(matches!(&outcomes[0], Outcome::Throttled { detail, .. } if detail.starts_with("LOADING")), "{outcomes:?}");
    publisher.ping().await.expect("it is alive");
    let source = origin(&*broker, "{ stream: s }");
    assert_eq!(source.open(&house()).await.err().expect("not yet").reason, Reason::Throttled);

    let end = Instant::now() + Duration::from_secs(20);
    while !matches!(send(&mut *publisher, &[outgoing(&target, &message, "s", "{}")]).await[..], [Outcome::Delivered(_)]) {
        assert!(Instant::now() < end, "the same link never worked");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut pipeline = Pipeline::open(&*source, &house(), 10).await;
    assert_eq!(pipeline.next().await.body(), "{}");
}

#[tokio::test]
async fn an_aborted_link_sends_nothing_more() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: s }");
    let message = message("{}");
    for _ in 0..20 {
        let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
        let answers = publisher.send(&[outgoing(&target, &message, "s", "{}")]).await.expect("a live link");
        drop(publisher);
        assert!(answers.await.is_err(), "a dropped link answers nothing");
    }
    let length: u64 = server.run(&["XLEN", "s"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.run::<u64>(&["XLEN", "s"]), length);
}

#[tokio::test]
async fn closing_flushes() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let target = target(&*broker, "{ stream: s }");
    let message = message("{}");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let answers = publisher.send(&[outgoing(&target, &message, "s", "{}")]).await.expect("a live link");
    let (outcomes, ()) = tokio::join!(answers, publisher.close());
    assert_eq!(outcomes.expect("answers"), [Outcome::Delivered(Proof::Confirmed)]);
}
