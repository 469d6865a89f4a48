//! A cluster of three: every key finds its server, channels keep one order, and a moved slot is followed.

use std::collections::BTreeMap;

use rialto::{
    broker::Ended,
    outcome::{Outcome, Proof},
};

use super::{Server, broker, house, message, origin, outgoing, pipeline::Pipeline, send, server::free_port, target, until};

struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        let nodes: Vec<Server> = (0..3)
            .map(|_| {
                Server::start(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &free_port().to_string(),
                    "--cluster-node-timeout",
                    "2000",
                ])
            })
            .collect();
        for (node, range) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            let _: () = node.run(&["CLUSTER", "ADDSLOTSRANGE", range[0], range[1]]);
        }
        for other in &nodes[1..] {
            let bus: String = other.run::<BTreeMap<String, String>>(&["CONFIG", "GET", "cluster-port"])["cluster-port"].clone();
            let _: () = nodes[0].run(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus]);
        }
        until(|| {
            let ready = |node: &Server| node.run::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            let knows_all = |node: &Server| node.run::<Vec<redis::Value>>(&["CLUSTER", "SLOTS"]).len() == 3;
            nodes.iter().all(|node| ready(node) && knows_all(node))
        })
        .await;
        Self { nodes }
    }

    fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }

    /// The node that serves a key, by asking them all.
    fn owner(&self, key: &str) -> &Server {
        let serves = |node: &&Server| redis::cmd("TYPE").arg(key).query::<String>(&mut node.control()).is_ok();
        self.nodes.iter().find(serves).expect("somebody serves every key")
    }
}

#[tokio::test]
async fn every_key_finds_its_server_and_every_channel_its_listeners() {
    let cluster = Cluster::start().await;
    let broker = broker(&cluster.url());
    let stream = target(&*broker, "{ stream: 'orders:{payload.x}' }");
    let channel = target(&*broker, "{ channel: 'told:{payload.x}' }");
    let sharded = target(&*broker, "{ sharded_channel: 'shard:{payload.x}' }");
    let mut publisher = broker.link(&stream.link, &house()).await.expect("a link");
    publisher.ping().await.expect("three masters");

    let mut listener = cluster.nodes[2].control();
    let mut listener = listener.as_pubsub();
    listener.psubscribe("told:*").expect("a subscription");
    let message = message("{}");
    let keys: Vec<String> = (0..40).map(|number| format!("orders:{number}")).collect();
    let channels: Vec<String> = (0..40).map(|number| format!("told:{number}")).collect();
    let shards: Vec<String> = (0..40).map(|number| format!("shard:{number}")).collect();
    let mut batch = Vec::new();
    for ((key, told), shard) in keys.iter().zip(&channels).zip(&shards) {
        batch.push(outgoing(&stream, &message, key, "{}"));
        batch.push(outgoing(&channel, &message, told, "{}"));
        batch.push(outgoing(&sharded, &message, shard, "{}"));
    }
    for outcome in send(&mut *publisher, &batch).await {
        assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    }
    for key in &keys {
        assert_eq!(cluster.owner(key).run::<u64>(&["XLEN", key]), 1);
    }
    for told in &channels {
        assert_eq!(listener.get_message().expect("a message").get_channel_name(), told, "one order for all channels");
    }
}

#[tokio::test]
async fn a_stream_is_read_at_its_owner() {
    let cluster = Cluster::start().await;
    let broker = broker(&cluster.url());
    for key in ["a", "b", "c", "d", "e", "f"] {
        let source = origin(&*broker, &format!("{{ stream: {key} }}"));
        let inlet = source.inlet().expect("one stream");
        let mut publisher = broker.link(&inlet.link, &house()).await.expect("a link");
        let message = message("{}");
        send(&mut *publisher, &[outgoing(&inlet, &message, key, "{}")]).await;
        let mut pipeline = Pipeline::open(&*source, &house(), 10).await;
        pipeline.next().await.accept();
        assert_eq!(pipeline.close().await.expect("an orderly end"), Ended::Drained);
    }
}

#[tokio::test]
async fn a_moved_slot_is_followed_by_the_next_link() {
    let cluster = Cluster::start().await;
    let broker = broker(&cluster.url());
    let target = target(&*broker, "{ stream: moving }");
    let message = message("{}");
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "moving", "{}")]).await, [Outcome::Delivered(Proof::Confirmed)]);

    let from = cluster.owner("moving");
    let to = cluster.nodes.iter().find(|node| node.port() != from.port()).expect("another");
    let slot: u64 = from.run(&["CLUSTER", "KEYSLOT", "moving"]);
    let slot = slot.to_string();
    let (from_id, to_id): (String, String) = (from.run(&["CLUSTER", "MYID"]), to.run(&["CLUSTER", "MYID"]));
    let _: () = to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    let _: () = from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let _: String = from.run(&["MIGRATE", "127.0.0.1", &to.port().to_string(), "moving", "0", "5000"]);
    // On its way: the old owner points at the new one, for this once.
    let outcomes = send(&mut *publisher, &[outgoing(&target, &message, "moving", "{}")]).await;
    assert!(matches!(&outcomes[0], Outcome::Throttled { detail, .. } if detail.starts_with("ASK")), "{outcomes:?}");
    for node in [to, from] {
        let _: () = node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    let outcomes = send(&mut *publisher, &[outgoing(&target, &message, "moving", "{}")]).await;
    assert!(matches!(&outcomes[0], Outcome::Throttled { detail, .. } if detail.starts_with("MOVED")), "{outcomes:?}");
    publisher.send(&[outgoing(&target, &message, "moving", "{}")]).await.err().expect("the link is over");

    until(|| format!("{:?}", cluster.nodes[0].run::<redis::Value>(&["CLUSTER", "SLOTS"])).matches(&slot).count() > 0).await;
    let mut publisher = broker.link(&target.link, &house()).await.expect("a link");
    assert_eq!(send(&mut *publisher, &[outgoing(&target, &message, "moving", "{}")]).await, [Outcome::Delivered(Proof::Confirmed)]);
    assert_eq!(to.run::<u64>(&["XLEN", "moving"]), 2);
}

#[tokio::test]
async fn a_dead_master_throttles_its_keys_and_no_others() {
    let mut cluster = Cluster::start().await;
    for node in &cluster.nodes {
        let _: () = node.run(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let broker = broker(&cluster.url());
    let target = target(&*broker, "{ stream: '{payload.x}' }");
    let keys: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    let dead = cluster.nodes[2].port();
    let lost: Vec<bool> = keys.iter().map(|key| cluster.owner(key).port() == dead).collect();
    assert!(lost.contains(&true) && lost.contains(&false));
    cluster.nodes[2].kill();
    let mut publisher = broker.link(&target.link, &house()).await.expect("two of three");
    let message = message("{}");
    let batch: Vec<_> = keys.iter().map(|key| outgoing(&target, &message, key, "{}")).collect();
    for (outcome, lost) in send(&mut *publisher, &batch).await.into_iter().zip(lost) {
        match outcome {
            Outcome::Delivered(_) => assert!(!lost),
            Outcome::Throttled { .. } => assert!(lost),
            other => panic!("{other:?}"),
        }
    }
}
