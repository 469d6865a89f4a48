//! Listening to channels and patterns: at most once, but bounded and never silently dead.

use std::time::{Duration, Instant};

use rialto::{broker::Ended, outcome::Reason};

use super::{Server, broker, house, origin, pipeline::Pipeline, target, until};

fn publish(server: &Server, channel: &str, body: &str) -> u64 {
    server.run(&["PUBLISH", channel, body])
}

#[tokio::test]
async fn channels_and_patterns_are_heard_in_both_protocols() {
    let server = Server::start(&[]);
    for protocol in ["", "?protocol=3"] {
        let broker = broker(&format!("'{}{protocol}'", server.url()));
        let by_name = origin(&*broker, "news");
        let by_pattern = origin(&*broker, "'n*s'");
        assert!(!by_name.holds() && !by_pattern.holds());
        assert!(by_name.inlet().is_some() && by_pattern.inlet().is_none());
        for origin in [by_name, by_pattern] {
            let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
            assert_eq!(publish(&server, "news", "ü"), 1);
            let taken = pipeline.next().await;
            assert_eq!(taken.body(), "ü");
            assert_eq!(taken.raw.carrier.word("channel").as_deref(), Some("news"));
            taken.accept();
            assert_eq!(pipeline.close().await.expect("an orderly end"), Ended::Drained);
        }
    }
}

/// The crate's own subscription reads ahead without any bound.
#[tokio::test]
async fn a_full_window_leaves_the_rest_at_the_server() {
    const MESSAGES: usize = 400;
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 0 0 0"]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "news");
    let mut pipeline = Pipeline::open(&*origin, &house(), 2).await;
    let mut control = server.control();
    let padding = "x".repeat(100_000);
    for number in 0..MESSAGES {
        let _: u64 =
            redis::cmd("PUBLISH").arg("news").arg(format!("{number} {padding}")).query(&mut control).expect("a live server");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let clients: String = server.run(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    let waiting: usize =
        clients.split_whitespace().find_map(|word| word.strip_prefix("omem=")).expect("omem").parse().expect("a number");
    // What is not there is in the socket's buffers and in one batch.
    assert!(waiting > 100_000 * MESSAGES / 2, "only {waiting} bytes wait at the server");
    for number in 0..MESSAGES {
        let taken = pipeline.next().await;
        assert!(taken.body().starts_with(&format!("{number} ")), "out of order at {number}");
        taken.accept();
    }
}

#[tokio::test]
async fn a_silent_server_is_noticed_within_five_seconds() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let (channel, stream) = (origin(&*broker, "news"), origin(&*broker, "{ stream: s }"));
    let mut listening = Pipeline::open(&*channel, &house(), 10).await;
    let mut reading = Pipeline::open(&*stream, &house(), 10).await;
    // An idle connection that lives is left alone.
    assert!(listening.next_within(Duration::from_secs(3)).await.is_none());
    server.freeze();
    let frozen = Instant::now();
    for pipeline in [&mut listening, &mut reading] {
        let error = pipeline.ended().await.expect_err("nobody answers");
        assert_eq!(error.reason, Reason::Timeout, "{error}");
    }
    assert!(frozen.elapsed() < Duration::from_millis(5_500), "{:?}", frozen.elapsed());
    server.thaw();
    let mut listening = Pipeline::open(&*channel, &house(), 10).await;
    publish(&server, "news", "again");
    assert_eq!(listening.next().await.body(), "again");
}

#[tokio::test]
async fn a_killed_subscription_ends_the_incarnation() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let origin = origin(&*broker, "news");
    let mut pipeline = Pipeline::open(&*origin, &house(), 10).await;
    assert_eq!(server.run::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]), 1);
    assert_eq!(pipeline.ended().await.expect_err("the connection is gone").reason, Reason::Link);
}

#[tokio::test]
async fn a_tap_hears_what_a_target_gets_and_takes_nothing() {
    let server = Server::start(&[]);
    let broker = broker(&server.url());
    let channels = broker.tap(&target(&*broker, "app:{message_type}:{message_id}")).expect("a tap");
    let mut tap = Pipeline::open(&*channels, &house(), 10).await;
    assert_eq!(publish(&server, "app:a:1", "heard"), 1);
    let heard = tap.next().await;
    assert_eq!(heard.body(), "heard");
    heard.accept();

    let _: String = server.run(&["XADD", "s", "*", "body", "before"]);
    let stream = broker.tap(&target(&*broker, "{ stream: s }")).expect("a tap");
    let mut tap = Pipeline::open(&*stream, &house(), 10).await;
    for body in ["1", "2"] {
        let _: String = server.run(&["XADD", "s", "*", "body", body]);
        let heard = tap.next().await;
        assert_eq!(heard.body(), body);
        heard.accept();
    }
    assert_eq!(server.run::<Vec<redis::Value>>(&["XINFO", "GROUPS", "s"]).len(), 0);
    broker.tap(&target(&*broker, "{ stream: 's:{payload.x}' }")).expect_err("many streams");

    let sharded = broker.tap(&target(&*broker, "{ sharded_channel: shard }")).expect("a tap");
    let mut tap = Pipeline::open(&*sharded, &house(), 10).await;
    until(|| server.run::<u64>(&["SPUBLISH", "shard", "s"]) == 1).await;
    assert_eq!(tap.next().await.body(), "s");
}
