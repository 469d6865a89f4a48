//! librdkafka's mock cluster, which errs on demand, and a client of the test's own that reads what is in it.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use rialto::broker::{Broker, Publisher, Target, kafka::KIND};

use crate::support;

/// The topic of every test; each has a cluster of its own.
pub(super) const TOPIC: &str = "orders";

/// A cluster of one broker, with [`TOPIC`] in it.
pub(super) struct Mock {
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(super) broker: std::sync::Arc<dyn Broker>,
    partitions: i32,
}

/// A record as a foreign client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) partition: i32,
    pub(super) key: Option<String>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(super) timestamp: Option<i64>,
}

impl Seen {
    /// The values of a header, in order.
    pub(super) fn header(&self, name: &str) -> Vec<&[u8]> {
        let values = self.headers.iter().filter(|(own, _)| own == name);
        values.map(|(_, value)| value.as_deref().unwrap_or_default()).collect()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap_or_default()).expect("text")
    }
}

impl Mock {
    pub(super) fn with(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic(TOPIC, partitions, 1).expect("a topic");
        let broker = support::broker(&KIND, &format!("kafka://{}", cluster.bootstrap_servers()));
        Self { cluster, broker, partitions }
    }

    pub(super) fn target(&self, yaml: &str) -> Target {
        support::target(&*self.broker, yaml)
    }

    pub(super) async fn link(&self, target: &Target) -> Box<dyn Publisher> {
        self.broker.link(&target.link, &support::house()).await.expect("a link")
    }

    /// The next requests to produce are answered with these errors.
    pub(super) fn produce_errors(&self, errors: &[RDKafkaRespErr]) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, errors);
    }

    /// All that is in [`TOPIC`], partition by partition.
    pub(super) fn seen(&self) -> Vec<Seen> {
        (0..self.partitions).flat_map(|partition| self.read(TOPIC, partition)).collect()
    }

    fn read(&self, topic: &str, partition: i32) -> Vec<Seen> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("group.id", "witness");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let (_, end) = consumer.fetch_watermarks(topic, partition, support::PATIENCE).expect("watermarks");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("assigned");
        let (mut seen, start) = (Vec::new(), Instant::now());
        while i64::try_from(seen.len()).expect("few") < end {
            assert!(start.elapsed() < support::PATIENCE, "{} of {end} records", seen.len());
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.expect("a record");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
            seen.push(Seen {
                partition,
                key: record.key().map(text),
                value: record.payload().map(<[u8]>::to_vec),
                headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
                timestamp: record.timestamp().to_millis(),
            });
        }
        seen
    }
}
