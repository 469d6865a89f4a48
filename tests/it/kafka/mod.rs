//! Kafka: against real ones, and against a mock cluster that errs on demand.

use std::{sync::Arc, time::Duration};

use rialto::{
    broker::{House, Origin, kafka::KIND},
    telemetry::Metrics,
};
use tokio::time::{Instant, sleep};

use crate::{
    conformance::kafka::{address, unique},
    support,
};

mod consuming;
mod exactly_once;
mod frozen;
mod letters;
mod mock;
mod publisher;
mod rebalancing;
mod records;
mod refusals;
pub(crate) mod relay;
mod secure;
mod watching;
mod window;
pub(crate) mod wire;

use wire::Wire;

/// A topic of the test's own, and a group of the same name.
struct Scene {
    topic: String,
    partitions: i32,
    wire: Wire,
}

impl Scene {
    async fn with(partitions: i32) -> Self {
        let (topic, mut wire) = (unique("topic"), Wire::to(&address()).await);
        wire.create(&topic, partitions).await;
        Self { topic, partitions, wire }
    }

    /// A source of the topic, with further keys in YAML.
    fn origin(&self, more: &str) -> Arc<dyn Origin> {
        let topic = &self.topic;
        origin(&format!("{{ topic: {topic}, group: {topic}, {more} }}"))
    }

    async fn committed(&mut self) -> Vec<i64> {
        self.wire.committed(&self.topic, &self.topic, self.partitions).await
    }

    async fn ends(&mut self) -> Vec<i64> {
        self.wire.ends(&self.topic, self.partitions).await
    }

    /// Waits until the group has committed all there is.
    async fn is_read_up(&mut self, patience: Duration) {
        let (ends, start) = (self.ends().await, Instant::now());
        loop {
            let committed = self.committed().await;
            if committed == ends {
                return;
            }
            assert!(start.elapsed() < patience, "committed {committed:?} of {ends:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A source of the broker.
fn origin(yaml: &str) -> Arc<dyn Origin> {
    support::origin(&*support::broker(&KIND, &format!("kafka://{}", address())), yaml)
}

/// A process of its own.
fn house(instance: &str) -> House {
    House::new(Arc::from("rialto"), Arc::from(instance), Arc::new(Metrics::new()))
}
