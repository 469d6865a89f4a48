//! Masters, replicas and sentinels: nothing is published where nobody listens, and a failover is followed.

use std::{fs, time::Duration};

use rialto::{
    broker::Broker,
    outcome::{Outcome, Proof, Reason},
};

use super::{Server, broker, house, message, origin, outgoing, pipeline::Pipeline, send, target, until};

fn replica_of(master: &Server) -> Server {
    Server::start(&["--replicaof", &format!("127.0.0.1 {}", master.port()), "--repl-diskless-sync-delay", "0"])
}

fn online(master: &Server) -> bool {
    master.run::<String>(&["INFO", "replication"]).contains("state=online")
}

/// `PUBLISH` succeeds on a replica and reaches only its own subscribers.
#[tokio::test]
async fn a_replica_is_not_published_to() {
    let master = Server::start(&[]);
    let replica = replica_of(&master);
    until(|| online(&master)).await;
    let to_replica = broker(&replica.url());
    let channel = target(&*to_replica, "c");
    let error = to_replica.link(&channel.link, &house()).await.err().expect("no link to a replica");
    assert_eq!(error.reason, Reason::Throttled, "{error}");
    // Listening there is fine, and of two servers the master is found.
    let mut listening = Pipeline::open(&*origin(&*to_replica, "c"), &house(), 10).await;
    let both = broker(&format!("redis://127.0.0.1:{},127.0.0.1:{}", replica.port(), master.port()));
    let mut publisher = both.link(&channel.link, &house()).await.expect("the master");
    send(&mut *publisher, &[outgoing(&channel, &message("{}"), "c", "{}")]).await;
    assert_eq!(listening.next().await.body(), "{}");
}

#[tokio::test]
async fn a_demoted_master_ends_the_link() {
    let master = Server::start(&[]);
    let other = Server::start(&[]);
    let broker = broker(&master.url());
    let (stream, channel) = (target(&*broker, "{ stream: s }"), target(&*broker, "c"));
    let mut publisher = broker.link(&stream.link, &house()).await.expect("a link");
    let message = message("{}");
    publisher.ping().await.expect("a master");
    let _: () = master.run(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    // The naive way goes on publishing here, and is told that it worked.
    assert_eq!(publisher.ping().await.expect_err("a replica").reason, Reason::Throttled);
    let outcomes = send(&mut *publisher, &[outgoing(&stream, &message, "s", "{}")]).await;
    assert!(matches!(&outcomes[0], Outcome::Throttled { detail, .. } if detail.starts_with("READONLY")), "{outcomes:?}");
    let down = publisher.send(&[outgoing(&channel, &message, "c", "{}")]).await.err().expect("the link is over");
    assert_eq!(down.reason, Reason::Throttled);
}

/// Writing again at every retry would fill the stream with copies for as long as a replica is away.
#[tokio::test]
async fn wait_counts_replicas_and_repeats_no_entry_while_they_are_few() {
    let master = Server::start(&[]);
    let mut replica = replica_of(&master);
    until(|| online(&master)).await;
    let broker = broker(&master.url());
    let target = target(&*broker, "{ stream: s, durability: wait(1) }");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let out = || [outgoing(&target, &message, "s", "{}")];
    assert_eq!(send(&mut *publisher, &out()).await, [Outcome::Delivered(Proof::Confirmed)]);
    assert_eq!(master.run::<u64>(&["XLEN", "s"]), 1);

    replica.kill();
    for _ in 0..4 {
        let outcomes = send(&mut *publisher, &out()).await;
        assert!(matches!(&outcomes[0], Outcome::Throttled { detail, .. } if detail.contains("replicas")), "{outcomes:?}");
    }
    assert_eq!(master.run::<u64>(&["XLEN", "s"]), 2, "one try was written, the others were not");

    replica.start_again();
    until(|| online(&master)).await;
    let mut outcomes = Vec::new();
    for _ in 0..50 {
        outcomes = send(&mut *publisher, &out()).await;
        if outcomes == [Outcome::Delivered(Proof::Confirmed)] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the replica is back: {outcomes:?}");
}

#[tokio::test]
async fn sentinels_name_the_master_and_the_next_one() {
    let mut master = Server::start(&[]);
    let replica = replica_of(&master);
    until(|| online(&master)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sentinel.conf");
    let monitor = format!(
        "sentinel monitor m 127.0.0.1 {} 1\nsentinel down-after-milliseconds m 500\nsentinel failover-timeout m 2000\n",
        master.port()
    );
    fs::write(&file, monitor).expect("a file");
    let sentinel = Server::start(&[file.to_str().expect("text"), "--sentinel"]);
    until(|| sentinel.run::<String>(&["INFO", "sentinel"]).contains("slaves=1")).await;

    let broker = broker(&format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{}/m", sentinel.port()));
    let target = target(&*broker, "{ stream: s }");
    let source = origin(&*broker, "{ stream: s }");
    deliver(&*broker, &target).await;
    let mut pipeline = Pipeline::open(&*source, &house(), 10).await;
    pipeline.next().await.accept();
    assert_eq!(master.run::<u64>(&["XLEN", "s"]), 1);
    // Replication runs behind the master's answers.
    until(|| replica.run::<u64>(&["XLEN", "s"]) == 1).await;

    master.kill();
    pipeline.ended().await.expect_err("the master is gone");
    let mut tries = 0;
    while broker.link(&target.link, &house()).await.is_err() {
        tries += 1;
        assert!(tries < 100, "no failover was followed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    deliver(&*broker, &target).await;
    assert_eq!(replica.run::<u64>(&["XLEN", "s"]), 2);
    let mut pipeline = Pipeline::open(&*source, &house(), 10).await;
    assert_eq!(pipeline.next().await.body(), "{}");

    let unknown = super::broker(&format!("redis+sentinel://127.0.0.1:{}/nobody", sentinel.port()));
    let error = unknown.link(&target.link, &house()).await.err().expect("no such master");
    assert_eq!(error.reason, Reason::Unroutable, "{error}");
}

async fn deliver(broker: &dyn Broker, target: &rialto::broker::Target) {
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    let message = message("{}");
    let outcomes = send(&mut *publisher, &[outgoing(target, &message, "s", "{}")]).await;
    assert_eq!(outcomes, [Outcome::Delivered(Proof::Confirmed)]);
}
